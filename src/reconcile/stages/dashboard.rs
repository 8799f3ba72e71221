//! Shows the run in CloudWatch: the dashboard, updated when a phase starts, and the metrics that
//! CloudWatch itself does not have. In: the decision of a stage. Out: the same decision, with what
//! to publish.
//!
//! The run does not depend on this. It is published only by reconciles that neither claim nor
//! publish anything for the tasks. CloudWatch errors are reported as Events and otherwise ignored.

use std::time::Duration;

use kinesis_demo_api::status::{
    ControlStatus, DashboardStatus, Effective, ResourceState, ResourceType, Stage,
};
use kinesis_demo_api::{KinesisDemoStatus, MicroTime};

use super::{Decision, DecisionBuilder, Effect, RunContext};
use crate::aws::{AwsError, AwsErrorClass, RunMetric};
use crate::kubernetes::events::RunEvent;
use crate::reconcile::resources::dashboard::{DashboardView, body};
use crate::settings::SANDBOX_ACCOUNT;

/// The longest CloudWatch error text in status.
const LONGEST_PROBLEM: usize = 512;

/// Publishes what is due, if this reconcile has nothing more urgent to do.
pub(super) fn show(ctx: &RunContext<'_>, builder: &mut DecisionBuilder) {
    let stage = ctx.object.status.stage.unwrap_or_default();
    if !ctx.plan.dashboard || !(Stage::Warming..=Stage::Draining).contains(&stage) || is_urgent(ctx, builder)
    {
        return;
    }
    let started = phases_started(&builder.status, ctx.now);
    let is_dashboard_due =
        builder.status.dashboard.as_ref().is_none_or(|dashboard| dashboard.phases_shown != Some(started));
    if is_dashboard_due && stage != Stage::Draining {
        show_dashboard(ctx, started, builder);
    }
    let every = ctx.timings.metrics_every;
    if let Some(dashboard) = &mut builder.status.dashboard
        && dashboard.phases_shown.is_some()
        && dashboard.metrics_at.is_none_or(|at| ctx.now >= at + every)
    {
        dashboard.metrics_at = Some(ctx.now);
        let data = measured(ctx, &builder.status);
        let run_name = ctx.names.service.clone();
        builder.effects.push(Effect::PutMetrics { run_name, at: ctx.now, data });
    }
}

/// Whether the tasks wait for this reconcile or the next one. Then nothing may delay it.
fn is_urgent(ctx: &RunContext<'_>, builder: &DecisionBuilder) -> bool {
    let publishes =
        |effect: &Effect| matches!(effect, Effect::WriteParameter { .. } | Effect::CreateParameter { .. });
    let stored = ctx.object.status;
    builder.status.control != stored.control
        || builder.status.stage != stored.stage
        || builder.effects.iter().any(publishes)
}

fn show_dashboard(ctx: &RunContext<'_>, started: u32, builder: &mut DecisionBuilder) {
    let name = &ctx.names.dashboard;
    let is_recorded = |builder: &DecisionBuilder| {
        let mut resources = builder.status.resources.iter();
        resources.any(|resource| resource.type_ == ResourceType::Dashboard)
    };
    // The dashboard is stored before it is created, so that a lost response does not leave it
    // unaccounted for.
    if builder.status.dashboard.is_none() || !is_recorded(builder) {
        builder.resource(ResourceType::Dashboard, name, ResourceState::Present);
        builder.status.dashboard.get_or_insert_with(|| DashboardStatus {
            name: name.clone(),
            url: console_url(ctx.effective, name),
            published: false,
            phases_shown: None,
            metrics_at: None,
            problem: None,
        });
        builder.wake_at(ctx.now + Duration::from_secs(1));
        return;
    }
    let object = format!("{}/{}", ctx.object.namespace, ctx.object.name);
    let view = DashboardView {
        object: &object,
        run: ctx.run.number,
        effective: ctx.effective,
        phases: builder.status.phases.get(..started as usize).unwrap_or_default(),
    };
    builder.effects.push(Effect::PutDashboard { name: name.clone(), body: body(&view) });
    if let Some(dashboard) = &mut builder.status.dashboard {
        dashboard.phases_shown = Some(started);
        dashboard.problem = None;
    }
}

fn phases_started(status: &KinesisDemoStatus, now: MicroTime) -> u32 {
    let started = status.phases.iter().filter(|phase| phase.starts_at <= now).count();
    u32::try_from(started).unwrap_or(u32::MAX)
}

