//! Tags of dashboards, by ARN. In: the dashboards and a request. Out: the response. No I/O.

use serde_json::{Value, json};

use crate::call::AwsError;
use crate::parameters::{TAGS_PER_RESOURCE, Tags};
use crate::services::cloudwatch::request::Request;
use crate::services::cloudwatch::state::Dashboards;
use crate::services::cloudwatch::{errors, view};

fn tagged<'a>(dashboards: &'a mut Dashboards, request: Request<'_>) -> Result<&'a mut Tags, AwsError> {
    let given = request.input.required_text("ResourceARN")?;
    let name = given.rsplit_once(":dashboard/").map_or(given, |(_, name)| name);
    match dashboards.get_mut(name) {
        Some(dashboard) if given == request.dashboard_arn(name) => Ok(&mut dashboard.tags),
        _ => Err(errors::resource_not_found(given)),
    }
}

pub fn tag_resource(dashboards: &mut Dashboards, request: Request<'_>) -> Result<Value, AwsError> {
    let added = request.input.tag_list("Tags", "Key", "Value")?;
    let tags = tagged(dashboards, request)?;
    let mut merged = tags.clone();
    merged.extend(added);
    if merged.len() > TAGS_PER_RESOURCE {
        return Err(request.input.invalid("A resource can have at most 50 tags."));
    }
    *tags = merged;
    Ok(json!({}))
}

pub fn untag_resource(dashboards: &mut Dashboards, request: Request<'_>) -> Result<Value, AwsError> {
    let keys = request.input.texts("TagKeys")?;
    tagged(dashboards, request)?.retain(|key, _| !keys.contains(&key.as_str()));
    Ok(json!({}))
}

pub fn list_tags_for_resource(dashboards: &mut Dashboards, request: Request<'_>) -> Result<Value, AwsError> {
    Ok(json!({"Tags": view::tags(tagged(dashboards, request)?)}))
}
