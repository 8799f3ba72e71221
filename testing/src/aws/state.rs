//! The fake's state over time. In: instants to advance to, and calls to perform. Out: the state at
//! these instants.

use std::collections::BTreeMap;
use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::TaskId;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::calls::{Access, Call, FaultInjector, FaultKind, injected};
use super::dashboards::Account;
use super::ecs::{Family, Service};
use super::generator::{Sent, TaskEnvironment};
use super::kinesis::Stream;
use super::logs::LogGroup;
use super::parameters::Parameter;
use super::scaling::Target;
use super::snapshot::Snapshot;
use super::tasks::Task;
use super::{ApiError, Settings};
use kinesis_demo_operator::aws::{AwsError, AwsResult, Tags};

/// The names of a cluster and a service.
pub(super) type ServiceKey = (String, String);

/// With this seed the tasks of the peak get their slots just before the faults of
/// `tests/scenarios/fault_table.rs` begin. With the seeds 1 and 2 they would get them some seconds
/// later; then ListTasks or DescribeTasks failing at that moment costs part of the peak.
const DEFAULT_SEED: u64 = 3;

pub(super) struct AccountState {
    pub(super) settings: Settings,
    /// Task ids, start times and the selection of tasks for scale-in: equal seeds give equal
    /// courses.
    pub(super) random: ChaCha8Rng,
    pub(super) fault_injector: FaultInjector,
    pub(super) most_at_once: BTreeMap<&'static str, usize>,
    pub(super) account: Account,
    regions: BTreeMap<String, Region>,
    now: MicroTime,
}

/// Everything that exists in one region.
#[derive(Default)]
pub(super) struct Region {
    pub(super) streams: BTreeMap<String, Stream>,
    pub(super) stored: BTreeMap<String, u64>,
    pub(super) families: BTreeMap<String, Family>,
    pub(super) services: BTreeMap<ServiceKey, Service>,
    pub(super) tasks: Vec<Task>,
    pub(super) targets: BTreeMap<ServiceKey, Target>,
    pub(super) parameters: BTreeMap<String, Parameter>,
    pub(super) parameter_writes: BTreeMap<String, Vec<(MicroTime, String)>>,
    pub(super) log_groups: BTreeMap<String, LogGroup>,
}

/// What a call can access: its region at the current instant.
pub(super) struct RegionState<'a> {
    pub(super) region: &'a mut Region,
    pub(super) account: &'a mut Account,
    pub(super) settings: &'a Settings,
    pub(super) random: &'a mut ChaCha8Rng,
    pub(super) now: MicroTime,
    pub(super) name: &'a str,
}

impl RegionState<'_> {
    /// The ARN of `resource` of `service` in this region.
    pub(super) fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{resource}", self.name, self.settings.account_id)
    }
}

impl AccountState {
    pub(super) fn new(settings: Settings, now: MicroTime) -> Self {
        Self {
            settings,
            random: ChaCha8Rng::seed_from_u64(DEFAULT_SEED),
            fault_injector: FaultInjector::default(),
            most_at_once: BTreeMap::new(),
            account: Account::default(),
            regions: BTreeMap::new(),
            now,
        }
    }

    /// Simulates everything up to and including `until`.
    pub(super) fn advance_to(&mut self, until: MicroTime) {
        if until <= self.now {
            return;
        }
        for (name, region) in &mut self.regions {
            let mut now = self.now;
            while let Some(at) = region.next_event_at(now, &self.settings).filter(|at| *at <= until) {
                region.simulate(now, at, &self.settings);
                now = at;
                let mut state = RegionState {
                    region,
                    account: &mut self.account,
                    settings: &self.settings,
                    random: &mut self.random,
                    now: at,
                    name: name.as_str(),
                };
                state.apply_events();
                state.place_tasks();
            }
            region.simulate(now, until, &self.settings);
        }
        self.now = until;
        self.count_things();
    }

