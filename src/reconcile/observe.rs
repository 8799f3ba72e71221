//! All reads. In: what the stage needs to know. Out: for each resource, the result of reading it.
//! The reads run concurrently, and each has a time limit so that none delays the reconcile.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::join;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::{ControlDocument, ControlState};
use kinesis_demo_api::ledger::Ledgers;
use kinesis_demo_api::plan::Plan;
use kinesis_demo_api::status::{
    KinesisDemoStatus, ResourceState, ResourceStatus, ResourceType, Stage, TaskFailure,
};

use super::Context;
pub use super::observed::{Observed, ObservedState};
use super::resources::names::Names;
use crate::aws::{
    Aws, AwsError, AwsErrorClass, AwsResult, LogGroupDescription, ScheduledActionDescription,
    ServiceDescription, StreamDescription, Tags, TaskDefinitionDescription, TaskDescription,
};
use crate::registry::Registry;
use crate::settings::Timings;

/// How many pages of the log one reconcile reads. A page has at most 1 MiB or 10,000 lines
/// (CloudWatch Logs API reference, FilterLogEvents).
const LEDGER_PAGES_AT_ONCE: u32 = 8;

/// How many lines are read from the end of a failed task's log. Most of them are ledger lines.
const LOG_LINES_READ: u32 = 50;

/// Reads what the preflight needs to know.
pub async fn prerequisites(
    aws: &Aws,
    registry: &dyn Registry,
    cluster: &str,
    plan: &Plan,
) -> AwsResult<ObservedState> {
    // The account comes first: without valid credentials every other call would fail.
    let account_id = aws.identity.fetch_account_id().await?;
    let advantage = async {
        match plan.needs_advantage {
            true => aws.streams.fetch_advantage().await.map(Some),
            false => Ok(None),
        }
    };
    let (advantage, cluster, image) =
        join!(advantage, aws.services.fetch_cluster_is_active(cluster), registry.fetch_image(&plan.image));
    Ok(ObservedState {
        account_id: Observed::Present(account_id),
        advantage: advantage?,
        cluster_is_active: Some(cluster?),
        image: Some(image),
        ..ObservedState::default()
    })
}

/// Reads the resources of one run in one reconcile.
pub struct ResourceReader<'a> {
    pub aws: &'a Aws,
    pub names: &'a Names,
    pub uid: &'a str,
    pub context: &'a Context,
    pub now: MicroTime,
}

