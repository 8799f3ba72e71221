//! Before the first effect: does everything exist that the run needs, and is it allowed? If so, the
//! settings are pinned.

use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::limits::SpecError;
use kinesis_demo_api::plan::{Plan, filled};
use kinesis_demo_api::status::{Effective, Stage};

use super::gathering::{is_checked, load, note_checked};
use super::{Decision, DecisionBuilder, FinalizerChange, ObjectContext};
use crate::aws::AwsError;
use crate::reconcile::cohort::Round;
use crate::reconcile::error::reason;
use crate::reconcile::observed::ObservedState;
use crate::reconcile::queue::Capacity;
use crate::reconcile::read_budget::READS_PER_SECOND;
use crate::reconcile::resources::names::base_name;
use crate::reconcile::write_budget::WRITES_PER_SECOND;
use crate::registry::ImageLookup;

/// How often the prerequisites of a blocked object are checked again. A check is three reads, so
/// this is well below six a minute.
const RECHECK: Duration = Duration::from_secs(60);

/// A spec that cannot be planned, or asks for more than the operator allows: the user's mistake.
/// There is no call to AWS.
pub fn decide_refused(object: &ObjectContext<'_>, error: &SpecError, now: MicroTime) -> Decision {
    let mut builder = DecisionBuilder::new(object.status);
    leave_cohort(&mut builder);
    builder.found(ConditionType::SpecAccepted, ConditionStatus::False, Reason::Invalid, error.to_string());
    builder.block(Reason::Invalid, error.to_string(), None).finish(object, now)
}

/// A spec that does not parse, for example one that was stored under an earlier definition.
pub fn decide_unreadable(object: &ObjectContext<'_>, why: &str, now: MicroTime) -> Decision {
    let message = unreadable_message(why);
    let mut builder = DecisionBuilder::new(object.status);
    leave_cohort(&mut builder);
    builder.found(ConditionType::SpecAccepted, ConditionStatus::False, Reason::Invalid, message.clone());
    builder.block(Reason::Invalid, message, None).finish(object, now)
}

/// The message for a spec that does not parse.
pub(super) fn unreadable_message(why: &str) -> String {
    format!(
        "the stored spec does not parse: {why}; rewrite it to match the current definition (kubectl explain kinesisdemo.spec)"
    )
}

/// How often a queued object is reconciled if no event triggers it earlier. Nothing is read from
/// AWS for it.
const QUEUE_RECHECK: Duration = Duration::from_secs(60);

/// Too many runs, or too many tasks, are active. There is no call to AWS. The message contains
/// nothing that changes while the object waits: a queue position would cause a write to every
/// queued object whenever one leaves the queue.
pub fn decide_queued(
    object: &ObjectContext<'_>,
    plan: &Plan,
    capacity: Capacity,
    now: MicroTime,
) -> Decision {
    let mut builder = DecisionBuilder::new(object.status);
    builder.found(ConditionType::SpecAccepted, ConditionStatus::True, Reason::Accepted, "");
    builder.queue(format!(
        "queued: --max-runs allows {} active runs, and a Region allows {} with {} tasks in total (its control parameters may be written {WRITES_PER_SECOND} and read {READS_PER_SECOND} times a second); runs start in the order in which they were requested",
        capacity.runs,
        capacity.runs_of_a_region(),
        capacity.reads.most_tasks(),
    ));
    leave_cohort(&mut builder);
    if let Some(run) = &mut builder.status.run {
        run.load = Some(load(plan, capacity.reads.interval(plan.most_tasks)));
    }
    builder.wait_until(now + QUEUE_RECHECK).finish(object, now)
}

/// AWS refused a read of the preflight. Nothing was created, so nothing is urgent.
pub fn decide_preflight_refused(
    object: &ObjectContext<'_>,
    error: &AwsError,
    retry_at: MicroTime,
    now: MicroTime,
) -> Decision {
    let mut builder = DecisionBuilder::new(object.status);
    builder.found(ConditionType::SpecAccepted, ConditionStatus::True, Reason::Accepted, "");
    builder.refused(reason(error), error);
    builder.wait_until(retry_at).finish(object, now)
}

/// The preflight of an admitted object whose spec can be planned. Its tasks will read every
/// `read_every` seconds.
pub fn decide_pending(
    object: &ObjectContext<'_>,
    plan: &Plan,
    state: &ObservedState,
    read_every: u32,
    round: Option<&Round>,
    now: MicroTime,
) -> Decision {
    let mut builder = DecisionBuilder::new(object.status);
    builder.found(ConditionType::SpecAccepted, ConditionStatus::True, Reason::Accepted, "");
    let builder = match preflight_failure(object, plan, state) {
        Some((reason, message)) => {
            leave_cohort(&mut builder);
            builder.block(reason, message, Some(now + RECHECK))
        }
        // The finalizer comes before the first effect, in a reconcile of its own.
        None if !object.has_finalizer => {
            builder.finalizer = FinalizerChange::Add;
            builder.wait_until(now + Duration::from_secs(1))
        }
        None => match (round, &object.spec.cohort) {
            (Some(round), Some(cohort))
                if !(round.others_are_checked && is_checked(object.status, round)) =>
            {
                note_checked(object, cohort, round, load(plan, read_every), &mut builder, now);
                builder
            }
            _ => pinned(object, plan, state, read_every, builder, now),
        },
    };
    builder.finish(object, now)
}

