//! Scalable targets of the fake and their scheduled action. In: calls and instants. Out: services
//! scaled to zero.

use async_trait::async_trait;
use jiff::Timestamp;
use kinesis_demo_api::MicroTime;

use super::ecs::Service;
use super::state::{RegionState, ServiceKey};
use super::{ApiError, Handle, api_error};
use kinesis_demo_operator::aws::{
    AwsErrorClass, AwsResult, Scaling, ScheduledActionDescription, ServiceState,
};

pub(super) struct Target {
    pub(super) min: u32,
    pub(super) max: u32,
    pub(super) action_at: Option<MicroTime>,
}

impl RegionState<'_> {
    /// Runs scheduled actions that are due. A one-time action runs once. AWS does not say what
    /// becomes of it; here it is deleted.
    pub(super) fn fire_scheduled_actions(&mut self) {
        for (key, target) in &mut self.region.targets {
            if target.action_at.is_some_and(|at| at <= self.now) {
                *target = Target { min: 0, max: 0, action_at: None };
                if let Some(service) = self.region.services.get_mut(key) {
                    target.enforce(service);
                }
            }
        }
    }

    /// Whether Application Auto Scaling sees the service: some time after ECS created it
    /// (terraform-provider-aws, internal/service/appautoscaling/target.go).
    fn is_visible_to_scaling(&self, key: &ServiceKey) -> bool {
        let lag = self.settings.delays.scaling_lag;
        self.region.services.get(key).is_some_and(|service| {
            service.state == ServiceState::Active && service.created_at + lag <= self.now
        })
    }
}

impl Target {
    /// Moves the desired count of an active service into the bounds.
    fn enforce(&self, service: &mut Service) {
        let desired = service.desired.clamp(self.min, self.max);
        if service.state == ServiceState::Active && desired != service.desired {
            service.resize(desired);
        }
    }
}

/// The schedule expression for an instant in UTC.
fn schedule_at(second: Timestamp) -> String {
    second.strftime("at(%Y-%m-%dT%H:%M:%S)").to_string()
}

fn no_target(id: &str) -> ApiError {
    let text = format!(
        "No scalable target registered for service namespace: ecs, resource ID: {id}, scalable dimension: ecs:service:DesiredCount"
    );
    api_error("ObjectNotFoundException", text)
}

fn key(cluster: &str, service: &str) -> ServiceKey {
    (cluster.to_owned(), service.to_owned())
}

fn resource_id(cluster: &str, service: &str) -> String {
    format!("service/{cluster}/{service}")
}

#[async_trait]
impl Scaling for Handle {
    async fn fetch_scheduled_scale_to_zero(
        &self,
        cluster: &str,
        service: &str,
    ) -> AwsResult<Option<ScheduledActionDescription>> {
        let (key, id) = (key(cluster, service), resource_id(cluster, service));
        let target =
            self.reach("DescribeScalableTargets")
                .await
                .read("DescribeScalableTargets", &id, |state| Ok(state.region.targets.contains_key(&key)))?;
        let action_at =
            self.reach("DescribeScheduledActions").await.read("DescribeScheduledActions", &id, |state| {
                Ok(state.region.targets.get(&key).and_then(|target| target.action_at))
            })?;
        Ok((target || action_at.is_some()).then_some(ScheduledActionDescription { target, action_at }))
    }

    async fn put_scheduled_scale_to_zero(
        &self,
        cluster: &str,
        service: &str,
        max_tasks: u32,
        at: MicroTime,
    ) -> AwsResult<()> {
        let (key, id) = (key(cluster, service), resource_id(cluster, service));
        self.reach("RegisterScalableTarget").await.write("RegisterScalableTarget", &id, |state| {
            if !state.is_visible_to_scaling(&key) {
                return Err(api_error("ValidationException", format!("ECS service doesn't exist: {id}")));
            }
            let target =
                state.region.targets.entry(key.clone()).or_insert(Target { min: 0, max: 0, action_at: None });
            (target.min, target.max) = (0, max_tasks);
            if let Some(service) = state.region.services.get_mut(&key) {
                target.enforce(service);
            }
            Ok(())
        })?;
        self.reach("PutScheduledAction").await.write("PutScheduledAction", &id, |state| {
            // `at()` has whole seconds.
            let (schedule, at) = (schedule_at(at.whole_second()), MicroTime::from(at.whole_second()));
            if at <= state.now {
                let text = format!("Schedule expression {schedule} is in the past");
                return Err(api_error("ValidationException", text));
            }
            state.region.targets.get_mut(&key).ok_or_else(|| no_target(&id))?.action_at = Some(at);
            Ok(())
        })
    }

    async fn delete_scheduled_scale_to_zero(&self, cluster: &str, service: &str) -> AwsResult<()> {
        let (key, id) = (key(cluster, service), resource_id(cluster, service));
        let action = self.reach("DeleteScheduledAction").await.write("DeleteScheduledAction", &id, |state| {
            let target = state.region.targets.get_mut(&key);
            let removed = target.and_then(|target| target.action_at.take());
            removed.map(drop).ok_or_else(|| api_error("ObjectNotFoundException", "No scheduled action found"))
        });
        action.or_else(ignore_not_found)?;
        let target =
            self.reach("DeregisterScalableTarget").await.write("DeregisterScalableTarget", &id, |state| {
                // Also deletes its scheduled actions (Application Auto Scaling API reference,
                // DeregisterScalableTarget).
                let removed = state.region.targets.remove(&key);
                removed.map(drop).ok_or_else(|| no_target(&id))
            });
        target.or_else(ignore_not_found)
    }
}

fn ignore_not_found(error: kinesis_demo_operator::aws::AwsError) -> AwsResult<()> {
    if error.class == AwsErrorClass::NotFound { Ok(()) } else { Err(error) }
}
