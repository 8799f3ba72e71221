//! Kills, drains and freezes the leader during the peak, several times each. Another replica leads
//! soon, the traffic is not affected, nothing is created twice, and the old leader writes nothing
//! afterwards.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kinesis_demo_api::Stage;
use kinesis_demo_api::request::Verb;
use kube::api::{DeleteParams, ListParams, LogParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

use crate::ingest_statistics::{windows, worst};
use crate::installed::{Installed, install};
use crate::lifecycle::{accepted, assert_balanced, stage, steady};
use crate::node::{process, signal, wait_until_exited};
use crate::sampler::{Sample, ingest_statistics, sample_during};
use crate::test_cluster::{RUNS, SYSTEM, TestCluster, number, test_cluster};

const OPERATOR: &str = "kinesis-demo-operator";
const TASKS: u32 = 5;

/// A fault of the leader.
#[derive(Clone, Copy, Debug, PartialEq)]
enum LeaderFault {
    /// SIGKILL.
    Killed,
    /// Its Pod is deleted, as by `kubectl drain`.
    Drained,
    /// SIGSTOP for [`FROZEN_FOR`], then SIGCONT.
    Frozen,
}

const FROZEN_FOR: Duration = Duration::from_secs(30);

/// The pause before each fault.
const QUIET_FOR: Duration = Duration::from_secs(1);

impl LeaderFault {
    /// The time limit for another replica to lead.
    fn limit(self) -> Duration {
        Duration::from_secs(if self == Self::Drained { 5 } else { 20 })
    }
}

/// One observed change of leadership.
struct LeadershipChange {
    fault: LeaderFault,
    at: Timestamp,
    old: String,
    /// The time until the Lease had a new holder or epoch.
    leads_after: Duration,
    /// The time until the new leader had claimed the run.
    works_after: Duration,
    epoch: u64,
    /// When a frozen leader was resumed.
    resumed_at: Option<Timestamp>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifteen_changes_of_leadership_in_the_peak() {
    let Some(cluster) = test_cluster().await else { return };
    let (times, rate) = (number("CLUSTER_FAILOVERS", 5), number("CLUSTER_PEAK", 20_000));
    let release = install(&cluster, "ha").await;
    let mut peak = steady("peak", rate, rate.div_ceil(TASKS), "90m");
    // Each task sends up to 10,000 records a second, and CPU is shared in proportion to the task
    // size.
    peak["spec"]["generator"]["fargate"] = json!({ "cpu": 1024, "memoryMiB": 2048 });
    cluster.runs.apply("peak", &peak).await.unwrap();
    let enough = u64::from(rate) * 5;
    let running = cluster.wait("peak", Duration::from_secs(120), |demo| accepted(demo) > enough).await;
    let starts_at = running.status.as_ref().unwrap().phases[0].starts_at.timestamp();
    let arn = running.status.unwrap().stream.unwrap().arn;
    let tasks: BTreeSet<_> = release.task_pods().await.into_iter().map(|pod| pod.name_any()).collect();
    cluster.step(format!("the peak of {rate} records per second runs, on {} tasks", tasks.len()));

    let all = [LeaderFault::Killed, LeaderFault::Drained, LeaderFault::Frozen];
    let (samples, handovers) = sample_during(&cluster, &release, "peak", async {
        let mut handovers = Vec::new();
        for (fault, _) in all.into_iter().flat_map(|fault| (0..times).map(move |time| (fault, time))) {
            handovers.push(handover(&cluster, &release, fault).await);
        }
        release.settled(Duration::from_secs(180)).await;
        handovers
    })
    .await;

    let ended_at = Timestamp::now();
    let calls = release.page("calls").await.unwrap();
    let tasks_after: BTreeSet<_> = release.task_pods().await.into_iter().map(|pod| pod.name_any()).collect();
    let (_, seen) = ingest_statistics(&release, &arn).await;
    cluster.runs.put_request("peak", Verb::Abort).await.unwrap();
    let over =
        cluster.wait("peak", Duration::from_secs(60), |demo| stage(demo) == Some(Stage::Aborted)).await;
    let status = over.status.unwrap();
    let (totals, interruptions) = (status.traffic.unwrap().totals, status.control.unwrap().interruptions);
    cluster.step(format!("aborted: {totals:?}, interruptions of control: {interruptions:?}"));

    // The first seconds are excluded: tasks open connections and fill caches.
    let settled = windows(
        &seen.buckets,
        starts_at + SignedDuration::from_secs(5),
        ended_at - SignedDuration::from_secs(1),
        rate,
    );
    let worst_window = worst(&settled);
    let beyond: Vec<_> = settled.iter().filter(|window| window.percent_off > 2.0).collect();
    cluster.step(format!(
        "{} windows of 2 s: the worst is {:.2} % off ({} records from {}), {} are more than 2 % off",
        settled.len(),
        worst_window.percent_off,
        worst_window.records,
        worst_window.at,
        beyond.len()
    ));
    // Print all measurements before any assertion.
    if worst_window.percent_off > 2.0 {
        let around = (worst_window.at - SignedDuration::from_secs(3))
            ..(worst_window.at + SignedDuration::from_secs(4));
        let tenths: Vec<_> = seen.buckets.iter().filter(|bucket| around.contains(&bucket.at)).collect();
        let tenths: Vec<_> = tenths.into_iter().map(|bucket| bucket.records).collect();
        cluster.step(format!("  records per 100 ms from {}: {tenths:?}", around.start));
    }
    assert_balanced(&totals);
    assert_eq!(interruptions, []);
    for handover in &handovers {
        let LeadershipChange { fault, leads_after, .. } = handover;
        assert!(*leads_after < fault.limit(), "{fault:?}: another replica led only after {leads_after:?}");
    }
    assert_eq!(tasks_after, tasks, "tasks were started or stopped");
    for (service, operation) in [
        ("kinesis", "CreateStream"),
        ("ecs", "CreateService"),
        ("ecs", "RegisterTaskDefinition"),
        ("logs", "CreateLogGroup"),
        ("application-autoscaling", "PutScheduledAction"),
    ] {
        assert_eq!(calls["services"][service][operation]["calls"], 1, "{operation}: {calls}");
    }
    assert_order(&samples);
    assert_silence(&cluster, &handovers).await;
    assert_eq!(beyond.len(), 0, "arrivals were more than 2 % off the plan");
    cluster.close().await;
}

async fn handover(cluster: &TestCluster, release: &Installed<'_>, fault: LeaderFault) -> LeadershipChange {
    let (old, epoch) = release.settled(Duration::from_secs(240)).await;
    let replicas = release.replicas().await;
    let pod = replicas.iter().find(|pod| pod.name_any() == old).expect("the leader has no Pod");
    let pid = process(pod, OPERATOR).await.expect("the leader has no process");
    // The measured traffic may run on this node too, so wait until the cost of these queries has
    // passed.
    tokio::time::sleep(QUIET_FOR).await;
    let (at, began) = (Timestamp::now(), Instant::now());
    match fault {
        LeaderFault::Killed => signal(pid, "KILL").await,
        LeaderFault::Frozen => signal(pid, "STOP").await,
        LeaderFault::Drained => {
            let api: Api<Pod> = Api::namespaced(cluster.client.clone(), SYSTEM);
            api.delete(&old, &DeleteParams::default()).await.unwrap();
        }
    }
    let (holder, new_epoch) = release.led_since(epoch, Duration::from_secs(60)).await;
    let leads_after = began.elapsed();
    let claimed = |demo: &kinesis_demo_api::KinesisDemo| {
        demo.status
            .as_ref()
            .and_then(|status| status.control.as_ref())
            .is_some_and(|control| control.epoch >= new_epoch)
    };
    cluster.wait("peak", Duration::from_secs(60), claimed).await;
    let works_after = began.elapsed();
    let mut resumed_at = None;
    if fault == LeaderFault::Frozen {
        tokio::time::sleep_until(began + FROZEN_FOR).await;
        resumed_at = Some(Timestamp::now());
        signal(pid, "CONT").await;
        // A process that lost the Lease exits.
        wait_until_exited(pid, Duration::from_secs(15)).await;
        assert_fenced(cluster, &old).await;
    }
    cluster.step(format!(
        "{fault:?} {old} at {at:.1}: {holder} leads under epoch {new_epoch} after {:.1} s, and has claimed the run after {:.1} s{}",
        leads_after.as_secs_f64(),
        works_after.as_secs_f64(),
        resumed_at.map_or(String::new(), |at| format!(
            "; resumed, the old leader exited within {:.1} s",
            Timestamp::now().duration_since(at).as_secs_f64()
        ))
    ));
    LeadershipChange { fault, at, old, leads_after, works_after, epoch: new_epoch, resumed_at }
}

/// Asserts that the last log lines of a process that lost the Lease, before its container restarts,
/// say so, and that it did not release a Lease that already had another holder.
async fn assert_fenced(cluster: &TestCluster, pod: &str) {
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), SYSTEM);
    let log = api.logs(pod, &LogParams { tail_lines: Some(20), ..LogParams::default() }).await.unwrap();
    let is_logged = log.contains("keep leadership") || log.contains("the lease could not be released");
    assert!(is_logged && !log.contains("leadership released"), "the resumed leader's log: {log}");
}

