//! Tags of ECS resources, by ARN. In: the state and a request. Out: the response. No I/O.

use serde_json::{Value, json};

use crate::call::AwsError;
use crate::parameters::Tags;
use crate::services::ecs::errors::{cluster_not_found, service_not_found};
use crate::services::ecs::request::Request;
use crate::services::ecs::state::EcsState;
use crate::services::ecs::view;

/// The tags of the resource with the ARN `resourceArn`.
fn tags<'w>(state: &'w mut EcsState, request: Request<'_>) -> Result<&'w mut Tags, AwsError> {
    let arn = request.input.required_text("resourceArn")?;
    let missing = |what: &str| {
        request
            .input
            .invalid(format!("The specified {what} was not found. Specify a valid ARN and try again."))
    };
    let resource = arn
        .strip_prefix(&request.arn(""))
        .ok_or_else(|| request.input.invalid("Invalid resource ARN. Specify a valid ARN and try again."))?;
    let region = state.region(&request.caller.region);
    let parts: Vec<&str> = resource.split('/').collect();
    match parts.as_slice() {
        ["cluster", name] => {
            let cluster = region.clusters.get_mut(*name).filter(|cluster| cluster.active);
            cluster.map(|cluster| &mut cluster.tags).ok_or_else(cluster_not_found)
        }
        ["service", cluster, name] => {
            let key = ((*cluster).to_owned(), (*name).to_owned());
            region.services.get_mut(&key).map(|service| &mut service.tags).ok_or_else(service_not_found)
        }
        ["task", _, id] => {
            region.tasks.get_mut(*id).map(|task| &mut task.tags).ok_or_else(|| missing("task"))
        }
        ["task-definition", name] => name
            .split_once(':')
            .and_then(|(family, revision)| Some((family, revision.parse().ok()?)))
            .and_then(|(family, revision): (_, u32)| {
                region.families.get_mut(family)?.revisions.get_mut(&revision)
            })
            .map(|definition| &mut definition.tags)
            .ok_or_else(|| missing("task definition")),
        _ => Err(request.input.invalid("Invalid resource ARN. Specify a valid ARN and try again.")),
    }
}

pub fn tag_resource(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let added = request.input.tag_list("tags", "key", "value")?;
    let tags = tags(state, request)?;
    let mut merged = tags.clone();
    merged.extend(added);
    request.check_tag_count(&merged)?;
    *tags = merged;
    Ok(json!({}))
}

pub fn untag_resource(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let keys = request.input.texts("tagKeys")?;
    tags(state, request)?.retain(|key, _| !keys.contains(&key.as_str()));
    Ok(json!({}))
}

pub fn list_tags_for_resource(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    Ok(json!({"tags": view::tags(tags(state, request)?)}))
}
