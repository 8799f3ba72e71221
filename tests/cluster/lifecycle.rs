//! The life cycle of the chart: install, a viral event, an upgrade with another definition during a
//! run, an uninstall during another run, a reinstall under another name, the deletion of a
//! namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType};
use kinesis_demo_api::request::Verb;
use kinesis_demo_api::status::TotalsStatus;
use kinesis_demo_api::{KinesisDemo, Stage};
use kinesis_demo_local_cluster::sandbox::leaked_resources::{Allowed, leaked_resources};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::installed::{Installed, install};
use crate::sampler::{Sample, ingest_statistics, last_arrival, sample_during};
use crate::test_cluster::{RUNS, TestCluster, test_cluster};

/// The chart gives its Pods at most a minute to terminate.
const PODS_END: Duration = Duration::from_secs(75);

const QUICK: &str = include_str!("../../examples/quick.yaml");

pub fn stage(demo: &KinesisDemo) -> Option<Stage> {
    demo.status.as_ref().and_then(|status| status.stage)
}

pub fn accepted(demo: &KinesisDemo) -> u64 {
    demo.status
        .as_ref()
        .and_then(|status| status.traffic.as_ref())
        .map_or(0, |traffic| traffic.totals.accepted)
}

pub fn assert_balanced(totals: &TotalsStatus) {
    assert_eq!(
        totals.offered,
        totals.accepted + totals.failed + totals.dropped + totals.unknown,
        "{totals:?}"
    );
    assert_eq!(totals.scheduled, totals.offered + totals.unoffered + totals.unreported, "{totals:?}");
}

/// One long phase at a constant rate.
pub fn steady(name: &str, per_second: u32, per_task: u32, lasts: &str) -> Value {
    json!({
        "apiVersion": "kinesisdemo.io/v1alpha1",
        "kind": "KinesisDemo",
        "metadata": { "name": name },
        "spec": {
            "stream": { "warmThroughput": { "mode": "Fixed", "mibPerSecond": 100 } },
            "billing": { "advantage": "Require" },
            "generator": { "ratePerTask": per_task },
            "phases": [{ "name": "peak", "duration": lasts, "recordsPerSecond": per_second, "content": "Viral" }],
            "limits": { "maxDuration": "2h" },
        },
    })
}

fn left(before: &Value, now: &Value) -> Vec<String> {
    leaked_resources(before, now, Allowed { retained: &[], cluster: "kinesis-demo" })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chart_from_install_to_uninstall() {
    let Some(cluster) = test_cluster().await else { return };
    let first = install(&cluster, "first").await;
    cluster.step("installed into a namespace under the restricted Pod Security Standard");
    let output = first.test().await;
    cluster.step(format!("helm test: {}", output.lines().last().unwrap_or_default()));
    let before = first.page("state").await.expect("the sandbox does not respond");
    let kinds: BTreeSet<String> =
        first.remains().await.iter().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect();
    // Makes sure that an empty list after the uninstall is meaningful.
    for kind in [
        "Deployment",
        "Pod",
        "Service",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "Lease",
    ] {
        assert!(kinds.contains(kind), "found no {kind} of the release: {kinds:?}");
    }

    let quick = a_viral_event(&cluster, &first).await;
    assert_eq!(left(&before, &first.page("state").await.unwrap()), [""; 0]);
    upgrade_in_the_middle(&cluster, &first).await;
    uninstall_in_the_middle(&cluster, &first, &before).await;

    let second = install(&cluster, "second").await;
    cluster.step("installed again, as another release");
    let before = second.page("state").await.expect("the sandbox does not respond");
    reruns(&cluster, &second, &quick).await;
    end_of_the_namespace(&cluster, &second, &before).await;
    second.uninstall().await;
    second.wait_until_removed(PODS_END).await;
    cluster.close().await;
}

async fn a_viral_event(cluster: &TestCluster, release: &Installed<'_>) -> KinesisDemo {
    let manifest: Value = serde_saphyr::from_str(QUICK).unwrap();
    cluster.runs.apply("quick", &manifest).await.unwrap();
    let mut wait = cluster.kubectl();
    wait.args(["wait", "kinesisdemo/quick", "--namespace", RUNS, "--for=condition=Finished", "--timeout=5m"]);
    let (samples, waited) = sample_during(cluster, release, "quick", wait.output()).await;
    let waited = waited.unwrap();
    assert!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));

    let quick = cluster.runs.fetch("quick").await.unwrap();
    let status = quick.status.clone().unwrap();
    let succeeded = status.conditions.iter().find(|condition| condition.type_ == ConditionType::Succeeded);
    assert_eq!(succeeded.map(|found| found.status), Some(ConditionStatus::True), "{:#?}", status.run);
    let totals = status.traffic.unwrap().totals;
    assert_balanced(&totals);
    let (stored, _) = ingest_statistics(release, &status.stream.unwrap().arn).await;
    assert_eq!(stored, totals.accepted + totals.unknown);
    cluster.step(format!("quick.yaml succeeded: {stored} records stored; {totals:?}"));

    let mut most = BTreeMap::<&str, usize>::new();
    for sample in samples.iter() {
        let seen = most.entry(sample.phase().unwrap_or("none")).or_default();
        *seen = sample.pods.len().max(*seen);
    }
    let ever: BTreeSet<&String> = samples.iter().flat_map(|sample| &sample.pods).collect();
    cluster.step(format!("task Pods: at most {most:?} in each phase, {} altogether", ever.len()));
    // The tasks of the peak are created before it begins.
    assert_eq!((most["peak"], ever.len()), (5, 5));
    let first_seen =
        samples.iter().find(|sample| sample.phase() == Some("baseline")).expect("no sample in the baseline");
    assert_eq!(first_seen.pods.len(), 1);
    assert_eq!(release.task_pods().await.len(), 0);
    quick
}

