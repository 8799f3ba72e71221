//! All writes to AWS. In: effects. Out: a result for each. Effects are applied in order. A refused
//! effect stops the later ones only if they need it: creations for a run, and the protection of
//! tasks before a scale-in. Optional effects run last and concurrently, and stop nothing.

use std::time::Duration;

use futures::future::join_all;
use kinesis_demo_api::MicroTime;

use crate::aws::{Aws, AwsError, AwsErrorClass, AwsResult, OverwriteResult, Tags};
use crate::clock::Clock;
use crate::reconcile::backoff::Backoffs;
use crate::reconcile::resources::log_group::RETENTION_DAYS;
use crate::reconcile::stages::Effect;

/// The result of one effect.
#[derive(Clone, Debug, PartialEq)]
pub enum EffectResult {
    /// AWS did it, or had done it before.
    Done,
    /// AWS did it, but the target had been deleted by someone else: it was created again.
    Recreated,
    /// The resource to be deleted does not exist.
    NotFound,
    /// AWS says that the resource is in use: it is being changed or deleted, or something uses it.
    InUse(AwsError),
    /// AWS refused it, or did not respond. While a retry is not due, the last error is returned
    /// again.
    Refused(AwsError),
    /// AWS does not see a resource yet that was just created. The effect is retried and not
    /// reported.
    NotSeenYet,
    /// It was not tried, because an earlier effect was refused.
    Skipped,
}

impl EffectResult {
    /// The error, if AWS refused it.
    pub fn refusal(&self) -> Option<&AwsError> {
        match self {
            Self::Refused(error) => Some(error),
            Self::Done
            | Self::Recreated
            | Self::NotFound
            | Self::InUse(_)
            | Self::NotSeenYet
            | Self::Skipped => None,
        }
    }

    /// Whether the effect was applied.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done | Self::Recreated)
    }
}

/// Applies effects for one object.
pub struct Actor<'a> {
    pub aws: &'a Aws,
    pub uid: &'a str,
    pub backoffs: &'a Backoffs,
    pub clock: &'a dyn Clock,
    /// The longest that the active run can wait for a retry of a refused effect.
    pub longest_wait: Duration,
    /// The time limit of all effects of a reconcile together.
    pub time_limit: Duration,
    pub now: MicroTime,
}

/// How long AWS may not see a new resource before this is reported as an error. AWS documents no
/// bound; seconds are usual.
const LAG_REPORTED_AFTER: Duration = Duration::from_secs(60);

/// The minimum time limit of an effect, however long the earlier effects took.
const SHORTEST_LIMIT: Duration = Duration::from_secs(1);

