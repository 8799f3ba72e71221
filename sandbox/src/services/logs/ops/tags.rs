//! Tags of log groups, by ARN. In: one region's groups and a request. Out: the response. No I/O.

use serde_json::{Value, json};

use crate::call::AwsError;
use crate::parameters::{TAGS_PER_RESOURCE, Tags};
use crate::services::logs::errors;
use crate::services::logs::request::Request;
use crate::services::logs::state::{Groups, existing};

fn tagged<'g>(groups: &'g mut Groups, request: Request<'_>) -> Result<&'g mut Tags, AwsError> {
    let name = request.name_in_arn(request.input.required_text("resourceArn")?)?;
    existing(groups, name).map(|group| &mut group.tags)
}

pub fn tag_resource(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let added = request.input.tag_map("tags")?;
    let tags = tagged(groups, request)?;
    let mut merged = tags.clone();
    merged.extend(added);
    if merged.len() > TAGS_PER_RESOURCE {
        return Err(errors::too_many_tags());
    }
    *tags = merged;
    Ok(Value::Null)
}

pub fn untag_resource(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    let keys = request.input.texts("tagKeys")?;
    tagged(groups, request)?.retain(|key, _| !keys.contains(&key.as_str()));
    Ok(Value::Null)
}

pub fn list_tags_for_resource(groups: &mut Groups, request: Request<'_>) -> Result<Value, AwsError> {
    Ok(json!({"tags": tagged(groups, request)?}))
}
