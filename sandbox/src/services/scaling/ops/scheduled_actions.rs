//! Scheduled actions: creating, describing and deleting them. In: the state and a request. Out: the
//! response. No I/O. `ScalingState::fire_due` fires due actions.

use serde_json::{Value, json};

use crate::call::AwsError;
use crate::services::scaling::model::schedule;
use crate::services::scaling::request::{Request, capacity};
use crate::services::scaling::state::{Action, ScalingState};
use crate::services::scaling::{errors, view};

pub fn put_scheduled_action(state: &mut ScalingState, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let resource = request.resource_id()?;
    let name = input.required_text("ScheduledActionName")?;
    if name.is_empty() || name.len() > 256 || name.contains([':', '/', '|']) || name.trim() != name {
        return Err(input.invalid(format!("Invalid scheduled action name: {name}")));
    }
    let key = (resource.to_owned(), name.to_owned());
    let region = state.region(&request.caller.region);
    let existing = region.actions.get(&key);
    let schedule = match (input.text("Schedule")?, existing) {
        (Some(schedule), _) => schedule.to_owned(),
        (None, Some(existing)) => existing.schedule.clone(),
        (None, None) => return Err(input.invalid("Schedule must be specified")),
    };
    let timezone = input.text("Timezone")?.map(str::to_owned).or_else(|| existing?.timezone.clone());
    let due_at = schedule::due_at(&schedule, timezone.as_deref()).map_err(|why| input.invalid(why))?;
    if due_at <= request.wall {
        return Err(input.invalid(format!("Schedule expression {schedule} is in the past")));
    }
    let change = input.nested("ScalableTargetAction")?;
    let (minimum, maximum) = (capacity(change, "MinCapacity")?, capacity(change, "MaxCapacity")?);
    if minimum.is_none() && maximum.is_none() && existing.is_none() {
        return Err(
            input.invalid("ScalableTargetAction with a MinCapacity or a MaxCapacity must be specified")
        );
    }
    if let (Some(minimum), Some(maximum)) = (minimum, maximum)
        && minimum > maximum
    {
        return Err(input.invalid("Maximum capacity cannot be less than minimum capacity"));
    }
    if region.targets.get(resource).is_none_or(|target| target.visible_at > request.wall) {
        return Err(errors::target_not_found(resource));
    }
    let action = Action {
        arn: existing.map_or_else(
            || {
                format!(
                    "arn:aws:autoscaling:{}:{}:scheduledAction:{}:resource/ecs/{resource}:scheduledActionName/{name}",
                    request.caller.region,
                    request.caller.account,
                    uuid::Uuid::new_v4()
                )
            },
            |existing| existing.arn.clone(),
        ),
        schedule,
        timezone,
        due_at,
        minimum: minimum.or_else(|| existing?.minimum),
        maximum: maximum.or_else(|| existing?.maximum),
        created_at: existing.map_or(request.wall, |existing| existing.created_at),
        fired: false,
    };
    region.actions.insert(key, action);
    Ok(json!({}))
}

pub fn describe_scheduled_actions(state: &mut ScalingState, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let names = input.texts("ScheduledActionNames")?;
    let resource = input.text("ResourceId")?;
    request.check_filters(resource.is_some())?;
    let actions = state
        .region(&request.caller.region)
        .actions
        .iter()
        .filter(|((owner, name), _)| {
            resource.is_none_or(|resource| resource == owner)
                && (names.is_empty() || names.contains(&name.as_str()))
        })
        .map(|((owner, name), action)| (format!("{owner} {name}"), view::action(owner, name, action)));
    request.paged("ScheduledActions", actions)
}

pub fn delete_scheduled_action(state: &mut ScalingState, request: Request<'_>) -> Result<Value, AwsError> {
    let resource = request.resource_id()?;
    let name = request.input.required_text("ScheduledActionName")?;
    let removed =
        state.region(&request.caller.region).actions.remove(&(resource.to_owned(), name.to_owned()));
    removed.map(|_| json!({})).ok_or_else(|| errors::action_not_found(resource, name))
}
