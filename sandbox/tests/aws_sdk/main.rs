//! Tests of the sandbox through the AWS SDK for Rust. Most tests use a manual clock, so they do not
//! wait for modelled delays.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod access;
mod cloudwatch;
mod cluster;
mod ecs;
mod ecs_harness;
mod faults;
mod http;
mod kinesis_cbor;
mod kinesis_conformance;
mod kinesis_control;
mod kinesis_data;
mod kinesis_distribution;
mod kinesis_shards;
mod node;
mod other_user;
mod pods;
mod small_services;
mod test_sandbox;
mod tls;
mod unsupported;
mod wait;
