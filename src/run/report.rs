//! Status and events. In: the decision, and what AWS refused of it. Out: one status write if the status differs, and the
//! decision's events.

use kinesis_demo_api::conditions::{self, ConditionStatus, ConditionType, Finding};
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus, MicroTime};

use crate::aws::AwsError;
use crate::cluster::{Cluster, ClusterError};
use crate::run::decide::{Decision, FinalizerChange};
use crate::run::error::reason;
use crate::run::notices::Notice;

/// Stores the decision's status if it differs, then changes the finalizer, then publishes its events. True if anything was
/// written.
pub async fn report(
    cluster: &dyn Cluster,
    object: &KinesisDemo,
    decision: &Decision,
) -> Result<bool, ClusterError> {
    let differs = object.status.as_ref() != Some(&decision.status);
    match decision.finalizer {
        // The object goes with its finalizer, so there is no status to store afterwards.
        FinalizerChange::Remove => cluster.put_finalizer(object, false).await?,
        FinalizerChange::Add => cluster.put_finalizer(object, true).await?,
        FinalizerChange::Keep if differs => cluster.replace_status(object, &decision.status).await?,
        FinalizerChange::Keep => {}
    }
    for notice in &decision.notices {
        cluster.publish(object, notice).await;
    }
    Ok(differs || decision.finalizer != FinalizerChange::Keep)
}

/// The status with AWS's refusal in it, and an event if the refusal is news against the stored conditions.
pub fn with_refusal(
    object: &KinesisDemo,
    status: &KinesisDemoStatus,
    error: &AwsError,
    now: MicroTime,
) -> (KinesisDemoStatus, Option<Notice>) {
    let stored = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let reason = reason(error);
    let message = error.to_string();
    let type_ = match status.stage {
        Some(stage) if stage.is_terminal() => return (status.clone(), None),
        Some(kinesis_demo_api::Stage::Running) => ConditionType::Ready,
        _ => ConditionType::Reconciling,
    };
    let known =
        conditions::find(stored, type_).is_some_and(|held| held.reason == reason && held.message == message);
    let finding = Finding::new(type_, ConditionStatus::True, reason, message);
    let mut refused = status.clone();
    refused.conditions = conditions::updated(&status.conditions, &[finding], object.metadata.generation, now);
    (refused, (!known).then(|| Notice::refused(reason, error)))
}