impl ResourceReader<'_> {
    /// Reads what a stage after the preflight needs to know. `written` is the control document that
    /// this reconcile has just written, if any: it is not read again.
    pub async fn read_run(
        &self,
        status: &KinesisDemoStatus,
        written: Option<ControlDocument>,
    ) -> ObservedState {
        let stage = status.stage.unwrap_or_default();
        let provisioning = stage == Stage::Provisioning;
        let moving = matches!(stage, Stage::Starting | Stage::Running | Stage::Draining);
        let controlled = status.control.is_some() && moving;
        let runs = stage == Stage::Running
            && status.control.as_ref().is_some_and(|control| control.state == ControlState::Run);
        let reads_parameter = (provisioning || controlled) && written.is_none();
        let scale_to_zero_due = provisioning || (runs && self.scale_to_zero_is_due());
        let ledgers_due = ledgers_are_due(status, &self.context.settings.timings, self.now);

        let (
            account_id,
            stream,
            log_group,
            read,
            task_definition,
            service,
            scale_to_zero,
            tasks,
            ledgers,
            failed_task_log,
        ) = join!(
            self.account(provisioning),
            self.stream(stage != Stage::Draining, provisioning),
            self.log_group(provisioning),
            self.parameter(reads_parameter, provisioning),
            self.task_definition(provisioning),
            self.service(provisioning || moving),
            self.scale_to_zero(scale_to_zero_due),
            self.tasks(moving),
            self.ledgers(ledgers_due, status),
            self.failed_task_log(status),
        );
        let (stream, stream_tags) = stream;
        let (log_group, log_group_tags) = log_group;
        let (read, parameter_tags) = read;
        let mut state = ObservedState {
            account_id,
            stream,
            stream_tags,
            log_group,
            log_group_tags,
            parameter: written.map_or(read, |document| Observed::Present(Some(document))),
            parameter_tags,
            task_definition,
            service,
            scale_to_zero,
            tasks,
            ledgers,
            failed_task_log,
            known_ledgers: self.context.ledgers.known(self.uid, status.run_number()),
            log_read_at: self.context.ledgers.read_at(self.uid, status.run_number()),
            clock_skew: self.aws.clock.skew(),
            ..ObservedState::default()
        };
        if !provisioning {
            self.doubt_absence(status, &mut state).await;
        }
        state
    }

    /// Replaces `Absent` by `Refused` if the credentials belong to another account. A missing
    /// resource is deleted only if it is missing in the account of the run.
    async fn doubt_absence(&self, status: &KinesisDemoStatus, state: &mut ObservedState) {
        let absent = state.stream.is_absent()
            || state.service.is_absent()
            || state.parameter.is_absent()
            || state.scale_to_zero.is_absent();
        let effective = status.run.as_ref().and_then(|run| run.effective.as_ref());
        let Some(effective) = effective.filter(|_| absent) else { return };
        state.account_id = self.account(true).await;
        let why = match &state.account_id {
            Observed::Present(found) if *found == effective.account_id => return,
            Observed::Refused(error) => error.clone(),
            _ => AwsError::unanswered(
                "GetCallerIdentity",
                "account",
                format!("the credentials are not those of account {} any more", effective.account_id),
            ),
        };
        // Without the service's cluster no tasks are listed, so the task list proves as little.
        if state.service.is_absent() {
            state.tasks = Observed::Refused(why.clone());
        }
        state.stream.doubt(&why);
        state.service.doubt(&why);
        state.parameter.doubt(&why);
        state.scale_to_zero.doubt(&why);
    }

    /// Reads what the removal of these resources needs: each that may still exist, with its tags.
    pub async fn read_leaked_resources(&self, resources: &[ResourceStatus]) -> ObservedState {
        let may_exist = |type_| {
            let mut resources = resources.iter();
            resources.any(|resource| resource.type_ == type_ && resource.state == ResourceState::Present)
        };
        let has_definition = may_exist(ResourceType::TaskDefinition);
        // The scheduled action may be deleted only after the service.
        let has_service = may_exist(ResourceType::Service) || may_exist(ResourceType::ScheduledScaleToZero);
        let (
            account_id,
            stream,
            log_group,
            parameter,
            task_definition,
            inactive,
            service,
            scale_to_zero,
            dashboard,
        ) = join!(
            self.account(true),
            self.stream(may_exist(ResourceType::Stream), true),
            self.log_group(may_exist(ResourceType::LogGroup)),
            self.parameter(may_exist(ResourceType::ControlParameter), true),
            self.task_definition(has_definition),
            self.inactive_task_definitions(has_definition),
            self.service(has_service),
            self.scale_to_zero(may_exist(ResourceType::ScheduledScaleToZero)),
            self.dashboard(may_exist(ResourceType::Dashboard)),
        );
        ObservedState {
            account_id,
            stream: stream.0,
            stream_tags: stream.1,
            log_group: log_group.0,
            log_group_tags: log_group.1,
            parameter: parameter.0,
            parameter_tags: parameter.1,
            task_definition,
            inactive_task_definitions: inactive,
            service,
            scale_to_zero,
            dashboard,
            ..ObservedState::default()
        }
    }

    /// Reads the account. It matters wherever resources are created or judged to be deleted: the
    /// credentials may have changed since the run started.
    async fn account(&self, is_needed: bool) -> Observed<String> {
        let fetch = async { self.aws.identity.fetch_account_id().await.map(Some) };
        self.read(is_needed, "GetCallerIdentity", "account", fetch).await
    }

    async fn stream(
        &self,
        is_needed: bool,
        with_tags: bool,
    ) -> (Observed<StreamDescription>, Observed<Tags>) {
        let name = &self.names.stream;
        let fetch = self.aws.streams.fetch_stream(name);
        let stream = self.read(is_needed, "DescribeStreamSummary", name, fetch).await;
        let arn = stream.present().filter(|_| with_tags).map(|seen| seen.arn.clone());
        let tags = self
            .tags("stream tags", arn, |arn| async move { self.aws.streams.fetch_stream_tags(&arn).await });
        let tags = tags.await;
        (stream, tags)
    }

    async fn log_group(&self, is_needed: bool) -> (Observed<LogGroupDescription>, Observed<Tags>) {
        let name = &self.names.log_group;
        let fetch = self.aws.logs.fetch_log_group(name);
        let log_group = self.read(is_needed, "DescribeLogGroups", name, fetch).await;
        let arn = log_group.present().map(|seen| seen.arn.clone());
        let tags = self
            .tags("log group tags", arn, |arn| async move { self.aws.logs.fetch_log_group_tags(&arn).await });
        let tags = tags.await;
        (log_group, tags)
    }

    async fn parameter(
        &self,
        is_needed: bool,
        with_tags: bool,
    ) -> (Observed<Option<ControlDocument>>, Observed<Tags>) {
        let name = &self.names.parameter;
        let fetch = async {
            let text = self.aws.parameters.fetch_parameter(name).await?;
            Ok(text.map(|text| ControlDocument::parse(&text).ok()))
        };
        let parameter = match is_needed {
            true => {
                self.read_keyed("GetParameter", "GetParameter", name, self.control_patience(), fetch).await
            }
            false => Observed::Unread,
        };
        let tagged = parameter.present().filter(|_| with_tags).map(|_| name.clone());
        let tags = self.tags("parameter tags", tagged, |name| async move {
            self.aws.parameters.fetch_parameter_tags(&name).await
        });
        let tags = tags.await;
        (parameter, tags)
    }

    async fn task_definition(&self, is_needed: bool) -> Observed<TaskDefinitionDescription> {
        let family = &self.names.family;
        let fetch = self.aws.task_definitions.fetch_task_definition(family);
        self.read(is_needed, "DescribeTaskDefinition", family, fetch).await
    }

    async fn inactive_task_definitions(&self, is_needed: bool) -> Observed<Vec<String>> {
        let family = &self.names.family;
        let fetch =
            async { self.aws.task_definitions.fetch_inactive_task_definitions(family).await.map(Some) };
        self.read(is_needed, "ListTaskDefinitions", family, fetch).await
    }

    async fn service(&self, is_needed: bool) -> Observed<ServiceDescription> {
        let Names { cluster, service, .. } = self.names;
        let fetch = self.aws.services.fetch_service(cluster, service);
        self.read(is_needed, "DescribeServices", service, fetch).await
    }

    async fn scale_to_zero(&self, is_needed: bool) -> Observed<ScheduledActionDescription> {
        let Names { cluster, service, .. } = self.names;
        let fetch = self.aws.scaling.fetch_scheduled_scale_to_zero(cluster, service);
        let found = self.read(is_needed, "DescribeScalableTargets", service, fetch).await;
        if is_needed {
            self.context.memory.note_scale_to_zero_read(self.uid, self.now);
        }
        found
    }

    fn scale_to_zero_is_due(&self) -> bool {
        let every = self.context.settings.timings.scale_to_zero_every;
        self.context.memory.scale_to_zero_read_at(self.uid).is_none_or(|read_at| self.now >= read_at + every)
    }

    async fn tasks(&self, is_needed: bool) -> Observed<Vec<TaskDescription>> {
        let Names { cluster, service, .. } = self.names;
        let fetch = async { self.aws.tasks.fetch_tasks(cluster, service).await.map(Some) };
        self.read(is_needed, "ListTasks", service, fetch).await
    }

    /// The end of the log of the task that failed last, once its lines must have reached the log.
    async fn failed_task_log(&self, status: &KinesisDemoStatus) -> Observed<Vec<String>> {
        let failure = status.generators.as_ref().and_then(|generators| generators.last_failure.as_ref());
        let delay = self.context.settings.timings.log_delay;
        let is_due = |failure: &&TaskFailure| failure.last_lines.is_none() && self.now >= failure.at + delay;
        let Some(failure) = failure.filter(is_due) else { return Observed::Unread };
        let group = &self.names.log_group;
        let fetch = self.aws.logs.fetch_last_lines(group, &failure.task, LOG_LINES_READ);
        self.read(true, "GetLogEvents", group, fetch).await
    }

    async fn dashboard(&self, is_needed: bool) -> Observed<()> {
        let name = &self.names.dashboard;
        let fetch = async {
            let exists = self.aws.dashboards.fetch_dashboard_exists(name).await?;
            Ok(exists.then_some(()))
        };
        self.read(is_needed, "GetDashboard", name, fetch).await
    }

    async fn tags<F: Future<Output = AwsResult<Tags>>>(
        &self,
        key: &'static str,
        of: Option<String>,
        fetch: impl FnOnce(String) -> F,
    ) -> Observed<Tags> {
        let Some(of) = of else { return Observed::Unread };
        let target = of.clone();
        let read = async {
            match fetch(of).await {
                // The resource was deleted between the two reads.
                Err(error) if error.class == AwsErrorClass::NotFound => Ok(None),
                response => response.map(Some),
            }
        };
        self.read_keyed(key, "ListTagsForResource", &target, Duration::MAX, read).await
    }

    /// The longest that a retry of reading the parameter may be delayed: slot changes wait for it.
    fn control_patience(&self) -> Duration {
        self.context.settings.timings.renew_every / 3
    }

    async fn read<T>(
        &self,
        is_needed: bool,
        operation: &'static str,
        target: &str,
        fetch: impl Future<Output = AwsResult<Option<T>>>,
    ) -> Observed<T> {
        match is_needed {
            true => self.read_keyed(operation, operation, target, Duration::MAX, fetch).await,
            false => Observed::Unread,
        }
    }

    /// Reads one resource, unless a read of it was refused a short while ago.
    async fn read_keyed<T>(
        &self,
        key: &'static str,
        operation: &'static str,
        target: &str,
        patience: Duration,
        fetch: impl Future<Output = AwsResult<Option<T>>>,
    ) -> Observed<T> {
        let Context { backoffs, settings, .. } = self.context;
        let key = format!("{key} {target}");
        if let Some(refusal) = backoffs.refusal(self.uid, &key, self.now) {
            return Observed::Refused(refusal);
        }
        let time_limit = settings.timings.aws_time_limit();
        let response = match tokio::time::timeout(time_limit, fetch).await {
            Ok(response) => response,
            Err(_) => Err(no_response(operation, target, time_limit)),
        };
        backoffs.note(self.uid, &key, &response, patience, self.context.clock.now());
        response.into()
    }

    /// Returns the latest ledger of every task, or `Unread` while pages of the log remain. After a
    /// takeover of a long run there is much to read, and the renewal of the tasks' lease must not
    /// wait for it.
    async fn ledgers(&self, is_needed: bool, status: &KinesisDemoStatus) -> Observed<Arc<Ledgers>> {
        if !is_needed {
            return Observed::Unread;
        }
        let group = &self.names.log_group;
        let operation = "FilterLogEvents";
        let Context { ledgers: store, settings, backoffs, clock, .. } = self.context;
        if let Some(refusal) = backoffs.refusal(self.uid, operation, self.now) {
            return Observed::Refused(refusal);
        }
        let (run, timings) = (status.run_number(), &settings.timings);
        let started_at = status.control.as_ref().map_or(self.now, |control| control.traffic_starts_at);
        let time_limit = timings.aws_time_limit();
        let reading = async {
            for _ in 0..LEDGER_PAGES_AT_ONCE {
                let reading = store.reading(self.uid, run, started_at, timings.log_delay, self.now);
                let page =
                    self.aws.logs.fetch_ledger_page(group, reading.since, reading.page.as_deref()).await?;
                if let Some(ledgers) = store.take(self.uid, run, &status.phases, reading, page) {
                    return Ok(Some(ledgers));
                }
                // The next page may take as long as the pages before it.
                if clock.now() >= self.now + time_limit / 3 {
                    break;
                }
            }
            Ok(None)
        };
        let response = match tokio::time::timeout(time_limit, reading).await {
            Ok(response) => response,
            Err(_) => Err(no_response(operation, group, time_limit)),
        };
        backoffs.note(self.uid, operation, &response, Duration::MAX, clock.now());
        match response {
            Ok(Some(ledgers)) => Observed::Present(ledgers),
            Ok(None) => Observed::Unread,
            Err(error) => {
                if error.class == AwsErrorClass::Invalid {
                    // CloudWatch Logs expires a page token after a day.
                    store.restart_reading(self.uid);
                }
                Observed::Refused(error)
            }
        }
    }
}

fn no_response(operation: &'static str, target: &str, time_limit: Duration) -> AwsError {
    AwsError::unanswered(operation, target, format!("no response within {} s", time_limit.as_secs()))
}

fn ledgers_are_due(status: &KinesisDemoStatus, timings: &Timings, now: MicroTime) -> bool {
    let open = match status.stage {
        Some(Stage::Running) => {
            status.control.as_ref().is_some_and(|control| control.traffic_starts_at <= now)
        }
        Some(Stage::Draining) => status.control.is_some(),
        _ => false,
    };
    open && status.traffic.as_ref().is_none_or(|traffic| now >= traffic.sampled_at + timings.sample_every)
}
