//! A task as `DescribeTasks` and related operations return it. In: the task and the request. Out:
//! JSON. Pure.

use serde_json::{Value, json};

use super::tags as tags_view;
use crate::services::ecs::request::Request;
use crate::services::ecs::state::{Container, ContainerSpec, Task, TaskStatus};

/// `Task`.
pub fn task(request: Request<'_>, task: &Task, tags: bool) -> Value {
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

/// `ProtectedTask`.
pub fn protected_task(request: Request<'_>, task: &Task) -> Value {
    let mut view = json!({"taskArn": task.arn, "protectionEnabled": task.protected(request.now)});
    if let Some(until) = task.protected_until.filter(|until| *until > request.now) {
        view["expirationDate"] = request.time(until);
    }
    view
}