/// Asserts that traffic stops first: when the stream is deleted, nothing arrives any more and no
/// task runs. Returns the time between the last record and the deletion.
fn assert_traffic_first(samples: &[Sample], last_arrival: Timestamp) -> SignedDuration {
    let sending = samples.iter().rposition(|sample| sample.state.is_some() && sample.has_stream());
    let deleted = &samples[sending.expect("no sample has the stream") + 1..];
    let deleted =
        deleted.iter().find(|sample| sample.state.is_some()).expect("no sample after the stream was deleted");
    assert_eq!(deleted.running_tasks(), 0, "tasks run after the stream was deleted");
    assert!(
        last_arrival < deleted.at,
        "records arrived at {last_arrival}, but the stream was deleted at {}",
        deleted.at
    );
    deleted.at.duration_since(last_arrival)
}

async fn uninstall_in_the_middle(cluster: &TestCluster, release: &Installed<'_>, before: &Value) {
    cluster.runs.apply("steady", &steady("steady", 2_000, 1_000, "10m")).await.unwrap();
    let running = cluster.wait("steady", Duration::from_secs(90), |demo| accepted(demo) > 10_000).await;
    let arn = running.status.unwrap().stream.unwrap().arn;
    let requested_at = Timestamp::now();
    let mut last = None;
    let (samples, ()) = sample_during(cluster, release, "steady", async {
        let uninstall = release.uninstall();
        tokio::pin!(uninstall);
        loop {
            // The sandbox is removed with the release, so its last response counts.
            tokio::select! {
                () = &mut uninstall => return,
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
            if let Some(page) = release.page(&format!("ingest?stream={arn}")).await {
                last = serde_json::from_value(page["streams"][0].clone()).ok().or(last.take());
            }
        }
    })
    .await;
    let seconds = Timestamp::now().duration_since(requested_at).as_secs_f64();
    let span = assert_traffic_first(&samples, last_arrival(&last.expect("no records arrived read")));
    let state = samples.iter().rev().find_map(|sample| sample.state.as_ref()).unwrap();
    assert_eq!(left(before, state), [""; 0]);
    let demo = cluster.runs.fetch("steady").await.unwrap();
    assert_eq!(stage(&demo), Some(Stage::Aborted));
    assert_eq!(demo.metadata.finalizers.unwrap_or_default(), [""; 0]);
    release.wait_until_removed(PODS_END).await;
    cluster.step(format!(
        "uninstalled during a run in {seconds:.1} s: the last record arrived {:.1} s before the stream was deleted; nothing is left",
        span.as_secs_f64()
    ));
}

async fn reruns(cluster: &TestCluster, release: &Installed<'_>, quick: &KinesisDemo) {
    let found = cluster.runs.fetch("quick").await.unwrap();
    assert_eq!((&found.metadata.uid, stage(&found)), (&quick.metadata.uid, Some(Stage::Succeeded)));
    cluster.runs.put_request("quick", Verb::Rerun).await.unwrap();
    let second = |demo: &KinesisDemo| {
        let run = demo.status.as_ref().and_then(|status| status.run.as_ref());
        run.is_some_and(|run| run.number == 2) && stage(demo).is_some_and(Stage::is_terminal)
    };
    let over = cluster.wait("quick", Duration::from_secs(180), second).await;
    assert_eq!(stage(&over), Some(Stage::Succeeded), "{:#?}", over.status);
    let status = over.status.unwrap();
    let totals = status.traffic.unwrap().totals;
    assert_balanced(&totals);
    let (stored, _) = ingest_statistics(release, &status.stream.unwrap().arn).await;
    assert_eq!(stored, totals.accepted + totals.unknown);
    cluster.step(format!("an object of the first release was rerun: {stored} records stored"));
}

/// The definition and the operator's Pods change during a run, which is not affected.
async fn upgrade_in_the_middle(cluster: &TestCluster, release: &Installed<'_>) {
    if cluster.definition_preexists {
        cluster.step(
            "skipped the upgrade with another definition: this cluster had the definition before the tests",
        );
        return;
    }
    cluster.runs.apply("through", &steady("through", 2_000, 1_000, "45s")).await.unwrap();
    cluster.wait("through", Duration::from_secs(90), |demo| accepted(demo) > 10_000).await;
    let before: BTreeSet<_> = release.replicas().await.iter().map(|pod| pod.name_any()).collect();
    release.upgrade_with_another_column("Upgraded").await;
    assert!(cluster.definition_columns().await.contains(&"Upgraded".to_owned()));
    let during = cluster.runs.fetch("through").await.unwrap();
    assert_eq!(stage(&during), Some(Stage::Running), "the run ended before the upgrade");
    let over = cluster
        .wait("through", Duration::from_secs(120), |demo| stage(demo).is_some_and(Stage::is_terminal))
        .await;
    assert_eq!(stage(&over), Some(Stage::Succeeded), "{:#?}", over.status);
    let status = over.status.unwrap();
    let totals = status.traffic.unwrap().totals;
    assert_balanced(&totals);
    assert_eq!((totals.accepted, totals.unoffered), (90_000, 0), "{totals:?}");
    let (stored, _) = ingest_statistics(release, &status.stream.unwrap().arn).await;
    assert_eq!(stored, totals.accepted);
    let after: BTreeSet<_> = release.replicas().await.iter().map(|pod| pod.name_any()).collect();
    assert!(before.is_disjoint(&after), "{before:?} {after:?}");
    cluster.step("upgraded to another definition during a run: all 90000 records stored");
}

async fn end_of_the_namespace(cluster: &TestCluster, release: &Installed<'_>, before: &Value) {
    cluster.runs.apply("doomed", &steady("doomed", 2_000, 1_000, "10m")).await.unwrap();
    let running = cluster.wait("doomed", Duration::from_secs(90), |demo| accepted(demo) > 10_000).await;
    let arn = running.status.unwrap().stream.unwrap().arn;
    let requested_at = Timestamp::now();
    let deleting = cluster.delete_namespace(RUNS, Duration::from_secs(120));
    let (samples, ()) = sample_during(cluster, release, "doomed", deleting).await;
    let seconds = Timestamp::now().duration_since(requested_at).as_secs_f64();
    let (_, ingest_statistics) = ingest_statistics(release, &arn).await;
    let span = assert_traffic_first(&samples, last_arrival(&ingest_statistics));
    assert_eq!(left(before, &release.page("state").await.unwrap()), [""; 0]);
    assert_eq!(release.task_pods().await.len(), 0);
    cluster.step(format!(
        "deleted the namespace during a run in {seconds:.1} s: the last record arrived {:.1} s before the stream was deleted",
        span.as_secs_f64()
    ));
}
