//! Tags of scalable targets, by ARN. In: the state and a request. Out: the response. No I/O.

use serde_json::{Value, json};

use crate::call::AwsError;
use crate::parameters::{TAGS_PER_RESOURCE, Tags};
use crate::services::scaling::errors;
use crate::services::scaling::request::Request;
use crate::services::scaling::state::ScalingState;

/// The tags of the named target, and its ARN.
fn tagged<'a>(
    state: &'a mut ScalingState,
    request: Request<'a>,
) -> Result<(&'a mut Tags, &'a str), AwsError> {
    let arn = request.input.required_text("ResourceARN")?;
    let targets = &mut state.region(&request.caller.region).targets;
    let target = targets.values_mut().find(|target| target.arn == arn);
    target.map(|target| (&mut target.tags, arn)).ok_or_else(|| errors::resource_not_found(arn))
}

pub fn tag_resource(state: &mut ScalingState, request: Request<'_>) -> Result<Value, AwsError> {
    let added = request.input.tag_map("Tags")?;
    let (tags, arn) = tagged(state, request)?;
    let mut merged = tags.clone();
    merged.extend(added);
    if merged.len() > TAGS_PER_RESOURCE {
        return Err(errors::too_many_tags(arn));
    }
    *tags = merged;
    Ok(json!({}))
}

pub fn untag_resource(state: &mut ScalingState, request: Request<'_>) -> Result<Value, AwsError> {
    let keys = request.input.texts("TagKeys")?;
    tagged(state, request)?.0.retain(|key, _| !keys.contains(&key.as_str()));
    Ok(json!({}))
}

pub fn list_tags_for_resource(state: &mut ScalingState, request: Request<'_>) -> Result<Value, AwsError> {
    Ok(json!({"Tags": tagged(state, request)?.0}))
}
