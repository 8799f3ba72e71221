//! Dashboards. In: the dashboards and a request. Out: the response. No I/O.
//!
//! `model::dashboard_body` validates bodies: one error rejects the whole body.

use serde_json::{Value, json};

use crate::call::AwsError;
use crate::parameters::TAGS_PER_RESOURCE;
use crate::services::cloudwatch::errors::{dashboard_not_found, invalid_dashboard};
use crate::services::cloudwatch::model::dashboard_body::{Findings, check};
use crate::services::cloudwatch::request::Request;
use crate::services::cloudwatch::state::{Dashboard, Dashboards};
use crate::services::cloudwatch::view;

/// "Up to 100 dashboards" (DeleteDashboards reference), and the page size of ListDashboards ("up to
/// 1000 results").
const DASHBOARDS_PER_DELETE: usize = 100;
const DASHBOARDS_PER_PAGE: usize = 1000;

pub fn put_dashboard(dashboards: &mut Dashboards, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let name = input.required_text("DashboardName")?;
    let well_formed = (1..=255).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if !well_formed {
        return Err(invalid_dashboard(format!(
            "The value {name} for field DashboardName contains invalid characters. It can only contain alphanumerics, dash (-) and underscore (_)."
        )));
    }
    let body = input.required_text("DashboardBody")?;
    let warnings = checked_body(body)?;
    let tags = input.tag_list("Tags", "Key", "Value")?;
    if tags.len() > TAGS_PER_RESOURCE {
        return Err(invalid_dashboard("A dashboard can have at most 50 tags."));
    }
    // "You can use this parameter only when you are creating a new dashboard" (PutDashboard, Tags).
    if dashboards.contains_key(name) && !tags.is_empty() {
        return Err(invalid_dashboard("Tags can be set only when a dashboard is created."));
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
    Err(invalid_dashboard(format!(
        "The dashboard body is invalid, there are {} validation errors: {}",
        errors.len(),
        Value::from(list)
    )))
}

pub fn get_dashboard(dashboards: &mut Dashboards, request: Request<'_>) -> Result<Value, AwsError> {
    let name = request.input.required_text("DashboardName")?;
    let dashboard = dashboards.get(name).ok_or_else(|| dashboard_not_found(name))?;
    Ok(
        json!({"DashboardArn": request.dashboard_arn(name), "DashboardBody": dashboard.body, "DashboardName": name}),
    )
}

pub fn list_dashboards(dashboards: &mut Dashboards, request: Request<'_>) -> Result<Value, AwsError> {
    let prefix = request.input.text("DashboardNamePrefix")?.unwrap_or_default();
    let entries = dashboards.iter().filter(|(name, _)| name.starts_with(prefix));
    let entries =
        entries.map(|(name, dashboard)| (name.clone(), view::dashboard_entry(request, name, dashboard)));
    request.paged("DashboardEntries", DASHBOARDS_PER_PAGE, entries)
}

/// "If you specify a dashboard that does not exist, no dashboards are deleted" (DeleteDashboards
/// reference).
pub fn delete_dashboards(dashboards: &mut Dashboards, request: Request<'_>) -> Result<Value, AwsError> {
    let names = request.input.texts("DashboardNames")?;
    if names.is_empty() || names.len() > DASHBOARDS_PER_DELETE {
        return Err(request.input.invalid("Between 1 and 100 dashboards can be deleted at once."));
    }
    if let Some(missing) = names.iter().find(|name| !dashboards.contains_key(**name)) {
        return Err(dashboard_not_found(missing));
    }
    dashboards.retain(|name, _| !names.contains(&name.as_str()));
    Ok(json!({}))
}

/// The validation error of a body, for tests.
#[cfg(test)]
pub fn validation_error(body: &str) -> Option<AwsError> {
    checked_body(body).err()
}
