//! A harness for several objects under one operator: each is reconciled when it is due, or when
//! another member of its cohort has changed, as the controller does it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kinesis_demo_api::demo::{CohortSpec, KinesisDemoSpec, REQUEST_ANNOTATION};
use kinesis_demo_api::status::{KinesisDemoStatus, Outcome, Stage};
use kinesis_demo_api::{KinesisDemo, MicroTime};
use kinesis_demo_operator::aws::Advantage;
use kinesis_demo_operator::clock::Clock;
use kinesis_demo_operator::reconcile::cohort::Peer;
use kinesis_demo_operator::reconcile::queue::{QueuedRun, RunLister};
use kinesis_demo_operator::reconcile::stages::Wake;
use kinesis_demo_operator::reconcile::{Context, reconcile};
use kinesis_demo_operator::settings::Settings;
use kinesis_demo_testing::aws::FakeAws;
use kinesis_demo_testing::clock::ManualClock;
use kinesis_demo_testing::kubernetes::FakeCluster;
use kinesis_demo_testing::registry::FakeRegistry;

use crate::harness::{T0, s, settings};

/// Delay between a write and the watch event that it causes.
const WATCH_LAG: Duration = Duration::from_millis(50);

/// All objects after each change.
type History = Arc<Mutex<Vec<(MicroTime, Vec<KinesisDemo>)>>>;

/// A list of all objects as it was some time ago.
struct LaggingLister {
    clock: ManualClock,
    lag: Duration,
    /// The objects after each change.
    history: History,
}

impl LaggingLister {
    fn objects(&self) -> Vec<KinesisDemo> {
        let history = self.history.lock().unwrap();
        let seen = history.iter().rev().find(|(at, _)| *at + self.lag <= self.clock.now());
        seen.or(history.first()).map(|(_, objects)| objects.clone()).unwrap_or_default()
    }
}

impl RunLister for LaggingLister {
    fn entries(&self) -> Option<Vec<QueuedRun>> {
        Some(self.objects().iter().filter_map(QueuedRun::of).collect())
    }

    fn peers(&self, namespace: &str) -> Option<Vec<Peer>> {
        let all = self.objects();
        Some(all.iter().filter_map(Peer::of).filter(|peer| peer.namespace == namespace).collect())
    }
}

pub struct CohortHarness {
    pub clock: ManualClock,
    pub aws: FakeAws,
    pub cluster: FakeCluster,
    pub settings: Settings,
    /// How late the list of all objects is.
    pub lag: Duration,
    context: Context,
    epoch: u64,
    due: BTreeMap<String, MicroTime>,
    history: History,
    /// Every stage that each object had, in order.
    pub stages: BTreeMap<String, Vec<Stage>>,
}

impl CohortHarness {
    pub fn new(settings: Settings) -> Self {
        let clock = ManualClock::new(T0);
        let aws = FakeAws::new(clock.clone());
        aws.set_advantage(Advantage::Enabled);
        let cluster = FakeCluster::default();
        let history = Arc::new(Mutex::new(Vec::new()));
        let context = context(&clock, &aws, &cluster, &settings, 1, (s(0), &history));
        Self {
            clock,
            aws,
            cluster,
            settings,
            lag: s(0),
            context,
            epoch: 1,
            due: BTreeMap::new(),
            history,
            stages: BTreeMap::new(),
        }
    }

    /// Cohort `pair` of the objects `a` and `b`.
    pub fn pair(spec: &KinesisDemoSpec) -> Self {
        let mut harness = Self::new(settings());
        harness.create("a", spec, 2);
        harness.create("b", spec, 2);
        harness
    }

    /// Creates a member of the cohort `pair`.
    pub fn create(&mut self, name: &str, spec: &KinesisDemoSpec, size: i32) {
        self.create_in(name, spec, Some(CohortSpec { name: "pair".into(), size }));
    }

    pub fn create_in(&mut self, name: &str, spec: &KinesisDemoSpec, cohort: Option<CohortSpec>) {
        let mut object = KinesisDemo::new(name, KinesisDemoSpec { cohort, ..spec.clone() });
        object.metadata.namespace = Some("demos".into());
        object.metadata.uid = Some(format!("uid-{name}-{}", self.clock.now().as_micros()));
        object.metadata.generation = Some(1);
        self.cluster.create(object);
        self.wake(name);
    }

    /// The object has changed: its watch event comes at once.
    fn wake(&mut self, name: &str) {
        self.record();
        self.due.insert(name.to_owned(), self.clock.now());
        self.wake_peers(name);
    }

    pub fn edit(&mut self, name: &str, edit: impl FnOnce(&mut KinesisDemo)) {
        self.cluster.edit_named(name, edit);
        self.wake(name);
    }

    pub fn request(&mut self, name: &str, text: &str) {
        self.edit(name, |object| {
            let annotations = object.metadata.annotations.get_or_insert_default();
            annotations.insert(REQUEST_ANNOTATION.into(), text.into());
        });
    }

    pub fn delete(&mut self, name: &str) {
        self.cluster.delete_named(name, self.clock.now().timestamp());
        self.wake(name);
    }

    /// The operator is killed, and another one takes over after this time.
    pub fn restart(&mut self, after: Duration) {
        self.clock.advance(after);
        self.epoch += 1;
        let lister = (self.lag, &self.history);
        self.context = context(&self.clock, &self.aws, &self.cluster, &self.settings, self.epoch, lister);
        self.aws.revive();
        // It lists all objects.
        for name in self.cluster.names() {
            self.due.insert(name, self.clock.now());
        }
    }

