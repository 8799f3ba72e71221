//! All reads. In: what the stage needs to know. Out: what was seen, stamped with the instant at which looking began.

use std::sync::Arc;
use std::time::Duration;

use futures::future::OptionFuture;
use futures::join;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::ledger::Ledgers;
use kinesis_demo_api::plan::Plan;
use kinesis_demo_api::status::{KinesisDemoStatus, ResourceState, ResourceType, Stage};

use super::Context;
use super::build::names::Names;
use crate::aws::{
    Advantage, Aws, AwsError, AwsErrorClass, AwsResult, CeilingSeen, ServiceSeen, StreamSeen, Tags,
    TaskDefinitionSeen, TaskSeen,
};
use crate::registry::{ImageSeen, Registry};
use crate::settings::Timings;

/// How much of the log one pass reads, since within it the tasks' lease must be renewed: so many pages, each of a MiB or 10,000 lines
/// at most (CloudWatch Logs API reference, FilterLogEvents), and none that would be asked for later than this.
const LEDGER_PAGES_AT_ONCE: u32 = 8;
const LEDGERS_WITHIN: Duration = Duration::from_secs(5);

/// What a look at one thing found.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Seen<T> {
    /// The stage did not need to know.
    #[default]
    Unread,
    /// It is not there.
    Absent,
    /// It is there.
    Present(T),
}

impl<T> Seen<T> {
    /// The thing, if it is there.
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(thing) => Some(thing),
            Self::Unread | Self::Absent => None,
        }
    }

    /// Whether it was looked for and is not there.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    fn read(found: Option<Option<T>>) -> Self {
        match found {
            None => Self::Unread,
            Some(None) => Self::Absent,
            Some(Some(thing)) => Self::Present(thing),
        }
    }
}

/// The tasks' last words, as far as the log gave them.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum LedgersSeen {
    /// The stage did not need to know, or the log is not read to its end.
    #[default]
    Unread,
    /// Every task's last word.
    Read(Arc<Ledgers>),
    /// The log could not be read, and why; what is known is of before.
    Refused { known: Arc<Ledgers>, why: AwsError },
}

impl LedgersSeen {
    /// The last words, if the log was read to its end.
    pub fn read(&self) -> Option<&Ledgers> {
        match self {
            Self::Read(ledgers) => Some(ledgers),
            Self::Unread | Self::Refused { .. } => None,
        }
    }

    /// Why the log could not be read.
    pub fn refusal(&self) -> Option<&AwsError> {
        match self {
            Self::Refused { why, .. } => Some(why),
            Self::Unread | Self::Read(_) => None,
        }
    }
}

/// Something with an ARN and tags.
#[derive(Clone, Debug, PartialEq)]
pub struct Tagged {
    pub arn: String,
    pub tags: Tags,
}

/// What was seen of the world.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    pub account_id: Option<String>,
    pub advantage: Option<Advantage>,
    pub cluster_is_active: Option<bool>,
    pub image: Option<ImageSeen>,
    pub stream: Seen<StreamSeen>,
    /// Read together with the stream when ownership matters.
    pub stream_tags: Option<Tags>,
    pub log_group: Seen<Tagged>,
    pub parameter: Seen<String>,
    pub parameter_tags: Option<Tags>,
    pub task_definition: Seen<TaskDefinitionSeen>,
    pub inactive_task_definitions: Vec<String>,
    pub service: Seen<ServiceSeen>,
    pub ceiling: Seen<CeilingSeen>,
    pub tasks: Vec<TaskSeen>,
    pub dashboard: Seen<()>,
    pub ledgers: LedgersSeen,
}

/// What one pass knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub now: MicroTime,
    pub world: World,
}

