//! A life of the chart: install, a viral event, an upgrade with another definition in the middle of a run, uninstall in the middle of another,
//! reinstall under another name, and the end of a namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType};
use kinesis_demo_api::request::Verb;
use kinesis_demo_api::status::TotalsStatus;
use kinesis_demo_api::{KinesisDemo, Stage};
use kube::ResourceExt;
use kubectl_kinesisdemo::demo::leaked_resources::{Allowed, left_behind};
use serde_json::{Value, json};

use crate::installed::{Installed, install};
use crate::sampler::{Sample, arrivals, last_arrival, sample_during};
use crate::test_cluster::{RUNS, TestCluster, place};

/// The chart gives its Pods at most a minute to end.
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

/// One phase that lasts, at a rate.
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
    left_behind(before, now, Allowed { retained: &[], cluster: "kinesis-demo" })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_install_to_nothing() {
    let Some(place) = place().await else { return };
    let first = install(&place, "first").await;
    place.step("installed into a namespace under the restricted Pod Security Standard");
    let said = first.test().await;
    place.step(format!("helm test: {}", said.lines().last().unwrap_or_default()));
    let before = first.page("state").await.expect("the sandbox answers");
    let kinds: BTreeSet<String> =
        first.remains().await.iter().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect();
    // So that an empty answer after an uninstall means something.
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
        assert!(kinds.contains(kind), "no {kind} of the release is seen: {kinds:?}");
    }

    let quick = a_viral_event(&place, &first).await;
    assert_eq!(left(&before, &first.page("state").await.unwrap()), [""; 0]);
    upgrade_in_the_middle(&place, &first).await;
    uninstall_in_the_middle(&place, &first, &before).await;

    let second = install(&place, "second").await;
    place.step("installed again, as another release");
    let before = second.page("state").await.expect("the sandbox answers");
    reruns(&place, &second, &quick).await;
    end_of_the_namespace(&place, &second, &before).await;
    second.uninstall().await;
    second.gone(PODS_END).await;
    place.close().await;
}

async fn a_viral_event(place: &TestCluster, release: &Installed<'_>) -> KinesisDemo {
    let manifest: Value = serde_saphyr::from_str(QUICK).unwrap();
    place.runs.apply("quick", &manifest).await.unwrap();
    let mut wait = place.kubectl();
    wait.args(["wait", "kinesisdemo/quick", "--namespace", RUNS, "--for=condition=Finished", "--timeout=5m"]);
    let (samples, waited) = sample_during(place, release, "quick", wait.output()).await;
    let waited = waited.unwrap();
    assert!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));

    let quick = place.runs.fetch("quick").await.unwrap();
    let status = quick.status.clone().unwrap();
    let succeeded = status.conditions.iter().find(|condition| condition.type_ == ConditionType::Succeeded);
    assert_eq!(succeeded.map(|found| found.status), Some(ConditionStatus::True), "{:#?}", status.run);
    let totals = status.traffic.unwrap().totals;
    assert_balanced(&totals);
    let (stored, _) = arrivals(release, &status.stream.unwrap().arn).await;
    assert_eq!(stored, totals.accepted + totals.unknown);
    place.step(format!("quick.yaml succeeded: {stored} records stored; {totals:?}"));

    let mut most = BTreeMap::<&str, usize>::new();
    for sample in samples.iter() {
        let seen = most.entry(sample.phase().unwrap_or("none")).or_default();
        *seen = sample.pods.len().max(*seen);
    }
    let ever: BTreeSet<&String> = samples.iter().flat_map(|sample| &sample.pods).collect();
    place.step(format!("task Pods: at most {most:?} in each phase, {} altogether", ever.len()));
    // Those of the peak are made before it begins.
    assert_eq!((most["peak"], ever.len()), (5, 5));
    let first_seen =
        samples.iter().find(|sample| sample.phase() == Some("baseline")).expect("the baseline is seen");
    assert_eq!(first_seen.pods.len(), 1);
    assert_eq!(release.task_pods().await.len(), 0);
    quick
}

/// Traffic first: nothing arrives any more and no task runs when the stream goes. And then nothing is left.
fn assert_traffic_first(samples: &[Sample], last_arrival: Timestamp) -> SignedDuration {
    let sending = samples.iter().rposition(|sample| sample.state.is_some() && sample.has_stream());
    let gone = &samples[sending.expect("the stream was seen") + 1..];
    let gone = gone.iter().find(|sample| sample.state.is_some()).expect("the stream was seen to go");
    assert_eq!(gone.running_tasks(), 0, "tasks run while the stream goes");
    assert!(
        last_arrival < gone.at,
        "records arrived at {last_arrival}, and the stream was gone at {}",
        gone.at
    );
    gone.at.duration_since(last_arrival)
}

