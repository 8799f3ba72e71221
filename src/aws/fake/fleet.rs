//! The tasks of the fake's services. In: desired counts, capacity, instants. Out: tasks that start, run, stop and are
//! replaced, as ECS's service scheduler and Fargate would have it.

use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::TaskId;

use super::ecs::Service;
use super::generator::{Generator, TaskEnvironment};
use super::world::{Region, RegionState, ServiceKey};
use super::{Handle, Settings, refusal};
use crate::aws::{AwsErrorClass, AwsResult, ServiceState, TaskDescription, TaskState, TaskStop, Tasks};

/// ECS forgets stopped tasks (Amazon ECS API reference, DescribeTasks: "at least one hour").
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);

/// No task starts faster, however a test sets the delays: else a task that exits at once would be replaced for ever within
/// one instant.
const FASTEST_START: Duration = Duration::from_secs(1);

/// ECS API reference: ListTasks and DescribeTasks (100 per call), UpdateTaskProtection (10 per call).
const TASKS_PER_DESCRIBE: usize = 100;
const TASKS_PER_PROTECTION: usize = 10;

/// Why a task stops, as ECS words it.
#[derive(Clone)]
struct StopReason {
    code: &'static str,
    reason: String,
    exit_code: Option<i32>,
}

impl StopReason {
    fn new(code: &'static str, reason: impl Into<String>, exit_code: Option<i32>) -> Self {
        Self { code, reason: reason.into(), exit_code }
    }

    /// Its process ended with this code.
    fn exited(exit_code: i32) -> Self {
        Self::new("EssentialContainerExited", "Essential container in task exited", Some(exit_code))
    }

    fn scaled_in() -> Self {
        Self::new("ServiceSchedulerInitiated", "Scaling activity initiated by deployment", Some(0))
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
    /// The process, once it was started; it stays for its books when the task is gone.
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

    pub(super) fn live_until(&mut self, until: MicroTime, around: &mut TaskEnvironment<'_>) {
        if let (TaskLifecycle::Running, Some(generator)) = (&self.life, &mut self.generator) {
            generator.live_until(until, around);
        }
    }

    fn is_meant_to_run(&self) -> bool {
        matches!(self.life, TaskLifecycle::Starting { .. } | TaskLifecycle::Running)
    }

    fn is_protected(&self, now: MicroTime) -> bool {
        self.protected_until.is_some_and(|until| until > now)
    }

    /// SIGTERM. A task whose process does not run yet just ends.
    fn stop(&mut self, now: MicroTime, takes: Duration, why: StopReason) {
        if let Some(generator) = &mut self.generator {
            generator.stop_sending();
        }
        self.life = TaskLifecycle::Stopping { began_at: now, until: now + takes, why };
    }

    fn seen(&self) -> TaskDescription {
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
    /// The running and the pending tasks of a service, as DescribeServices counts them.
    pub(super) fn task_counts(&self, key: &ServiceKey) -> (u32, u32) {
        let count = |is: fn(&TaskLifecycle) -> bool| {
            self.tasks.iter().filter(|task| task.service == *key && is(&task.life)).count()
        };
        let running = count(|life| matches!(life, TaskLifecycle::Running | TaskLifecycle::Stopping { .. }));
        let pending = count(|life| matches!(life, TaskLifecycle::Starting { .. }));
        (u32::try_from(running).unwrap_or(u32::MAX), u32::try_from(pending).unwrap_or(u32::MAX))
    }

    /// Until when a service that has tasks to stop finds too few unprotected ones.
    pub(super) fn victims_awaited_until(
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
        spoken: bool,
        now: MicroTime,
        settings: &Settings,
    ) -> bool {
        let Some(index) = self.tasks.iter().position(|task| task.id == *id && !task.is_stopped()) else {
            return false;
        };
        self.end_task(index, spoken, now, StopReason::exited(137), settings);
        true
    }

    fn end_task(&mut self, index: usize, spoken: bool, now: MicroTime, why: StopReason, settings: &Settings) {
        let Self { streams, stored, tasks, parameters, log_groups, .. } = self;
        let Some(task) = tasks.get_mut(index) else { return };
        if let Some(generator) = task.generator.as_mut() {
            generator.stop_sending();
            let mut around = TaskEnvironment {
                parameters,
                streams,
                stored,
                log_groups,
                limited: settings.stream_capacity.is_some(),
                log_delivery: settings.delays.log_delivery,
            };
            if spoken {
                generator.say_last_word(now, &mut around);
            }
        }
        task.life = TaskLifecycle::Stopped { at: now, why };
    }
}

impl RegionState<'_> {
    /// Everything that is due at this instant, except what tasks do by themselves.
    pub(super) fn apply_events(&mut self) {
        self.advance_streams();
        self.fire_scheduled_actions();
        let now = self.now;
        for index in 0..self.region.tasks.len() {
            let Some(task) = self.region.tasks.get_mut(index) else { continue };
            match &task.life {
                TaskLifecycle::Starting { until } if *until <= now => self.start_process(index),
                TaskLifecycle::Running
                    if task.changes_at().is_some_and(|scale_to_zero| scale_to_zero <= now) =>
                {
                    task.stop(now, self.settings.delays.task_stop, StopReason::exited(0));
                }
                TaskLifecycle::Stopping { until, why, .. } if *until <= now => {
                    let why = why.clone();
                    self.region.end_task(index, true, now, why, self.settings);
                }
                _ => {}
            }
        }
        self.retire_services();
    }

    /// Has every service start what it lacks and stop what it has too much of.
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
        self.retire_services();
    }

