//! Tags of parameters. In: one region's parameters and a request. Out: the response. No I/O.

use serde_json::{Value, json};

use crate::call::AwsError;
use crate::operations::NOT_SUPPORTED;
use crate::parameters::{TAGS_PER_RESOURCE, Tags};
use crate::services::ssm::request::Request;
use crate::services::ssm::state::ParameterStore;
use crate::services::ssm::{errors, view};

/// The tags of the named resource.
fn tagged<'s>(store: &'s mut ParameterStore, request: Request<'_>) -> Result<&'s mut Tags, AwsError> {
    let kind = request.input.required_text("ResourceType")?;
    if kind != "Parameter" {
        return Err(AwsError::client(
            "InvalidResourceType",
            format!("the resource type {kind} {NOT_SUPPORTED}"),
        ));
    }
    let reference = request.input.required_text("ResourceId")?;
    let found = request.name_and_selector(store, reference);
    let (name, _) = found.map_err(|_| errors::invalid_resource_id())?;
    let parameter = store.get_mut(&name).ok_or_else(errors::invalid_resource_id)?;
    Ok(&mut parameter.tags)
}

pub fn add_tags(store: &mut ParameterStore, request: Request<'_>) -> Result<Value, AwsError> {
    let added = request.input.tag_list("Tags", "Key", "Value")?;
    let tags = tagged(store, request)?;
    let mut merged = tags.clone();
    merged.extend(added);
    if merged.len() > TAGS_PER_RESOURCE {
        return Err(errors::too_many_tags());
    }
    *tags = merged;
    Ok(json!({}))
}

pub fn remove_tags(store: &mut ParameterStore, request: Request<'_>) -> Result<Value, AwsError> {
    let keys = request.input.texts("TagKeys")?;
    tagged(store, request)?.retain(|key, _| !keys.contains(&key.as_str()));
    Ok(json!({}))
}

pub fn list_tags(store: &mut ParameterStore, request: Request<'_>) -> Result<Value, AwsError> {
    Ok(json!({"TagList": view::tags(tagged(store, request)?)}))
}
