//! The scheduled scale-to-zero, by Application Auto Scaling. In: a service and an instant. Out: a
//! scalable target with one scheduled action that scales the service to zero.

use async_trait::async_trait;
use aws_sdk_applicationautoscaling::Client;
use aws_sdk_applicationautoscaling::types::{ScalableDimension, ScalableTargetAction, ServiceNamespace};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use kinesis_demo_api::MicroTime;

use super::client::Api;
use super::{AwsErrorClass, AwsResult, Scaling, ScheduledActionDescription};

/// Each service has one action, so a constant name suffices.
const ACTION: &str = "kinesis-demo-scale-to-zero";

const TIMEZONE: &str = "Etc/UTC";

/// Application Auto Scaling.
pub struct ApplicationAutoScaling(Api<Client>);

impl ApplicationAutoScaling {
    pub(super) fn new(api: Api<Client>) -> Self {
        Self(api)
    }

    async fn fetch_target(&self, id: &str) -> AwsResult<bool> {
        let Self(api) = self;
        let request = api
            .client
            .describe_scalable_targets()
            .service_namespace(ServiceNamespace::Ecs)
            .resource_ids(id)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .send();
        // One resource and one dimension have at most one target, so there is no second page.
        let response = api.call("DescribeScalableTargets", id, request).await?;
        Ok(response.scalable_targets.unwrap_or_default().iter().any(|target| target.resource_id() == id))
    }

    async fn fetch_action(&self, id: &str) -> AwsResult<Option<MicroTime>> {
        let Self(api) = self;
        let request = api
            .client
            .describe_scheduled_actions()
            .service_namespace(ServiceNamespace::Ecs)
            .resource_id(id)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .scheduled_action_names(ACTION)
            .send();
        let response = api.call("DescribeScheduledActions", id, request).await?;
        let actions = response.scheduled_actions.unwrap_or_default();
        Ok(actions.iter().find_map(|action| instant_of(action.schedule())))
    }
}

#[async_trait]
impl Scaling for ApplicationAutoScaling {
    async fn fetch_scheduled_scale_to_zero(
        &self,
        cluster: &str,
        service: &str,
    ) -> AwsResult<Option<ScheduledActionDescription>> {
        let id = resource_id(cluster, service);
        let target = self.fetch_target(&id).await?;
        let action_at = self.fetch_action(&id).await?;
        Ok((target || action_at.is_some()).then_some(ScheduledActionDescription { target, action_at }))
    }

    async fn put_scheduled_scale_to_zero(
        &self,
        cluster: &str,
        service: &str,
        max_tasks: u32,
        at: MicroTime,
    ) -> AwsResult<()> {
        let Self(api) = self;
        let id = resource_id(cluster, service);
        let target = api
            .client
            .register_scalable_target()
            .service_namespace(ServiceNamespace::Ecs)
            .resource_id(&id)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .min_capacity(0)
            .max_capacity(i32::try_from(max_tasks).unwrap_or(i32::MAX))
            .send();
        api.call("RegisterScalableTarget", &id, target).await?;
        let action = api
            .client
            .put_scheduled_action()
            .service_namespace(ServiceNamespace::Ecs)
            .resource_id(&id)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .scheduled_action_name(ACTION)
            .schedule(schedule_at(at))
            .timezone(TIMEZONE)
            .scalable_target_action(ScalableTargetAction::builder().min_capacity(0).max_capacity(0).build())
            .send();
        api.call("PutScheduledAction", &id, action).await.map(drop)
    }

    async fn delete_scheduled_scale_to_zero(&self, cluster: &str, service: &str) -> AwsResult<()> {
        let Self(api) = self;
        let id = resource_id(cluster, service);
        let action = api
            .client
            .delete_scheduled_action()
            .service_namespace(ServiceNamespace::Ecs)
            .resource_id(&id)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .scheduled_action_name(ACTION)
            .send();
        ignore_not_found(api.call("DeleteScheduledAction", &id, action).await)?;
        let target = api
            .client
            .deregister_scalable_target()
            .service_namespace(ServiceNamespace::Ecs)
            .resource_id(&id)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .send();
        ignore_not_found(api.call("DeregisterScalableTarget", &id, target).await)
    }
}

