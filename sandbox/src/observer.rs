//! The observer's routes under `/_sandbox/`: health, state, arrivals, tasks, calls and faults. Not AWS, hence unsigned.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::arrivals::Arrivals;
use crate::calls::Report;
use crate::door::Door;
use crate::faults::Fault;

/// What the observer looks at.
#[derive(Clone)]
pub struct Observer {
    /// Services, counts and faults.
    pub door: Arc<Door>,
    /// What reached the streams.
    pub arrivals: Arc<Arrivals>,
    /// Lists the processes or Pods that run tasks.
    pub tasks: Arc<dyn Fn() -> Value + Send + Sync>,
}

/// The observer's routes.
pub fn routes(observer: Observer) -> Router {
    Router::new()
        .route("/_sandbox/health", get(health))
        .route("/_sandbox/state", get(state))
        .route("/_sandbox/arrivals", get(arrivals))
        .route("/_sandbox/tasks", get(tasks))
        .route("/_sandbox/calls", get(calls))
        .route("/_sandbox/faults", get(pending_faults).post(add_fault).delete(clear_faults))
        .with_state(observer)
}

/// For probes: whoever reads this knows that requests are answered.
async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

async fn state(State(observer): State<Observer>) -> Json<Value> {
    let door = &observer.door;
    Json(door.registry.state(door.clock.now()))
}

#[derive(Deserialize)]
struct Wanted {
    stream: Option<String>,
    since: Option<jiff::Timestamp>,
}

async fn arrivals(State(observer): State<Observer>, Query(wanted): Query<Wanted>) -> Json<Value> {
    Json(json!({ "streams": observer.arrivals.report(wanted.stream.as_deref(), wanted.since) }))
}

async fn tasks(State(observer): State<Observer>) -> Json<Value> {
    Json((observer.tasks)())
}

async fn calls(State(observer): State<Observer>) -> Json<Report> {
    Json(observer.door.calls.report())
}

async fn pending_faults(State(observer): State<Observer>) -> Json<Value> {
    Json(json!({ "faults": observer.door.faults.pending() }))
}

async fn add_fault(State(observer): State<Observer>, body: axum::body::Bytes) -> (StatusCode, Json<Value>) {
    let refused = |complaint: String| (StatusCode::BAD_REQUEST, Json(json!({ "error": complaint })));
    match serde_json::from_slice::<Fault>(&body) {
        Err(error) => refused(error.to_string()),
        Ok(fault) => match fault.complaint() {
            Some(complaint) => refused(complaint.to_owned()),
            None => {
                observer.door.faults.add(fault);
                (StatusCode::CREATED, Json(json!({ "faults": observer.door.faults.pending() })))
            }
        },
    }
}

async fn clear_faults(State(observer): State<Observer>) -> StatusCode {
    observer.door.faults.clear();
    StatusCode::NO_CONTENT
}
