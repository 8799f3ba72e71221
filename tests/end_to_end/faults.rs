//! A local cluster whose operator is exposed to faults, and a run on it. Many runs share one
//! cluster: a fault applies only to requests that contain a text of one run.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use kinesis_demo_api::conditions::{self, Condition, ConditionStatus, ConditionType};
use kinesis_demo_api::status::{KinesisDemoStatus, ResourceState, TotalsStatus};
use kinesis_demo_api::{KinesisDemo, Stage};
use kinesis_demo_local_cluster::kubernetes::api_server::AUDIT_LOG;
use kinesis_demo_operator::settings::Timings;
use kinesis_demo_testing::totals::assert_balanced;
use kinesis_demo_testing::wait::wait_for;
use kube::Api;
use kube::api::ListParams;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::by_hand::ByHand;
use crate::local_stack::{LocalStack, run_permit, shared_permit};
use crate::proxy::Proxy;
use crate::{hand_changes, objects, refusals, tasks_that_fail};

/// A run may wait in the queue until others have ended.
const BEGINS_WITHIN: Duration = Duration::from_secs(240);
/// From the first records to the end of a run, without the time that its fault adds.
pub const ENDS_WITHIN: Duration = Duration::from_secs(180);

pub struct FaultyCluster {
    pub stack: LocalStack,
    pub proxy: Proxy,
    pub by_hand: ByHand,
}

impl FaultyCluster {
    /// `None` if the tests cannot run here.
    pub async fn start() -> Option<Arc<Self>> {
        // Starting an API server uses as much CPU as a run.
        let _permit = shared_permit().await?;
        let (stack, proxy) = LocalStack::start_behind_proxy().await;
        let by_hand = ByHand::at(stack.sandbox.address()).await;
        Some(Arc::new(Self { stack, proxy, by_hand }))
    }

    /// Stops everything. Asserts that the API server refused no status write of the operator,
    /// except with 409 (how concurrent writers are detected) and 404 (the object was deleted).
    pub async fn stop(self: Arc<Self>) {
        let Some(Self { stack, proxy, .. }) = Arc::into_inner(self) else {
            panic!("a case is still running")
        };
        let log = std::fs::read_to_string(stack.supervisor.log_path(AUDIT_LOG)).unwrap();
        let entries = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let writes: Vec<Value> = entries
            .filter(|entry| entry["objectRef"]["subresource"] == "status" && entry["verb"] == "update")
            .collect();
        assert!(writes.len() > 10, "only {} status writes", writes.len());
        let is_refused = |entry: &&Value| {
            entry["responseStatus"]["code"]
                .as_u64()
                .is_some_and(|code| code >= 400 && code != 409 && code != 404)
        };
        assert_eq!(writes.iter().find(is_refused), None);
        stack.stop().await;
        drop(proxy);
    }
}

/// Cases that run in parallel. Each one runs to its end, whatever happens to the others.
/// `ONLY=hangs` runs only the cases whose name contains that word.
#[derive(Default)]
pub struct Cases {
    running: JoinSet<()>,
    names: BTreeMap<tokio::task::Id, &'static str>,
}

impl Cases {
    pub fn add(&mut self, name: &'static str, case: impl Future<Output = ()> + Send + 'static) {
        if std::env::var("ONLY").is_ok_and(|only| !name.contains(&only)) {
            return;
        }
        let handle = self.running.spawn(async move {
            let _permit = run_permit().await;
            case.await;
        });
        self.names.insert(handle.id(), name);
    }

    pub async fn run_all(mut self) {
        let (began, mut failed) = (std::time::Instant::now(), Vec::new());
        while let Some(ended) = self.running.join_next_with_id().await {
            let (id, result) = match ended {
                Ok((id, ())) => (id, "ok"),
                Err(error) => (error.id(), "FAILED"),
            };
            let name = self.names[&id];
            println!("{name}: {result} after {} s", began.elapsed().as_secs());
            if result == "FAILED" {
                failed.push(name);
            }
        }
        assert_eq!(failed, [] as [&str; 0], "these cases failed, see the panics above");
    }
}

