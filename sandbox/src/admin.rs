//! The admin API under `/_sandbox/`: health, state, ingest statistics, shards, tasks, calls and
//! faults. It is not part of AWS. It requires the access key id. Bodies must be declared as JSON,
//! because a browser sends other content types across origins without a preflight request.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::Access;
use crate::calls::Report;
use crate::faults::Fault;
use crate::http::HttpState;
use crate::http::identity::{ADMIN_KEY_HEADER, admin_access_key_id};
use crate::ingest_statistics::IngestStatistics;

/// What the admin API reads and changes.
#[derive(Clone)]
pub struct AdminApi {
    /// Services, counts and faults.
    pub http: Arc<HttpState>,
    /// The records and bytes that reached the streams.
    pub ingest_statistics: Arc<IngestStatistics>,
    /// Lists the processes or Pods that run tasks.
    pub tasks: Arc<dyn Fn() -> Value + Send + Sync>,
}

/// The routes of the admin API.
pub fn routes(api: AdminApi) -> Router {
    let http = api.http.clone();
    Router::new()
        .route("/_sandbox/health", get(health))
        .route("/_sandbox/state", get(state))
        .route("/_sandbox/ingest", get(ingest_statistics))
        .route("/_sandbox/shards", get(shards))
        .route("/_sandbox/tasks", get(tasks))
        .route("/_sandbox/calls", get(calls))
        .route("/_sandbox/faults", get(pending_faults).post(add_fault).delete(clear_faults))
        .with_state(api)
        .layer(from_fn_with_state(http, require_access))
}

/// Admits requests with the access key id and with a JSON body or none.
async fn require_access(State(http): State<Arc<HttpState>>, request: Request, next: Next) -> Response<Body> {
    let key = admin_access_key_id(request.uri(), request.headers());
    let is_known = match &http.access {
        Access::AnyCredentials => true,
        access @ Access::AccessKey(_) => key.is_some_and(|key| access.admits(&key)),
    };
    if !is_known {
        let text = format!(
            "this path requires the sandbox's access key id, as `Authorization: Bearer KEY`, in the header {ADMIN_KEY_HEADER}, or as \
             the credential of an AWS signature"
        );
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"sandbox\"")];
        return (StatusCode::UNAUTHORIZED, challenge, error_body(text)).into_response();
    }
    if may_have_body(request.method(), request.headers()) && !is_json(request.headers()) {
        let text = "the body must be JSON, with the header `Content-Type: application/json`";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, error_body(text)).into_response();
    }
    next.run(request).await
}

fn error_body(text: impl Into<String>) -> Json<Value> {
    Json(json!({ "error": text.into() }))
}

fn may_have_body(method: &Method, headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).map(|value| value.as_bytes());
    headers.contains_key(header::TRANSFER_ENCODING)
        || length.is_some_and(|length| length != b"0")
        || !matches!(*method, Method::GET | Method::HEAD | Method::DELETE)
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// A response means that requests are served.
async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// The route of the listener for probes. It needs no key and reports only that requests are served.
pub fn probe_routes() -> Router {
    Router::new().route("/healthz", get(async || "ok\n"))
}

async fn state(State(api): State<AdminApi>) -> Json<Value> {
    let http = &api.http;
    Json(http.registry.state(http.clock.now()))
}

#[derive(Deserialize)]
struct IngestQuery {
    stream: Option<String>,
    since: Option<jiff::Timestamp>,
}

async fn ingest_statistics(State(api): State<AdminApi>, Query(query): Query<IngestQuery>) -> Json<Value> {
    Json(json!({ "streams": api.ingest_statistics.report(query.stream.as_deref(), query.since) }))
}

async fn shards(State(api): State<AdminApi>, Query(query): Query<IngestQuery>) -> Json<Value> {
    Json(api.http.kinesis.shard_windows(query.stream.as_deref(), query.since))
}

async fn tasks(State(api): State<AdminApi>) -> Json<Value> {
    Json((api.tasks)())
}

async fn calls(State(api): State<AdminApi>) -> Json<Report> {
    Json(api.http.calls.report())
}

async fn pending_faults(State(api): State<AdminApi>) -> Json<Value> {
    Json(json!({ "faults": api.http.faults.pending() }))
}

async fn add_fault(State(api): State<AdminApi>, body: axum::body::Bytes) -> (StatusCode, Json<Value>) {
    let rejected = |problem: String| (StatusCode::BAD_REQUEST, error_body(problem));
    match serde_json::from_slice::<Fault>(&body) {
        Err(error) => rejected(error.to_string()),
        Ok(fault) => match fault.problem().or_else(|| unknown_service(&api, &fault)) {
            Some(problem) => rejected(problem),
            None => {
                api.http.faults.add(fault);
                (StatusCode::CREATED, Json(json!({ "faults": api.http.faults.pending() })))
            }
        },
    }
}

/// Reports a rule whose service does not exist, because it would never apply.
fn unknown_service(api: &AdminApi, fault: &Fault) -> Option<String> {
    let names: Vec<&str> = api.http.registry.names().collect();
    (!fault.names_service_of(&names)).then(|| {
        format!("the sandbox has no service {}; use one of {}, or `*`", fault.service, names.join(", "))
    })
}

async fn clear_faults(State(api): State<AdminApi>) -> StatusCode {
    api.http.faults.clear();
    StatusCode::NO_CONTENT
}
