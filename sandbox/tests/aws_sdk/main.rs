//! The sandbox as the AWS SDK for Rust sees it. Time is moved by hand; nothing here waits for a model's delay.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod access;
mod cloudwatch;
mod cluster;
mod ecs;
mod faults;
mod http;
mod kinesis_cbor;
mod kinesis_conformance;
mod kinesis_control;
mod kinesis_data;
mod kinesis_distribution;
mod kinesis_shards;
mod members;
mod node;
mod other_user;
mod pods;
mod small_services;
mod stage;
mod test_sandbox;
mod tls;
