//! A small in-process AWS for scenario tests. In: the calls of the traits in `aws`, a
//! [`ManualClock`], and what a test sets. Out: AWS's responses, what the tasks sent, and what
//! exists. No I/O.
//!
//! Time passes between calls only. Each call first simulates everything up to the clock's instant
//! (streams become active; tasks start, read their control document, send, write their ledger), and
//! is then performed. Equal seeds and equal calls give equal results.

mod calls;
mod dashboards;
mod ecs;
mod generator;
mod kinesis;
mod logs;
mod parameters;
mod scaling;
mod settings;
mod snapshot;
mod state;
mod tasks;
mod validation;

#[cfg(test)]
mod tasks_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::TaskId;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub use calls::Call;
pub use dashboards::PublishedMetric;
pub use generator::Sent;
pub use settings::Delays;
pub use snapshot::Snapshot;

use kinesis_demo_operator::aws::{
    Advantage, Aws, AwsClock, AwsErrorClass, AwsResult, ClockSkew, Identity, Regions,
};
use kinesis_demo_operator::clock::Clock;

use crate::clock::ManualClock;
use calls::{Access, FaultKind};
use settings::Settings;
use state::{AccountState, RegionState};

/// Whether a killed task writes its final ledger line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalLine {
    /// It drained: the final line is written.
    Written,
    /// SIGKILL or a lost host: nothing after the last regular line.
    Missing,
}

/// The fake. Clones share their state.
#[derive(Clone)]
pub struct FakeAws {
    clock: ManualClock,
    state: Arc<Mutex<AccountState>>,
}

impl FakeAws {
    /// An account `000000000000` that contains only the ECS cluster `default`. Advantage is off.
    pub fn new(clock: ManualClock) -> Self {
        let settings = Settings::default();
        let state = AccountState::new(settings, clock.now());
        Self { clock, state: Arc::new(Mutex::new(state)) }
    }

    /// Sets the account of later calls.
    pub fn set_account_id(&self, account_id: &str) {
        self.now().settings.account_id = account_id.to_owned();
    }

    /// Sets the state of On-demand Advantage.
    pub fn set_advantage(&self, advantage: Advantage) {
        self.now().settings.advantage = advantage;
    }

    /// Sets the clock skew that AWS's responses show.
    pub fn set_clock_skew(&self, skew: Option<ClockSkew>) {
        self.now().settings.clock_skew = skew;
    }

    /// Sets the number of queues of a stream, in every region.
    pub fn set_queues(&self, stream: &str, queues: u32) {
        self.now().set_queues(stream, queues);
    }

    /// Adds an ECS cluster, in every region.
    pub fn add_cluster(&self, name: &str) {
        self.now().settings.clusters.push(name.to_owned());
    }

    /// Removes an ECS cluster, in every region. Its tasks keep running.
    pub fn remove_cluster(&self, name: &str) {
        self.now().settings.clusters.retain(|cluster| cluster != name);
    }

    /// Sets the delays of later operations. Operations in progress are not changed.
    pub fn set_delays(&self, delays: Delays) {
        self.now().settings.delays = delays;
    }

    /// Makes tasks fail to start for this reason, in ECS's words; `None` lets them start.
    pub fn set_start_failure(&self, reason: Option<&str>) {
        self.now().settings.start_failure = reason.map(str::to_owned);
    }

    /// Sets the last line of each task's log, after its ledger lines.
    pub fn set_last_line(&self, line: &str) {
        self.now().settings.last_line = Some(line.to_owned());
    }

    /// Sets how many tasks may exist at once per region. Excess tasks keep running.
    pub fn set_capacity(&self, tasks: u32) {
        let mut state = self.now();
        state.settings.task_capacity = tasks;
        state.place_tasks();
    }

    /// Sets how many records per second each stream accepts. The others are throttled and given up.
    pub fn set_stream_capacity(&self, records_per_second: Option<u32>) {
        self.now().settings.stream_capacity = records_per_second;
    }

    /// Sets how many ledger lines a page of the log has at most, and how long its response takes.
    pub fn set_ledger_page(&self, lines: usize, takes: Duration) {
        self.now().settings.ledger_page = (lines, takes);
    }

    /// Sets the seed of task ids, start times and the selection of tasks for scale-in.
    pub fn set_seed(&self, seed: u64) {
        self.now().random = ChaCha8Rng::seed_from_u64(seed);
    }