    /// Performs one call, unless a fault or a crash of the caller prevents it.
    pub(super) fn call<T>(
        &mut self,
        region: &str,
        operation: &'static str,
        target: &str,
        access: Access,
        perform: impl FnOnce(&mut RegionState<'_>) -> Result<T, ApiError>,
    ) -> AwsResult<T> {
        if self.fault_injector.crashed() {
            return Err(AwsError::unanswered(operation, target, "crashed"));
        }
        let fault = self.fault_injector.take_fault(operation, self.now);
        let (result, performed) = match fault {
            Some(FaultKind::Fail(class)) => (Err(injected(operation, target, class)), false),
            Some(FaultKind::FailWith { code, message }) => {
                (Err(AwsError::refused(operation, target, code, message)), false)
            }
            fault @ (Some(FaultKind::LoseResponse | FaultKind::Delay(_)) | None) => {
                let result = self.with_region(region, |state| {
                    let result = perform(state);
                    state.place_tasks();
                    result
                });
                let performed = result.is_ok();
                let response = match (fault, result) {
                    (Some(_), Ok(_)) => Err(AwsError::unanswered(operation, target, "the response was lost")),
                    (_, result) => result.map_err(|ApiError { code, message }| {
                        // Like the operator's adapters, which show the code if there is no message.
                        let message = if message.is_empty() { code.to_owned() } else { message };
                        AwsError::refused(operation, target, code, message)
                    }),
                };
                (response, performed)
            }
        };
        self.count_things();
        let was_last = self.fault_injector.record(Call {
            at: self.now,
            region: region.to_owned(),
            operation,
            target: target.to_owned(),
            is_write: access == Access::Write,
            performed,
            error: result.as_ref().err().map(|error| error.class),
        });
        if was_last { Err(AwsError::unanswered(operation, target, "crashed")) } else { result }
    }

    /// Starts and stops the tasks of every service as needed.
    pub(super) fn place_tasks(&mut self) {
        for name in self.regions.keys().cloned().collect::<Vec<_>>() {
            self.with_region(&name, |state| state.place_tasks());
        }
    }

    pub(super) fn set_queues(&mut self, stream: &str, queues: u32) {
        for region in self.regions.values_mut() {
            if let Some(stream) = region.streams.get_mut(stream) {
                stream.queues = queues;
            }
        }
    }

    pub(super) fn hang_task(&mut self, task: &TaskId) {
        let tasks = self.regions.values_mut().flat_map(|region| &mut region.tasks);
        for found in tasks.filter(|found| found.id == *task) {
            if let Some(generator) = &mut found.generator {
                generator.stop_sending();
            }
        }
    }

    pub(super) fn untag_stream(&mut self, name: &str) {
        for region in self.regions.values_mut() {
            if let Some(stream) = region.streams.get_mut(name) {
                stream.tags.clear();
            }
        }
    }

    pub(super) fn parameter_tags(&self, name: &str) -> Option<Tags> {
        let found = self.regions.values().find_map(|region| region.parameters.get(name));
        found.map(|found| found.tags.clone())
    }

    pub(super) fn kill_task(&mut self, task: &TaskId, writes_final_line: bool) -> bool {
        let now = self.now;
        self.regions.values_mut().any(|region| region.kill_task(task, writes_final_line, now, &self.settings))
    }

    pub(super) fn sent(&self) -> impl Iterator<Item = &Sent> {
        let tasks = self.regions.values().flat_map(|region| &region.tasks);
        tasks.filter_map(|task| task.generator.as_ref()).flat_map(|generator| generator.sent())
    }

    pub(super) fn stored(&self, stream: &str) -> u64 {
        self.regions.values().filter_map(|region| region.stored.get(stream)).sum()
    }

    pub(super) fn parameter_writes(&self, name: &str) -> Vec<(MicroTime, String)> {
        let writes = self.regions.values().filter_map(|region| region.parameter_writes.get(name));
        writes.flatten().cloned().collect()
    }

    pub(super) fn running_tasks(&self) -> Vec<TaskId> {
        let tasks = self.regions.values().flat_map(|region| &region.tasks);
        tasks.filter(|task| task.is_running()).map(|task| task.id.clone()).collect()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let mut snapshot =
            Snapshot { dashboards: self.account.dashboards.keys().cloned().collect(), ..Snapshot::default() };
        for (name, region) in &self.regions {
            snapshot.add(name, region);
        }
        snapshot
    }

    fn count_things(&mut self) {
        let mut now = BTreeMap::from([("dashboards", self.account.dashboards.len())]);
        for region in self.regions.values() {
            for (kind, count) in region.counts() {
                *now.entry(kind).or_default() += count;
            }
        }
        for (kind, count) in now {
            let most = self.most_at_once.entry(kind).or_default();
            *most = count.max(*most);
        }
    }

    fn with_region<T>(&mut self, name: &str, act: impl FnOnce(&mut RegionState<'_>) -> T) -> T {
        let region = self.regions.entry(name.to_owned()).or_default();
        act(&mut RegionState {
            region,
            account: &mut self.account,
            settings: &self.settings,
            random: &mut self.random,
            now: self.now,
            name,
        })
    }
}

impl Region {
    /// The next instant at which anything but the tasks' own actions changes; `now` if something is
    /// overdue.
    fn next_event_at(&self, now: MicroTime, settings: &Settings) -> Option<MicroTime> {
        let streams = self.streams.values().filter_map(Stream::changes_at);
        let tasks = self.tasks.iter().filter_map(Task::changes_at);
        let actions = self.targets.values().filter_map(|target| target.action_at);
        let unprotected =
            self.services.iter().filter_map(|(key, service)| self.scale_in_blocked_until(key, service, now));
        // Stream capacity is divided among the tasks every second.
        let whole_second = || {
            let next = now.as_micros().div_euclid(1_000_000) + 1;
            MicroTime::from_micros(next * 1_000_000)
        };
        let is_any_running = || self.tasks.iter().any(Task::is_running);
        let settlement = (settings.stream_capacity.is_some() && is_any_running()).then(whole_second);
        streams.chain(tasks).chain(actions).chain(unprotected).chain(settlement).min().map(|at| at.max(now))
    }

    /// Simulates the tasks from `from` to `until`, while nothing else changes.
    fn simulate(&mut self, from: MicroTime, until: MicroTime, settings: &Settings) {
        let Self { streams, stored, tasks, parameters, log_groups, .. } = self;
        let mut task_env = TaskEnvironment {
            parameters,
            streams,
            stored,
            log_groups,
            limited: settings.stream_capacity.is_some(),
            log_delivery: settings.delays.log_delivery,
        };
        for task in tasks.iter_mut() {
            task.run_until(until, &mut task_env);
        }
        if let Some(capacity) = settings.stream_capacity {
            self.settle(capacity, until.since(from));
        }
    }

    /// Divides the streams' capacity among the records that are not settled yet.
    fn settle(&mut self, records_per_second: u32, elapsed: Duration) {
        let Self { streams, stored, tasks, .. } = self;
        for (name, stream) in streams {
            let mut available = stream.refill(records_per_second, elapsed);
            let generators = || tasks.iter().filter_map(|task| task.generator.as_ref());
            let mut unsettled: u64 =
                generators().filter(|generator| generator.sends_to(name)).map(|g| g.unsettled()).sum();
            for generator in tasks.iter_mut().filter_map(|task| task.generator.as_mut()) {
                if generator.sends_to(name) && generator.unsettled() > 0 {
                    let own = generator.unsettled();
                    // Divides the remaining capacity in proportion. Nothing is lost to rounding,
                    // because the last generator gets the rest.
                    let taken = u128::from(available) * u128::from(own) / u128::from(unsettled.max(1));
                    let taken = u64::try_from(taken).unwrap_or(own).min(own);
                    generator.settle(taken);
                    available -= taken;
                    unsettled -= own;
                    *stored.entry(name.clone()).or_default() += taken;
                }
            }
            stream.set_available(available);
        }
    }
}
