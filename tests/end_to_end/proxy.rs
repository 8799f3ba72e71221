//! Stands between the operator and the sandbox, for nobody else. In: the operator's calls, and the
//! faults that a test sets. Out: the sandbox's own answers, or AWS-shaped refusals, late answers
//! and broken connections for the calls that a fault names. Serves HTTP/1.1 on loopback.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;

/// No call of the operator's is larger: a dashboard's body has some tens of kilobytes.
const LARGEST_REQUEST: usize = 8 * 1024 * 1024;

/// What happens to a call that a fault names.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// The error of this code and status, instead of any effect.
    Refuse(&'static str, u16),
    /// The call reaches the sandbox only after this long.
    Delay(Duration),
    /// The sandbox does it, but the connection breaks before the answer is through.
    LoseAnswer,
}

pub const DENIED: Kind = Kind::Refuse("AccessDeniedException", 400);
pub const EXPIRED: Kind = Kind::Refuse("ExpiredTokenException", 400);
pub const THROTTLED: Kind = Kind::Refuse("ThrottlingException", 400);
pub const FAILING: Kind = Kind::Refuse("InternalFailure", 500);

/// How long a fault lasts.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// For so many calls.
    Calls(u32),
    /// For so long.
    For(Duration),
    /// Until it is lifted.
    Lasting,
}

/// A fault that was set. It counts the calls that it met.
#[derive(Debug)]
pub struct Fault {
    /// All operations, if there are none.
    operations: &'static [&'static str],
    /// Texts of which a request has one, in its body or path.
    about: Vec<String>,
    kind: Kind,
    left: AtomicU32,
    until: Mutex<Option<Instant>>,
    met: AtomicU32,
}

impl Fault {
    /// How many calls it met so far.
    pub fn met(&self) -> u32 {
        self.met.load(Ordering::SeqCst)
    }

    /// Ends it.
    pub fn lift(&self) {
        *lock(&self.until) = Some(Instant::now());
    }

    fn takes(&self, call: &Call) -> bool {
        let is_named = self.operations.is_empty() || self.operations.contains(&call.operation.as_str());
        let is_over = lock(&self.until).is_some_and(|until| Instant::now() >= until);
        let is_about = self.about.iter().any(|text| call.mentions(text));
        let one_less = |left: u32| left.checked_sub(1);
        let takes = is_named
            && is_about
            && !is_over
            && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
        self.met.fetch_add(u32::from(takes), Ordering::SeqCst);
        takes
    }
}

/// One request of the operator's.
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

    /// CBOR, too, holds its texts as they are.
    fn mentions(&self, text: &str) -> bool {
        self.path.contains(text) || self.body.windows(text.len()).any(|part| part == text.as_bytes())
    }

    fn refusal(&self, code: &str, status: u16) -> Response<Body> {
        let words = format!("{code} by the test's proxy");
        let (content_type, body) = match self.protocol {
            Protocol::Json => (
                "application/x-amz-json-1.1",
                serde_json::json!({ "__type": code, "message": words }).to_string().into_bytes(),
            ),
            Protocol::Cbor => {
                let mut body = vec![0xa2];
                for text in ["__type", code, "message", &words] {
                    // Major type 3 with one byte of length.
                    body.extend([0x78, u8::try_from(text.len()).unwrap()]);
                    body.extend(text.as_bytes());
                }
                ("application/cbor", body)
            }
            Protocol::Query => (
                "text/xml",
                format!(
                    "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{words}</Message></Error>\
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

/// The proxy, while it is served.
pub struct Proxy {
    /// Where the operator finds it.
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
    /// Serves at a free port of loopback, and asks the sandbox at `sandbox`.
    pub async fn start(sandbox: &str) -> Self {
        let shared = Arc::new(Shared {
            sandbox: sandbox.to_owned(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            faults: Mutex::default(),
            calls: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { endpoint, shared, server }
    }

    /// Sets a fault for `operations` (all of them, if there are none) in requests that hold one of
    /// the texts `about`.
    pub fn fault(
        &self,
        operations: &'static [&'static str],
        about: impl IntoIterator<Item = impl Into<String>>,
        kind: Kind,
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
            met: AtomicU32::new(0),
        });
        lock(&self.shared.faults).push(Arc::clone(&fault));
        fault
    }

    /// How often the operator called `operation` in requests that hold `about`.
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

async fn pass(State(shared): State<Arc<Shared>>, request: axum::extract::Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, LARGEST_REQUEST).await.unwrap_or_default();
    let call = Call::new(&parts.uri, &parts.headers, body);
    lock(&shared.calls).push(call.clone());
    let fault = lock(&shared.faults).iter().find(|fault| fault.takes(&call)).cloned();
    match fault.map(|fault| fault.kind) {
        None => shared.ask(parts.method, &parts.uri, parts.headers, call.body).await,
        Some(Kind::Refuse(code, status)) => call.refusal(code, status),
        Some(Kind::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            shared.ask(parts.method, &parts.uri, parts.headers, call.body).await
        }
        Some(Kind::LoseAnswer) => {
            shared.ask(parts.method, &parts.uri, parts.headers, call.body).await;
            broken()
        }
    }
}

impl Shared {
    /// The sandbox's answer. `Host` stays what the operator wrote, as its signature covers it.
    async fn ask(&self, method: Method, uri: &Uri, mut headers: HeaderMap, body: Bytes) -> Response<Body> {
        headers.remove(header::CONNECTION);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let request =
            self.http.request(method, format!("{}{path}", self.sandbox)).headers(headers).body(body);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        };
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        // Whatever cuts the sandbox's answer short must cut ours short.
        let Ok(body) = answer.bytes().await else { return broken() };
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
    use kubectl_kinesisdemo::demo::environment::SandboxAddress;

    use super::*;
    use crate::by_hand::sdk_config;

    /// A service of each format: an SDK reads the code, and the faults are told apart by their texts.
    #[tokio::test]
    async fn refusals_are_read_as_awss_in_each_of_its_formats() {
        kubectl_kinesisdemo::install_crypto();
        // Nobody listens there: what is not refused fails.
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
        assert_eq!((denied.met(), proxy.count("GetDashboard", "mine")), (3, 1));

        let other = aws_sdk_ssm::Client::new(&config).get_parameter().name("/other").send().await;
        assert_ne!(other.unwrap_err().code(), Some("AccessDeniedException"));
        assert_eq!(denied.met(), 3);
    }
}
