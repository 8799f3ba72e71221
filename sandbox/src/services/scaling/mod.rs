//! Application Auto Scaling for ECS services. In: scalable targets and one-time scheduled actions.
//! Out: AWS's responses, and desired counts set on ECS when an action is due. Keeps targets and
//! actions by region in memory.
//!
//! `at(…)` specifies an instant on the caller's clock, so actions fire in real time, independent of
//! the model's speed.

mod actions;
mod operations;
mod schedule;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::call::{AwsError, Call, Caller};
use crate::clock::ModelClock;
use crate::operations::{NOT_SUPPORTED, Operation};
use crate::paging::page;
use crate::parameters::{Parameters, TAGS_PER_RESOURCE, Tags, epoch_seconds};
use crate::services::Service;
use crate::services::integrations::ScalableServices;

const INVALID_REQUEST: &str = "ValidationException";
const DIMENSION: &str = "ecs:service:DesiredCount";
/// How often due actions are looked up. AWS guarantees only the minute; the short interval lets
/// tests check the second.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Scaling activities kept per region. AWS keeps those of the last six weeks; the number is our
/// choice.
const ACTIVITIES_KEPT: usize = 200;

/// A target's resource id, such as `service/cluster/name`.
type ResourceId = String;

#[derive(Clone, Debug)]
struct Target {
    arn: String,
    minimum: u32,
    maximum: u32,
    role_arn: String,
    created_at: Timestamp,
    /// When operations that refer to the target start to find it.
    visible_at: Timestamp,
    /// Suspension of dynamic scale-in, dynamic scale-out and scheduled scaling.
    suspended: [bool; 3],
    tags: Tags,
}

#[derive(Clone, Debug)]
struct Action {
    arn: String,
    schedule: String,
    timezone: Option<String>,
    due_at: Timestamp,
    minimum: Option<u32>,
    maximum: Option<u32>,
    created_at: Timestamp,
    fired: bool,
}

#[derive(Debug, Default)]
struct Region {
    targets: BTreeMap<ResourceId, Target>,
    /// By resource and name.
    actions: BTreeMap<(ResourceId, String), Action>,
    /// Newest first.
    activities: VecDeque<Value>,
}

/// The modelled Application Auto Scaling.
pub struct Scaling {
    clock: ModelClock,
    ecs: Arc<dyn ScalableServices>,
    /// Whether the account started without the service-linked role, as new accounts do.
    is_fresh_account: bool,
    has_linked_role: AtomicBool,
    regions: Mutex<BTreeMap<String, Region>>,
}

/// A request and its real time.
#[derive(Clone, Copy)]
struct Request<'a> {
    input: Parameters<'a>,
    caller: &'a Caller,
    wall: Timestamp,
}

impl Scaling {
    /// Creates the service, with no targets in any region.
    pub fn new(clock: ModelClock, ecs: Arc<dyn ScalableServices>, is_fresh_account: bool) -> Arc<Self> {
        let has_linked_role = AtomicBool::new(!is_fresh_account);
        Arc::new(Self { clock, ecs, is_fresh_account, has_linked_role, regions: Mutex::default() })
    }

    /// Fails the first call in a new account that needs the service-linked role. That call creates
    /// the role ("Service-linked roles for Application Auto Scaling": "created … when you register
    /// your first scalable target").
    fn assume_linked_role(&self, input: Parameters<'_>, role: &str) -> Result<(), AwsError> {
        if self.has_linked_role.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        Err(input.invalid(format!("Unable to assume IAM role: {role}")))
    }

