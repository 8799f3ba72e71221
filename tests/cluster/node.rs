//! Processes of a Pod, on its node. In: the Pod's uid. Out: process ids, signals to them. Runs
//! commands on the node through `CLUSTER_EXEC`, or on this machine.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::process::Command;

/// A process id in the node's PID namespace.
pub type Pid = u32;

async fn on_node(script: &str) -> Option<String> {
    let prefix = std::env::var("CLUSTER_EXEC").unwrap_or_default();
    let mut words = prefix.split_whitespace().chain(["sh", "-c", script]);
    let output = Command::new(words.next()?).args(words).output().await.unwrap();
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The process with this name in the Pod, if it runs.
pub async fn process(pod: &Pod, name: &str) -> Option<Pid> {
    let uid = pod.metadata.uid.clone()?;
    // The systemd cgroup driver writes the uid with underscores. Process names are cut to 15
    // characters.
    let pattern = uid.replace('-', "[-_]");
    let name: String = name.chars().take(15).collect();
    // Two programs for all processes instead of two for each: the measured traffic runs on the same
    // node.
    let script = format!(
        "for p in $(grep -ls 'pod{pattern}' /proc/[0-9]*/cgroup); do grep -qx '{name}' ${{p%cgroup}}comm && echo $p; done; true"
    );
    let found = on_node(&script).await?;
    found.split('/').nth(2)?.parse().ok()
}

/// Sends a signal by name, such as `KILL`.
pub async fn signal(pid: Pid, name: &str) {
    assert!(on_node(&format!("kill -{name} {pid}")).await.is_some(), "kill -{name} {pid}");
}

/// Waits until the process has exited. A single program waits on the node, at the cost of 20 checks
/// a second.
pub async fn wait_until_exited(pid: Pid, limit: Duration) {
    let script = format!("tail --follow --pid {pid} --sleep-interval 0.05 /dev/null");
    let exited = tokio::time::timeout(limit, on_node(&script)).await;
    let exited = exited.unwrap_or_else(|_| panic!("process {pid} is still running after {limit:?}"));
    assert!(exited.is_some(), "{script} failed on the node");
}
