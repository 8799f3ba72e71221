//! All writes to AWS. In: effects. Out: what became of each. Effects are applied in order. A refused
//! one stops those after it only if they need it: what is made for a run, and the protection of tasks
//! before a smaller size. Optional effects run last, together, and stop nothing.

use std::time::Duration;

use futures::future::join_all;
use kinesis_demo_api::MicroTime;

use crate::aws::{Aws, AwsError, AwsErrorClass, AwsResult, OverwriteResult, Tags};
use crate::clock::Clock;
use crate::reconcile::backoff::Backoffs;
use crate::reconcile::resources::log_group::RETENTION_DAYS;
use crate::reconcile::stages::Effect;

/// What became of one effect.
#[derive(Clone, Debug, PartialEq)]
pub enum EffectResult {
    /// AWS did it, or had done it before.
    Done,
    /// AWS did it, and what was to be changed had been removed by somebody: it is there again.
    PutBack,
    /// What was to be removed is not there.
    Gone,
    /// AWS says that the thing is in use: it is being changed or removed, or something holds it.
    InUse(AwsError),
    /// AWS refused it, or did not answer. The last refusal is told again while it is not retried.
    Refused(AwsError),
    /// It was not tried, because one before it was refused.
    Skipped,
}

impl EffectResult {
    /// Why AWS did not do it.
    pub fn refusal(&self) -> Option<&AwsError> {
        match self {
            Self::Refused(error) => Some(error),
            Self::Done | Self::PutBack | Self::Gone | Self::InUse(_) | Self::Skipped => None,
        }
    }

    /// Whether it is as the effect wanted it.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done | Self::PutBack)
    }
}

/// Applies effects for one object.
pub struct Actor<'a> {
    pub aws: &'a Aws,
    pub uid: &'a str,
    pub backoffs: &'a Backoffs,
    pub clock: &'a dyn Clock,
    /// The longest that the run in flight can wait for a refused effect to be tried again.
    pub patience: Duration,
    /// The longest that all effects together may hold the reconcile.
    pub share: Duration,
    pub now: MicroTime,
}

/// Every effect is given at least this long, whatever those before it took.
const SHORTEST: Duration = Duration::from_secs(1);

impl Actor<'_> {
    /// Applies `effects`. Returns a result for each, in their order.
    pub async fn apply(&self, effects: &[Effect]) -> Vec<EffectResult> {
        let mut results = vec![EffectResult::Skipped; effects.len()];
        let give_up_at = self.clock.now() + self.share;
        for (effect, result) in effects.iter().zip(&mut results) {
            if effect.is_optional() {
                continue;
            }
            *result = self.apply_one(effect, give_up_at).await;
            if result.refusal().is_some() && effect.is_needed_by_the_next() {
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
                _ => EffectResult::Refused(refusal),
            };
        }
        // Without an answer it may have been done: every effect may be repeated.
        let share = give_up_at.since(self.clock.now()).max(SHORTEST);
        let answer = match tokio::time::timeout(share, self.send(effect)).await {
            Ok(answer) => answer,
            Err(_) => {
                let (operation, target) = effect.name();
                Err(AwsError::unanswered(operation, &target, "no answer in time"))
            }
        };
        let patience = if effect.is_optional() { Duration::ZERO } else { self.patience };
        // What exists already was made by an earlier attempt, or is somebody else's, and what is gone
        // need not be removed: both are answers.
        let noted = match &answer {
            Err(error) if effect.is_removal() && error.class == AwsErrorClass::NotFound => {
                &Ok(OverwriteResult::Replaced)
            }
            Err(error) if effect.is_creation() && error.class == AwsErrorClass::AlreadyExists => {
                &Ok(OverwriteResult::Replaced)
            }
            other => other,
        };
        self.backoffs.note(self.uid, &key, noted, patience, self.clock.now());
        match answer {
            Ok(OverwriteResult::Replaced) => EffectResult::Done,
            Ok(OverwriteResult::Created) => EffectResult::PutBack,
            Err(error) if effect.is_removal() && error.class == AwsErrorClass::NotFound => EffectResult::Gone,
            Err(error) if error.class == AwsErrorClass::AlreadyExists => match effect.is_creation() {
                true => EffectResult::Done,
                false => EffectResult::InUse(error),
            },
            Err(error) => EffectResult::Refused(error),
        }
    }

    async fn send(&self, effect: &Effect) -> AwsResult<OverwriteResult> {
        let aws = self.aws;
        let answer = match effect {
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
        answer.map(|()| OverwriteResult::Replaced)
    }

    /// Writes over the parameter. If it was removed after the last look, that makes one without
    /// tags, which in the end nobody could tell from a foreign one.
    async fn write_parameter(&self, name: &str, text: &str, tags: &Tags) -> AwsResult<OverwriteResult> {
        let parameters = &self.aws.parameters;
        let found = parameters.overwrite_parameter(name, text).await?;
        if found == OverwriteResult::Created {
            parameters.tag_parameter(name, tags).await?;
        }
        Ok(found)
    }
}
