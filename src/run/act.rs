//! Carries effects out, in order. In: effects. Out: the first refusal, if there was one; what comes after it waits for the
//! next pass, but for removals: what may not be removed keeps nothing else, which may cost more. What a run can do without comes last,
//! all at once, whatever became of the rest: its refusals are told apart, and stop nothing.

use futures::future::join_all;

use crate::aws::{Aws, AwsError, AwsErrorClass, AwsResult};
use crate::run::build::log_group::RETENTION_DAYS;
use crate::run::decide::Effect;

/// What became of a pass's effects.
#[derive(Debug, Default)]
pub struct Acted {
    /// The first refusal of what the run needs.
    pub refused: Option<AwsError>,
    /// The refusals of what it can do without.
    pub missed: Vec<AwsError>,
}

/// Carries out `effects` until one is refused that is no removal; then those that the run can do without.
pub async fn act(aws: &Aws, effects: &[Effect]) -> Acted {
    let (spare, needed): (Vec<_>, Vec<_>) = effects.iter().partition(|effect| effect.is_dispensable());
    let mut refused = None;
    for effect in needed {
        if let Err(error) = carry_out(aws, effect).await {
            refused.get_or_insert(error);
            if !effect.is_removal() {
                break;
            }
        }
    }
    let outcomes = join_all(spare.into_iter().map(|effect| carry_out(aws, effect))).await;
    Acted { refused, missed: outcomes.into_iter().filter_map(Result::err).collect() }
}

async fn carry_out(aws: &Aws, effect: &Effect) -> AwsResult<()> {
    match effect {
        Effect::CreateLogGroup { name, tags } => {
            made(aws.logs.create_log_group(name, tags).await)?;
            aws.logs.put_log_retention(name, RETENTION_DAYS).await
        }
        Effect::CreateStream(stream) => made(aws.streams.create_stream(stream).await),
        Effect::CreateParameter { name, text, tags } => {
            made(aws.parameters.create_parameter(name, text, tags).await)
        }
        Effect::RegisterTaskDefinition(definition) => {
            aws.task_definitions.register_task_definition(definition).await
        }
        Effect::CreateService(service) => made(aws.services.create_service(service).await),
        Effect::PutCeiling { cluster, service, max_tasks, at } => {
            aws.scaling.put_ceiling(cluster, service, *max_tasks, *at).await
        }
        // In use means that another change is under way: the next look tells.
        Effect::UpdateWarmThroughput { arn, mib_per_second } => {
            made(aws.streams.update_warm_throughput(arn, *mib_per_second).await)
        }
        Effect::WriteParameter { name, text } => aws.parameters.overwrite_parameter(name, text).await,
        Effect::ResizeService { cluster, service, desired } => {
            aws.services.resize_service(cluster, service, *desired).await
        }
        Effect::ProtectTasks { cluster, arns, minutes } => {
            aws.tasks.protect_tasks(cluster, arns, *minutes).await
        }
        Effect::ReleaseTasks { cluster, arns } => aws.tasks.release_tasks(cluster, arns).await,
        Effect::DeleteCeiling { cluster, service } => {
            gone(aws.scaling.delete_ceiling(cluster, service).await)
        }
        Effect::DeleteService { cluster, service } => {
            gone(aws.services.delete_service(cluster, service).await)
        }
        Effect::DeregisterTaskDefinition { arn } => {
            gone(aws.task_definitions.deregister_task_definition(arn).await)
        }
        Effect::DeleteTaskDefinition { arn } => gone(aws.task_definitions.delete_task_definition(arn).await),
        Effect::DeleteParameter { name } => gone(aws.parameters.delete_parameter(name).await),
        Effect::DeleteLogGroup { name } => gone(aws.logs.delete_log_group(name).await),
        Effect::PutDashboard { name, body } => aws.dashboards.put_dashboard(name, body).await,
        Effect::PutMetrics { run_name, at, data } => aws.metrics.put_run_metrics(run_name, *at, data).await,
        Effect::DeleteDashboard { name } => gone(aws.dashboards.delete_dashboard(name).await),
        // In use means that it is being changed, or deleted already: the next look tells.
        Effect::DeleteStream { arn } => made(gone(aws.streams.delete_stream(arn).await)),
    }
}

/// What exists already was made by an earlier attempt, or is somebody else's: the next look tells.
fn made(result: AwsResult<()>) -> AwsResult<()> {
    match result {
        Err(error) if error.class == AwsErrorClass::AlreadyExists => Ok(()),
        other => other,
    }
}

/// What is gone need not be removed.
fn gone(result: AwsResult<()>) -> AwsResult<()> {
    match result {
        Err(error) if error.class == AwsErrorClass::NotFound => Ok(()),
        other => other,
    }
}