/// Asserts that epochs never go backwards: in the Lease, in the claims in the status, and in the
/// document that tasks read. No version of the document is claimed twice.
fn assert_order(samples: &[Sample]) {
    let mut newest = (0, 0, 0);
    let mut document_before = None;
    for sample in samples {
        let lease = sample.leader.as_ref().map_or(newest.0, |(_, epoch)| *epoch);
        let claim = sample.claimed_epoch().unwrap_or(newest.1);
        let (revision, document) = match sample.document() {
            Some((revision, document)) => (revision, document),
            None => continue,
        };
        let now = (lease, claim, document.epoch);
        assert!(
            now.0 >= newest.0 && now.1 >= newest.1 && now.2 >= newest.2,
            "{now:?} after {newest:?} at {}",
            sample.at
        );
        if let Some((before, previous)) =
            document_before.replace((revision, (document.epoch, document.version)))
        {
            assert!(
                (document.epoch, document.version) >= previous && revision >= before,
                "an older document at {}",
                sample.at
            );
        }
        newest = now;
    }
    assert!(newest.2 > 0, "no control document was read");
}

/// Asserts that a replica that lost its leadership emits no Events unless it leads again.
async fn assert_silence(cluster: &TestCluster, handovers: &[LeadershipChange]) {
    let events: Api<Event> = Api::namespaced(cluster.client.clone(), RUNS);
    let events = events.list(&ListParams::default()).await.unwrap().items;
    for (index, handover) in handovers.iter().enumerate() {
        let LeadershipChange { fault, at, old, works_after, epoch, resumed_at, .. } = handover;
        let until = handovers.get(index + 1).map_or(Timestamp::now(), |next| next.at);
        let from = resumed_at.unwrap_or(*at + *works_after);
        let late = events.iter().filter(|event| {
            let published = event.event_time.as_ref().map(|time| time.0);
            event.reporting_instance.as_ref() == Some(old)
                && published.is_some_and(|at| at > from && at < until)
        });
        assert_eq!(late.count(), 0, "{old}, {fault:?} before epoch {epoch}, still emitted Events");
    }
}