/// What the preflight needs to know.
pub async fn prerequisites(
    aws: &Aws,
    registry: &dyn Registry,
    cluster: &str,
    plan: &Plan,
) -> AwsResult<World> {
    // The account first: without credentials nothing else would be answered.
    let account_id = Some(aws.identity.fetch_account_id().await?);
    let advantage: OptionFuture<_> = plan.needs_advantage.then(|| aws.streams.fetch_advantage()).into();
    let (advantage, cluster, image) =
        join!(advantage, aws.services.fetch_cluster_is_active(cluster), registry.fetch_image(&plan.image));
    Ok(World {
        account_id,
        advantage: advantage.transpose()?,
        cluster_is_active: Some(cluster?),
        image: Some(image),
        ..World::default()
    })
}

/// What a stage after the preflight needs to know.
pub async fn resources(
    aws: &Aws,
    names: &Names,
    uid: &str,
    status: &KinesisDemoStatus,
    context: &Context,
    now: MicroTime,
) -> AwsResult<World> {
    let stage = status.stage.unwrap_or_default();
    let whole = matches!(stage, Stage::Provisioning | Stage::CleaningUp);
    let moving = matches!(stage, Stage::Starting | Stage::Running | Stage::Draining);
    let controlled = status.control.is_some() && moving;

    // Where things are made or judged to be gone, whose account it is matters: the credentials may have changed since the run began.
    let account_id = if whole { Some(aws.identity.fetch_account_id().await?) } else { None };
    let stream: OptionFuture<_> =
        (stage != Stage::Draining).then(|| fetch_stream(aws, &names.stream, whole)).into();
    let log_group: OptionFuture<_> = whole.then(|| fetch_log_group(aws, &names.log_group)).into();
    let parameter: OptionFuture<_> =
        (whole || controlled).then(|| fetch_parameter(aws, &names.parameter, whole)).into();
    let definition: OptionFuture<_> =
        whole.then(|| aws.task_definitions.fetch_task_definition(&names.family)).into();
    let inactive: OptionFuture<_> = (stage == Stage::CleaningUp)
        .then(|| aws.task_definitions.fetch_inactive_task_definitions(&names.family))
        .into();
    let service: OptionFuture<_> =
        (whole || moving).then(|| aws.services.fetch_service(&names.cluster, &names.service)).into();
    let ceiling: OptionFuture<_> =
        whole.then(|| aws.scaling.fetch_ceiling(&names.cluster, &names.service)).into();
    let tasks: OptionFuture<_> = moving.then(|| aws.tasks.fetch_tasks(&names.cluster, &names.service)).into();
    let dashboard: OptionFuture<_> = (stage == Stage::CleaningUp
        && is_present(status, ResourceType::Dashboard))
    .then(|| aws.dashboards.fetch_dashboard_exists(&names.dashboard))
    .into();
    let ledgers: OptionFuture<_> = ledgers_are_due(status, &context.settings.timings, now)
        .then(|| fetch_ledgers(aws, names, uid, status, context, now))
        .into();

    let (stream, log_group, parameter, definition, inactive, service, ceiling, tasks, dashboard, ledgers) = join!(
        stream, log_group, parameter, definition, inactive, service, ceiling, tasks, dashboard, ledgers
    );

    let (stream, stream_tags) = split(stream.transpose()?);
    let (parameter, parameter_tags) = split(parameter.transpose()?);
    Ok(World {
        account_id,
        advantage: None,
        cluster_is_active: None,
        image: None,
        stream,
        stream_tags,
        log_group: Seen::read(log_group.transpose()?),
        parameter,
        parameter_tags,
        task_definition: Seen::read(definition.transpose()?),
        inactive_task_definitions: inactive.transpose()?.unwrap_or_default(),
        service: Seen::read(service.transpose()?),
        ceiling: Seen::read(ceiling.transpose()?),
        tasks: tasks.transpose()?.unwrap_or_default(),
        dashboard: seen_dashboard(dashboard, status)?,
        ledgers: ledgers.unwrap_or_default(),
    })
}

