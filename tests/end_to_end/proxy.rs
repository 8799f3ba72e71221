//! A proxy between the operator and the sandbox, used only by the operator. In: the operator's
//! calls, and the faults that a test sets. Out: the sandbox's responses, or AWS-shaped errors,
//! delayed responses and broken connections for the calls that match a fault. Serves HTTP/1.1 on
//! loopback.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;

/// No request of the operator is larger: the body of a dashboard has some tens of kilobytes.
const LARGEST_REQUEST: usize = 8 * 1024 * 1024;

/// What happens to a call that matches a fault.
#[derive(Clone, Copy, Debug)]
pub enum FaultKind {
    /// The call has no effect and returns an error with this code and status.
    Refuse(&'static str, u16),
    /// The call reaches the sandbox only after this delay.
    Delay(Duration),
    /// The sandbox executes the call, but the connection breaks before the response is complete.
    LoseResponse,
}

pub const DENIED: FaultKind = FaultKind::Refuse("AccessDeniedException", 400);
pub const EXPIRED: FaultKind = FaultKind::Refuse("ExpiredTokenException", 400);
pub const THROTTLED: FaultKind = FaultKind::Refuse("ThrottlingException", 400);
pub const FAILING: FaultKind = FaultKind::Refuse("InternalFailure", 500);

/// How long a fault lasts.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// For this many calls.
    Calls(u32),
    /// For this duration.
    For(Duration),
    /// Until it is cleared.
    Lasting,
}

/// A fault that was set. It counts the calls that it affected.
#[derive(Debug)]
pub struct Fault {
    /// The affected operations. Empty means all.
    operations: &'static [&'static str],
    /// A request matches if its body or path contains one of these texts.
    about: Vec<String>,
    kind: FaultKind,
    left: AtomicU32,
    until: Mutex<Option<Instant>>,
    hits: AtomicU32,
}

impl Fault {
    /// How many calls it affected so far.
    pub fn hits(&self) -> u32 {
        self.hits.load(Ordering::SeqCst)
    }

    /// Ends the fault.
    pub fn clear(&self) {
        *lock(&self.until) = Some(Instant::now());
    }

    fn affects(&self, call: &Call) -> bool {
        let is_named = self.operations.is_empty() || self.operations.contains(&call.operation.as_str());
        let is_over = lock(&self.until).is_some_and(|until| Instant::now() >= until);
        let is_about = self.about.iter().any(|text| call.mentions(text));
        let decrement = |left: u32| left.checked_sub(1);
        let affects = is_named
            && is_about
            && !is_over
            && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, decrement).is_ok();
        self.hits.fetch_add(u32::from(affects), Ordering::SeqCst);
        affects
    }
}

/// One request of the operator.
#[derive(Clone, Debug)]
struct Call {
    operation: String,
    protocol: Protocol,
    path: String,
    body: Bytes,
}

/// The formats of AWS's APIs (Smithy: awsJson, rpcv2Cbor, awsQuery).
#[derive(Clone, Copy, Debug, PartialEq)]
enum Protocol {
    Json,
    Cbor,
    Query,
}

impl Call {
    fn new(uri: &Uri, headers: &HeaderMap, body: Bytes) -> Self {
        let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok());
        let (protocol, operation) = match (target, uri.path().split_once("/operation/")) {
            (Some(target), _) => (Protocol::Json, target.rsplit('.').next().unwrap_or(target).to_owned()),
            (None, Some((_, operation))) => (Protocol::Cbor, operation.to_owned()),
            (None, None) => {
                let text = String::from_utf8_lossy(&body);
                let action = text.split('&').find_map(|pair| pair.strip_prefix("Action="));
                (Protocol::Query, action.unwrap_or_default().to_owned())
            }
        };
        Self { operation, protocol, path: uri.to_string(), body }
    }

    /// CBOR also contains texts verbatim.
    fn mentions(&self, text: &str) -> bool {
        self.path.contains(text) || self.body.windows(text.len()).any(|part| part == text.as_bytes())
    }

    fn refusal(&self, code: &str, status: u16) -> Response<Body> {
        let message = format!("{code} by the test's proxy");
        let (content_type, body) = match self.protocol {
            Protocol::Json => (
                "application/x-amz-json-1.1",
                serde_json::json!({ "__type": code, "message": message }).to_string().into_bytes(),
            ),
            Protocol::Cbor => {
                let mut body = vec![0xa2];
                for text in ["__type", code, "message", &message] {
                    // Major type 3 with one byte of length.
                    body.extend([0x78, u8::try_from(text.len()).unwrap()]);
                    body.extend(text.as_bytes());
                }
                ("application/cbor", body)
            }
            Protocol::Query => (
                "text/xml",
                format!(
                    "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
                     <RequestId>proxy</RequestId></ErrorResponse>"
                )
                .into_bytes(),
            ),
        };
        let mut response = Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, content_type)
            .header("x-amzn-requestid", "00000000-0000-4000-8000-000000000000");
        if self.protocol == Protocol::Cbor {
            response = response.header("smithy-protocol", "rpc-v2-cbor");
        }
        response.body(Body::from(body)).unwrap()
    }
}

