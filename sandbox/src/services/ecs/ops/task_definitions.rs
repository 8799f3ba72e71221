//! Operations on task definitions. In: the state and a request. Out: the response. No I/O.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::fargate;
use super::task_rules::TaskRules;
use crate::call::AwsError;
use crate::operations::NOT_SUPPORTED;
use crate::services::ecs::errors::client;
use crate::services::ecs::request::{Request, is_name};
use crate::services::ecs::state::{
    Definition, DefinitionBody, DefinitionStatus, EcsState, Family, Region, family_and_revision,
};
use crate::services::ecs::view::{self, failure};

/// "Task definition size: 64 KB" (ECS quotas).
const DEFINITION_BYTES: usize = 64 * 1024;
/// The members of a registration that are returned unchanged.
const RETURNED: [&str; 7] = [
    "taskRoleArn",
    "executionRoleArn",
    "networkMode",
    "volumes",
    "placementConstraints",
    "runtimePlatform",
    "ephemeralStorage",
];

pub fn register_task_definition(
    state: &mut EcsState,
    request: Request<'_>,
    rules: &TaskRules,
) -> Result<Value, AwsError> {
    let input = request.input;
    let family = input.text("family")?.unwrap_or_default();
    if !is_name(family) {
        return Err(client(
            "Family should not be null or empty and can only contain up to 255 letters, numbers, hyphens, and underscores.",
        ));
    }
    if request.raw.to_string().len() > DEFINITION_BYTES {
        return Err(client("Task definition size exceeds the limit of 64 KB."));
    }
    let compatibilities = input.texts("requiresCompatibilities")?;
    if let Some(unknown) = compatibilities.iter().find(|name| !matches!(**name, "FARGATE" | "EC2")) {
        return Err(client(format!("Invalid requires compatibilities: {unknown}")));
    }
    if !compatibilities.contains(&"FARGATE") {
        return Err(client(format!("a task definition for anything but FARGATE {NOT_SUPPORTED}")));
    }
    if input.text("networkMode")? != Some("awsvpc") {
        return Err(client("Fargate only supports network mode \u{2018}awsvpc\u{2019}."));
    }
    check_platform(request)?;
    let size = fargate::size(input)?;
    let containers = fargate::containers(input, size)?;
    rules.check(input)?;
    let tags = input.tag_list("tags", "key", "value")?;
    request.check_tag_count(&tags)?;

    let mut echo: Map<String, Value> = RETURNED
        .iter()
        .filter_map(|member| Some(((*member).to_owned(), input.raw(member)?.clone())))
        .collect();
    for list in ["volumes", "placementConstraints"] {
        echo.entry(list).or_insert_with(|| json!([]));
    }
    let account = &request.caller.account;
    let family_state = state.region(&request.caller.region).families.entry(family.to_owned()).or_default();
    family_state.last_revision += 1;
    let revision = family_state.last_revision;
    let arn = request.arn(&format!("task-definition/{family}:{revision}"));
    let definitions: Vec<Value> =
        input.list("containerDefinitions")?.iter().map(fargate::container_echo).collect();
    let fixed = json!({
        "taskDefinitionArn": arn,
        "family": family,
        "revision": revision,
        "containerDefinitions": definitions,
        "requiresAttributes": [],
        "compatibilities": ["EC2", "FARGATE"],
        "requiresCompatibilities": compatibilities,
        "cpu": size.0.to_string(),
        "memory": size.1.to_string(),
        "registeredBy": format!("arn:aws:iam::{account}:user/sandbox"),
    });
    if let Value::Object(fixed) = fixed {
        echo.extend(fixed);
    }
    let body = DefinitionBody {
        arn,
        family: family.to_owned(),
        revision,
        cpu: size.0,
        memory: size.1,
        containers,
        echo,
        tags: tags.clone(),
    };
    let definition = Definition {
        body: Arc::new(body),
        status: DefinitionStatus::Active,
        registered_at: request.now,
        deregistered_at: None,
        delete_requested_at: None,
        tags,
    };
    let response = json!({"taskDefinition": view::task_definition(request, &definition), "tags": view::tags(&definition.tags)});
    family_state.revisions.insert(revision, definition);
    Ok(response)
}

fn check_platform(request: Request<'_>) -> Result<(), AwsError> {
    let platform = request.input.nested("runtimePlatform")?;
    match platform.text("cpuArchitecture")? {
        None | Some("X86_64" | "ARM64") => {}
        Some(other) => return Err(client(format!("Invalid runtimePlatform cpuArchitecture: {other}"))),
    }
    match platform.text("operatingSystemFamily")? {
        None | Some("LINUX") => {}
        Some(other) => {
            return Err(client(format!("runtimePlatform operatingSystemFamily {other} {NOT_SUPPORTED}")));
        }
    }
    let storage = request.input.nested("ephemeralStorage")?;
    if storage.integer("sizeInGiB")?.is_some_and(|gib| !(21..=200).contains(&gib)) {
        return Err(client("Ephemeral storage must be between 21 GiB and 200 GiB."));
    }
    Ok(())
}