    fn start_tasks(&mut self, key: &ServiceKey, wanted: usize) {
        let existing = self.region.tasks.iter().filter(|task| !task.is_stopped()).count();
        let room =
            usize::try_from(self.settings.task_capacity).unwrap_or(usize::MAX).saturating_sub(existing);
        for _ in 0..wanted.min(room) {
            let full_id = format!("{:016x}{:016x}", self.dice.draw(), self.dice.draw());
            let arn = self.arn("ecs", &format!("task/{}/{full_id}", key.0));
            let delays = &self.settings.delays;
            let spread = u64::try_from(delays.task_start_spread.as_micros()).unwrap_or(u64::MAX);
            let takes = delays.task_start.max(FASTEST_START) + Duration::from_micros(self.dice.below(spread));
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
        }
        let Some(service) = self.region.services.get_mut(key).filter(|_| wanted > room) else { return };
        service.say("was unable to place a task. Reason: You've reached the limit on the number of vCPUs you can run concurrently.");
    }

    /// ECS picks its victims among the unprotected; which ones is nobody's business.
    fn stop_tasks(&mut self, key: &ServiceKey, excess: usize) {
        let now = self.now;
        let is_deleted =
            self.region.services.get(key).is_some_and(|service| service.state == ServiceState::Draining);
        for _ in 0..excess {
            let may_stop = |task: &Task| {
                // A forced deletion of the service does not ask.
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
            let pick = self.dice.below(u64::try_from(candidates.len()).unwrap_or(u64::MAX));
            let victim = usize::try_from(pick).ok().and_then(|pick| candidates.get(pick));
            let Some(task) = victim.and_then(|index| self.region.tasks.get_mut(*index)) else { return };
            task.stop(now, self.settings.delays.task_stop, StopReason::scaled_in());
        }
    }

    fn start_process(&mut self, index: usize) {
        let now = self.now;
        let Some(task) = self.region.tasks.get_mut(index) else { return };
        let Some(service) = self.region.services.get(&task.service) else { return };
        let definition = &service.definition;
        if !self.region.log_groups.contains_key(&definition.log_group) {
            let reason = "ResourceInitializationError: failed to validate logger args: The task cannot find the Amazon CloudWatch log group defined in the task definition.";
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
            let listed = self.reach("ListTasks").await.read("ListTasks", service, |scene| {
                if !scene.region.services.contains_key(&key) {
                    return Err(refusal("ServiceNotFoundException", "Service not found."));
                }
                let own = scene.region.tasks.iter().filter(|task| task.service == key);
                let known = own.filter(|task| match task.life {
                    TaskLifecycle::Stopped { at, .. } => scene.now.since(at) < FORGOTTEN_AFTER,
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
            let described = self.reach("DescribeTasks").await.read("DescribeTasks", service, |scene| {
                let asked = scene.region.tasks.iter().filter(|task| batch.contains(&task.arn));
                Ok(asked.map(Task::seen).collect::<Vec<_>>())
            });
            seen.extend(described?);
        }
        Ok(seen)
    }

    async fn protect_tasks(&self, cluster: &str, arns: &[String], minutes: u32) -> AwsResult<()> {
        self.set_protection(cluster, arns, Some(Duration::from_secs(60) * minutes)).await
    }

    async fn release_tasks(&self, cluster: &str, arns: &[String]) -> AwsResult<()> {
        self.set_protection(cluster, arns, None).await
    }
}

impl Handle {
    async fn set_protection(&self, cluster: &str, arns: &[String], lasts: Option<Duration>) -> AwsResult<()> {
        for batch in arns.chunks(TASKS_PER_PROTECTION) {
            self.reach("UpdateTaskProtection").await.write("UpdateTaskProtection", cluster, |scene| {
                let until = lasts.map(|lasts| scene.now + lasts);
                for task in &mut scene.region.tasks {
                    if batch.contains(&task.arn) && task.is_meant_to_run() {
                        task.protected_until = until;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}
