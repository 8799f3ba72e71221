//! A small AWS inside the process, for scenario tests. In: the calls of the traits in `aws`, a [`ManualClock`], what a test
//! arranges. Out: what AWS would answer, what the tasks sent, what exists. Nothing outside is touched.
//!
//! Time passes between calls only: each call first plays what happened up to the clock's instant (streams that became
//! active, tasks that started, read their control document, sent, wrote their ledger), then answers. Equal seeds and equal
//! calls give equal worlds.

mod calls;
mod dashboards;
mod dice;
mod ecs;
mod fleet;
mod generator;
mod kinesis;
mod logs;
mod parameters;
mod scaling;
mod settings;
mod snapshot;
mod world;

#[cfg(test)]
mod fleet_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::TaskId;

pub use calls::Call;
pub use dashboards::Measured;
pub use generator::Sent;
pub use settings::Delays;
pub use snapshot::Snapshot;

use super::{Advantage, Aws, AwsClock, AwsErrorClass, AwsResult, ClockSkew, Identity, Regions};
use crate::clock::{Clock, ManualClock};
use calls::{Access, FaultKind};
use settings::Settings;
use world::{AccountState, RegionState};

/// Whether a task that is killed says its last word first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastWord {
    /// It drained: the ledger's final line is written.
    Spoken,
    /// SIGKILL, a lost host: nothing after the last regular line.
    Unspoken,
}

/// The fake. Clones share one world.
#[derive(Clone)]
pub struct FakeAws {
    clock: ManualClock,
    world: Arc<Mutex<AccountState>>,
}

impl FakeAws {
    /// An account `000000000000` without anything in it but the ECS cluster `default`; Advantage is off.
    pub fn new(clock: ManualClock) -> Self {
        let settings = Settings::default();
        let world = AccountState::new(settings, clock.now());
        Self { clock, world: Arc::new(Mutex::new(world)) }
    }

    /// The account that calls belong to from now on.
    pub fn set_account_id(&self, account_id: &str) {
        self.now().settings.account_id = account_id.to_owned();
    }

    /// The state of On-demand Advantage from now on.
    pub fn set_advantage(&self, advantage: Advantage) {
        self.now().settings.advantage = advantage;
    }

    /// What AWS's answers tell of the operator's clock from now on.
    pub fn set_clock_skew(&self, skew: Option<ClockSkew>) {
        self.now().settings.clock_skew = skew;
    }

    /// How many queues a stream has from now on, in every region.
    pub fn set_queues(&self, stream: &str, queues: u32) {
        self.now().set_queues(stream, queues);
    }

    /// Adds an ECS cluster, in every region.
    pub fn add_cluster(&self, name: &str) {
        self.now().settings.clusters.push(name.to_owned());
    }

    /// Removes an ECS cluster, in every region. What runs in it goes on.
    pub fn remove_cluster(&self, name: &str) {
        self.now().settings.clusters.retain(|cluster| cluster != name);
    }

    /// How long things take from now on; what is under way is not changed.
    pub fn set_delays(&self, delays: Delays) {
        self.now().settings.delays = delays;
    }

    /// Why tasks fail to start from now on, in ECS's words; `None`: they start.
    pub fn set_start_failure(&self, reason: Option<&str>) {
        self.now().settings.start_failure = reason.map(str::to_owned);
    }

    /// What each task's log ends with from now on, after its ledger lines.
    pub fn set_last_line(&self, line: &str) {
        self.now().settings.last_line = Some(line.to_owned());
    }

    /// How many tasks may exist at once per region. Those above it stay.
    pub fn set_capacity(&self, tasks: u32) {
        let mut world = self.now();
        world.settings.task_capacity = tasks;
        world.place_tasks();
    }

    /// How many records per second each stream takes from now on; the rest is refused and given up.
    pub fn set_stream_capacity(&self, records_per_second: Option<u32>) {
        self.now().settings.stream_capacity = records_per_second;
    }

    /// How many ledger lines a page of the log holds from now on, at most, and how long the answer takes.
    pub fn set_ledger_page(&self, lines: usize, takes: Duration) {
        self.now().settings.ledger_page = (lines, takes);
    }

    /// What the victims of scale-in, task ids and start times are drawn from.
    pub fn set_seed(&self, seed: u64) {
        self.now().dice.seed(seed);
    }

    /// Ends a task at once. False if no such task is starting, running or stopping. Its service replaces it.
    pub fn kill_task(&self, task: &TaskId, last_word: LastWord) -> bool {
        let mut world = self.now();
        let killed = world.kill_task(task, last_word == LastWord::Spoken);
        world.place_tasks();
        killed
    }

    /// From now on a task runs, and does nothing: it sends no records and writes no lines.
    pub fn hang_task(&self, task: &TaskId) {
        self.now().hang_task(task);
    }

