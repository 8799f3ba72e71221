//! The tasks of the fake's services. In: desired counts, capacity and instants. Out: tasks that
//! start, run, stop and are replaced, as by ECS's service scheduler and Fargate.

use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::TaskId;
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::ecs::Service;
use super::generator::{Generator, TaskEnvironment};
use super::state::{Region, RegionState, ServiceKey};
use super::{Handle, Settings, api_error};
use kinesis_demo_operator::aws::{
    AwsErrorClass, AwsResult, ServiceState, TaskDescription, TaskState, TaskStop, Tasks,
};

/// After this time ECS forgets stopped tasks (Amazon ECS API reference, DescribeTasks: "at least
/// one hour").
const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// The minimum time of a task's start, whatever delay a test sets. Otherwise a task that exits at
/// once would be replaced forever within one instant.
const MIN_START: Duration = Duration::from_secs(1);

/// ECS API reference: 100 tasks per ListTasks and DescribeTasks, 10 per UpdateTaskProtection.
const TASKS_PER_DESCRIBE: usize = 100;
const TASKS_PER_PROTECTION: usize = 10;

/// Amazon ECS API reference, UpdateTaskProtection, `expiresInMinutes`.
const PROTECTION_MINUTES: std::ops::RangeInclusive<u32> = 1..=2_880;

/// Why a task stops, in ECS's words.
#[derive(Clone)]
struct StopReason {
    code: &'static str,
    reason: String,
    /// Unknown until its process has exited.
    exit_code: Option<i32>,
}

impl StopReason {
    fn new(code: &'static str, reason: impl Into<String>, exit_code: Option<i32>) -> Self {
        Self { code, reason: reason.into(), exit_code }
    }

    /// The task's process exited with this code.
    fn exited(exit_code: i32) -> Self {
        Self::new("EssentialContainerExited", "Essential container in task exited", Some(exit_code))
    }

    /// The service scheduler stops the task.
    fn scaled_in(deployment: &str) -> Self {
        let reason = format!("Scaling activity initiated by (deployment {deployment})");
        Self::new("ServiceSchedulerInitiated", reason, None)
    }

    fn failed_to_start(reason: impl Into<String>) -> Self {
        Self::new("TaskFailedToStart", reason, None)
    }
}

enum TaskLifecycle {
    Starting { until: MicroTime },
    Running,
    Stopping { began_at: MicroTime, until: MicroTime, why: StopReason },
    Stopped { at: MicroTime, why: StopReason },
}

pub(super) struct Task {
    pub(super) id: TaskId,
    pub(super) service: ServiceKey,
    /// The process, once it has started. It is kept after the task has stopped, for its counters.
    pub(super) generator: Option<Generator>,
    arn: String,
    life: TaskLifecycle,
    created_at: MicroTime,
    started_at: Option<MicroTime>,
    protected_until: Option<MicroTime>,
}