    /// Ends a task at once, and its service replaces it. Returns false if no such task is starting,
    /// running or stopping.
    pub fn kill_task(&self, task: &TaskId, final_line: FinalLine) -> bool {
        let mut state = self.now();
        let killed = state.kill_task(task, final_line == FinalLine::Written);
        state.place_tasks();
        killed
    }

    /// Makes a running task hang: it sends no records and writes no lines.
    pub fn hang_task(&self, task: &TaskId) {
        self.now().hang_task(task);
    }

    /// Removes all tags from a stream, in every region.
    pub fn untag_stream(&self, name: &str) {
        self.now().untag_stream(name);
    }

    /// The tags of a parameter, if it exists.
    pub fn parameter_tags(&self, name: &str) -> Option<kinesis_demo_operator::aws::Tags> {
        self.now().parameter_tags(name)
    }

    /// Fails the next `times` calls of `operation` (`*` for any) without an effect.
    pub fn fail(&self, operation: &str, class: AwsErrorClass, times: u32) {
        self.now().fault_injector.add_fault(operation, FaultKind::Fail(class), times);
    }

    /// Fails every call of `operation` for the duration `lasts`.
    pub fn fail_for(&self, operation: &str, class: AwsErrorClass, lasts: Duration) {
        let until = self.clock.now() + lasts;
        self.now().fault_injector.add_window(operation, FaultKind::Fail(class), until);
    }

    /// Makes streams show their old target after their warm throughput was released.
    pub fn keep_warm_targets(&self) {
        self.now().settings.keeps_warm_targets = true;
    }

    /// Caps the target of streams, although every call succeeds.
    pub fn cap_warm_throughput(&self, mib_per_second: u32) {
        self.now().settings.warm_cap = mib_per_second;
    }

    /// Fails the next `times` calls of `operation` with this code and message.
    pub fn fail_with(&self, operation: &str, code: &'static str, message: &str, times: u32) {
        let kind = FaultKind::FailWith { code, message: message.to_owned() };
        self.now().fault_injector.add_fault(operation, kind, times);
    }

    /// Delays responses to `operation` by `latency`, for the duration `lasts`. A caller that does
    /// not wait that long gets none. Needs tokio's paused time.
    pub fn delay_for(&self, operation: &str, latency: Duration, lasts: Duration) {
        let until = self.clock.now() + lasts;
        self.now().fault_injector.add_window(operation, FaultKind::Delay(latency), until);
    }

    /// Performs the next `times` calls of `operation` (`*` for any), but loses their responses.
    pub fn lose_response(&self, operation: &str, times: u32) {
        self.now().fault_injector.add_fault(operation, FaultKind::LoseResponse, times);
    }

    /// Removes all remaining faults.
    pub fn clear_faults(&self) {
        self.now().fault_injector.clear_faults();
    }

    /// Performs the `nth` call from now on (1 is the next) and then crashes the caller: that call
    /// and every later one gets the error `crashed`, and the later ones have no effect, until
    /// [`FakeAws::revive`].
    pub fn crash_after_call(&self, nth: u64) {
        self.now().fault_injector.crash_after(nth);
    }

    /// Whether the crash point was reached.
    pub fn crashed(&self) -> bool {
        self.now().fault_injector.crashed()
    }

    /// Accepts calls again, as after a restart of the caller.
    pub fn revive(&self) {
        self.now().fault_injector.revive();
    }