    /// When a target that is registered at `wall` becomes visible to operations that refer to it.
    fn visible_at(&self, wall: Timestamp) -> Timestamp {
        if self.is_fresh_account {
            wall.saturating_add(self.ecs.draw_read_lag()).unwrap_or(wall)
        } else {
            wall
        }
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

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Region>> {
        self.regions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fires every action that is due by `wall`.
    fn fire_due(&self, wall: Timestamp) {
        for (name, region) in self.lock().iter_mut() {
            let Region { targets, actions, activities } = region;
            for ((resource, action_name), action) in actions.iter_mut() {
                let Some(target) = targets.get_mut(resource) else { continue };
                if action.fired || action.due_at > wall || target.suspended[2] {
                    continue;
                }
                action.fired = true;
                target.minimum = action.minimum.unwrap_or(target.minimum);
                target.maximum = action.maximum.unwrap_or(target.maximum);
                let cause = format!("scheduled action name {action_name} was triggered");
                record(activities, self.enforce_bounds(name, resource, target, &cause, wall));
            }
        }
    }

    /// Moves the service's desired count into the target's bounds. Returns the scaling activity, if
    /// any.
    fn enforce_bounds(
        &self,
        region: &str,
        resource: &str,
        target: &Target,
        cause: &str,
        wall: Timestamp,
    ) -> Option<Value> {
        let (cluster, service) = cluster_and_service(resource)?;
        let current = self.ecs.desired_count(region, cluster, service)?;
        let desired = current.max(target.minimum).min(target.maximum);
        if desired == current {
            return None;
        }
        let is_set = self.ecs.set_desired_count(region, cluster, service, desired);
        Some(json!({
            "ActivityId": uuid::Uuid::new_v4().to_string(),
            "ServiceNamespace": "ecs",
            "ResourceId": resource,
            "ScalableDimension": DIMENSION,
            "Description": format!("Setting desired count to {desired}."),
            "Cause": cause,
            "StartTime": epoch_seconds(wall),
            "EndTime": epoch_seconds(wall),
            "StatusCode": if is_set { "Successful" } else { "Failed" },
            "StatusMessage": format!("Successfully set desired count to {desired}. Change successfully fulfilled by ecs."),
        }))
    }

    fn register_scalable_target(&self, request: Request<'_>) -> Result<Value, AwsError> {
        let input = request.input;
        let resource = resource_id(input)?;
        let (cluster, service) = cluster_and_service(resource).ok_or_else(|| {
            input.invalid(format!(
                "Unsupported service namespace, resource type or scalable dimension: {resource}"
            ))
        })?;
        let bounds = (capacity(input, "MinCapacity")?, capacity(input, "MaxCapacity")?);
        let tags = input.tag_map("Tags")?;
        let region_name = &request.caller.region;
        let mut regions = self.lock();
        let region = regions.entry(region_name.clone()).or_default();
        let existing = region.targets.get(resource);
        let (minimum, maximum) = match (bounds, existing) {
            ((Some(minimum), Some(maximum)), _) => (minimum, maximum),
            ((minimum, maximum), Some(existing)) => {
                (minimum.unwrap_or(existing.minimum), maximum.unwrap_or(existing.maximum))
            }
            _ => return Err(input.invalid("Minimum and maximum capacity are required when registering a scalable target for the first time")),
        };
        if minimum > maximum {
            return Err(input.invalid("Maximum capacity cannot be less than minimum capacity"));
        }
        if existing.is_some() && !tags.is_empty() {
            return Err(input.invalid(
                "Tags cannot be specified when updating a scalable target. Use TagResource instead",
            ));
        }
        let account = &request.caller.account;
        let role_arn = format!(
            "arn:aws:iam::{account}:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService"
        );
        self.assume_linked_role(input, &role_arn)?;
        if !self.ecs.is_visible_to_services(region_name, cluster, service) {
            return Err(input.invalid(format!("ECS service doesn't exist: {resource}")));
        }
        let mut target = existing.cloned().unwrap_or_else(|| {
            let id = uuid::Uuid::new_v4().simple().to_string();
            Target {
                arn: format!(
                    "arn:aws:application-autoscaling:{region_name}:{account}:scalable-target/0ec5{}",
                    &id[..28]
                ),
                minimum,
                maximum,
                role_arn,
                created_at: request.wall,
                visible_at: self.visible_at(request.wall),
                suspended: [false; 3],
                tags,
            }
        });
        (target.minimum, target.maximum) = (minimum, maximum);
        let suspended = input.nested("SuspendedState")?;
        for (index, member) in SUSPENSIONS.iter().enumerate() {
            if let Some(flag) = suspended.flag(member)? {
                target.suspended[index] = flag;
            }
        }
        let cause = format!("capacity bounds were set to {minimum} and {maximum}");
        let activity = self.enforce_bounds(region_name, resource, &target, &cause, request.wall);
        record(&mut region.activities, activity);
        let response = json!({"ScalableTargetARN": target.arn});
        region.targets.insert(resource.to_owned(), target);
        Ok(response)
    }
}

const SUSPENSIONS: [&str; 3] =
    ["DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended"];

fn record(activities: &mut VecDeque<Value>, activity: Option<Value>) {
    if let Some(activity) = activity {
        activities.push_front(activity);
        activities.truncate(ACTIVITIES_KEPT);
    }
}

fn cluster_and_service(resource: &str) -> Option<(&str, &str)> {
    let mut parts = resource.split('/');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("service"), Some(cluster), Some(service), None) => Some((cluster, service)),
        _ => None,
    }
}