fn is_present(status: &KinesisDemoStatus, type_: ResourceType) -> bool {
    let mut resources = status.resources.iter();
    resources.any(|resource| resource.type_ == type_ && resource.state == ResourceState::Present)
}

/// A look at the dashboard that is refused must not keep what costs more from being removed: it is an error only when nothing else is
/// left.
fn seen_dashboard(found: Option<AwsResult<bool>>, status: &KinesisDemoStatus) -> AwsResult<Seen<()>> {
    let others = status.resources.iter().any(|resource| {
        resource.type_ != ResourceType::Dashboard && resource.state == ResourceState::Present
    });
    match found {
        None => Ok(Seen::Unread),
        Some(Err(_)) if others => Ok(Seen::Unread),
        Some(Err(error)) => Err(error),
        Some(Ok(true)) => Ok(Seen::Present(())),
        Some(Ok(false)) => Ok(Seen::Absent),
    }
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

async fn fetch_stream(
    aws: &Aws,
    name: &str,
    with_tags: bool,
) -> AwsResult<Option<(StreamSeen, Option<Tags>)>> {
    let Some(stream) = aws.streams.fetch_stream(name).await? else { return Ok(None) };
    let tags = match with_tags {
        true => Some(aws.streams.fetch_stream_tags(&stream.arn).await?),
        false => None,
    };
    Ok(Some((stream, tags)))
}

async fn fetch_parameter(
    aws: &Aws,
    name: &str,
    with_tags: bool,
) -> AwsResult<Option<(String, Option<Tags>)>> {
    let Some(text) = aws.parameters.fetch_parameter(name).await? else { return Ok(None) };
    let tags = match with_tags {
        true => Some(aws.parameters.fetch_parameter_tags(name).await?),
        false => None,
    };
    Ok(Some((text, tags)))
}

async fn fetch_log_group(aws: &Aws, name: &str) -> AwsResult<Option<Tagged>> {
    let Some(arn) = aws.logs.fetch_log_group(name).await? else { return Ok(None) };
    let tags = aws.logs.fetch_log_group_tags(&arn).await?;
    Ok(Some(Tagged { arn, tags }))
}

/// Every task's last word, or nothing yet: who takes over a long run has much to read, and the tasks must not wait for it. Nor for a log
/// that cannot be read: it only tells what was sent.
async fn fetch_ledgers(
    aws: &Aws,
    names: &Names,
    uid: &str,
    status: &KinesisDemoStatus,
    context: &Context,
    now: MicroTime,
) -> LedgersSeen {
    let (store, log_delay) = (&context.ledgers, context.settings.timings.log_delay);
    let run = status.run.as_ref().map_or(0, |run| run.number);
    let started_at = status.control.as_ref().map_or(now, |control| control.traffic_starts_at);
    for _ in 0..LEDGER_PAGES_AT_ONCE {
        let reading = store.reading(uid, run, started_at, log_delay, now);
        let page = aws.logs.fetch_ledger_page(&names.log_group, reading.since, reading.page.as_deref()).await;
        let page = match page {
            Ok(page) => page,
            Err(why) => {
                if why.class == AwsErrorClass::Invalid {
                    // CloudWatch Logs forgets a page's token after a day.
                    store.begin_anew(uid);
                }
                return LedgersSeen::Refused { known: store.known(uid, run), why };
            }
        };
        if let Some(ledgers) = store.take(uid, run, reading, page) {
            return LedgersSeen::Read(ledgers);
        }
        if context.clock.now() >= now + LEDGERS_WITHIN {
            break;
        }
    }
    LedgersSeen::Unread
}

fn split<T>(found: Option<Option<(T, Option<Tags>)>>) -> (Seen<T>, Option<Tags>) {
    match found {
        None => (Seen::Unread, None),
        Some(None) => (Seen::Absent, None),
        Some(Some((thing, tags))) => (Seen::Present(thing), tags),
    }
}