impl Actor<'_> {
    /// Applies `effects`. Returns a result for each, in their order.
    pub async fn apply(&self, effects: &[Effect]) -> Vec<EffectResult> {
        let mut results = vec![EffectResult::Skipped; effects.len()];
        let give_up_at = self.clock.now() + self.time_limit;
        for (effect, result) in effects.iter().zip(&mut results) {
            if effect.is_optional() {
                continue;
            }
            *result = self.apply_one(effect, give_up_at).await;
            let is_undone = matches!(result, EffectResult::Refused(_) | EffectResult::NotSeenYet);
            if is_undone && effect.is_needed_by_the_next() {
                break;
            }
        }
        let optional = effects.iter().zip(&mut results).filter(|(effect, _)| effect.is_optional());
        join_all(optional.map(async |(effect, result)| {
            *result = self.apply_one(effect, give_up_at).await;
        }))
        .await;
        results
    }

    /// Applies one effect, unless it was refused a short while ago.
    async fn apply_one(&self, effect: &Effect, give_up_at: MicroTime) -> EffectResult {
        let key = effect.key();
        if let Some(refusal) = self.backoffs.refusal(self.uid, &key, self.now) {
            return match refusal.class {
                AwsErrorClass::AlreadyExists => EffectResult::InUse(refusal),
                _ => self.refused(&key, refusal),
            };
        }
        // Without a response the effect may have been applied. Every effect is safe to repeat.
        let time_limit = give_up_at.since(self.clock.now()).max(SHORTEST_LIMIT);
        let response = match tokio::time::timeout(time_limit, self.send(effect)).await {
            Ok(response) => response,
            Err(_) => {
                let (operation, target) = effect.name();
                Err(AwsError::unanswered(operation, &target, "no response in time"))
            }
        };
        let longest_wait = if effect.is_optional() { Duration::ZERO } else { self.longest_wait };
        // Not an error for the backoff: a resource that exists already was created by an earlier
        // attempt or belongs to someone else, and a missing resource need not be deleted.
        let noted = match &response {
            Err(error) if effect.is_removal() && error.class == AwsErrorClass::NotFound => {
                &Ok(OverwriteResult::Replaced)
            }
            Err(error) if effect.is_creation() && error.class == AwsErrorClass::AlreadyExists => {
                &Ok(OverwriteResult::Replaced)
            }
            other => other,
        };
        self.backoffs.note(self.uid, &key, noted, longest_wait, self.clock.now());
        match response {
            Ok(OverwriteResult::Replaced) => EffectResult::Done,
            Ok(OverwriteResult::Created) => EffectResult::Recreated,
            Err(error) if effect.is_removal() && error.class == AwsErrorClass::NotFound => {
                EffectResult::NotFound
            }
            Err(error) if error.class == AwsErrorClass::AlreadyExists => match effect.is_creation() {
                true => EffectResult::Done,
                false => EffectResult::InUse(error),
            },
            Err(error) => self.refused(&key, error),
        }
    }

    /// A refusal, unless AWS only does not see a new resource yet.
    fn refused(&self, key: &str, error: AwsError) -> EffectResult {
        let refused_for = self.backoffs.refused_for(self.uid, key, self.clock.now());
        match error.is_not_seen_yet() && refused_for < LAG_REPORTED_AFTER {
            true => EffectResult::NotSeenYet,
            false => EffectResult::Refused(error),
        }
    }

    async fn send(&self, effect: &Effect) -> AwsResult<OverwriteResult> {
        let aws = self.aws;
        let response = match effect {
            Effect::CreateLogGroup { name, tags } => aws.logs.create_log_group(name, tags).await,
            Effect::PutLogRetention { name } => aws.logs.put_log_retention(name, RETENTION_DAYS).await,
            Effect::CreateStream(stream) => aws.streams.create_stream(stream).await,
            Effect::CreateParameter { name, text, tags } => {
                aws.parameters.create_parameter(name, text, tags).await
            }
            Effect::RegisterTaskDefinition(definition) => {
                aws.task_definitions.register_task_definition(definition).await
            }
            Effect::CreateService(service) => aws.services.create_service(service).await,
            Effect::PutScheduledScaleToZero { cluster, service, max_tasks, at } => {
                aws.scaling.put_scheduled_scale_to_zero(cluster, service, *max_tasks, *at).await
            }
            Effect::UpdateWarmThroughput { arn, mib_per_second } => {
                aws.streams.update_warm_throughput(arn, *mib_per_second).await
            }
            Effect::WriteParameter { name, text, tags } => {
                return self.write_parameter(name, text, tags).await;
            }
            Effect::ResizeService { cluster, service, desired } => {
                aws.services.resize_service(cluster, service, *desired).await
            }
            Effect::ProtectTasks { cluster, arns, minutes } => {
                aws.tasks.protect_tasks(cluster, arns, *minutes).await
            }
            Effect::ReleaseTasks { cluster, arns } => aws.tasks.release_tasks(cluster, arns).await,
            Effect::DeleteScheduledScaleToZero { cluster, service } => {
                aws.scaling.delete_scheduled_scale_to_zero(cluster, service).await
            }
            Effect::DeleteService { cluster, service } => aws.services.delete_service(cluster, service).await,
            Effect::DeregisterTaskDefinition { arn } => {
                aws.task_definitions.deregister_task_definition(arn).await
            }
            Effect::DeleteTaskDefinition { arn } => aws.task_definitions.delete_task_definition(arn).await,
            Effect::DeleteParameter { name } => aws.parameters.delete_parameter(name).await,
            Effect::DeleteLogGroup { name } => aws.logs.delete_log_group(name).await,
            Effect::PutDashboard { name, body } => aws.dashboards.put_dashboard(name, body).await,
            Effect::PutMetrics { run_name, at, data } => {
                aws.metrics.put_run_metrics(run_name, *at, data).await
            }
            Effect::DeleteDashboard { name } => aws.dashboards.delete_dashboard(name).await,
            Effect::DeleteStream { arn } => aws.streams.delete_stream(arn).await,
        };
        response.map(|()| OverwriteResult::Replaced)
    }

    /// Overwrites the parameter. If it was deleted after the last read, this creates a parameter
    /// without tags, so it is tagged: otherwise the cleanup could not tell it from a foreign one.
    async fn write_parameter(&self, name: &str, text: &str, tags: &Tags) -> AwsResult<OverwriteResult> {
        let parameters = &self.aws.parameters;
        let found = parameters.overwrite_parameter(name, text).await?;
        if found == OverwriteResult::Created {
            parameters.tag_parameter(name, tags).await?;
        }
        Ok(found)
    }
}