impl Task {
    pub(super) fn is_running(&self) -> bool {
        matches!(self.life, TaskLifecycle::Running)
    }

    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.life, TaskLifecycle::Stopped { .. })
    }

    pub(super) fn has_started(&self) -> bool {
        self.started_at.is_some()
    }

    pub(super) fn changes_at(&self) -> Option<MicroTime> {
        match self.life {
            TaskLifecycle::Starting { until } | TaskLifecycle::Stopping { until, .. } => Some(until),
            TaskLifecycle::Running => self.generator.as_ref().map(Generator::deadline),
            TaskLifecycle::Stopped { .. } => None,
        }
    }

    pub(super) fn run_until(&mut self, until: MicroTime, task_env: &mut TaskEnvironment<'_>) {
        if let (TaskLifecycle::Running, Some(generator)) = (&self.life, &mut self.generator) {
            generator.run_until(until, task_env);
        }
    }

    pub(super) fn is_meant_to_run(&self) -> bool {
        matches!(self.life, TaskLifecycle::Starting { .. } | TaskLifecycle::Running)
    }

    fn is_protected(&self, now: MicroTime) -> bool {
        self.protected_until.is_some_and(|until| until > now)
    }

    /// Sends SIGTERM. A task whose process has not started only ends.
    fn stop(&mut self, now: MicroTime, takes: Duration, why: StopReason) {
        if let Some(generator) = &mut self.generator {
            generator.stop_sending();
        }
        self.life = TaskLifecycle::Stopping { began_at: now, until: now + takes, why };
    }

    /// The whole id, of which [`TaskId`] is the beginning.
    fn full_id(&self) -> String {
        self.arn.rsplit('/').next().unwrap_or_default().to_owned()
    }

    fn describe(&self) -> TaskDescription {
        let (state, stop) = match &self.life {
            TaskLifecycle::Starting { .. } => (TaskState::Starting, None),
            TaskLifecycle::Running => (TaskState::Running, None),
            TaskLifecycle::Stopping { began_at, why, .. } => (TaskState::Stopping, Some((*began_at, why))),
            TaskLifecycle::Stopped { at, why } => (TaskState::Stopped, Some((*at, why))),
        };
        let stop = stop.map(|(at, StopReason { code, reason, exit_code })| TaskStop {
            at: Some(at),
            code: (*code).to_owned(),
            reason: reason.clone(),
            container_reason: None,
            exit_code: *exit_code,
        });
        TaskDescription {
            id: self.id.clone(),
            arn: self.arn.clone(),
            state,
            created_at: Some(self.created_at),
            started_at: self.started_at,
            stop,
        }
    }
}

impl Region {
    /// The counts of a service's running and pending tasks, as in DescribeServices: those in the
    /// state RUNNING, and those that start. A task that is stopping is in neither.
    pub(super) fn task_counts(&self, key: &ServiceKey) -> (u32, u32) {
        let count = |is: fn(&TaskLifecycle) -> bool| {
            self.tasks.iter().filter(|task| task.service == *key && is(&task.life)).count()
        };
        let running = count(|life| matches!(life, TaskLifecycle::Running));
        let pending = count(|life| matches!(life, TaskLifecycle::Starting { .. }));
        (u32::try_from(running).unwrap_or(u32::MAX), u32::try_from(pending).unwrap_or(u32::MAX))
    }

    /// When the next task protection ends, if protected tasks prevent a service from scaling in.
    pub(super) fn scale_in_blocked_until(
        &self,
        key: &ServiceKey,
        service: &Service,
        now: MicroTime,
    ) -> Option<MicroTime> {
        let own = || self.tasks.iter().filter(|task| task.service == *key && task.is_meant_to_run());
        let excess = own().count() > usize::try_from(service.desired).unwrap_or(usize::MAX);
        own().filter(|_| excess).filter_map(|task| task.protected_until).filter(|until| *until > now).min()
    }

    pub(super) fn kill_task(
        &mut self,
        id: &TaskId,
        writes_final_line: bool,
        now: MicroTime,
        settings: &Settings,
    ) -> bool {
        let Some(index) = self.tasks.iter().position(|task| task.id == *id && !task.is_stopped()) else {
            return false;
        };
        self.end_task(index, writes_final_line, now, StopReason::exited(137), settings);
        true
    }

    fn end_task(
        &mut self,
        index: usize,
        writes_final_line: bool,
        now: MicroTime,
        why: StopReason,
        settings: &Settings,
    ) {
        let Self { streams, stored, tasks, parameters, log_groups, .. } = self;
        let Some(task) = tasks.get_mut(index) else { return };
        if let Some(generator) = task.generator.as_mut() {
            generator.stop_sending();
            let mut task_env = TaskEnvironment {
                parameters,
                streams,
                stored,
                log_groups,
                limited: settings.stream_capacity.is_some(),
                log_delivery: settings.delays.log_delivery,
            };
            if writes_final_line {
                generator.write_final_line(now, &mut task_env);
            }
        }
        task.life = TaskLifecycle::Stopped { at: now, why };
    }
}