    /// Every call that reached AWS, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.now().fault_injector.calls().to_vec()
    }

    /// The number of calls that reached AWS, by operation.
    pub fn call_counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for call in self.now().fault_injector.calls() {
            *counts.entry(call.operation).or_default() += 1;
        }
        counts
    }

    /// The number of reads at or after `since`.
    pub fn reads_since(&self, since: MicroTime) -> usize {
        self.now().fault_injector.calls().iter().filter(|call| call.at >= since && !call.is_write).count()
    }

    /// The number of writes at or after `since`, whether or not they succeeded.
    pub fn writes_since(&self, since: MicroTime) -> usize {
        self.now().fault_injector.calls().iter().filter(|call| call.at >= since && call.is_write).count()
    }

    /// Everything that exists now.
    pub fn snapshot(&self) -> Snapshot {
        self.now().snapshot()
    }

    /// The largest number of resources of each kind that existed at once so far.
    pub fn most_at_once(&self) -> BTreeMap<&'static str, usize> {
        self.now().most_at_once.clone()
    }

    /// What the tasks sent, in stretches without changes, by task and time.
    pub fn sent(&self) -> Vec<Sent> {
        self.now().sent().cloned().collect()
    }

    /// The number of records that arrived at all streams in [`from`, `until`).
    pub fn records_arrived(&self, from: MicroTime, until: MicroTime) -> u64 {
        self.now().sent().map(|sent| sent.within(from, until)).sum()
    }

    /// The number of records that arrived at all streams, by second since 1970.
    pub fn records_by_second(&self) -> BTreeMap<i64, u64> {
        let state = self.now();
        let mut seconds = BTreeMap::new();
        for sent in state.sent() {
            let last = sent.until.as_micros().saturating_sub(1).div_euclid(1_000_000);
            for second in sent.from.as_micros().div_euclid(1_000_000)..=last {
                let from = MicroTime::from_micros(second * 1_000_000);
                *seconds.entry(second).or_default() += sent.within(from, from + Duration::from_secs(1));
            }
        }
        seconds
    }

    /// Pairs of stretches that overlap in time but were sent by different versions of one run's
    /// document. Must be empty. A new epoch alone is not a new version while it divides the records
    /// among the same number of tasks.
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

    /// The number of records that a stream accepted, whether or not it still exists.
    pub fn stored(&self, stream: &str) -> u64 {
        self.now().stored(stream)
    }

    /// The values written to a parameter, with their instants, whether or not it still exists.
    pub fn parameter_writes(&self, name: &str) -> Vec<(MicroTime, String)> {
        self.now().parameter_writes(name)
    }

    /// The body of a dashboard, if it exists.
    pub fn dashboard(&self, name: &str) -> Option<String> {
        self.now().account.dashboards.get(name).cloned()
    }

    /// The published metric values, in order.
    pub fn published_metrics(&self) -> Vec<PublishedMetric> {
        self.now().account.published_metrics.clone()
    }

    /// The running tasks, in the order of their placement.
    pub fn running_tasks(&self) -> Vec<TaskId> {
        self.now().running_tasks()
    }

    /// The state at the clock's instant.
    fn now(&self) -> MutexGuard<'_, AccountState> {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.advance_to(now);
        state
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

/// The fake in one region.
struct Handle {
    fake: FakeAws,
    region: String,
}

/// An error response of AWS.
struct ApiError {
    code: &'static str,
    message: String,
}

fn api_error(code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError { code, message: message.into() }
}

/// How long the operator's AWS client waits for a call, all attempts together (`session.rs`).
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Advances the fake's clock by the time that a caller waited, even if it stopped waiting.
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
    /// Waits for the latency of a call.
    async fn reach(&self, operation: &'static str) -> &Self {
        let now = self.fake.clock.now();
        let latency = self.fake.now().fault_injector.latency(operation, now);
        if let Some(latency) = latency {
            let waiting =
                Waiting { clock: &self.fake.clock, began_at: now, began: tokio::time::Instant::now() };
            tokio::time::sleep(latency.min(CALL_TIMEOUT)).await;
            drop(waiting);
            if latency >= CALL_TIMEOUT {
                self.fake.now().fault_injector.lose_next(operation);
            }
        }
        self
    }

    fn read<T>(
        &self,
        operation: &'static str,
        target: &str,
        perform: impl FnOnce(&mut RegionState<'_>) -> Result<T, ApiError>,
    ) -> AwsResult<T> {
        self.fake.now().call(&self.region, operation, target, Access::Read, perform)
    }

    fn write<T>(
        &self,
        operation: &'static str,
        target: &str,
        perform: impl FnOnce(&mut RegionState<'_>) -> Result<T, ApiError>,
    ) -> AwsResult<T> {
        self.fake.now().call(&self.region, operation, target, Access::Write, perform)
    }
}

#[async_trait]
impl Identity for Handle {
    async fn fetch_account_id(&self) -> AwsResult<String> {
        self.reach("GetCallerIdentity")
            .await
            .read("GetCallerIdentity", "account", |state| Ok(state.settings.account_id.clone()))
    }
}

impl AwsClock for Handle {
    fn skew(&self) -> Option<ClockSkew> {
        self.fake.now().settings.clock_skew
    }
}