/// One object and its run.
pub struct Run {
    pub on: Arc<FaultyCluster>,
    name: &'static str,
}

/// A finished run.
pub struct Ended {
    pub status: KinesisDemoStatus,
    /// The number of records that the stream in the sandbox stored.
    pub stored: u64,
}

impl Run {
    /// Applies an object with phases, each given as seconds and records per second.
    pub async fn apply(on: &Arc<FaultyCluster>, name: &'static str, phases: &[(u32, u32)]) -> Self {
        Self::apply_with(on, name, phases, json!({})).await
    }

    /// The same, with a `spec.stream`.
    pub async fn apply_with(
        on: &Arc<FaultyCluster>,
        name: &'static str,
        phases: &[(u32, u32)],
        stream: Value,
    ) -> Self {
        let phases: Vec<Value> = phases
            .iter()
            .zip(["first", "second"])
            .map(|((seconds, rate), name)| {
                json!({ "name": name, "duration": format!("{seconds}s"), "recordsPerSecond": rate })
            })
            .collect();
        let manifest = json!({
            "apiVersion": "kinesisdemo.io/v1alpha1",
            "kind": "KinesisDemo",
            "metadata": { "name": name },
            "spec": { "stream": stream, "phases": phases },
        });
        on.stack.demos.apply(name, &manifest).await.unwrap();
        Self { on: Arc::clone(on), name }
    }

    /// The prefix of all resource names of this run. No other run's names contain it.
    pub fn mark(&self) -> String {
        format!("kd-{}-", self.name)
    }

    /// The name of the run's stream and service.
    pub async fn base_name(&self) -> String {
        let demo = self.on.stack.demos.fetch(self.name).await.unwrap();
        demo.status.unwrap().run.unwrap().effective.unwrap().base_name
    }

    pub async fn parameter(&self) -> String {
        format!("/kinesisdemo/{}/control", self.base_name().await)
    }

    pub async fn wait(
        &self,
        limit: Duration,
        mut wanted: impl FnMut(&KinesisDemoStatus) -> bool,
    ) -> KinesisDemoStatus {
        let wanted = |demo: &KinesisDemo| demo.status.as_ref().is_some_and(&mut wanted);
        self.on.stack.wait(self.name, limit, wanted).await.status.unwrap()
    }

    pub async fn wait_for_stage(&self, limit: Duration, stage: Stage) -> KinesisDemoStatus {
        self.wait(limit, |status| status.stage >= Some(stage)).await
    }

    /// Waits until the first records are accepted.
    pub async fn wait_for_traffic(&self) -> KinesisDemoStatus {
        self.wait(BEGINS_WITHIN, |status| accepted(status) > 0).await
    }

    pub async fn wait_until_over(&self, limit: Duration) -> Ended {
        let status = self.wait(limit, |status| status.stage.is_some_and(Stage::is_terminal)).await;
        let stored = self.stored(&status).await;
        Ended { status, stored }
    }

    pub async fn stored(&self, status: &KinesisDemoStatus) -> u64 {
        let arn = &status.stream.as_ref().unwrap().arn;
        self.on.stack.sandbox.fetch_ingest_statistics(arn).await.unwrap().map_or(0, |(records, _)| records)
    }

    /// The texts that identify the operator's requests about this run.
    pub fn texts(&self, status: &KinesisDemoStatus) -> Vec<String> {
        let tasks = status.control.iter().flat_map(|control| &control.assignments);
        tasks.map(|assignment| assignment.task.to_string()).chain([self.mark()]).collect()
    }

