//! Carries effects out, in order. In: effects. Out: the first refusal, if there was one; what comes after it waits for the
//! next pass.

use crate::aws::{Aws, AwsError, AwsErrorClass, AwsResult};
use crate::run::build::log_group::RETENTION_DAYS;
use crate::run::decide::Effect;

/// Carries out `effects` until one is refused.
pub async fn act(aws: &Aws, effects: &[Effect]) -> Result<(), AwsError> {
    for effect in effects {
        carry_out(aws, effect).await?;
    }
    Ok(())
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