impl RegionState<'_> {
    /// Applies all events that are due at this instant, except what the tasks do.
    pub(super) fn apply_events(&mut self) {
        self.advance_streams();
        self.fire_scheduled_actions();
        let now = self.now;
        for index in 0..self.region.tasks.len() {
            let Some(task) = self.region.tasks.get_mut(index) else { continue };
            match &task.life {
                TaskLifecycle::Starting { until } if *until <= now => self.start_process(index),
                TaskLifecycle::Running if task.changes_at().is_some_and(|changes_at| changes_at <= now) => {
                    task.stop(now, self.settings.delays.task_stop, StopReason::exited(0));
                }
                TaskLifecycle::Stopping { until, why, .. } if *until <= now => {
                    let exited = task.generator.as_ref().map(|_| 0);
                    let why = StopReason { exit_code: why.exit_code.or(exited), ..why.clone() };
                    self.region.end_task(index, true, now, why, self.settings);
                }
                _ => {}
            }
        }
        self.advance_services();
    }

    /// Starts missing tasks and stops excess tasks of every service.
    pub(super) fn place_tasks(&mut self) {
        for key in self.region.services.keys().cloned().collect::<Vec<_>>() {
            let Some(desired) = self.region.services.get(&key).map(|service| service.desired) else {
                continue;
            };
            let desired = usize::try_from(desired).unwrap_or(usize::MAX);
            let own =
                self.region.tasks.iter().filter(|task| task.service == key && task.is_meant_to_run()).count();
            if own < desired {
                self.start_tasks(&key, desired - own);
            } else {
                self.stop_tasks(&key, own - desired);
            }
        }
        self.advance_services();
    }

    fn start_tasks(&mut self, key: &ServiceKey, wanted: usize) {
        let existing = self.region.tasks.iter().filter(|task| !task.is_stopped()).count();
        let room =
            usize::try_from(self.settings.task_capacity).unwrap_or(usize::MAX).saturating_sub(existing);
        let mut started = Vec::new();
        for _ in 0..wanted.min(room) {
            let full_id = format!("{:032x}", self.random.random::<u128>());
            let arn = self.arn("ecs", &format!("task/{}/{full_id}", key.0));
            let delays = &self.settings.delays;
            let later = self.random.random_range(Duration::ZERO..=delays.task_start_spread);
            let takes = delays.task_start.max(MIN_START) + later;
            self.region.tasks.push(Task {
                id: TaskId::from_arn(&arn),
                service: key.clone(),
                generator: None,
                arn,
                life: TaskLifecycle::Starting { until: self.now + takes },
                created_at: self.now,
                started_at: None,
                protected_until: None,
            });
            started.push(full_id);
        }
        self.note_tasks(key, "has started", "tasks", &started);
        let Some(service) = self.region.services.get_mut(key).filter(|_| wanted > room) else { return };
        service.record_event("was unable to place a task. Reason: You've reached the limit on the number of vCPUs you can run concurrently.");
    }

    /// Stops tasks that are not protected. ECS does not document which ones it selects.
    fn stop_tasks(&mut self, key: &ServiceKey, excess: usize) {
        let Some(service) = self.region.services.get(key).filter(|_| excess > 0) else { return };
        let is_deleted = service.state == ServiceState::Draining;
        let why = StopReason::scaled_in(&service.deployment_id());
        let (now, takes) = (self.now, self.settings.delays.task_stop);
        let mut stopped = Vec::new();
        for _ in 0..excess {
            let may_stop = |task: &Task| {
                // A forced deletion of the service ignores protection.
                task.service == *key && task.is_meant_to_run() && (is_deleted || !task.is_protected(now))
            };
            let candidates: Vec<usize> = self
                .region
                .tasks
                .iter()
                .enumerate()
                .filter(|(_, task)| may_stop(task))
                .map(|(index, _)| index)
                .collect();
            let selected = candidates.choose(self.random);
            let Some(task) = selected.and_then(|index| self.region.tasks.get_mut(*index)) else { break };
            task.stop(now, takes, why.clone());
            stopped.push(task.full_id());
        }
        self.note_tasks(key, "has stopped", "running tasks", &stopped);
    }

    /// Records the event of a service that started or stopped these tasks.
    fn note_tasks(&mut self, key: &ServiceKey, has_done: &str, what: &str, ids: &[String]) {
        let Some(service) = self.region.services.get_mut(key).filter(|_| !ids.is_empty()) else { return };
        let named: Vec<String> = ids.iter().map(|id| format!("(task {id})")).collect();
        service.record_event(&format!("{has_done} {} {what}: {}.", ids.len(), named.join(" ")));
    }

    fn start_process(&mut self, index: usize) {
        let now = self.now;
        let Some(task) = self.region.tasks.get_mut(index) else { return };
        let Some(service) = self.region.services.get(&task.service) else { return };
        let definition = &service.definition;
        if !self.region.log_groups.contains_key(&definition.log_group) {
            let reason = "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist. : exit status 1";
            task.life = TaskLifecycle::Stopped { at: now, why: StopReason::failed_to_start(reason) };
            return;
        }
        if let Some(reason) = &self.settings.start_failure {
            task.life = TaskLifecycle::Stopped { at: now, why: StopReason::failed_to_start(reason) };
            return;
        }
        task.started_at = Some(now);
        task.generator = Generator::new(
            task.id.clone(),
            &definition.environment,
            &definition.log_group,
            self.settings.gap_rule,
            now,
        );
        task.life = match &task.generator {
            Some(_) => TaskLifecycle::Running,
            None => TaskLifecycle::Stopped { at: now, why: StopReason::exited(2) },
        };
    }
}

