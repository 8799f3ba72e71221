//! The task metadata endpoint, version 4, as Fargate serves it to a container. In: GET requests of
//! tasks. Out: JSON. Only reads the state. Requests are not signed; the address contains a token,
//! and requests without it are rejected.
//!
//! "Amazon ECS task metadata endpoint version 4 for tasks on Fargate": the container is at the
//! root, its task at `/task`. `/stats` and `/task/stats` are not modelled.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

use super::Ecs;
use super::state::{Task, TaskStatus};

/// The routes under `/_ecs/v4/<token>/<container>`.
pub fn routes(ecs: Arc<Ecs>) -> Router {
    Router::new()
        .route("/_ecs/v4/{token}/{container}", get(container))
        .route("/_ecs/v4/{token}/{container}/task", get(task))
        .with_state(ecs)
}

type MetadataResponse = Result<Json<Value>, (StatusCode, String)>;

async fn container(State(ecs): State<Arc<Ecs>>, Path(address): Path<(String, String)>) -> MetadataResponse {
    with_container(&ecs, &address, |task, index, wall| container_view(&ecs, task, index, wall))
}

async fn task(State(ecs): State<Arc<Ecs>>, Path(address): Path<(String, String)>) -> MetadataResponse {
    with_container(&ecs, &address, |task, _, wall| task_view(&ecs, task, wall))
}

/// Formats an instant of the model on the task's clock.
type Wall<'a> = &'a dyn Fn(Timestamp) -> String;

fn with_container(
    ecs: &Ecs,
    (token, runtime_id): &(String, String),
    view: impl Fn(&Task, usize, Wall<'_>) -> Value,
) -> MetadataResponse {
    if !ecs.metadata_token.matches(token) {
        return Err((StatusCode::FORBIDDEN, "the token in this metadata address is not valid".to_owned()));
    }
    let missing = || (StatusCode::NOT_FOUND, format!("no container {runtime_id}"));
    let task_id = runtime_id.split('-').next().unwrap_or_default();
    let state = ecs.lock();
    let task = state.regions.values().find_map(|region| region.tasks.get(task_id)).ok_or_else(missing)?;
    let index = task
        .containers
        .iter()
        .position(|container| container.runtime_id == *runtime_id)
        .ok_or_else(missing)?;
    let wall = |at: Timestamp| ecs.clock.wall_at(at).to_string();
    Ok(Json(view(task, index, &wall)))
}

fn desired_status(task: &Task) -> &'static str {
    if task.should_run() { "RUNNING" } else { "STOPPED" }
}

/// A container may send a request before its start is recorded. It is running then, so RUNNING is
/// returned.
fn known_status(task: &Task) -> &'static str {
    match task.status {
        TaskStatus::Provisioning | TaskStatus::Pending => "RUNNING",
        status => status.text(),
    }
}

fn container_view(ecs: &Ecs, task: &Task, index: usize, wall: Wall<'_>) -> Value {
    let (Some(spec), Some(container)) = (task.definition.containers.get(index), task.containers.get(index))
    else {
        return Value::Null;
    };
    let mut view = json!({
        "DockerId": container.runtime_id,
        "Name": spec.name,
        "DockerName": spec.name,
        "Image": spec.image,
        "ImageID": "",
        "Labels": {
            "com.amazonaws.ecs.cluster": cluster_arn(ecs, task),
            "com.amazonaws.ecs.container-name": spec.name,
            "com.amazonaws.ecs.task-arn": task.arn,
            "com.amazonaws.ecs.task-definition-family": task.definition.family,
            "com.amazonaws.ecs.task-definition-version": task.definition.revision.to_string(),
        },
        "DesiredStatus": desired_status(task),
        "KnownStatus": known_status(task),
        "Limits": {"CPU": 2},
        "CreatedAt": wall(task.started_at.unwrap_or(task.start_at)),
        "StartedAt": wall(task.started_at.unwrap_or(task.start_at)),
        "Type": "NORMAL",
        "ContainerARN": container.arn,
        "Networks": [{
            "NetworkMode": "awsvpc",
            "IPv4Addresses": [task.address],
            "AttachmentIndex": 0,
            "IPv4SubnetCIDRBlock": "10.0.0.0/16",
            "PrivateDNSName": format!("ip-{}.ec2.internal", task.address.replace('.', "-")),
        }],
        "Snapshotter": "overlayfs",
    });
    if let Some(logs) = &spec.logs {
        view["LogDriver"] = Value::from("awslogs");
        view["LogOptions"] = json!({
            "awslogs-group": logs.group,
            "awslogs-region": logs.region,
            "awslogs-stream": super::launch::stream_name(&logs.prefix, &spec.name, &task.id),
        });
    }
    view
}

fn cluster_arn(ecs: &Ecs, task: &Task) -> String {
    format!("arn:aws:ecs:{}:{}:cluster/{}", task.region, ecs.account, task.cluster)
}

fn task_view(ecs: &Ecs, task: &Task, wall: Wall<'_>) -> Value {
    let definition = &task.definition;
    let containers: Vec<Value> =
        (0..task.containers.len()).map(|index| container_view(ecs, task, index, wall)).collect();
    let mut view = json!({
        "Cluster": cluster_arn(ecs, task),
        "TaskARN": task.arn,
        "Family": definition.family,
        "Revision": definition.revision.to_string(),
        "DesiredStatus": desired_status(task),
        "KnownStatus": known_status(task),
        "Limits": {"CPU": f64::from(definition.cpu) / 1024.0, "Memory": definition.memory},
        "PullStartedAt": wall(task.pull_started_at.unwrap_or(task.pending_at)),
        "PullStoppedAt": wall(task.pull_stopped_at.unwrap_or(task.start_at)),
        "AvailabilityZone": format!("{}a", task.region),
        "LaunchType": "FARGATE",
        "Containers": containers,
        "ClockDrift": {
            "ClockErrorBound": 0.5,
            "ReferenceTimestamp": ecs.clock.moment().wall.to_string(),
            "ClockSynchronizationStatus": "SYNCHRONIZED",
        },
    });
    if let Some((service, _)) = &task.service {
        view["ServiceName"] = Value::from(service.as_str());
    }
    view
}