async fn uninstall_in_the_middle(place: &TestCluster, release: &Installed<'_>, before: &Value) {
    place.runs.apply("steady", &steady("steady", 2_000, 1_000, "10m")).await.unwrap();
    let running = place.wait("steady", Duration::from_secs(90), |demo| accepted(demo) > 10_000).await;
    let arn = running.status.unwrap().stream.unwrap().arn;
    let asked_at = Timestamp::now();
    let mut last = None;
    let (samples, ()) = sample_during(place, release, "steady", async {
        let uninstall = release.uninstall();
        tokio::pin!(uninstall);
        loop {
            // The sandbox goes with the release: its last answer counts.
            tokio::select! {
                () = &mut uninstall => return,
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
            if let Some(page) = release.page(&format!("arrivals?stream={arn}")).await {
                last = serde_json::from_value(page["streams"][0].clone()).ok().or(last.take());
            }
        }
    })
    .await;
    let seconds = Timestamp::now().duration_since(asked_at).as_secs_f64();
    let span = assert_traffic_first(&samples, last_arrival(&last.expect("arrivals were read")));
    let state = samples.iter().rev().find_map(|sample| sample.state.as_ref()).unwrap();
    assert_eq!(left(before, state), [""; 0]);
    let demo = place.runs.fetch("steady").await.unwrap();
    assert_eq!(stage(&demo), Some(Stage::Aborted));
    assert_eq!(demo.metadata.finalizers.unwrap_or_default(), [""; 0]);
    release.gone(PODS_END).await;
    place.step(format!(
        "uninstalled in the middle of a run in {seconds:.1} s: the last record {:.1} s before the stream went; nothing is left",
        span.as_secs_f64()
    ));
}

async fn reruns(place: &TestCluster, release: &Installed<'_>, quick: &KinesisDemo) {
    let found = place.runs.fetch("quick").await.unwrap();
    assert_eq!((&found.metadata.uid, stage(&found)), (&quick.metadata.uid, Some(Stage::Succeeded)));
    place.runs.put_request("quick", Verb::Rerun, None).await.unwrap();
    let second = |demo: &KinesisDemo| {
        let run = demo.status.as_ref().and_then(|status| status.run.as_ref());
        run.is_some_and(|run| run.number == 2) && stage(demo).is_some_and(Stage::is_terminal)
    };
    let over = place.wait("quick", Duration::from_secs(180), second).await;
    assert_eq!(stage(&over), Some(Stage::Succeeded), "{:#?}", over.status);
    let status = over.status.unwrap();
    let totals = status.traffic.unwrap().totals;
    assert_balanced(&totals);
    let (stored, _) = arrivals(release, &status.stream.unwrap().arn).await;
    assert_eq!(stored, totals.accepted + totals.unknown);
    place.step(format!("an object of the first release ran again: {stored} records stored"));
}

/// The definition and the operator's Pods change under a run, which does not notice.
async fn upgrade_in_the_middle(place: &TestCluster, release: &Installed<'_>) {
    if place.definition_was_there {
        place.step("skipped: the upgrade with another definition; this cluster's was there before the tests");
        return;
    }
    place.runs.apply("through", &steady("through", 2_000, 1_000, "45s")).await.unwrap();
    place.wait("through", Duration::from_secs(90), |demo| accepted(demo) > 10_000).await;
    let before: BTreeSet<_> = release.replicas().await.iter().map(|pod| pod.name_any()).collect();
    release.upgrade_with_another_column("Upgraded").await;
    assert!(place.definition_columns().await.contains(&"Upgraded".to_owned()));
    let during = place.runs.fetch("through").await.unwrap();
    assert_eq!(stage(&during), Some(Stage::Running), "the run was over before the upgrade was");
    let over = place
        .wait("through", Duration::from_secs(120), |demo| stage(demo).is_some_and(Stage::is_terminal))
        .await;
    assert_eq!(stage(&over), Some(Stage::Succeeded), "{:#?}", over.status);
    let status = over.status.unwrap();
    let totals = status.traffic.unwrap().totals;
    assert_balanced(&totals);
    assert_eq!((totals.accepted, totals.unoffered), (90_000, 0), "{totals:?}");
    let (stored, _) = arrivals(release, &status.stream.unwrap().arn).await;
    assert_eq!(stored, totals.accepted);
    let after: BTreeSet<_> = release.replicas().await.iter().map(|pod| pod.name_any()).collect();
    assert!(before.is_disjoint(&after), "{before:?} {after:?}");
    place.step("upgraded in the middle of a run, with another definition: all 90000 records stored");
}

async fn end_of_the_namespace(place: &TestCluster, release: &Installed<'_>, before: &Value) {
    place.runs.apply("doomed", &steady("doomed", 2_000, 1_000, "10m")).await.unwrap();
    let running = place.wait("doomed", Duration::from_secs(90), |demo| accepted(demo) > 10_000).await;
    let arn = running.status.unwrap().stream.unwrap().arn;
    let asked_at = Timestamp::now();
    let deleting = place.delete_namespace(RUNS, Duration::from_secs(120));
    let (samples, ()) = sample_during(place, release, "doomed", deleting).await;
    let seconds = Timestamp::now().duration_since(asked_at).as_secs_f64();
    let (_, arrivals) = arrivals(release, &arn).await;
    let span = assert_traffic_first(&samples, last_arrival(&arrivals));
    assert_eq!(left(before, &release.page("state").await.unwrap()), [""; 0]);
    assert_eq!(release.task_pods().await.len(), 0);
    place.step(format!(
        "the namespace deleted in the middle of a run was gone in {seconds:.1} s: the last record {:.1} s before the stream went",
        span.as_secs_f64()
    ));
}