/// A running proxy. It stops when dropped.
pub struct Proxy {
    /// The endpoint for the operator.
    pub endpoint: String,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

struct Shared {
    sandbox: String,
    http: reqwest::Client,
    faults: Mutex<Vec<Arc<Fault>>>,
    calls: Mutex<Vec<Call>>,
}

impl Proxy {
    /// Listens on a free loopback port and forwards to the sandbox at `sandbox`.
    pub async fn start(sandbox: &str) -> Self {
        let shared = Arc::new(Shared {
            sandbox: sandbox.to_owned(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            faults: Mutex::default(),
            calls: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().fallback(handle).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { endpoint, shared, server }
    }

    /// Sets a fault for `operations` (empty means all) in requests that contain one of the texts
    /// `about`.
    pub fn fault(
        &self,
        operations: &'static [&'static str],
        about: impl IntoIterator<Item = impl Into<String>>,
        kind: FaultKind,
        limit: Limit,
    ) -> Arc<Fault> {
        let fault = Arc::new(Fault {
            operations,
            about: about.into_iter().map(Into::into).collect(),
            kind,
            left: AtomicU32::new(if let Limit::Calls(calls) = limit { calls } else { u32::MAX }),
            until: Mutex::new(match limit {
                Limit::For(span) => Some(Instant::now() + span),
                Limit::Calls(_) | Limit::Lasting => None,
            }),
            hits: AtomicU32::new(0),
        });
        lock(&self.shared.faults).push(Arc::clone(&fault));
        fault
    }

    /// How often the operator called `operation` in requests that contain `about`.
    pub fn count(&self, operation: &str, about: &str) -> usize {
        let calls = lock(&self.shared.calls);
        calls.iter().filter(|call| call.operation == operation && call.mentions(about)).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: axum::extract::Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, LARGEST_REQUEST).await.unwrap_or_default();
    let call = Call::new(&parts.uri, &parts.headers, body);
    lock(&shared.calls).push(call.clone());
    let fault = lock(&shared.faults).iter().find(|fault| fault.affects(&call)).cloned();
    match fault.map(|fault| fault.kind) {
        None => shared.forward(parts.method, &parts.uri, parts.headers, call.body).await,
        Some(FaultKind::Refuse(code, status)) => call.refusal(code, status),
        Some(FaultKind::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            shared.forward(parts.method, &parts.uri, parts.headers, call.body).await
        }
        Some(FaultKind::LoseResponse) => {
            shared.forward(parts.method, &parts.uri, parts.headers, call.body).await;
            broken()
        }
    }
}

impl Shared {
    /// The sandbox's response. `Host` stays as the operator wrote it, because its signature covers
    /// it.
    async fn forward(
        &self,
        method: Method,
        uri: &Uri,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Response<Body> {
        headers.remove(header::CONNECTION);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let request =
            self.http.request(method, format!("{}{path}", self.sandbox)).headers(headers).body(body);
        let upstream = match request.send().await {
            Ok(upstream) => upstream,
            Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        };
        let (status, mut headers) = (upstream.status(), upstream.headers().clone());
        // If the sandbox's response breaks off, ours must too.
        let Ok(body) = upstream.bytes().await else { return broken() };
        headers.remove(header::TRANSFER_ENCODING);
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// A response that breaks off before its body.
fn broken() -> Response<Body> {
    let cut =
        futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut by the test's proxy")) });
    let mut response = Response::new(Body::from_stream(cut));
    response.headers_mut().insert(header::CONTENT_LENGTH, 1.into());
    response
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use aws_sdk_ssm::error::ProvideErrorMetadata as _;
    use kinesis_demo_local_cluster::sandbox::address::SandboxAddress;
    use kinesis_demo_local_cluster::tls::install_crypto_provider;

    use super::*;
    use crate::by_hand::sdk_config;

    /// One service per format: the SDK parses the error code, and faults are matched by their
    /// texts.
    #[tokio::test]
    async fn the_sdk_parses_injected_errors_in_each_aws_protocol() {
        install_crypto_provider();
        // Nothing listens on this port, so a call without a fault fails.
        let proxy = Proxy::start("http://127.0.0.1:9").await;
        let address = SandboxAddress { endpoint: proxy.endpoint.clone(), access_key_id: "KEY".into() };
        let config = sdk_config(&address).await;
        let denied = proxy.fault(&[], ["mine", "Action=GetCallerIdentity"], DENIED, Limit::Calls(3));
        let json = aws_sdk_ssm::Client::new(&config).get_parameter().name("/mine").send().await;
        let json = json.unwrap_err().code().map(str::to_owned);
        let query = aws_sdk_sts::Client::new(&config).get_caller_identity().send().await;
        let query = query.unwrap_err().code().map(str::to_owned);
        let cloudwatch = aws_sdk_cloudwatch::Client::new(&config);
        let cbor = cloudwatch.get_dashboard().dashboard_name("mine").send().await;
        let cbor = cbor.unwrap_err().code().map(str::to_owned);
        let code = Some("AccessDeniedException".to_owned());
        assert_eq!((json, query, cbor), (code.clone(), code.clone(), code));
        assert_eq!((denied.hits(), proxy.count("GetDashboard", "mine")), (3, 1));

        let other = aws_sdk_ssm::Client::new(&config).get_parameter().name("/other").send().await;
        assert_ne!(other.unwrap_err().code(), Some("AccessDeniedException"));
        assert_eq!(denied.hits(), 3);
    }
}