#[async_trait]
impl Tasks for Handle {
    async fn fetch_tasks(&self, cluster: &str, service: &str) -> AwsResult<Vec<TaskDescription>> {
        let key = (cluster.to_owned(), service.to_owned());
        let mut arns = Vec::new();
        for meant_to_run in [true, false] {
            let listed = self.reach("ListTasks").await.read("ListTasks", service, |state| {
                if !state.region.services.contains_key(&key) {
                    return Err(api_error("ServiceNotFoundException", "Service not found."));
                }
                let own = state.region.tasks.iter().filter(|task| task.service == key);
                let known = own.filter(|task| match task.life {
                    TaskLifecycle::Stopped { at, .. } => state.now.since(at) < FORGET_AFTER,
                    _ => true,
                });
                let listed = known.filter(|task| task.is_meant_to_run() == meant_to_run);
                Ok(listed.map(|task| task.arn.clone()).collect::<Vec<_>>())
            });
            match listed {
                Ok(listed) => arns.extend(listed),
                Err(error) if error.class == AwsErrorClass::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            }
        }
        let mut seen = Vec::new();
        for batch in arns.chunks(TASKS_PER_DESCRIBE) {
            let found = self.reach("DescribeTasks").await.read("DescribeTasks", service, |state| {
                let described = state.region.tasks.iter().filter(|task| batch.contains(&task.arn));
                Ok(described.map(Task::describe).collect::<Vec<_>>())
            });
            seen.extend(found?);
        }
        Ok(seen)
    }

    async fn protect_tasks(&self, cluster: &str, arns: &[String], minutes: u32) -> AwsResult<()> {
        self.set_protection(cluster, arns, Some(minutes)).await
    }

    async fn release_tasks(&self, cluster: &str, arns: &[String]) -> AwsResult<()> {
        self.set_protection(cluster, arns, None).await
    }
}

impl Handle {
    async fn set_protection(&self, cluster: &str, arns: &[String], lasts: Option<u32>) -> AwsResult<()> {
        for batch in arns.chunks(TASKS_PER_PROTECTION) {
            self.reach("UpdateTaskProtection").await.write("UpdateTaskProtection", cluster, |state| {
                if lasts.is_some_and(|minutes| !PROTECTION_MINUTES.contains(&minutes)) {
                    let text = "expiresInMinutes must be between 1 and 2880.";
                    return Err(api_error("InvalidParameterException", text));
                }
                state.require_cluster(cluster)?;
                let until = lasts.map(|minutes| state.now + Duration::from_secs(60) * minutes);
                for task in &mut state.region.tasks {
                    // Only running tasks of this cluster. The response lists the others.
                    if batch.contains(&task.arn) && task.service.0 == cluster && task.is_running() {
                        task.protected_until = until;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}