    /// Takes all tags off a stream, in every region.
    pub fn untag_stream(&self, name: &str) {
        self.now().untag_stream(name);
    }

    /// The tags of a parameter, if there is one of this name.
    pub fn parameter_tags(&self, name: &str) -> Option<super::Tags> {
        self.now().parameter_tags(name)
    }

    /// The next `times` calls of `operation` (`*`: of any) are refused and do nothing.
    pub fn fail(&self, operation: &str, class: AwsErrorClass, times: u32) {
        self.now().switchboard.add_fault(operation, FaultKind::Refuse(class), times);
    }

    /// Every call of `operation` is refused for `lasts` from now on.
    pub fn fail_for(&self, operation: &str, class: AwsErrorClass, lasts: Duration) {
        let until = self.clock.now() + lasts;
        self.now().switchboard.add_window(operation, FaultKind::Refuse(class), until);
    }

    /// From now on a stream shows its old target after its warm throughput was released.
    pub fn keep_warm_targets(&self) {
        self.now().settings.keeps_warm_targets = true;
    }

    /// From now on a stream's target becomes no more than this, though every call is taken.
    pub fn cap_warm_throughput(&self, mib_per_second: u32) {
        self.now().settings.warm_cap = mib_per_second;
    }

    /// The next `times` calls of `operation` are refused in these words.
    pub fn refuse_with(&self, operation: &str, code: &'static str, message: &str, times: u32) {
        let kind = FaultKind::RefuseWith { code, message: message.to_owned() };
        self.now().switchboard.add_fault(operation, kind, times);
    }

    /// For `lasts` from now on, answers to `operation` take `latency`. A caller that does not wait for
    /// so long gets none. Needs tokio's paused time.
    pub fn delay_for(&self, operation: &str, latency: Duration, lasts: Duration) {
        let until = self.clock.now() + lasts;
        self.now().switchboard.add_window(operation, FaultKind::Delay(latency), until);
    }

    /// The next `times` calls of `operation` (`*`: of any) are performed, but their caller gets no answer.
    pub fn lose_response(&self, operation: &str, times: u32) {
        self.now().switchboard.add_fault(operation, FaultKind::LoseResponse, times);
    }

    /// Takes back all faults that have not fired.
    pub fn clear_faults(&self) {
        self.now().switchboard.clear_faults();
    }

    /// The `nth` call from now on (1 is the next) is performed and is the caller's last: it and every later call gets the
    /// error `crashed`, and the later ones do nothing, until [`FakeAws::revive`].
    pub fn crash_after_call(&self, nth: u64) {
        self.now().switchboard.crash_after(nth);
    }

    /// Whether the crash point was reached.
    pub fn crashed(&self) -> bool {
        self.now().switchboard.crashed()
    }

    /// Answers calls again: the caller was started anew.
    pub fn revive(&self) {
        self.now().switchboard.revive();
    }

