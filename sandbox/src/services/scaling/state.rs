//! What exists in Application Auto Scaling: targets, scheduled actions and scaling activities by
//! region. With time, due actions fire and set desired counts. In: the state, an instant, and the
//! services to scale. Out: the changed state. No I/O of its own.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use crate::parameters::Tags;
use crate::services::integrations::ScalableServices;

/// The only scalable dimension.
pub const DIMENSION: &str = "ecs:service:DesiredCount";
/// Scaling activities kept per region. AWS keeps those of the last six weeks; the number is our
/// choice.
const ACTIVITIES_KEPT: usize = 200;

/// A target's resource id, such as `service/cluster/name`.
pub type ResourceId = String;

/// The account's state.
#[derive(Debug, Default)]
pub struct ScalingState {
    pub regions: BTreeMap<String, Region>,
    /// Whether the account started without the service-linked role, as new accounts do.
    pub is_fresh_account: bool,
    pub has_linked_role: bool,
}

/// One region.
#[derive(Debug, Default)]
pub struct Region {
    pub targets: BTreeMap<ResourceId, Target>,
    /// By resource and name.
    pub actions: BTreeMap<(ResourceId, String), Action>,
    /// Newest first.
    pub activities: VecDeque<Activity>,
}

/// A scalable target.
#[derive(Clone, Debug)]
pub struct Target {
    pub arn: String,
    pub minimum: u32,
    pub maximum: u32,
    pub role_arn: String,
    pub created_at: Timestamp,
    /// When operations that refer to the target start to find it.
    pub visible_at: Timestamp,
    pub suspended: Suspended,
    pub tags: Tags,
}

/// The suspended kinds of scaling.
#[derive(Clone, Copy, Debug, Default)]
pub struct Suspended {
    pub dynamic_scale_in: bool,
    pub dynamic_scale_out: bool,
    pub scheduled: bool,
}

/// A one-time scheduled action.
#[derive(Clone, Debug)]
pub struct Action {
    pub arn: String,
    pub schedule: String,
    pub timezone: Option<String>,
    pub due_at: Timestamp,
    pub minimum: Option<u32>,
    pub maximum: Option<u32>,
    pub created_at: Timestamp,
    pub fired: bool,
}

/// A change of a desired count.
#[derive(Clone, Debug)]
pub struct Activity {
    pub id: String,
    pub resource: ResourceId,
    pub cause: String,
    pub at: Timestamp,
    /// The new desired count.
    pub desired: u32,
    /// Whether ECS accepted it.
    pub succeeded: bool,
}

impl ScalingState {
    /// An account without targets.
    pub fn new(is_fresh_account: bool) -> Self {
        Self { regions: BTreeMap::new(), is_fresh_account, has_linked_role: !is_fresh_account }
    }

    pub fn region(&mut self, name: &str) -> &mut Region {
        self.regions.entry(name.to_owned()).or_default()
    }

    /// Fires every action that is due by `wall`.
    pub fn fire_due(&mut self, services: &dyn ScalableServices, wall: Timestamp) {
        for (name, region) in &mut self.regions {
            let Region { targets, actions, activities } = region;
            for ((resource, action_name), action) in actions.iter_mut() {
                let Some(target) = targets.get_mut(resource) else { continue };
                if action.fired || action.due_at > wall || target.suspended.scheduled {
                    continue;
                }
                action.fired = true;
                target.minimum = action.minimum.unwrap_or(target.minimum);
                target.maximum = action.maximum.unwrap_or(target.maximum);
                let cause = format!("scheduled action name {action_name} was triggered");
                let activity = target.enforce_bounds(services, name, resource, cause, wall);
                record(activities, activity);
            }
        }
    }
}

impl Region {
    /// Adds an activity, if there is one.
    pub fn record(&mut self, activity: Option<Activity>) {
        record(&mut self.activities, activity);
    }
}

fn record(activities: &mut VecDeque<Activity>, activity: Option<Activity>) {
    if let Some(activity) = activity {
        activities.push_front(activity);
        activities.truncate(ACTIVITIES_KEPT);
    }
}

impl Target {
    /// Moves the service's desired count into the target's bounds. Returns the scaling activity, if
    /// any.
    pub fn enforce_bounds(
        &self,
        services: &dyn ScalableServices,
        region: &str,
        resource: &str,
        cause: String,
        wall: Timestamp,
    ) -> Option<Activity> {
        let (cluster, service) = cluster_and_service(resource)?;
        let current = services.desired_count(region, cluster, service)?;
        let desired = current.max(self.minimum).min(self.maximum);
        if desired == current {
            return None;
        }
        Some(Activity {
            id: uuid::Uuid::new_v4().to_string(),
            resource: resource.to_owned(),
            cause,
            at: wall,
            desired,
            succeeded: services.set_desired_count(region, cluster, service, desired),
        })
    }
}

/// The cluster and the service of `service/cluster/name`.
pub fn cluster_and_service(resource: &str) -> Option<(&str, &str)> {
    let mut parts = resource.split('/');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("service"), Some(cluster), Some(service), None) => Some((cluster, service)),
        _ => None,
    }
}
