//! The admin API under `/_sandbox/`: health, state, arrivals, tasks, calls and faults. Not AWS, but
//! for holders of the access key id only; bodies are JSON and say so, since a page may send any
//! other type without asking.

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

/// What the observer looks at.
#[derive(Clone)]
pub struct AdminApi {
    /// Services, counts and faults.
    pub http: Arc<HttpState>,
    /// What reached the streams.
    pub arrivals: Arc<IngestStatistics>,
    /// Lists the processes or Pods that run tasks.
    pub tasks: Arc<dyn Fn() -> Value + Send + Sync>,
}

/// The observer's routes.
pub fn routes(observer: AdminApi) -> Router {
    let http = observer.http.clone();
    Router::new()
        .route("/_sandbox/health", get(health))
        .route("/_sandbox/state", get(state))
        .route("/_sandbox/arrivals", get(arrivals))
        .route("/_sandbox/tasks", get(tasks))
        .route("/_sandbox/calls", get(calls))
        .route("/_sandbox/faults", get(pending_faults).post(add_fault).delete(clear_faults))
        .with_state(observer)
        .layer(from_fn_with_state(http, admitted))
}

/// Lets in who names the access key id, with a JSON body or none.
async fn admitted(State(http): State<Arc<HttpState>>, request: Request, next: Next) -> Response<Body> {
    let key = admin_access_key_id(request.uri(), request.headers());
    let is_known = match &http.access {
        Access::AnyCredentials => true,
        access @ Access::AccessKey(_) => key.is_some_and(|key| access.admits(&key)),
    };
    if !is_known {
        let text = format!(
            "this needs the sandbox's access key id, as `Authorization: Bearer KEY`, in the header {ADMIN_KEY_HEADER}, or as \
             the credential of an AWS signature"
        );
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"sandbox\"")];
        return (StatusCode::UNAUTHORIZED, challenge, refusal(text)).into_response();
    }
    if may_have_body(request.method(), request.headers()) && !is_json(request.headers()) {
        let text = "the body must be JSON and say so: `Content-Type: application/json`";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, refusal(text)).into_response();
    }
    next.run(request).await
}

fn refusal(text: impl Into<String>) -> Json<Value> {
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

/// Whoever reads this knows that requests are answered.
async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// The route of the listener for probes, which know no key: it tells nothing but that requests are
/// answered.
pub fn probe_routes() -> Router {
    Router::new().route("/healthz", get(async || "ok\n"))
}

async fn state(State(observer): State<AdminApi>) -> Json<Value> {
    let http = &observer.http;
    Json(http.registry.state(http.clock.now()))
}

#[derive(Deserialize)]
struct Wanted {
    stream: Option<String>,
    since: Option<jiff::Timestamp>,
}

async fn arrivals(State(observer): State<AdminApi>, Query(wanted): Query<Wanted>) -> Json<Value> {
    Json(json!({ "streams": observer.arrivals.report(wanted.stream.as_deref(), wanted.since) }))
}

async fn tasks(State(observer): State<AdminApi>) -> Json<Value> {
    Json((observer.tasks)())
}

async fn calls(State(observer): State<AdminApi>) -> Json<Report> {
    Json(observer.http.calls.report())
}

async fn pending_faults(State(observer): State<AdminApi>) -> Json<Value> {
    Json(json!({ "faults": observer.http.faults.pending() }))
}

async fn add_fault(State(observer): State<AdminApi>, body: axum::body::Bytes) -> (StatusCode, Json<Value>) {
    let refused = |complaint: String| (StatusCode::BAD_REQUEST, refusal(complaint));
    match serde_json::from_slice::<Fault>(&body) {
        Err(error) => refused(error.to_string()),
        Ok(fault) => match fault.complaint().or_else(|| unknown_service(&observer, &fault)) {
            Some(complaint) => refused(complaint),
            None => {
                observer.http.faults.add(fault);
                (StatusCode::CREATED, Json(json!({ "faults": observer.http.faults.pending() })))
            }
        },
    }
}

/// Why a rule would never apply, if it would not.
fn unknown_service(observer: &AdminApi, fault: &Fault) -> Option<String> {
    let names: Vec<&str> = observer.http.registry.names().collect();
    (!fault.names_service_of(&names)).then(|| {
        format!("{} is no service of this sandbox; name one of {}, or `*`", fault.service, names.join(", "))
    })
}

async fn clear_faults(State(observer): State<AdminApi>) -> StatusCode {
    observer.http.faults.clear();
    StatusCode::NO_CONTENT
}
