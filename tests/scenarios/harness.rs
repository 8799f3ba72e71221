//! The harness of the scenarios: one object, one operator, one fake AWS, one manual clock.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use kinesis_demo_api::conditions::{Condition, ConditionType, find};
use kinesis_demo_api::demo::{KinesisDemoSpec, REQUEST_ANNOTATION, WarmThroughputMode, WarmThroughputSpec};
use kinesis_demo_api::status::{KinesisDemoStatus, Outcome, Stage, TotalsStatus};
use kinesis_demo_api::{KinesisDemo, MicroTime};
use kinesis_demo_operator::aws::{Advantage, NewStream, Regions, Tags};
use kinesis_demo_operator::clock::Clock;
use kinesis_demo_operator::reconcile::error::ReconcileError;
use kinesis_demo_operator::reconcile::stages::Wake;
use kinesis_demo_operator::reconcile::{Context, reconcile};
use kinesis_demo_operator::settings::Settings;
use kinesis_demo_testing::aws::FakeAws;
use kinesis_demo_testing::clock::ManualClock;
use kinesis_demo_testing::kubernetes::FakeCluster;
use kinesis_demo_testing::registry::FakeRegistry;
pub use kinesis_demo_testing::settings::settings;

pub const T0: MicroTime = MicroTime::from_micros(1_795_000_000_000_000);
const UID: &str = "5f3c2a1b-9d2e-4c7a-8f10-1234567890ab";

/// Delay between a write and the watch event that it causes.
const WATCH_LAG: Duration = Duration::from_millis(50);

pub fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The original demo with fixed warm throughput.
pub fn warm_spec() -> KinesisDemoSpec {
    let mut spec = KinesisDemoSpec::default();
    spec.stream.warm_throughput =
        WarmThroughputSpec { mode: WarmThroughputMode::Fixed, mib_per_second: Some(100) };
    spec
}

pub struct Harness {
    pub clock: ManualClock,
    pub aws: FakeAws,
    pub cluster: FakeCluster,
    pub registry: FakeRegistry,
    pub settings: Settings,
    context: Context,
    epoch: u64,
    /// Every stage that the status had, in order.
    pub stages: Vec<Stage>,
    pub errors: Vec<String>,
    idle: bool,
    /// If set, the stored spec does not parse, for this reason.
    pub unreadable: Option<String>,
}

impl Harness {
    pub fn new(spec: KinesisDemoSpec) -> Self {
        Self::with(spec, settings())
    }

    pub fn with(spec: KinesisDemoSpec, settings: Settings) -> Self {
        let clock = ManualClock::new(T0);
        let aws = FakeAws::new(clock.clone());
        aws.set_advantage(Advantage::Enabled);
        let mut object = KinesisDemo::new("viral-event", spec);
        object.metadata.namespace = Some("demos".into());
        object.metadata.uid = Some(UID.into());
        object.metadata.generation = Some(1);
        let cluster = FakeCluster::holding(object);
        let registry = FakeRegistry::default();
        let context = context(&clock, &aws, &cluster, &registry, &settings, 1);
        Self {
            clock,
            aws,
            cluster,
            registry,
            settings,
            context,
            epoch: 1,
            stages: Vec::new(),
            errors: Vec::new(),
            idle: false,
            unreadable: None,
        }
    }

    /// A run whose stream has the name of an existing stream of another team: `orders`.
    pub async fn with_foreign_stream() -> Self {
        let mut spec = warm_spec();
        spec.stream.name = Some("orders".into());
        let harness = Self::new(spec);
        let foreign = NewStream {
            name: "orders".into(),
            warm_mib_per_second: None,
            tags: Tags::from([("team".into(), "payments".into())]),
        };
        harness.aws.in_region("us-east-1").streams.create_stream(&foreign).await.unwrap();
        harness.clock.advance(s(60));
        harness
    }

    /// The operator crashes and another one takes over, with the next epoch.
    pub fn restart(&mut self) {
        self.epoch += 1;
        self.context =
            context(&self.clock, &self.aws, &self.cluster, &self.registry, &self.settings, self.epoch);
        self.aws.revive();
        self.idle = false;
    }

