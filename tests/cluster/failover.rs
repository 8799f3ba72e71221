//! The leader is killed, drained and frozen in the peak, several times each: another leads soon, the traffic does not notice, nothing is
//! made twice, and the old leader writes nothing after.

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

use crate::arrivals::{windows, worst};
use crate::installed::{Installed, install};
use crate::lifecycle::{accepted, assert_balanced, stage, steady};
use crate::node::{ended, process, signal};
use crate::sampler::{Sample, arrivals, sample_during};
use crate::test_cluster::{RUNS, SYSTEM, TestCluster, number, place};

const OPERATOR: &str = "kinesis-demo-operator";
const TASKS: u32 = 5;

/// What happens to the leader.
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

/// Before each mishap.
const QUIET_FOR: Duration = Duration::from_secs(1);

impl LeaderFault {
    /// Until when another leads.
    fn limit(self) -> Duration {
        Duration::from_secs(if self == Self::Drained { 5 } else { 20 })
    }
}

/// One change of leadership, as seen.
struct Handover {
    mishap: LeaderFault,
    at: Timestamp,
    old: String,
    /// Until the Lease had a new holder or epoch.
    leads_after: Duration,
    /// Until the new leader had claimed the run.
    works_after: Duration,
    epoch: u64,
    /// When a frozen one went on.
    thawed_at: Option<Timestamp>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifteen_changes_of_leadership_in_the_peak() {
    let Some(place) = place().await else { return };
    let (times, rate) = (number("CLUSTER_FAILOVERS", 5), number("CLUSTER_PEAK", 20_000));
    let release = install(&place, "ha").await;
    let mut peak = steady("peak", rate, rate.div_ceil(TASKS), "90m");
    // Up to 10,000 records a second and task: the processors are shared by size.
    peak["spec"]["generator"]["fargate"] = json!({ "cpu": 1024, "memoryMiB": 2048 });
    place.runs.apply("peak", &peak).await.unwrap();
    let far = u64::from(rate) * 5;
    let running = place.wait("peak", Duration::from_secs(120), |demo| accepted(demo) > far).await;
    let starts_at = running.status.as_ref().unwrap().phases[0].starts_at.timestamp();
    let arn = running.status.unwrap().stream.unwrap().arn;
    let tasks: BTreeSet<_> = release.task_pods().await.into_iter().map(|pod| pod.name_any()).collect();
    place.step(format!("the peak of {rate} records per second runs, on {} tasks", tasks.len()));

    let all = [LeaderFault::Killed, LeaderFault::Drained, LeaderFault::Frozen];
    let (samples, handovers) = sample_during(&place, &release, "peak", async {
        let mut handovers = Vec::new();
        for (mishap, _) in all.into_iter().flat_map(|mishap| (0..times).map(move |time| (mishap, time))) {
            handovers.push(handover(&place, &release, mishap).await);
        }
        release.settled(Duration::from_secs(180)).await;
        handovers
    })
    .await;

    let ended_at = Timestamp::now();
    let calls = release.page("calls").await.unwrap();
    let still: BTreeSet<_> = release.task_pods().await.into_iter().map(|pod| pod.name_any()).collect();
    let (_, seen) = arrivals(&release, &arn).await;
    place.runs.put_request("peak", Verb::Abort, None).await.unwrap();
    let over = place.wait("peak", Duration::from_secs(60), |demo| stage(demo) == Some(Stage::Aborted)).await;
    let status = over.status.unwrap();
    let (totals, interruptions) = (status.traffic.unwrap().totals, status.control.unwrap().interruptions);
    place.step(format!("aborted: {totals:?}, stretches in which control had lapsed: {interruptions:?}"));

    // The first seconds are the tasks' own: connections, caches.
    let settled = windows(
        &seen.buckets,
        starts_at + SignedDuration::from_secs(5),
        ended_at - SignedDuration::from_secs(1),
        rate,
    );
    let farthest = worst(&settled);
    let beyond: Vec<_> = settled.iter().filter(|window| window.percent_off > 2.0).collect();
    place.step(format!(
        "{} windows of 2 s: the farthest is {:.2} % off ({} records from {}), {} are more than 2 % off",
        settled.len(),
        farthest.percent_off,
        farthest.records,
        farthest.at,
        beyond.len()
    ));
    // All is told before anything is judged.
    if farthest.percent_off > 2.0 {
        let around =
            (farthest.at - SignedDuration::from_secs(3))..(farthest.at + SignedDuration::from_secs(4));
        let tenths: Vec<_> = seen.buckets.iter().filter(|bucket| around.contains(&bucket.at)).collect();
        let tenths: Vec<_> = tenths.into_iter().map(|bucket| bucket.records).collect();
        place.step(format!("  records per 100 ms from {}: {tenths:?}", around.start));
    }
    assert_balanced(&totals);
    assert_eq!(interruptions, []);
    for handover in &handovers {
        let Handover { mishap, leads_after, .. } = handover;
        assert!(*leads_after < mishap.limit(), "{mishap:?}: another led only after {leads_after:?}");
    }
    assert_eq!(still, tasks, "tasks came or went");
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
    assert_silence(&place, &handovers).await;
    assert_eq!(beyond.len(), 0, "arrivals were more than 2 % off the plan");
    place.close().await;
}

async fn handover(place: &TestCluster, release: &Installed<'_>, mishap: LeaderFault) -> Handover {
    let (old, epoch) = release.settled(Duration::from_secs(240)).await;
    let replicas = release.replicas().await;
    let pod = replicas.iter().find(|pod| pod.name_any() == old).expect("the leader's Pod is there");
    let pid = process(pod, OPERATOR).await.expect("the leader's process runs");
    // The traffic that is watched may run on this node too: what looking costs is over by then.
    tokio::time::sleep(QUIET_FOR).await;
    let (at, began) = (Timestamp::now(), Instant::now());
    match mishap {
        LeaderFault::Killed => signal(pid, "KILL").await,
        LeaderFault::Frozen => signal(pid, "STOP").await,
        LeaderFault::Drained => {
            let api: Api<Pod> = Api::namespaced(place.client.clone(), SYSTEM);
            api.delete(&old, &DeleteParams::default()).await.unwrap();
        }
    }
    let (holder, new_epoch) = release.led_since(epoch, Duration::from_secs(60)).await;
    let leads_after = began.elapsed();
    let claimed = |demo: &kinesis_demo_api::KinesisDemo| {
        demo.status
            .as_ref()
            .and_then(|status| status.control.as_ref())
            .is_some_and(|held| held.epoch >= new_epoch)
    };
    place.wait("peak", Duration::from_secs(60), claimed).await;
    let works_after = began.elapsed();
    let mut thawed_at = None;
    if mishap == LeaderFault::Frozen {
        tokio::time::sleep_until(began + FROZEN_FOR).await;
        thawed_at = Some(Timestamp::now());
        signal(pid, "CONT").await;
        // Who lost the Lease ends.
        ended(pid, Duration::from_secs(15)).await;
        assert_fenced(place, &old).await;
    }
    place.step(format!(
        "{mishap:?} {old} at {at:.1}: {holder} leads under epoch {new_epoch} after {:.1} s, and has the run after {:.1} s{}",
        leads_after.as_secs_f64(),
        works_after.as_secs_f64(),
        thawed_at.map_or(String::new(), |at| format!(
            "; thawed, the old one ended within {:.1} s",
            Timestamp::now().duration_since(at).as_secs_f64()
        ))
    ));
    Handover { mishap, at, old, leads_after, works_after, epoch: new_epoch, thawed_at }
}

/// The last word of a process that lost the Lease, before its container is started anew: it knows. And it gave nothing back that was
/// another's by then.
async fn assert_fenced(place: &TestCluster, pod: &str) {
    let api: Api<Pod> = Api::namespaced(place.client.clone(), SYSTEM);
    let log = api.logs(pod, &LogParams { tail_lines: Some(20), ..LogParams::default() }).await.unwrap();
    let is_told = log.contains("keep leadership") || log.contains("the lease could not be released");
    assert!(is_told && !log.contains("leadership released"), "the thawed leader's log: {log}");
}

/// Nothing is ever of an older epoch than what was before it: neither the Lease, nor the claims in the status, nor the document that tasks
/// read. And no version of the document is claimed twice.
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
        if let Some((before, held)) = document_before.replace((revision, (document.epoch, document.version)))
        {
            assert!(
                (document.epoch, document.version) >= held && revision >= before,
                "an older document at {}",
                sample.at
            );
        }
        newest = now;
    }
    assert!(newest.2 > 0, "documents were seen");
}

/// A replica that lost its leadership publishes nothing under its name, unless it led again.
async fn assert_silence(place: &TestCluster, handovers: &[Handover]) {
    let events: Api<Event> = Api::namespaced(place.client.clone(), RUNS);
    let events = events.list(&ListParams::default()).await.unwrap().items;
    for (index, handover) in handovers.iter().enumerate() {
        let Handover { mishap, at, old, works_after, epoch, thawed_at, .. } = handover;
        let until = handovers.get(index + 1).map_or(Timestamp::now(), |next| next.at);
        let from = thawed_at.unwrap_or(*at + *works_after);
        let late = events.iter().filter(|event| {
            let published = event.event_time.as_ref().map(|time| time.0);
            event.reporting_instance.as_ref() == Some(old)
                && published.is_some_and(|at| at > from && at < until)
        });
        assert_eq!(late.count(), 0, "{old}, {mishap:?} before epoch {epoch}, went on");
    }
}
