//! Operations on tasks. In: the state and a request. Out: the response. No I/O.

use serde_json::{Value, json};

use super::lifecycle::request_stop;
use super::request::{Request, failure, tags_view};
use super::state::{Container, ContainerSpec, EcsState, Task, TaskStatus};
use crate::call::AwsError;

/// "Up to 100 tasks" (DescribeTasks), "1 to 100 results" (ListTasks).
const TASKS_PER_CALL: usize = 100;

fn container_view(task: &Task, spec: &ContainerSpec, container: &Container) -> Value {
    let status = if task.status == TaskStatus::Running && !container.alive {
        "STOPPED"
    } else {
        match task.status {
            TaskStatus::Provisioning | TaskStatus::Pending => "PENDING",
            TaskStatus::Running => "RUNNING",
            TaskStatus::Stopping if container.alive => "RUNNING",
            TaskStatus::Stopping | TaskStatus::Deprovisioning | TaskStatus::Stopped => "STOPPED",
        }
    };
    let mut view = json!({
        "containerArn": container.arn,
        "taskArn": task.arn,
        "name": spec.name,
        "image": spec.image,
        "lastStatus": status,
        "networkInterfaces": [{"attachmentId": attachment_id(task), "privateIpv4Address": task.address}],
        "healthStatus": "UNKNOWN",
        "cpu": "0",
    });
    if container.alive || container.exit_code.is_some() {
        view["runtimeId"] = Value::from(container.runtime_id.as_str());
    }
    if let Some(code) = container.exit_code {
        view["exitCode"] = Value::from(code);
    }
    if let Some(reason) = &container.reason {
        view["reason"] = Value::from(reason.as_str());
    }
    view
}

/// The id of the network interface attachment, derived from the task id so that it stays the same.
fn attachment_id(task: &Task) -> String {
    let id = &task.id;
    format!("{}-{}-4{}-8{}-{}", &id[..8], &id[8..12], &id[12..15], &id[15..18], &id[18..30])
}

pub(super) fn view(request: Request<'_>, task: &Task, tags: bool) -> Value {
    let definition = &task.definition;
    let attached = match task.status {
        TaskStatus::Provisioning => "PRECREATED",
        TaskStatus::Stopped => "DELETED",
        _ => "ATTACHED",
    };
    let subnet = &task.network["awsvpcConfiguration"]["subnets"][0];
    let containers: Vec<Value> = definition
        .containers
        .iter()
        .zip(&task.containers)
        .map(|(spec, container)| container_view(task, spec, container))
        .collect();
    let mut view = json!({
        "attachments": [{
            "id": attachment_id(task),
            "type": "ElasticNetworkInterface",
            "status": attached,
            "details": [
                {"name": "subnetId", "value": subnet.as_str().unwrap_or_default()},
                {"name": "privateIPv4Address", "value": task.address},
            ],
        }],
        "attributes": [{"name": "ecs.cpu-architecture", "value": architecture(task)}],
        "availabilityZone": format!("{}a", task.region),
        "clusterArn": request.arn(&format!("cluster/{}", task.cluster)),
        "containers": containers,
        "cpu": definition.cpu.to_string(),
        "memory": definition.memory.to_string(),
        "createdAt": request.time(task.created_at),
        "desiredStatus": if task.should_run() { "RUNNING" } else { "STOPPED" },
        "enableExecuteCommand": task.execute_command,
        "group": task.group(),
        "healthStatus": "UNKNOWN",
        "lastStatus": task.status.text(),
        "launchType": "FARGATE",
        "overrides": {"containerOverrides": [], "inferenceAcceleratorOverrides": []},
        "platformVersion": "1.4.0",
        "platformFamily": "Linux",
        "tags": if tags { tags_view(&task.tags) } else { json!([]) },
        "taskArn": task.arn,
        "taskDefinitionArn": definition.arn,
        "version": task.version,
        "ephemeralStorage": definition.echo.get("ephemeralStorage").cloned().unwrap_or(json!({"sizeInGiB": 20})),
    });
    let times = [
        ("pullStartedAt", task.pull_started_at),
        ("pullStoppedAt", task.pull_stopped_at),
        ("startedAt", task.started_at),
        ("stoppingAt", task.stopping_at),
        ("executionStoppedAt", task.execution_stopped_at),
        ("stoppedAt", task.stopped_at),
    ];
    for (member, at) in times {
        if let Some(at) = at {
            view[member] = request.time(at);
        }
    }
    if task.status >= TaskStatus::Pending {
        view["connectivity"] = Value::from("CONNECTED");
        view["connectivityAt"] = request.time(task.pending_at);
    }
    if let Some((_, deployment)) = &task.service {
        view["startedBy"] = Value::from(deployment.as_str());
    }
    if let Some(provider) = &task.capacity_provider {
        view["capacityProviderName"] = Value::from(provider.as_str());
    }
    if let Some(stop) = &task.stop {
        view["stopCode"] = Value::from(stop.code);
        view["stoppedReason"] = Value::from(stop.reason.as_str());
    }
    view
}

fn architecture(task: &Task) -> &'static str {
    match task
        .definition
        .echo
        .get("runtimePlatform")
        .and_then(|platform| platform["cpuArchitecture"].as_str())
    {
        Some("ARM64") => "arm64",
        _ => "x86_64",
    }
}

pub(super) fn list_tasks(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
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
        return Err(AwsError::client("ServiceNotFoundException", "Service not found."));
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

pub(super) fn describe_tasks(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
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
            Some(task) => tasks.push(view(request, task, tags)),
            None => failures.push(failure(request.arn(&format!("task/{cluster}/{id}")), "MISSING")),
        }
    }
    Ok(json!({"tasks": tasks, "failures": failures}))
}

pub(super) fn stop_task(state: &mut EcsState, request: Request<'_>) -> Result<Value, AwsError> {
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
    Ok(json!({"task": view(request, task, true)}))
}