    /// Sends a signal to every process that runs a task of this run. Returns how many got it.
    pub async fn signal_tasks(&self, signal: Signal) -> usize {
        let ids = self.on.by_hand.task_ids(&self.base_name().await).await;
        let sandbox = &self.on.stack.sandbox;
        let address = sandbox.address();
        let pages = reqwest::Client::builder().no_proxy().build().unwrap();
        let request =
            pages.get(format!("{}/_sandbox/tasks", address.endpoint)).bearer_auth(&address.access_key_id);
        let page: Value = request.send().await.unwrap().json().await.unwrap();
        let processes = page["tasks"].as_array().unwrap();
        let ours = processes.iter().filter(|process| ids.iter().any(|id| process["taskId"] == id.as_str()));
        // A process that has just exited is skipped.
        ours.filter(|process| {
            let pid = i32::try_from(process["pid"].as_i64().unwrap()).unwrap();
            kill(Pid::from_raw(pid), signal).is_ok()
        })
        .count()
    }

    /// Waits until an Event with this reason exists for this object, because Events are written
    /// after the status. Asserts that there is exactly one.
    pub async fn wait_for_event(&self, reason: &str) {
        let emitted =
            wait_for(Duration::from_secs(10), || async { (self.events(reason).await > 0).then_some(()) });
        assert!(emitted.await.is_some(), "no Event {reason} about {}", self.name);
        assert_eq!(self.events(reason).await, 1, "{reason}");
    }

    async fn events(&self, reason: &str) -> usize {
        let events: Api<Event> = Api::namespaced(self.on.stack.client(), "demos");
        let events = events.list(&ListParams::default()).await.unwrap();
        let is_ours = |event: &&Event| {
            event.regarding.as_ref().and_then(|regarding| regarding.name.as_deref()) == Some(self.name)
                && event.reason.as_deref() == Some(reason)
        };
        events.items.iter().filter(is_ours).count()
    }

    /// Asserts that the sandbox has no resource of this run.
    pub async fn assert_nothing_left_in_sandbox(&self) {
        let mut left = self.on.stack.leaked_resources().await;
        left.retain(|line| line.contains(&self.mark()));
        assert_eq!(left, [] as [&str; 0]);
    }

    /// Asserts that the sandbox has no resource of this run, and that the status agrees.
    pub async fn assert_nothing_left(&self) {
        self.assert_nothing_left_in_sandbox().await;
        // The finalizer is removed by a separate write.
        let is_free = |demo: &KinesisDemo| demo.metadata.finalizers.clone().unwrap_or_default().is_empty();
        let status = self.on.stack.wait(self.name, Duration::from_secs(20), is_free).await.status.unwrap();
        assert!(
            status.resources.iter().all(|resource| resource.state == ResourceState::Deleted),
            "{:#?}",
            status.resources
        );
        assert_eq!(condition(&status, ConditionType::CleanedUp).status, ConditionStatus::True);
    }
}

pub fn accepted(status: &KinesisDemoStatus) -> u64 {
    status.traffic.as_ref().map_or(0, |traffic| traffic.totals.accepted)
}

pub fn condition(status: &KinesisDemoStatus, type_: ConditionType) -> Condition {
    conditions::find(&status.conditions, type_).unwrap().clone()
}

impl Ended {
    pub fn totals(&self) -> &TotalsStatus {
        &self.status.traffic.as_ref().unwrap().totals
    }

    /// Asserts that the run succeeded and every record arrived exactly once.
    pub fn assert_all_arrived(&self, scheduled: u64) {
        let Self { status, stored } = self;
        let totals = self.totals();
        assert_eq!(status.stage, Some(Stage::Succeeded), "{:#?}", status.run);
        assert_balanced(totals);
        assert_eq!(
            (totals.scheduled, totals.accepted, *stored),
            (scheduled, scheduled, scheduled),
            "{totals:?}"
        );
        assert_eq!(condition(status, ConditionType::TrafficDelivered).status, ConditionStatus::True);
    }