    /// Reconciles once, then moves the clock to the next event. Returns false when nothing is left
    /// to do.
    pub async fn step(&mut self) -> bool {
        let Some(before) = self.cluster.object() else { return false };
        let result = reconcile(&before, self.unreadable.as_deref(), &self.context).await;
        self.write_records().await;
        let after = self.cluster.object();
        if let Some(stage) = after.as_ref().and_then(|object| object.status.as_ref()?.stage)
            && self.stages.last() != Some(&stage)
        {
            self.stages.push(stage);
        }
        let changed = after.as_ref().map(|object| &object.metadata.resource_version)
            != Some(&before.metadata.resource_version);
        match result {
            _ if changed => self.clock.advance(WATCH_LAG),
            Ok(Wake::At(at)) => self.clock.advance_to(at.max(self.clock.now() + Duration::from_millis(500))),
            Ok(Wake::OnChange) => {
                self.idle = true;
                return false;
            }
            Err(error) => {
                self.errors.push(kinesis_demo_api::error_chain::error_chain(&error as &ReconcileError));
                self.clock.advance(s(1));
            }
        }
        after.is_some()
    }

    /// Writes the records of runs that are due, as the controller does each second.
    pub async fn write_records(&self) {
        self.cluster.set_now(self.clock.now());
        self.context.write_records(&[]).await;
    }

    /// Steps until `done` returns true. Panics after `limit`.
    pub async fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&KinesisDemoStatus) -> bool) {
        let end = self.clock.now() + limit;
        loop {
            if self.cluster.object().and_then(|object| object.status).is_some_and(|status| done(&status)) {
                return;
            }
            assert!(
                self.clock.now() < end,
                "not done after {limit:?}: {:#?} {:?}",
                self.status(),
                self.errors
            );
            assert!(self.step().await, "nothing left to do, but not done: {:#?}", self.status());
        }
    }

    pub async fn run_until_stage(&mut self, stage: Stage) {
        self.run_until(s(7200), |status| status.stage == Some(stage)).await;
    }

    pub async fn run_until_phase(&mut self, name: &str) {
        self.run_until(s(7200), |status| status.phase.as_ref().is_some_and(|phase| phase.name == name)).await;
    }

    /// Steps for this long, or until nothing is left to do.
    pub async fn run_for(&mut self, span: Duration) {
        let end = self.clock.now() + span;
        while self.clock.now() < end && self.step().await {}
    }

    /// Steps until nothing is left to do: the object is deleted or waits for a change.
    pub async fn run_to_end(&mut self) {
        let end = self.clock.now() + s(7200);
        while self.step().await {
            assert!(self.clock.now() < end, "never ends: {:#?} {:?}", self.status(), self.errors);
        }
    }

    pub fn status(&self) -> KinesisDemoStatus {
        self.cluster.object().and_then(|object| object.status).unwrap_or_default()
    }

    pub fn condition(&self, type_: ConditionType) -> Condition {
        find(&self.status().conditions, type_).expect("every condition is set").clone()
    }

    pub fn request(&self, text: &str) {
        self.cluster.edit(|object| {
            object
                .metadata
                .annotations
                .get_or_insert_default()
                .insert(REQUEST_ANNOTATION.into(), text.into());
        });
    }

    /// The names of the queued objects that may start now.
    pub fn next_in_turn(&self) -> Vec<String> {
        self.context.next_in_turn().into_iter().map(|next| next.name).collect()
    }

    pub fn delete(&self) {
        self.cluster.delete(self.clock.now().timestamp());
    }

    pub fn totals(&self) -> TotalsStatus {
        self.status().traffic.expect("traffic was measured").totals
    }

    pub fn outcome(&self) -> Option<Outcome> {
        self.status().run.and_then(|run| run.outcome)
    }

    /// Invariants after any run: no resource left, no mixed control versions, no duplicate
    /// resources.
    pub fn assert_nothing_left(&self) {
        let left = self.aws.snapshot();
        assert!(left.is_empty(), "left behind: {left:#?}");
        assert_eq!(
            self.aws.mixed_versions(),
            [],
            "two versions of the control document were in force at once"
        );
        for (kind, most) in self.aws.most_at_once() {
            let allowed = if kind == "tasks" { 1000 } else { 1 };
            assert!(most <= allowed, "{most} {kind} at once");
        }
    }
}

fn context(
    clock: &ManualClock,
    aws: &FakeAws,
    cluster: &FakeCluster,
    registry: &FakeRegistry,
    settings: &Settings,
    epoch: u64,
) -> Context {
    Context::new(
        settings.clone(),
        Arc::new(aws.clone()),
        Arc::new(cluster.clone()),
        Arc::new(clock.clone()),
        Arc::new(AtomicU64::new(epoch)),
        Arc::new(cluster.clone()),
        Arc::new(registry.clone()),
    )
}
