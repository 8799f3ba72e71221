//! Dashboards. In: a request. Out: the response. No I/O.
//!
//! `dashboard_body` validates bodies: one error rejects the whole body.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Request;
use super::dashboard_body::{Findings, check};
use crate::call::AwsError;
use crate::paging::page;
use crate::parameters::{TAGS_PER_RESOURCE, Tags};

/// "Up to 100 dashboards" (DeleteDashboards reference), and the page size of ListDashboards ("up to
/// 1000 results").
const DASHBOARDS_PER_DELETE: usize = 100;
const DASHBOARDS_PER_PAGE: usize = 1000;

#[derive(Debug)]
pub(super) struct Dashboard {
    body: String,
    /// Epoch milliseconds on the callers' clock.
    modified: i64,
    tags: Tags,
}

pub(super) type Dashboards = BTreeMap<String, Dashboard>;

fn not_found(name: &str) -> AwsError {
    AwsError {
        status: 404,
        ..AwsError::client("DashboardNotFoundError", format!("Dashboard {name} does not exist"))
    }
}

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::client("DashboardInvalidInputError", message)
}

fn arn(request: Request<'_>, name: &str) -> String {
    format!("arn:aws:cloudwatch::{}:dashboard/{name}", request.caller.account)
}

pub(super) fn put_dashboard(dashboards: &mut Dashboards, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let name = input.required_text("DashboardName")?;
    let well_formed = (1..=255).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if !well_formed {
        return Err(invalid(format!(
            "The value {name} for field DashboardName contains invalid characters. It can only contain alphanumerics, dash (-) and underscore (_)."
        )));
    }
    let body = input.required_text("DashboardBody")?;
    let warnings = checked_body(body)?;
    let tags = input.tag_list("Tags", "Key", "Value")?;
    if tags.len() > TAGS_PER_RESOURCE {
        return Err(invalid("A dashboard can have at most 50 tags."));
    }
    // "You can use this parameter only when you are creating a new dashboard" (PutDashboard, Tags).
    if dashboards.contains_key(name) && !tags.is_empty() {
        return Err(invalid("Tags can be set only when a dashboard is created."));
    }
    let dashboard = dashboards.entry(name.to_owned()).or_insert_with(|| Dashboard {
        body: String::new(),
        modified: 0,
        tags,
    });
    body.clone_into(&mut dashboard.body);
    dashboard.modified = request.wall;
    Ok(json!({"DashboardValidationMessages": warnings}))
}

/// The warnings about a body, or an error if it is invalid.
fn checked_body(text: &str) -> Result<Vec<Value>, AwsError> {
    let Findings { errors, warnings } = check(text);
    if errors.is_empty() {
        return Ok(warnings.iter().map(|warning| warning.view("DataPath", "Message")).collect());
    }
    let list: Vec<Value> = errors.iter().map(|error| error.view("dataPath", "message")).collect();
    Err(invalid(format!(
        "The dashboard body is invalid, there are {} validation errors: {}",
        errors.len(),
        Value::from(list)
    )))
}

pub(super) fn get_dashboard(dashboards: &Dashboards, request: Request<'_>) -> Result<Value, AwsError> {
    let name = request.input.required_text("DashboardName")?;
    let dashboard = dashboards.get(name).ok_or_else(|| not_found(name))?;
    Ok(json!({"DashboardArn": arn(request, name), "DashboardBody": dashboard.body, "DashboardName": name}))
}

pub(super) fn list_dashboards(dashboards: &Dashboards, request: Request<'_>) -> Result<Value, AwsError> {
    let prefix = request.input.text("DashboardNamePrefix")?.unwrap_or_default();
    let entries = dashboards.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(name, dashboard)| {
        let view = json!({
            "DashboardName": name,
            "DashboardArn": arn(request, name),
            "LastModified": dashboard.modified as f64 / 1000.0,
            "Size": dashboard.body.len(),
        });
        (name.clone(), view)
    });
    let (items, next) = page(entries, request.input.text("NextToken")?, DASHBOARDS_PER_PAGE)
        .map_err(|_| request.input.invalid("The next token specified is invalid."))?;
    let mut output = json!({"DashboardEntries": items});
    if let Some(next) = next {
        output["NextToken"] = Value::from(next);
    }
    Ok(output)
}

/// "If you specify a dashboard that does not exist, no dashboards are deleted" (DeleteDashboards
/// reference).
pub(super) fn delete_dashboards(
    dashboards: &mut Dashboards,
    request: Request<'_>,
) -> Result<Value, AwsError> {
    let names = request.input.texts("DashboardNames")?;
    if names.is_empty() || names.len() > DASHBOARDS_PER_DELETE {
        return Err(request.input.invalid("Between 1 and 100 dashboards can be deleted at once."));
    }
    if let Some(missing) = names.iter().find(|name| !dashboards.contains_key(**name)) {
        return Err(not_found(missing));
    }
    dashboards.retain(|name, _| !names.contains(&name.as_str()));
    Ok(json!({}))
}

fn tagged<'a>(dashboards: &'a mut Dashboards, request: Request<'_>) -> Result<&'a mut Tags, AwsError> {
    let given = request.input.required_text("ResourceARN")?;
    let name = given.rsplit_once(":dashboard/").map_or(given, |(_, name)| name);
    match dashboards.get_mut(name) {
        Some(dashboard) if given == arn(request, name) => Ok(&mut dashboard.tags),
        _ => Err(AwsError {
            status: 404,
            ..AwsError::client("ResourceNotFoundException", format!("{given} does not exist"))
        }),
    }
}

pub(super) fn tag_resource(dashboards: &mut Dashboards, request: Request<'_>) -> Result<Value, AwsError> {
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

pub(super) fn untag_resource(dashboards: &mut Dashboards, request: Request<'_>) -> Result<Value, AwsError> {
    let keys = request.input.texts("TagKeys")?;
    tagged(dashboards, request)?.retain(|key, _| !keys.contains(&key.as_str()));
    Ok(json!({}))
}

pub(super) fn list_tags_for_resource(
    dashboards: &mut Dashboards,
    request: Request<'_>,
) -> Result<Value, AwsError> {
    let tags = tagged(dashboards, request)?;
    let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
    Ok(json!({"Tags": tags}))
}

/// The validation error of a body, for tests.
#[cfg(test)]
pub(super) fn validation_error(body: &str) -> Option<AwsError> {
    checked_body(body).err()
}