    /// Asserts that the run failed for this reason, and that its totals balance and agree with what
    /// arrived.
    pub fn assert_failed(&self, reason: kinesis_demo_api::conditions::Reason) {
        let Self { status, stored } = self;
        let run = status.run.as_ref().unwrap();
        assert_eq!((status.stage, run.reason), (Some(Stage::Failed), Some(reason)), "{run:#?}");
        let totals = self.totals();
        assert_balanced(totals);
        assert!(totals.accepted <= *stored, "{totals:?}, {stored} stored");
        assert!(
            *stored <= totals.accepted + totals.unknown + totals.unreported,
            "{totals:?}, {stored} stored"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_aws_reads_do_not_delay_the_traffic() {
    let Some(on) = FaultyCluster::start().await else { return };
    let mut cases = Cases::default();
    cases.add("two denied reads of the parameter", refusals::two_denied_reads_of_the_parameter(on.clone()));
    cases.add("expired credentials", refusals::expired_credentials(on.clone()));
    cases.add("slow reads", refusals::slow_reads(on.clone()));
    cases.add("throttled reads", refusals::throttled_reads(on.clone()));
    cases.add("failing reads", refusals::failing_reads(on.clone()));
    cases.add("lost responses", refusals::lost_responses(on.clone()));
    cases.run_all().await;
    on.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_end_correctly_despite_denials_and_deleted_resources() {
    let Some(on) = FaultyCluster::start().await else { return };
    let mut cases = Cases::default();
    // The longest case first, so that it does not run alone at the end.
    cases.add("four minutes without PutParameter", refusals::an_outage_of_four_minutes(on.clone()));
    cases.add("DeleteService denied", refusals::a_service_whose_deletion_is_denied(on.clone()));
    for (name, case, read) in [
        ("stream removed without a read", "unseen-stream", &["DescribeStreamSummary"] as &[&str]),
        ("log group removed without a read", "unseen-logs", &["DescribeLogGroups"]),
        ("task definition removed without a read", "unseen-definition", &["DescribeTaskDefinition"]),
    ] {
        cases.add(name, refusals::removed_without_read(on.clone(), case, read));
    }
    cases.add("a task hangs", tasks_that_fail::a_task_hangs(on.clone()));
    cases.add("tasks are killed", tasks_that_fail::tasks_are_killed_repeatedly(on.clone()));
    cases.add("log group deleted", hand_changes::a_log_group_is_deleted(on.clone()));
    cases.add("stream deleted", hand_changes::a_stream_is_deleted(on.clone()));
    cases.add("service deleted", hand_changes::a_service_is_deleted(on.clone()));
    let renew_every = Timings::local().renew_every;
    let before_renewal = renew_every - Duration::from_millis(50);
    for (name, case, after) in [
        ("parameter deleted", "no-parameter", renew_every / 2),
        ("parameter deleted just before its renewal", "no-renewal", before_renewal),
    ] {
        cases.add(name, hand_changes::a_parameter_is_deleted(on.clone(), case, after));
    }
    cases.add("scale-to-zero deleted", hand_changes::a_scale_to_zero_is_deleted(on.clone()));
    cases.add("control document forged", hand_changes::a_document_is_forged(on.clone()));
    cases.add("warm throughput released", hand_changes::warm_throughput_is_released(on.clone()));
    cases.run_all().await;
    on.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_end_correctly_despite_changed_and_replaced_objects() {
    let Some(on) = FaultyCluster::start().await else { return };
    let mut cases = Cases::default();
    cases.add("spec no longer parses", objects::a_spec_stops_parsing_during_a_run(on.clone()));
    cases.add("object replaced", objects::an_object_is_replaced(on.clone()));
    cases.add("object restored", objects::an_object_is_restored_beside_its_original(on.clone()));
    cases.add("one stream, two objects", objects::two_objects_name_one_stream(on.clone()));
    cases.run_all().await;
    on.stop().await;
}
