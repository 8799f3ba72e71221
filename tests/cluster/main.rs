//! Tests of the chart and the images in a real cluster: `make cluster-test CONTEXT=…`. Without a
//! context each test prints that it is skipped. They need a cluster of their own, run one after
//! another, and print what they measure.
//!
//! ```text KINESISDEMO_CLUSTER_CONTEXT   the kubeconfig context (of KUBECONFIG) REGISTRY
//! the registry of the images; empty: already on the nodes HELM, KUBECTL                 the
//! programs; default: those on PATH CLUSTER_EXEC                  runs a command on the node:
//! `docker exec NODE` for kind; empty: this machine CLUSTER_FAILOVERS             how often each
//! kind of failover happens (5) CLUSTER_PEAK                  records per second meanwhile (20000)
//! ```
//!
//! The failover test compares arrivals with the plan: at most 2 % off in any two seconds, which is
//! 40 ms. So the tasks' Pods must get CPU whenever they need it. If the control plane runs on the
//! same few cores, pin it (and this test) to a core of its own with cpusets. Otherwise the windows
//! show how the kernel shares the cores among API server, kubelet and Pods while Pods start and
//! stop.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod failover;
mod ingest_statistics;
mod installed;
mod lifecycle;
mod node;
mod sampler;
mod tasks;
mod test_cluster;