fn check_namespace(input: Parameters<'_>) -> Result<(), AwsError> {
    match input.required_text("ServiceNamespace")? {
        "ecs" => Ok(()),
        other => Err(input.invalid(format!("the service namespace {other} {NOT_SUPPORTED}"))),
    }
}

/// The request's resource id, after checking its namespace and dimension.
fn resource_id<'a>(input: Parameters<'a>) -> Result<&'a str, AwsError> {
    check_namespace(input)?;
    check_dimension(input, input.required_text("ScalableDimension")?)?;
    input.required_text("ResourceId")
}

fn check_dimension(input: Parameters<'_>, dimension: &str) -> Result<(), AwsError> {
    if dimension == DIMENSION {
        return Ok(());
    }
    let message = "Unsupported service namespace, resource type or scalable dimension";
    Err(input.invalid(format!("{message}: {dimension}")))
}

/// Checks the filters of a describe operation. "If you specify a scalable dimension, you must also
/// specify a resource ID" (DescribeScalableTargets and related operations).
fn check_filters(input: Parameters<'_>, names_a_resource: bool) -> Result<(), AwsError> {
    check_namespace(input)?;
    match input.text("ScalableDimension")? {
        None => Ok(()),
        Some(_) if !names_a_resource => {
            Err(input.invalid("A resource ID must be specified with a scalable dimension"))
        }
        Some(dimension) => check_dimension(input, dimension),
    }
}

fn capacity(input: Parameters<'_>, name: &str) -> Result<Option<u32>, AwsError> {
    input
        .integer(name)?
        .map(|value| u32::try_from(value).map_err(|_| input.invalid(format!("{name} must not be negative"))))
        .transpose()
}

fn no_target(resource: &str) -> AwsError {
    AwsError::client(
        "ObjectNotFoundException",
        format!(
            "No scalable target registered for service namespace: ecs, resource ID: {resource}, scalable dimension: {DIMENSION}"
        ),
    )
}

fn paged(
    input: Parameters<'_>,
    member: &str,
    items: impl IntoIterator<Item = (String, Value)>,
) -> Result<Value, AwsError> {
    // "This value can be between 1 and 50. The default value is 50" (DescribeScalableTargets and
    // related operations).
    let size = input.bounded("MaxResults", 1..=50, 50)? as usize;
    let (items, next) = page(items, input.text("NextToken")?, size)
        .map_err(|_| AwsError::client("InvalidNextTokenException", "The next token is not valid"))?;
    let mut output = json!({ member: items });
    if let Some(next) = next {
        output["NextToken"] = Value::from(next);
    }
    Ok(output)
}

fn describe_scalable_targets(region: &Region, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let requested = input.texts("ResourceIds")?;
    check_filters(input, !requested.is_empty())?;
    let targets = region
        .targets
        .iter()
        .filter(|(resource, _)| requested.is_empty() || requested.contains(&resource.as_str()))
        .map(|(resource, target)| {
            let suspended: serde_json::Map<_, _> = SUSPENSIONS
                .iter()
                .zip(target.suspended)
                .map(|(member, flag)| ((*member).to_owned(), Value::from(flag)))
                .collect();
            let view = json!({
                "ServiceNamespace": "ecs",
                "ResourceId": resource,
                "ScalableDimension": DIMENSION,
                "MinCapacity": target.minimum,
                "MaxCapacity": target.maximum,
                "RoleARN": target.role_arn,
                "CreationTime": epoch_seconds(target.created_at),
                "SuspendedState": suspended,
                "ScalableTargetARN": target.arn,
            });
            (resource.clone(), view)
        });
    paged(input, "ScalableTargets", targets)
}

