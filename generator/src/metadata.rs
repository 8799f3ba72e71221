//! Identifies this task. In: the URL of the ECS task metadata endpoint. Out: the task id. Touches
//! the outside: HTTP requests to that endpoint.

use std::time::Duration;

use kinesis_demo_api::backoff::{Backoff, Jitter};
use kinesis_demo_api::control::TaskId;
use kinesis_demo_api::error_chain::error_chain;
use serde::Deserialize;
use tracing::{info, warn};

use crate::error::MetadataError;

const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// Without jitter: every task has an endpoint of its own.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(200),
    factor: 2.0,
    longest: Duration::from_secs(5),
    jitter: Jitter::NONE,
};

#[derive(Deserialize)]
struct TaskMetadata {
    #[serde(rename = "TaskARN")]
    arn: String,
}

/// Retries until the endpoint responds. Without its id a task sends nothing, but it does not have
/// to be replaced.
pub async fn fetch_task_id(metadata_uri: &str) -> TaskId {
    let mut failures = 0_u32;
    loop {
        match fetch_once(metadata_uri).await {
            Ok(task) => {
                info!(task = task.as_str(), "task metadata read");
                return task;
            }
            Err(error) if failures == 0 => {
                warn!(error = error_chain(&error), "could not read the task metadata; retrying")
            }
            Err(_) => {}
        }
        failures = failures.saturating_add(1);
        let pause = BACKOFF.pause(failures, &mut rand::rng());
        tokio::time::sleep(pause).await;
    }
}

async fn fetch_once(metadata_uri: &str) -> Result<TaskId, MetadataError> {
    // The endpoint is link-local, so no proxy can reach it.
    let client =
        reqwest::Client::builder().no_proxy().timeout(CALL_TIMEOUT).build().map_err(MetadataError::Get)?;
    let response = client.get(format!("{metadata_uri}/task")).send().await.map_err(MetadataError::Get)?;
    let task: TaskMetadata =
        response.error_for_status().map_err(MetadataError::Get)?.json().await.map_err(MetadataError::Get)?;
    if task.arn.is_empty() {
        return Err(MetadataError::NoArn);
    }
    Ok(TaskId::from_arn(&task.arn))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::Json;
    use axum::http::StatusCode;
    use axum::routing::get;
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test]
    async fn task_metadata_is_requested_until_it_has_a_task_arn() {
        let requests = Arc::new(AtomicU32::new(0));
        let responses = {
            let requests = Arc::clone(&requests);
            move || async move {
                match requests.fetch_add(1, Ordering::Relaxed) {
                    0 => Err(StatusCode::INTERNAL_SERVER_ERROR),
                    1 => Ok(Json(json!({ "TaskARN": "" }))),
                    _ => Ok::<_, StatusCode>(Json::<Value>(json!({
                        "Cluster": "c", "TaskARN": "arn:aws:ecs:eu-west-1:000000000000:task/c/a1b2c3d4e5f6", "Family": "f"
                    }))),
                }
            }
        };
        let router = axum::Router::new().route("/v4/container/task", get(responses));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let task = fetch_task_id(&format!("http://{address}/v4/container")).await;
        assert_eq!(task, TaskId::from_arn("a1b2c3d4"));
        assert_eq!(requests.load(Ordering::Relaxed), 3);
        server.abort();
    }
}