    fn record(&self) {
        let objects: Vec<KinesisDemo> =
            self.cluster.names().iter().filter_map(|name| self.cluster.named(name)).collect();
        self.history.lock().unwrap().push((self.clock.now(), objects));
    }

    fn wake_peers(&mut self, changed: &str) {
        let all: Vec<KinesisDemo> =
            self.cluster.names().iter().filter_map(|name| self.cluster.named(name)).collect();
        let peers: Vec<Peer> = all.iter().filter_map(Peer::of).collect();
        let other = peers.iter().find(|peer| peer.member.name == changed);
        let at = self.clock.now() + WATCH_LAG.max(self.lag);
        for peer in peers.iter().filter(|peer| other.is_none_or(|other| peer.waits_for(other))) {
            let due = self.due.entry(peer.member.name.clone()).or_insert(at);
            *due = (*due).min(at);
        }
    }

    /// Reconciles the object that is due next. Returns false if none is.
    pub async fn step(&mut self) -> bool {
        let Some((name, at)) = self.due.iter().min_by_key(|(_, at)| **at).map(|(n, at)| (n.clone(), *at))
        else {
            return false;
        };
        self.due.remove(&name);
        self.clock.advance_to(at.max(self.clock.now()));
        for next in self.context.next_in_turn() {
            self.due.entry(next.name).or_insert(self.clock.now());
        }
        let Some(before) = self.cluster.named(&name) else { return true };
        let result = reconcile(&before, None, &self.context).await;
        let after = self.cluster.named(&name);
        if let Some(stage) = after.as_ref().and_then(|object| object.status.as_ref()?.stage) {
            let stages = self.stages.entry(name.clone()).or_default();
            if stages.last() != Some(&stage) {
                stages.push(stage);
            }
        }
        let version = |object: &KinesisDemo| object.metadata.resource_version.clone();
        let changed = after.as_ref().map(version) != Some(version(&before));
        let now = self.clock.now();
        if changed {
            self.record();
            self.wake_peers(&name);
        }
        match result {
            _ if changed && after.is_some() => {
                self.due.insert(name, now + WATCH_LAG);
            }
            Ok(Wake::At(at)) => {
                self.due.insert(name, at.max(now + Duration::from_millis(500)));
            }
            Ok(Wake::OnChange) => {}
            Err(_) => {
                self.due.insert(name, now + s(1));
            }
        }
        true
    }

    /// Steps until `done`. Panics after two hours.
    pub async fn run_until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        let end = self.clock.now() + s(7200);
        while !done(self) {
            assert!(self.clock.now() < end, "not done: {:#?}", self.statuses());
            assert!(self.step().await, "nothing left to do, but not done: {:#?}", self.statuses());
        }
    }

    /// Steps until every run is over.
    pub async fn run_to_end(&mut self) {
        self.run_until(|harness| {
            let is_over = |status: &KinesisDemoStatus| status.stage.is_some_and(Stage::is_terminal);
            harness.statuses().iter().all(|(_, status)| is_over(status))
        })
        .await;
    }

    pub async fn run_for(&mut self, span: Duration) {
        let end = self.clock.now() + span;
        while self.due.values().any(|at| *at < end) && self.step().await {}
        self.clock.advance_to(end.max(self.clock.now()));
    }

    pub fn status(&self, name: &str) -> KinesisDemoStatus {
        self.cluster.named(name).and_then(|object| object.status).unwrap_or_default()
    }

    fn statuses(&self) -> Vec<(String, KinesisDemoStatus)> {
        self.cluster.names().into_iter().map(|name| (name.clone(), self.status(&name))).collect()
    }

    pub fn stage(&self, name: &str) -> Stage {
        self.status(name).stage.unwrap_or_default()
    }

    /// The outcome of a run with its reason, as text, and its message.
    pub fn outcome(&self, name: &str) -> (Option<Outcome>, String, String) {
        let run = self.status(name).run.unwrap();
        (
            run.outcome,
            run.reason.map(|reason| reason.to_string()).unwrap_or_default(),
            run.message.unwrap_or_default(),
        )
    }

    /// When the traffic of a run started, by its control claims.
    pub fn started_at(&self, name: &str) -> Option<MicroTime> {
        self.status(name).control.map(|control| control.traffic_starts_at)
    }

    /// When the first record of each stream was due.
    pub fn first_records(&self) -> BTreeMap<String, MicroTime> {
        let mut first: BTreeMap<String, MicroTime> = BTreeMap::new();
        for sent in self.aws.sent() {
            let at = first.entry(sent.stream.to_string()).or_insert(sent.from);
            *at = (*at).min(sent.from);
        }
        first
    }

    pub fn assert_nothing_left(&self) {
        let left = self.aws.snapshot();
        assert!(left.is_empty(), "left behind: {left:#?}");
        assert_eq!(self.aws.mixed_versions(), [], "two versions of a document were in force at once");
    }
}

fn context(
    clock: &ManualClock,
    aws: &FakeAws,
    cluster: &FakeCluster,
    settings: &Settings,
    epoch: u64,
    (lag, history): (Duration, &History),
) -> Context {
    Context::new(
        settings.clone(),
        Arc::new(aws.clone()),
        Arc::new(cluster.clone()),
        Arc::new(clock.clone()),
        Arc::new(AtomicU64::new(epoch)),
        Arc::new(LaggingLister { clock: clock.clone(), lag, history: Arc::clone(history) }),
        Arc::new(FakeRegistry::default()),
    )
}