fn deregister_scalable_target(region: &mut Region, request: Request<'_>) -> Result<Value, AwsError> {
    let resource = resource_id(request.input)?;
    region.targets.remove(resource).ok_or_else(|| no_target(resource))?;
    // "Deregistering a scalable target deletes the scaling policies and scheduled actions that are
    // associated with it."
    region.actions.retain(|(owner, _), _| owner != resource);
    Ok(json!({}))
}

fn describe_scaling_activities(region: &Region, request: Request<'_>) -> Result<Value, AwsError> {
    let resource = request.input.text("ResourceId")?;
    check_filters(request.input, resource.is_some())?;
    let activities = region
        .activities
        .iter()
        .filter(|activity| resource.is_none_or(|resource| activity["ResourceId"] == resource))
        .enumerate()
        .map(|(index, activity)| (format!("{index:06}"), activity.clone()));
    paged(request.input, "ScalingActivities", activities)
}

fn tags<'r>(region: &'r mut Region, request: Request<'_>) -> Result<(&'r mut Tags, &'r str), AwsError> {
    let arn = request.input.required_text("ResourceARN")?;
    let target = region.targets.values_mut().find(|target| target.arn == arn);
    target.map(|target| (&mut target.tags, target.arn.as_str())).ok_or_else(|| {
        AwsError::client("ResourceNotFoundException", format!("The specified resource doesn't exist: {arn}"))
    })
}

fn tag_resource(region: &mut Region, request: Request<'_>) -> Result<Value, AwsError> {
    let added = request.input.tag_map("Tags")?;
    let (tags, arn) = tags(region, request)?;
    let mut merged = tags.clone();
    merged.extend(added);
    if merged.len() > TAGS_PER_RESOURCE {
        return Err(AwsError::client("TooManyTagsException", format!("too many tags on {arn}")));
    }
    *tags = merged;
    Ok(json!({}))
}

fn untag_resource(region: &mut Region, request: Request<'_>) -> Result<Value, AwsError> {
    let keys = request.input.texts("TagKeys")?;
    tags(region, request)?.0.retain(|key, _| !keys.contains(&key.as_str()));
    Ok(json!({}))
}

#[async_trait]
impl Service for Scaling {
    fn operations(&self) -> Option<&'static [Operation]> {
        Some(operations::OPERATIONS)
    }

    async fn call(&self, call: Call<'_>) -> Result<Value, AwsError> {
        let request = Request {
            input: Parameters::new(call.input, INVALID_REQUEST),
            caller: call.caller,
            wall: self.clock.wall_at(call.now),
        };
        if call.operation == "RegisterScalableTarget" {
            return self.register_scalable_target(request);
        }
        let mut regions = self.lock();
        let region = regions.entry(call.caller.region.clone()).or_default();
        match call.operation {
            "DescribeScalableTargets" => describe_scalable_targets(region, request),
            "DeregisterScalableTarget" => deregister_scalable_target(region, request),
            "PutScheduledAction" => actions::put_scheduled_action(region, request),
            "DescribeScheduledActions" => actions::describe_scheduled_actions(region, request),
            "DeleteScheduledAction" => actions::delete_scheduled_action(region, request),
            "DescribeScalingActivities" => describe_scaling_activities(region, request),
            "TagResource" => tag_resource(region, request),
            "UntagResource" => untag_resource(region, request),
            "ListTagsForResource" => Ok(json!({"Tags": tags(region, request)?.0})),
            other => Err(crate::operations::unknown("application-autoscaling", other)),
        }
    }

    fn state(&self, _now: Timestamp) -> Value {
        let view = |region: &Region| {
            let targets: Vec<Value> = region
                .targets
                .iter()
                .map(|(resource, target)| {
                    json!({
                        "resource": resource, "min": target.minimum, "max": target.maximum, "tags": target.tags,
                    })
                })
                .collect();
            let actions: Vec<Value> = region
                .actions
                .iter()
                .map(|((resource, name), action)| {
                    json!({
                        "resource": resource, "name": name, "schedule": action.schedule, "fired": action.fired,
                    })
                })
                .collect();
            json!({"scalableTargets": targets, "scheduledActions": actions})
        };
        let regions = self.lock();
        json!({"regions": regions.iter().map(|(name, region)| (name.clone(), view(region))).collect::<BTreeMap<_, _>>()})
    }
}

#[cfg(test)]
mod tests;