/// The current values of the run. Unknown values are left out.
fn measured(ctx: &RunContext<'_>, status: &KinesisDemoStatus) -> Vec<(RunMetric, u32)> {
    let rate = |control: &ControlStatus| {
        if ctx.now < ctx.traffic_ends_at(control) { ctx.timeline(control).rate_at(ctx.now) } else { 0 }
    };
    let target = status.control.as_ref().map_or(0, rate);
    let mut data = vec![(RunMetric::TargetRecordsPerSecond, target)];
    if let Some(stream) = &status.stream {
        data.push((RunMetric::OpenShards, stream.shards));
        if let Some(warm) = stream.warm.filter(|_| ctx.plan.warm_mib_per_second.is_some()) {
            data.push((RunMetric::WarmThroughputTarget, warm.target));
            data.push((RunMetric::WarmThroughputCurrent, warm.current));
        }
    }
    if let Some(generators) = &status.generators {
        data.push((RunMetric::DesiredTasks, generators.desired));
        data.push((RunMetric::RunningTasks, generators.running));
    }
    data
}

/// The console page of the dashboard. Each partition has a console of its own (AWS Management
/// Console, service endpoints).
fn console_url(effective: &Effective, name: &str) -> Option<String> {
    let region = &effective.region;
    let host = match region.as_str() {
        _ if effective.account_id == SANDBOX_ACCOUNT => return None,
        region if region.starts_with("cn-") => "console.amazonaws.cn",
        region if region.starts_with("us-gov-") => "console.amazonaws-us-gov.com",
        _ => "console.aws.amazon.com",
    };
    Some(format!("https://{region}.{host}/cloudwatch/home?region={region}#dashboards/dashboard/{name}"))
}

/// Adds the results of publishing to CloudWatch to the decision: the errors of failed optional
/// effects.
pub fn with_optional_failures(mut decision: Decision, optional_failures: &[AwsError]) -> Decision {
    let attempted = decision.effects.iter().any(|effect| matches!(effect, Effect::PutDashboard { .. }));
    let Some(dashboard) = &mut decision.status.dashboard else { return decision };
    if attempted {
        let refusal = optional_failures.iter().find(|error| error.operation == "PutDashboard");
        match refusal {
            // The service failed, or its response was lost: the dashboard may exist.
            Some(error) if error.class != AwsErrorClass::Transient => {
                if !dashboard.published {
                    decision.status.resources.retain(|resource| resource.type_ != ResourceType::Dashboard);
                }
            }
            _ => dashboard.published = true,
        }
    }
    if !optional_failures.is_empty() && dashboard.problem.is_none() {
        let texts: Vec<String> = optional_failures.iter().map(ToString::to_string).collect();
        let problem: String = texts.join("; ").chars().take(LONGEST_PROBLEM).collect();
        let run = decision.status.run.as_ref().map_or(1, |run| run.number);
        decision.run_events.push(RunEvent::dashboard_not_published(
            run,
            dashboard.phases_shown.unwrap_or(0),
            &problem,
        ));
        dashboard.problem = Some(problem);
    }
    decision
}

#[cfg(test)]
mod tests {
    use kinesis_demo_api::KinesisDemoSpec;

    use super::*;

    #[test]
    fn the_page_is_in_the_console_of_the_partition() {
        let url = |account: &str, region: &str| {
            let effective = Effective {
                account_id: account.into(),
                region: region.into(),
                cluster: "default".into(),
                stream_name: "posts".into(),
                base_name: "kd-x-r1".into(),
                object_uid: None,
                spec: KinesisDemoSpec::default(),
            };
            console_url(&effective, "KinesisDemo-kd-x-r1")
        };
        let page = |host: &str, region: &str| {
            Some(format!(
                "https://{host}/cloudwatch/home?region={region}#dashboards/dashboard/KinesisDemo-kd-x-r1"
            ))
        };
        let account = "123456789012";
        assert_eq!(url(account, "eu-west-1"), page("eu-west-1.console.aws.amazon.com", "eu-west-1"));
        assert_eq!(url(account, "cn-north-1"), page("cn-north-1.console.amazonaws.cn", "cn-north-1"));
        assert_eq!(
            url(account, "us-gov-east-1"),
            page("us-gov-east-1.console.amazonaws-us-gov.com", "us-gov-east-1")
        );
        assert_eq!(url(SANDBOX_ACCOUNT, "us-east-1"), None);
    }
}
