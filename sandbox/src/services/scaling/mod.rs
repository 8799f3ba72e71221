//! Application Auto Scaling for ECS services. In: scalable targets and one-time scheduled actions.
//! Out: AWS's responses, and desired counts set on ECS when an action is due. Keeps targets and
//! actions by region in memory.
//!
//! `at(…)` specifies an instant on the caller's clock, so actions fire in real time, independent of
//! the model's speed.

mod errors;
mod model;
mod ops;
mod request;
mod state;
mod view;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::call::{AwsError, Call};
use crate::clock::ModelClock;
use crate::operations::Operation;
use crate::services::Service;
use crate::services::integrations::ScalableServices;
use ops::{activities, scheduled_actions, tags, targets};
use request::Request;
use state::ScalingState;

/// How often due actions are looked up. AWS guarantees only the minute; the short interval lets
/// tests check the second.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The modelled Application Auto Scaling.
pub struct Scaling {
    clock: ModelClock,
    services: Arc<dyn ScalableServices>,
    state: Mutex<ScalingState>,
}

impl Scaling {
    /// Creates the service, with no targets in any region.
    pub fn new(clock: ModelClock, services: Arc<dyn ScalableServices>, is_fresh_account: bool) -> Arc<Self> {
        Arc::new(Self { clock, services, state: Mutex::new(ScalingState::new(is_fresh_account)) })
    }

    /// Starts the loop that fires due actions. It runs until the handle is aborted.
    pub fn start(self: &Arc<Self>) -> JoinHandle<()> {
        let scaling = Arc::clone(self);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(CHECK_INTERVAL);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                scaling.fire_due(scaling.clock.moment().wall);
            }
        })
    }

    fn fire_due(&self, wall: Timestamp) {
        self.lock().fire_due(self.services.as_ref(), wall);
    }

    fn lock(&self) -> MutexGuard<'_, ScalingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Service for Scaling {
    fn operations(&self) -> Option<&'static [Operation]> {
        Some(ops::OPERATIONS)
    }

    async fn call(&self, call: Call<'_>) -> Result<Value, AwsError> {
        let request = Request::new(&call, &self.clock, self.services.as_ref());
        let state = &mut *self.lock();
        match call.operation {
            "RegisterScalableTarget" => targets::register_scalable_target(state, request),
            "DescribeScalableTargets" => targets::describe_scalable_targets(state, request),
            "DeregisterScalableTarget" => targets::deregister_scalable_target(state, request),
            "PutScheduledAction" => scheduled_actions::put_scheduled_action(state, request),
            "DescribeScheduledActions" => scheduled_actions::describe_scheduled_actions(state, request),
            "DeleteScheduledAction" => scheduled_actions::delete_scheduled_action(state, request),
            "DescribeScalingActivities" => activities::describe_scaling_activities(state, request),
            "TagResource" => tags::tag_resource(state, request),
            "UntagResource" => tags::untag_resource(state, request),
            "ListTagsForResource" => tags::list_tags_for_resource(state, request),
            other => Err(crate::operations::unknown("application-autoscaling", other)),
        }
    }

    fn state(&self, _now: Timestamp) -> Value {
        view::all(&self.lock().regions)
    }
}

#[cfg(test)]
mod tests;