/// Ignores `NotFound`: the resource is already deleted. The scheduled action deletes itself once it
/// has run.
fn ignore_not_found<T>(response: AwsResult<T>) -> AwsResult<()> {
    match response {
        Err(error) if error.class != AwsErrorClass::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn resource_id(cluster: &str, service: &str) -> String {
    format!("service/{cluster}/{service}")
}

/// An `at` expression has whole seconds. Its time zone is a separate parameter.
fn schedule_at(at: MicroTime) -> String {
    at.whole_second().to_zoned(TimeZone::UTC).strftime("at(%Y-%m-%dT%H:%M:%S)").to_string()
}

fn instant_of(schedule: &str) -> Option<MicroTime> {
    let text = schedule.strip_prefix("at(")?.strip_suffix(')')?;
    let civil: DateTime = text.parse().ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().into())
}

#[cfg(test)]
mod tests {
    use aws_sdk_applicationautoscaling::config::retry::RetryConfig;
    use aws_sdk_applicationautoscaling::operation::delete_scheduled_action::DeleteScheduledActionOutput;
    use aws_sdk_applicationautoscaling::operation::deregister_scalable_target::DeregisterScalableTargetOutput;
    use aws_sdk_applicationautoscaling::operation::describe_scalable_targets::DescribeScalableTargetsOutput;
    use aws_sdk_applicationautoscaling::operation::describe_scheduled_actions::DescribeScheduledActionsOutput;
    use aws_sdk_applicationautoscaling::operation::put_scheduled_action::PutScheduledActionOutput;
    use aws_sdk_applicationautoscaling::operation::register_scalable_target::RegisterScalableTargetOutput;
    use aws_sdk_applicationautoscaling::types::{ScalableTarget, ScheduledAction};
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use aws_smithy_types::DateTime;

    use super::*;
    use crate::aws::client::tests::{refused, unobserved};

    const ID: &str = "service/default/kd-service";

    /// 2027-01-15T08:00:00.4Z.
    const AT: MicroTime = MicroTime::from_micros(1_800_000_000_400_000);

    fn scaling(rules: &[&Rule]) -> ApplicationAutoScaling {
        ApplicationAutoScaling::new(unobserved(mock_client!(
            aws_sdk_applicationautoscaling,
            RuleMode::Sequential,
            rules,
            |config| config.retry_config(RetryConfig::disabled())
        )))
    }

    fn a_target() -> ScalableTarget {
        ScalableTarget::builder()
            .service_namespace(ServiceNamespace::Ecs)
            .resource_id(ID)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .min_capacity(0)
            .max_capacity(9)
            .role_arn("role")
            .creation_time(DateTime::from_secs(0))
            .build()
            .unwrap()
    }

    fn an_action() -> ScheduledAction {
        ScheduledAction::builder()
            .scheduled_action_name(ACTION)
            .scheduled_action_arn("arn")
            .service_namespace(ServiceNamespace::Ecs)
            .schedule("at(2027-01-15T08:00:00)")
            .resource_id(ID)
            .creation_time(DateTime::from_secs(0))
            .build()
            .unwrap()
    }

    #[test]
    fn a_schedule_has_whole_utc_seconds_and_parses_back() {
        assert_eq!(schedule_at(AT), "at(2027-01-15T08:00:00)");
        assert_eq!(instant_of(&schedule_at(AT)), Some(MicroTime::from_micros(1_800_000_000_000_000)));
        assert_eq!(instant_of("rate(5 minutes)"), None);
    }

    #[tokio::test]
    async fn scale_to_zero_is_a_target_and_a_scheduled_action() {
        let target = mock!(Client::register_scalable_target).then_compute_output(|request| {
            assert_eq!(
                (request.resource_id(), request.service_namespace()),
                (Some(ID), Some(&ServiceNamespace::Ecs))
            );
            assert_eq!((request.min_capacity(), request.max_capacity()), (Some(0), Some(9)));
            assert_eq!(request.scalable_dimension(), Some(&ScalableDimension::EcsServiceDesiredCount));
            RegisterScalableTargetOutput::builder().build()
        });
        let action = mock!(Client::put_scheduled_action).then_compute_output(|request| {
            assert_eq!((request.resource_id(), request.scheduled_action_name()), (Some(ID), Some(ACTION)));
            assert_eq!(
                (request.schedule(), request.timezone()),
                (Some("at(2027-01-15T08:00:00)"), Some("Etc/UTC"))
            );
            let action = request.scalable_target_action().unwrap();
            assert_eq!((action.min_capacity(), action.max_capacity()), (Some(0), Some(0)));
            PutScheduledActionOutput::builder().build()
        });
        scaling(&[&target, &action])
            .put_scheduled_scale_to_zero("default", "kd-service", 9, AT)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn the_target_and_the_action_are_described() {
        let target = || {
            mock!(Client::describe_scalable_targets).then_compute_output(|request| {
                assert_eq!(request.resource_ids(), [ID]);
                DescribeScalableTargetsOutput::builder().scalable_targets(a_target()).build()
            })
        };
        let action = mock!(Client::describe_scheduled_actions).then_compute_output(|request| {
            assert_eq!(
                (request.resource_id(), request.scheduled_action_names()),
                (Some(ID), [ACTION.to_owned()].as_slice())
            );
            DescribeScheduledActionsOutput::builder().scheduled_actions(an_action()).build()
        });
        let no_target = || {
            mock!(Client::describe_scalable_targets)
                .then_output(|| DescribeScalableTargetsOutput::builder().build())
        };
        let no_action = || {
            mock!(Client::describe_scheduled_actions)
                .then_output(|| DescribeScheduledActionsOutput::builder().build())
        };
        let both = scaling(&[&target(), &action])
            .fetch_scheduled_scale_to_zero("default", "kd-service")
            .await
            .unwrap();
        let action_at = Some(MicroTime::from_micros(1_800_000_000_000_000));
        assert_eq!(both, Some(ScheduledActionDescription { target: true, action_at }));
        let fired = scaling(&[&target(), &no_action()])
            .fetch_scheduled_scale_to_zero("default", "kd-service")
            .await
            .unwrap();
        assert_eq!(fired, Some(ScheduledActionDescription { target: true, action_at: None }));
        let none = scaling(&[&no_target(), &no_action()])
            .fetch_scheduled_scale_to_zero("default", "kd-service")
            .await
            .unwrap();
        assert_eq!(none, None);
    }

    #[tokio::test]
    async fn deletion_ignores_not_found_and_stops_at_other_errors() {
        let not_found = || {
            mock!(Client::delete_scheduled_action)
                .then_http_response(|| refused(400, "ObjectNotFoundException", "not found"))
        };
        let target = mock!(Client::deregister_scalable_target).then_compute_output(|request| {
            assert_eq!(request.resource_id(), Some(ID));
            DeregisterScalableTargetOutput::builder().build()
        });
        scaling(&[&not_found(), &target])
            .delete_scheduled_scale_to_zero("default", "kd-service")
            .await
            .unwrap();
        assert_eq!(target.num_calls(), 1);

        let done = mock!(Client::delete_scheduled_action)
            .then_output(|| DeleteScheduledActionOutput::builder().build());
        let busy = mock!(Client::deregister_scalable_target)
            .then_http_response(|| refused(400, "ConcurrentUpdateException", "busy"));
        let error = scaling(&[&done, &busy])
            .delete_scheduled_scale_to_zero("default", "kd-service")
            .await
            .unwrap_err();
        assert_eq!(error.class, AwsErrorClass::Transient);
    }

    #[tokio::test]
    async fn scale_to_zero_is_retried_until_the_service_is_visible() {
        let rule = mock!(Client::register_scalable_target).then_http_response(|| {
            refused(400, "ValidationException", "ECS service doesn't exist: service/default/kd-service")
        });
        let error =
            scaling(&[&rule]).put_scheduled_scale_to_zero("default", "kd-service", 9, AT).await.unwrap_err();
        assert_eq!((error.class, error.target.as_str()), (AwsErrorClass::Transient, ID));
    }
}
