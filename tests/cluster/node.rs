//! Processes of a Pod, on its node. In: the Pod's uid. Out: process ids, signals to them. Runs commands on the node by way of
//! `CLUSTER_EXEC`, or on this machine.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::process::Command;

/// A process id as the node counts.
pub type Pid = u32;

async fn on_node(script: &str) -> Option<String> {
    let prefix = std::env::var("CLUSTER_EXEC").unwrap_or_default();
    let mut words = prefix.split_whitespace().chain(["sh", "-c", script]);
    let output = Command::new(words.next()?).args(words).output().await.unwrap();
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The process of this name in the Pod, if it runs.
pub async fn process(pod: &Pod, name: &str) -> Option<Pid> {
    let uid = pod.metadata.uid.clone()?;
    // The systemd driver writes the uid with underscores. Names are cut to 15 characters.
    let pattern = uid.replace('-', "[-_]");
    let name: String = name.chars().take(15).collect();
    // Two programs for all processes, not two for each: the traffic that is watched runs on the same node.
    let script = format!(
        "for p in $(grep -ls 'pod{pattern}' /proc/[0-9]*/cgroup); do grep -qx '{name}' ${{p%cgroup}}comm && echo $p; done; true"
    );
    let found = on_node(&script).await?;
    found.split('/').nth(2)?.parse().ok()
}

/// Sends a signal, as in `KILL`.
pub async fn signal(pid: Pid, name: &str) {
    assert!(on_node(&format!("kill -{name} {pid}")).await.is_some(), "kill -{name} {pid}");
}

/// Waits until the process is gone. One program waits on the node, and asks of it what a look 20 times a second costs.
pub async fn ended(pid: Pid, limit: Duration) {
    let script = format!("tail --follow --pid {pid} --sleep-interval 0.05 /dev/null");
    let gone = tokio::time::timeout(limit, on_node(&script)).await;
    let gone = gone.unwrap_or_else(|_| panic!("process {pid} goes on for {limit:?}"));
    assert!(gone.is_some(), "{script} failed on the node");
}
