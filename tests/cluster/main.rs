//! The chart and the images in a cluster, looked at from outside: `make cluster-test CONTEXT=…`. Without a context each test says that
//! it is skipped. They take one cluster for themselves, one after the other, and print what they measure.
//!
//! ```text
//! KINESISDEMO_CLUSTER_CONTEXT   the kubeconfig context (of KUBECONFIG)
//! REGISTRY                      where the images are; empty: on the nodes already
//! HELM, KUBECTL                 the programs; default: those on PATH
//! CLUSTER_EXEC                  runs a command on the node: `docker exec NODE` for kind; empty: this machine is the node
//! CLUSTER_FAILOVERS             how often each kind of failover happens (5)
//! CLUSTER_PEAK                  records per second meanwhile (20000)
//! ```
//!
//! Changes of leadership are judged by the arrivals, to 2 % of any two seconds: 40 ms. So the tasks' Pods must get a processor when they ask
//! for one. Where the control plane runs on the same few cores, keep it (and this test) to one of its own, by cpusets: else the windows
//! tell how the kernel shares the cores among API server, kubelet and Pods while Pods come and go.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod arrivals;
mod failover;
mod installed;
mod lifecycle;
mod node;
mod sampler;
mod tasks;
mod test_cluster;
