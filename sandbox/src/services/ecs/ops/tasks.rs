//! Operations on tasks. In: the state and a request. Out: the response. No I/O.

use serde_json::{Value, json};

use crate::call::AwsError;
use crate::services::ecs::errors::service_not_found;
use crate::services::ecs::request::Request;
use crate::services::ecs::state::{EcsState, request_stop};
use crate::services::ecs::view::{self, failure};

/// "Up to 100 tasks" (DescribeTasks), "1 to 100 results" (ListTasks).
const TASKS_PER_CALL: usize = 100;

pub fn list_tasks(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let stopped = match input.text("desiredStatus")?.unwrap_or("RUNNING") {
        "RUNNING" => false,
        "STOPPED" => true,
        // "PENDING … doesn't return any results, because Amazon ECS never sets the desired status
        // to it" (ListTasks).
        "PENDING" => return Ok(json!({"taskArns": []})),
        other => return Err(input.invalid(format!("{other} is not a desired status"))),
    };
    let family = input.text("family")?;
    let started_by = input.text("startedBy")?;
    let launch_type = input.text("launchType")?;
    let service_name = input.text("serviceName")?;
    let region = state.region(&request.caller.region);
    let (cluster, _) = request.cluster(region)?;
    let service_name = service_name.map(|name| request.name_within(cluster, "service", name)).transpose()?;
    if let Some(name) = service_name
        && !region.services.contains_key(&(cluster.to_owned(), name.to_owned()))
    {
        return Err(service_not_found());
    }
    let arns = region
        .tasks
        .values()
        .filter(|task| task.cluster == cluster && task.listed_at <= request.now)
        .filter(|task| task.stop.as_ref().is_some_and(|stop| stop.listed_at <= request.now) == stopped)
        .filter(|task| {
            service_name.is_none_or(|name| task.service.as_ref().is_some_and(|(service, _)| service == name))
        })
        .filter(|task| family.is_none_or(|family| task.definition.family == family))
        .filter(|task| {
            started_by.is_none_or(|by| task.service.as_ref().is_some_and(|(_, started)| started == by))
        })
        .filter(|_| launch_type.is_none_or(|launch_type| launch_type == "FARGATE"))
        .map(|task| (task.arn.clone(), Value::from(task.arn.as_str())));
    request.paged("taskArns", TASKS_PER_CALL as i64, TASKS_PER_CALL as i64, arns)
}

pub fn describe_tasks(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let references = request.input.texts("tasks")?;
    if references.is_empty() {
        return Err(request.input.invalid("Tasks cannot be empty."));
    }
    if references.len() > TASKS_PER_CALL {
        return Err(request.input.invalid("Tasks cannot have more than 100 elements."));
    }
    let tags = request.includes("TAGS")?;
    let region = state.region(&request.caller.region);
    let (cluster, _) = request.cluster(region)?;
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for reference in references {
        let id = request.name_within(cluster, "task", reference)?;
        match region.tasks.get(id).filter(|task| task.cluster == cluster) {
            Some(task) => tasks.push(view::task(request, task, tags)),
            None => failures.push(failure(request.arn(&format!("task/{cluster}/{id}")), "MISSING")),
        }
    }
    Ok(json!({"tasks": tasks, "failures": failures}))
}

pub fn stop_task(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
    let reference = request.input.required_text("task")?;
    let reason = request.input.text("reason")?.unwrap_or("Task stopped by user").to_owned();
    let region_name = &request.caller.region;
    let region = state.region(region_name);
    let (cluster, _) = request.cluster(region)?;
    let id = request.name_within(cluster, "task", reference)?;
    let missing = || request.input.invalid("The referenced task was not found.");
    if region.tasks.get(id).is_none_or(|task| task.cluster != cluster) {
        return Err(missing());
    }
    request_stop(state, region_name, id, "UserInitiated", reason, request.now);
    let task = state.region(region_name).tasks.get(id).ok_or_else(missing)?;
    Ok(json!({"task": view::task(request, task, true)}))
}