pub fn describe_task_definition(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let reference = request.name("task-definition", request.input.required_text("taskDefinition")?)?;
    let tags = request.includes("TAGS")?;
    let region = state.region(&request.caller.region);
    let definition =
        region.definition(reference).ok_or_else(|| client("Unable to describe task definition."))?;
    let mut response = json!({"taskDefinition": view::task_definition(request, definition)});
    if tags {
        response["tags"] = view::tags(&definition.tags);
    }
    Ok(response)
}

pub fn list_task_definitions(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let family = input.text("familyPrefix")?;
    let status = match input.text("status")?.unwrap_or("ACTIVE") {
        "ACTIVE" => DefinitionStatus::Active,
        "INACTIVE" => DefinitionStatus::Inactive,
        "DELETE_IN_PROGRESS" => DefinitionStatus::DeleteInProgress,
        other => return Err(input.invalid(format!("{other} is not a status of a task definition"))),
    };
    let descending = match input.text("sort")?.unwrap_or("ASC") {
        "ASC" => false,
        "DESC" => true,
        other => return Err(input.invalid(format!("{other} is not a sort order"))),
    };
    let region = state.region(&request.caller.region);
    // "familyPrefix: the full family name" (ListTaskDefinitions reference).
    let mut arns: Vec<(String, &String)> = region
        .families
        .iter()
        .filter(|(name, _)| family.is_none_or(|family| family == *name))
        .flat_map(|(name, family)| {
            family.revisions.iter().map(move |(number, definition)| (name, number, definition))
        })
        .filter(|(_, _, definition)| definition.status == status)
        .map(|(name, number, definition)| (format!("{name} {number:010}"), &definition.body.arn))
        .collect();
    if descending {
        arns.reverse();
        for (index, (key, _)) in arns.iter_mut().enumerate() {
            *key = format!("{index:010}");
        }
    }
    request.paged("taskDefinitionArns", 100, 100, arns.into_iter().map(|(key, arn)| (key, json!(arn))))
}

pub fn list_task_definition_families(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let prefix = request.input.text("familyPrefix")?.unwrap_or_default();
    let active = match request.input.text("status")?.unwrap_or("ALL") {
        "ALL" => None,
        "ACTIVE" => Some(true),
        "INACTIVE" => Some(false),
        other => {
            return Err(request
                .input
                .invalid(format!("{other} is not a status of a task definition family")));
        }
    };
    // "ACTIVE: families that have an ACTIVE task definition revision" (ListTaskDefinitionFamilies
    // reference).
    let is_active = |family: &Family| {
        family.revisions.values().any(|definition| definition.status == DefinitionStatus::Active)
    };
    let region = state.region(&request.caller.region);
    let names = region
        .families
        .iter()
        .filter(|(name, family)| name.starts_with(prefix) && !family.revisions.is_empty())
        .filter(|(_, family)| active.is_none_or(|active| active == is_active(family)))
        .map(|(name, _)| (name.clone(), Value::from(name.as_str())));
    request.paged("families", 100, 100, names)
}

/// The definition for a reference that must contain a revision.
fn exact_revision<'r>(region: &'r mut Region, reference: &str) -> Result<&'r mut Definition, AwsError> {
    let missing = || {
        client(
            "The specified task definition does not exist. Specify a valid account, family, revision and try again.",
        )
    };
    let (family, revision) = family_and_revision(reference).ok_or_else(missing)?;
    let revision = revision.ok_or_else(|| client("Revision is missing."))?;
    region.families.get_mut(family).and_then(|family| family.revisions.get_mut(&revision)).ok_or_else(missing)
}

pub fn deregister_task_definition(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let reference = request.name("task-definition", request.input.required_text("taskDefinition")?)?;
    let definition = exact_revision(state.region(&request.caller.region), reference)?;
    if definition.status == DefinitionStatus::Active {
        definition.status = DefinitionStatus::Inactive;
        definition.deregistered_at = Some(request.now);
    }
    Ok(json!({"taskDefinition": view::task_definition(request, definition)}))
}

pub fn delete_task_definitions(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let references = request.input.texts("taskDefinitions")?;
    if references.is_empty() || references.len() > 10 {
        return Err(request.input.invalid("Specify between 1 and 10 task definitions."));
    }
    let region = state.region(&request.caller.region);
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for reference in references {
        let reference = request.name("task-definition", reference)?;
        let arn = request.arn(&format!("task-definition/{reference}"));
        match exact_revision(region, reference) {
            Err(_) => failures.push(failure(arn, "MISSING")),
            Ok(definition) if definition.status == DefinitionStatus::Active => failures.push(failure(
                arn,
                "The specified task definition is still in ACTIVE status. Please deregister the target and try again.",
            )),
            Ok(definition) => {
                definition.status = DefinitionStatus::DeleteInProgress;
                definition.delete_requested_at.get_or_insert(request.now);
                deleted.push(view::task_definition(request, definition));
            }
        }
    }
    Ok(json!({"taskDefinitions": deleted, "failures": failures}))
}
