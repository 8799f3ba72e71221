//! The Pods of tasks. They start and stop with the phases. When the operator is killed, the Pods of
//! the tasks stay. When a task is killed, ECS (here the sandbox) starts another, which the operator
//! admits.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use kinesis_demo_api::Stage;
use kinesis_demo_api::request::Verb;
use kinesis_demo_testing::wait::wait_for;
use kube::ResourceExt;
use serde_json::json;

use crate::installed::{Installed, install};
use crate::lifecycle::{accepted, assert_balanced, stage, steady};
use crate::node::{process, signal};
use crate::sampler::{ingest_statistics, sample_during};
use crate::test_cluster::test_cluster;

const RATE: u32 = 2_000;
const TASKS: usize = 2;

async fn uids(release: &Installed<'_>) -> BTreeSet<String> {
    release.task_pods().await.into_iter().filter_map(|pod| pod.metadata.uid).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_start_and_stop_with_the_phases() {
    let Some(cluster) = test_cluster().await else { return };
    let release = install(&cluster, "tasks").await;
    let mut manifest = steady("steps", RATE, 1_000, "10s");
    let low = |name: &str, lasts: &str| json!({ "name": name, "duration": lasts, "recordsPerSecond": 500 });
    let peak = manifest["spec"]["phases"][0].take();
    // Long enough to start a task during the baseline and to stop it during the decline.
    manifest["spec"]["phases"] = json!([low("baseline", "25s"), peak, low("decline", "30s")]);
    cluster.runs.apply("steps", &manifest).await.unwrap();
    let over =
        cluster.wait("steps", Duration::from_secs(120), |demo| stage(demo).is_some_and(Stage::is_terminal));
    let (samples, over) = sample_during(&cluster, &release, "steps", over).await;
    assert_eq!(stage(&over), Some(Stage::Succeeded), "{:#?}", over.status);
    assert_balanced(&over.status.unwrap().traffic.unwrap().totals);

    let mut seen: Vec<(String, usize)> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.state.is_some()) {
        let now = (sample.phase().unwrap_or("none").to_owned(), sample.pods.len());
        if seen.last() != Some(&now) {
            seen.push(now);
        }
    }
    cluster.step(format!("Pods: {seen:?}"));
    let with = |phase: &str, pods: usize| seen.contains(&(phase.to_owned(), pods));
    assert!(with("baseline", 1) && with("peak", TASKS) && with("decline", 1));
    assert_eq!(release.task_pods().await.len(), 0);
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_survive_the_operator_and_a_killed_task_is_replaced() {
    let Some(cluster) = test_cluster().await else { return };
    let release = install(&cluster, "tasks").await;
    cluster.runs.apply("steady", &steady("steady", RATE, 1_000, "10m")).await.unwrap();
    let running = cluster.wait("steady", Duration::from_secs(90), |demo| accepted(demo) > 10_000).await;
    let arn = running.status.unwrap().stream.unwrap().arn;

    let before = uids(&release).await;
    assert_eq!(before.len(), TASKS);
    let (_, epoch) = release.settled(Duration::from_secs(30)).await;
    // All replicas at once, so that no replica renews the control document.
    for pod in release.replicas().await {
        signal(process(&pod, "kinesis-demo-operator").await.expect("the replica has no process"), "KILL")
            .await;
    }
    let killed_at = Timestamp::now();
    let epoch = release.led_since(epoch, Duration::from_secs(60)).await.1;
    release.settled(Duration::from_secs(120)).await;
    assert_eq!(uids(&release).await, before);
    cluster.step(format!(
        "both replicas killed; a leader is back with epoch {epoch} after {:.1} s, and the tasks' Pods are the same",
        Timestamp::now().duration_since(killed_at).as_secs_f64()
    ));

    let victim = release.task_pods().await.swap_remove(0);
    signal(process(&victim, "kinesis-demo-generator").await.expect("the task has no process"), "KILL").await;
    let killed_at = Timestamp::now();
    let limit = Duration::from_secs(60);
    let replaced = wait_for(limit, || async {
        let now: BTreeSet<_> = release.task_pods().await.into_iter().map(|pod| pod.name_any()).collect();
        (now.len() == TASKS && !now.contains(&victim.name_any())).then_some(())
    });
    replaced.await.expect("the killed task was not replaced");
    let replaced_after = Timestamp::now().duration_since(killed_at).as_secs_f64();
    let id = victim.name_any().trim_start_matches("ecs-task-").to_owned();
    let admitted = |demo: &kinesis_demo_api::KinesisDemo| {
        let control = demo.status.as_ref().and_then(|status| status.control.as_ref());
        let slots = control
            .into_iter()
            .flat_map(|control| &control.assignments)
            .filter(|assignment| assignment.until.is_none());
        let assigned: Vec<_> = slots.map(|assignment| assignment.task.to_string()).collect();
        assigned.len() == TASKS && !assigned.iter().any(|task| id.starts_with(task))
    };
    cluster.wait("steady", Duration::from_secs(60), admitted).await;
    cluster.step(format!(
        "killed a task: its replacement has a Pod after {replaced_after:.1} s and a slot after {:.1} s",
        Timestamp::now().duration_since(killed_at).as_secs_f64()
    ));
    // Both tasks send again: wait until the full rate has arrived for two seconds.
    let full = wait_for(Duration::from_secs(30), || async {
        let (_, seen) = ingest_statistics(&release, &arn).await;
        let newest: u64 = seen.buckets.iter().rev().skip(1).take(20).map(|bucket| bucket.records).sum();
        (newest.abs_diff(u64::from(RATE) * 2) * 20 <= u64::from(RATE) * 2).then_some(())
    });
    full.await.expect("the full rate did not arrive again");

    cluster.runs.put_request("steady", Verb::Abort).await.unwrap();
    let over =
        cluster.wait("steady", Duration::from_secs(60), |demo| stage(demo) == Some(Stage::Aborted)).await;
    let totals = over.status.unwrap().traffic.unwrap().totals;
    assert_balanced(&totals);
    let (stored, _) = ingest_statistics(&release, &arn).await;
    // What the killed task sent after its last ledger line is stored but not reported.
    assert!(
        stored >= totals.accepted && stored <= totals.accepted + totals.unknown + totals.unreported,
        "{stored}: {totals:?}"
    );
    cluster.step(format!("aborted: {stored} records stored; {totals:?}"));
    cluster.close().await;
}