/// The run is not ready to begin with its cohort.
fn leave_cohort(builder: &mut DecisionBuilder) {
    if let Some(run) = &mut builder.status.run {
        run.cohort = None;
    }
}

/// The first unmet prerequisite, and what to do about it.
fn preflight_failure(
    object: &ObjectContext<'_>,
    plan: &Plan,
    state: &ObservedState,
) -> Option<(Reason, String)> {
    let settings = object.settings;
    let account = state.account_id.present().map(String::as_str).unwrap_or_default();
    if !settings.accounts.iter().any(|allowed| allowed == account) {
        let allowed = settings.accounts.join(", ");
        return Some((
            Reason::AccountNotAllowed,
            format!(
                "the operator's credentials belong to AWS account {account}, but only {allowed} is allowed; to allow it, start the operator with --account {account}"
            ),
        ));
    }
    if settings.task_role_arn.is_none() || settings.execution_role_arn.is_none() {
        return Some((
            Reason::SettingsMissing,
            "the operator has no roles for the tasks; start it with --task-role-arn and --execution-role-arn"
                .into(),
        ));
    }
    if state.cluster_is_active == Some(false) {
        let (cluster, region) = (&settings.ecs_cluster, &plan.region);
        return Some((
            Reason::ClusterMissing,
            format!(
                "ECS cluster {cluster} does not exist in {region}; create it (aws ecs create-cluster --cluster-name {cluster} --region {region}) or name another with --ecs-cluster"
            ),
        ));
    }
    if let Some(preflight_failure) = image_failure(plan, state) {
        return Some(preflight_failure);
    }
    if plan.needs_advantage && !state.advantage.is_some_and(crate::aws::Advantage::is_on) {
        let region = &plan.region;
        return Some((
            Reason::AdvantageRequired,
            format!(
                "the run needs On-demand Advantage, which is off in account {account}, {region}. Switching it on commits the account for 24 hours to at least 25 MiB/s in and out ($101.25 in us-east-1); the operator never does it. Either switch it on yourself (aws kinesis update-account-settings) or set stream.warmThroughput.mode: None and billing.advantage: Ignore"
            ),
        ));
    }
    None
}

/// Without this check a failed image pull is noticed only when the traffic should start, and AWS
/// charges until then.
fn image_failure(plan: &Plan, state: &ObservedState) -> Option<(Reason, String)> {
    let (image, architecture) = (&plan.image, plan.fargate.architecture);
    match state.image.as_ref()? {
        ImageLookup::Unknown => None,
        ImageLookup::Missing => Some((
            Reason::ImageMissing,
            format!(
                "the registry has no generator image {image}; push it, or name another (generator.image, --generator-image)"
            ),
        )),
        ImageLookup::For(architectures)
            if architectures.iter().any(|available| available == architecture.oci_name()) =>
        {
            None
        }
        ImageLookup::For(architectures) => Some((
            Reason::ArchitectureMissing,
            format!(
                "generator.fargate.architecture is {architecture} ({} in images), but generator image {image} is available only for {}; push it for {architecture} too, or choose another architecture",
                architecture.oci_name(),
                if architectures.is_empty() { "no Linux platform".into() } else { architectures.join(", ") },
            ),
        )),
    }
}

/// Pins the settings: from here on the run depends neither on edits nor on the operator's
/// configuration.
fn pinned(
    object: &ObjectContext<'_>,
    plan: &Plan,
    state: &ObservedState,
    read_every: u32,
    mut builder: DecisionBuilder,
    now: MicroTime,
) -> DecisionBuilder {
    let number = object.status.run.as_ref().map_or(1, |run| run.number);
    let base_name = base_name(object.name, object.uid, number);
    let effective = Effective {
        account_id: state.account_id.present().cloned().unwrap_or_default(),
        region: plan.region.clone(),
        cluster: object.settings.ecs_cluster.clone(),
        stream_name: plan.stream_name.clone().unwrap_or_else(|| base_name.clone()),
        base_name,
        object_uid: Some(object.uid.to_owned()),
        spec: filled(object.spec, &object.settings.defaults),
    };
    if let Some(run) = &mut builder.status.run {
        run.started_at = Some(now);
        run.deadline_at = Some(now + plan.max_duration);
        run.load = Some(load(plan, read_every));
        run.effective = Some(effective);
    }
    builder.enter(Stage::Provisioning, now, "");
    builder
}