    /// Every call that reached AWS, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.now().switchboard.calls().to_vec()
    }

    /// How many calls reached AWS, by operation.
    pub fn call_counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for call in self.now().switchboard.calls() {
            *counts.entry(call.operation).or_default() += 1;
        }
        counts
    }

    /// Calls at or after `since` that only read.
    pub fn reads_since(&self, since: MicroTime) -> usize {
        self.now().switchboard.calls().iter().filter(|call| call.at >= since && !call.is_write).count()
    }

    /// Calls at or after `since` that change something, or would have.
    pub fn writes_since(&self, since: MicroTime) -> usize {
        self.now().switchboard.calls().iter().filter(|call| call.at >= since && call.is_write).count()
    }

    /// Everything that exists now.
    pub fn snapshot(&self) -> Snapshot {
        self.now().snapshot()
    }

    /// The largest number of things of each kind that existed at once so far (each field's length counts).
    pub fn most_at_once(&self) -> BTreeMap<&'static str, usize> {
        self.now().most_at_once.clone()
    }

    /// What the tasks sent, in stretches during which nothing changed for them, by task and time.
    pub fn sent(&self) -> Vec<Sent> {
        self.now().sent().cloned().collect()
    }

    /// How many records arrived at all streams in [`from`, `until`).
    pub fn arrivals(&self, from: MicroTime, until: MicroTime) -> u64 {
        self.now().sent().map(|sent| sent.within(from, until)).sum()
    }

    /// How many records arrived at all streams, by second since 1970.
    pub fn records_by_second(&self) -> BTreeMap<i64, u64> {
        let world = self.now();
        let mut seconds = BTreeMap::new();
        for sent in world.sent() {
            let last = sent.until.as_micros().saturating_sub(1).div_euclid(1_000_000);
            for second in sent.from.as_micros().div_euclid(1_000_000)..=last {
                let from = MicroTime::from_micros(second * 1_000_000);
                *seconds.entry(second).or_default() += sent.within(from, from + Duration::from_secs(1));
            }
        }
        seconds
    }

    /// Pairs of stretches that overlap in time but were sent by different versions of one run's document: must be empty. A new
    /// epoch alone is no new version, as long as it divides the records among as many tasks.
    pub fn mixed_versions(&self) -> Vec<(Sent, Sent)> {
        let all = self.sent();
        let mut mixed = Vec::new();
        for (index, one) in all.iter().enumerate() {
            for other in all.iter().skip(index + 1) {
                let overlap = one.from.max(other.from) < one.until.min(other.until);
                if overlap
                    && one.stream == other.stream
                    && one.run == other.run
                    && (one.version.1 != other.version.1 || one.share.of != other.share.of)
                {
                    mixed.push((one.clone(), other.clone()));
                }
            }
        }
        mixed
    }

    /// How many records a stream took, whether or not it still exists.
    pub fn stored(&self, stream: &str) -> u64 {
        self.now().stored(stream)
    }

    /// The texts that were written to a parameter, with their instants, whether or not it still exists.
    pub fn parameter_writes(&self, name: &str) -> Vec<(MicroTime, String)> {
        self.now().parameter_writes(name)
    }

    /// The body of a dashboard, if there is one of this name.
    pub fn dashboard(&self, name: &str) -> Option<String> {
        self.now().account.dashboards.get(name).cloned()
    }

    /// What was measured of runs and published, in order.
    pub fn measured(&self) -> Vec<Measured> {
        self.now().account.measured.clone()
    }

    /// The tasks that run now, in the order in which they were placed.
    pub fn running_tasks(&self) -> Vec<TaskId> {
        self.now().running_tasks()
    }

    /// The world as it is at the clock's instant.
    fn now(&self) -> MutexGuard<'_, AccountState> {
        let now = self.clock.now();
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance_to(now);
        world
    }
}

impl Regions for FakeAws {
    fn in_region(&self, region: &str) -> Aws {
        let handle = Arc::new(Handle { fake: self.clone(), region: region.to_owned() });
        Aws {
            identity: handle.clone(),
            streams: handle.clone(),
            task_definitions: handle.clone(),
            services: handle.clone(),
            tasks: handle.clone(),
            scaling: handle.clone(),
            parameters: handle.clone(),
            logs: handle.clone(),
            dashboards: handle.clone(),
            metrics: handle.clone(),
            clock: handle,
        }
    }
}

/// The fake, seen from one region.
struct Handle {
    fake: FakeAws,
    region: String,
}

/// AWS's reason for not doing something.
struct Refusal {
    code: &'static str,
    message: String,
}

fn refusal(code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { code, message: message.into() }
}

/// How long the operator's AWS client waits for a call, its attempts together (`session.rs`).
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Moves the fake's clock by the time that a caller has waited, whether or not it waited to the end.
struct Waiting<'a> {
    clock: &'a ManualClock,
    began_at: MicroTime,
    began: tokio::time::Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.clock.advance_to(self.began_at + self.began.elapsed());
    }
}

impl Handle {
    /// Waits as long as the answer to a call takes.
    async fn reach(&self, operation: &'static str) -> &Self {
        let now = self.fake.clock.now();
        let latency = self.fake.now().switchboard.latency(operation, now);
        if let Some(latency) = latency {
            let waiting =
                Waiting { clock: &self.fake.clock, began_at: now, began: tokio::time::Instant::now() };
            tokio::time::sleep(latency.min(CALL_TIMEOUT)).await;
            drop(waiting);
            if latency >= CALL_TIMEOUT {
                self.fake.now().switchboard.lose_next(operation);
            }
        }
        self
    }

    fn read<T>(
        &self,
        operation: &'static str,
        target: &str,
        answer: impl FnOnce(&mut RegionState<'_>) -> Result<T, Refusal>,
    ) -> AwsResult<T> {
        self.fake.now().call(&self.region, operation, target, Access::Read, answer)
    }

    fn write<T>(
        &self,
        operation: &'static str,
        target: &str,
        perform: impl FnOnce(&mut RegionState<'_>) -> Result<T, Refusal>,
    ) -> AwsResult<T> {
        self.fake.now().call(&self.region, operation, target, Access::Write, perform)
    }
}

#[async_trait]
impl Identity for Handle {
    async fn fetch_account_id(&self) -> AwsResult<String> {
        self.reach("GetCallerIdentity")
            .await
            .read("GetCallerIdentity", "account", |scene| Ok(scene.settings.account_id.clone()))
    }
}

impl AwsClock for Handle {
    fn skew(&self) -> Option<ClockSkew> {
        self.fake.now().settings.clock_skew
    }
}
