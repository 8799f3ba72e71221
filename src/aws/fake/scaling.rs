//! Scalable targets of the fake and their scheduled action. In: calls and instants. Out: services taken to zero.

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;

use super::world::{RegionState, ServiceKey};
use super::{Handle, refusal};
use crate::aws::{AwsErrorClass, AwsResult, Scaling, ScheduledActionDescription, ServiceState};

pub(super) struct Target {
    pub(super) min: u32,
    pub(super) max: u32,
    pub(super) action_at: Option<MicroTime>,
}

impl RegionState<'_> {
    /// Carries out scheduled actions that are due: a one-time action fires once and is gone.
    pub(super) fn fire_scheduled_actions(&mut self) {
        for (key, target) in &mut self.region.targets {
            if target.action_at.is_some_and(|at| at <= self.now) {
                *target = Target { min: 0, max: 0, action_at: None };
                if let Some(service) = self.region.services.get_mut(key) {
                    service.desired = service.desired.clamp(target.min, target.max);
                    service.say("Successfully set desired count to 0. Change successfully fulfilled by ecs.");
                }
            }
        }
    }
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
                .read("DescribeScalableTargets", &id, |scene| Ok(scene.region.targets.contains_key(&key)))?;
        let action_at =
            self.reach("DescribeScheduledActions").await.read("DescribeScheduledActions", &id, |scene| {
                Ok(scene.region.targets.get(&key).and_then(|target| target.action_at))
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
        self.reach("RegisterScalableTarget").await.write("RegisterScalableTarget", &id, |scene| {
            if !scene.region.services.get(&key).is_some_and(|service| service.state == ServiceState::Active) {
                return Err(refusal("ValidationException", format!("ECS service doesn't exist: {id}")));
            }
            let target =
                scene.region.targets.entry(key.clone()).or_insert(Target { min: 0, max: 0, action_at: None });
            (target.min, target.max) = (0, max_tasks);
            Ok(())
        })?;
        self.reach("PutScheduledAction").await.write("PutScheduledAction", &id, |scene| {
            if at <= scene.now {
                return Err(refusal("ValidationException", "Schedule time is in the past"));
            }
            let missing =
                || refusal("ObjectNotFoundException", format!("No scalable target registered for {id}"));
            // `at()` takes whole seconds.
            let at = MicroTime::from(at.whole_second());
            scene.region.targets.get_mut(&key).ok_or_else(missing)?.action_at = Some(at);
            Ok(())
        })
    }

    async fn delete_scheduled_scale_to_zero(&self, cluster: &str, service: &str) -> AwsResult<()> {
        let (key, id) = (key(cluster, service), resource_id(cluster, service));
        let action = self.reach("DeleteScheduledAction").await.write("DeleteScheduledAction", &id, |scene| {
            let target = scene.region.targets.get_mut(&key);
            let gone = target.and_then(|target| target.action_at.take());
            gone.map(drop).ok_or_else(|| refusal("ObjectNotFoundException", "No scheduled action found"))
        });
        action.or_else(gone_is_fine)?;
        let target =
            self.reach("DeregisterScalableTarget").await.write("DeregisterScalableTarget", &id, |scene| {
                // Its scheduled actions go with it (Application Auto Scaling API reference, DeregisterScalableTarget).
                let gone = scene.region.targets.remove(&key);
                gone.map(drop).ok_or_else(|| refusal("ObjectNotFoundException", "No scalable target found"))
            });
        target.or_else(gone_is_fine)
    }
}

fn gone_is_fine(error: crate::aws::AwsError) -> AwsResult<()> {
    if error.class == AwsErrorClass::NotFound { Ok(()) } else { Err(error) }
}
