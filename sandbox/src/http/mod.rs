//! The HTTP front end: takes one HTTP request and returns one response, in the form of AWS's
//! endpoints.
//!
//! The order of checks: host name and browser (`guard`), credential and target (`identity`), body,
//! injected faults, API rate limits, and then the service. Every call is counted. The body of a
//! request with a wrong access key id is not decoded.

pub mod guard;
pub mod identity;
pub mod response;
mod unsupported;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, header};
use futures::StreamExt as _;
use serde_json::Value;
use uuid::Uuid;

use self::identity::{Protocol, RequestTarget};
use self::response::ResponseContext;
use crate::access::Access;
use crate::call::{AwsError, Call, Caller};
use crate::calls::Calls;
use crate::clock::ModelClock;
use crate::faults::{Fault, FaultKind, Faults};
use crate::limits::{self, Limits};
use crate::operations;
use crate::protocol::{self, Encoding};
use crate::recording::{self, Recording};
use crate::registry::Registry;
use crate::services::kinesis::Kinesis;

/// Larger than the largest legal request: a `PutRecords` of 10 MiB, in base64, plus its JSON.
const MAX_BODY_BYTES: usize = 20 << 20;

/// How long the body of a request with a wrong access key id is read. If the connection were closed
/// while a client still sends, the client might not receive the error response.
const REJECTED_BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// The shared state of all requests.
pub struct HttpState {
    /// Which requests are served.
    pub access: Access,
    /// The account id that the sandbox reports.
    pub account: String,
    /// The model's clock.
    pub clock: ModelClock,
    /// The services.
    pub registry: Registry,
    /// The data plane: `PutRecords` bypasses the generic JSON.
    pub kinesis: Arc<Kinesis>,
    /// API rate limits.
    pub limits: Limits,
    /// Injected faults.
    pub faults: Faults,
    /// Call counts.
    pub calls: Calls,
    /// The recording of distinct calls, if enabled.
    pub recording: Option<Recording>,
}

/// The result of a call: a value still to be encoded, or an encoded body.
enum Output {
    Value(Value),
    Encoded(Bytes),
}

/// Handles one AWS request.
pub async fn handle(State(state): State<Arc<HttpState>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let request_id = Uuid::new_v4();
    let Some(target) = identity::target(&parts.method, &parts.uri, &parts.headers) else {
        return unsupported::response(&state.registry, &parts.uri, &parts.headers);
    };
    let unnamed = |service| ResponseContext {
        protocol: target.protocol,
        json_type: json_type(&parts.headers),
        service,
        operation: "",
        request_id,
    };
    let signed = identity::scope(target.protocol, &parts.uri, &parts.headers).and_then(|scope| {
        if state.access.admits(&scope.access_key_id) {
            Ok(scope)
        } else {
            Err(identity::unknown_key(target.protocol))
        }
    });
    let scope = match signed {
        Ok(scope) => scope,
        Err(error) => {
            discard(body).await;
            return unnamed(target.service.unwrap_or_default()).error(&error);
        }
    };
    let body = match read_body(&parts.headers, body).await {
        Ok(body) => body,
        Err(error) => return unnamed(target.service.unwrap_or_default()).error(&error),
    };
    let service = target.service.unwrap_or(&scope.service);
    if service != scope.service {
        return unnamed(service).error(&identity::wrong_service(service));
    }
    if state.registry.service(service).is_some() && !identity::is_supported(target.protocol, service) {
        return response::unaddressed();
    }
    let (operation, input) = match decoded(&target, body) {
        Ok(decoded) => decoded,
        Err(error) => return unnamed(service).error(&error),
    };
    let response_context = ResponseContext { operation: &operation, ..unnamed(service) };
    let caller = Caller { account: state.account.clone(), region: scope.region };
    if let Some(recording) = &state.recording {
        let user_agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let request = recording::Request {
            user_agent: user_agent.unwrap_or_default(),
            service,
            operation: &operation,
            region: &caller.region,
        };
        match &input {
            Input::Parameters(parameters) => recording.note(request, parameters),
            Input::Records(encoding, body) => {
                recording.note_records(request, || Kinesis::put_records_parameters(*encoding, body).ok());
            }
        }
    }
    let call = Decoded { service, operation: &operation, input, caller: &caller };
    let (outcome, lost) = state.perform(call).await;
    state.calls.count(service, &operation, outcome.as_ref().err().map(|error| error.code.as_str()));
    match (lost, outcome) {
        (Some(fault), _) if fault.status.is_some() => response_context.error(&fault.error()),
        (Some(_), _) => response::lost(),
        (None, Ok(Output::Value(value))) => response_context.success(&value),
        (None, Ok(Output::Encoded(body))) => response_context.respond_encoded(body),
        (None, Err(error)) => response_context.error(&error),
    }
}

/// A request's parameters, or the body if the service decodes it itself.
enum Input {
    Parameters(Value),
    Records(Encoding, Bytes),
}

struct Decoded<'a> {
    service: &'a str,
    operation: &'a str,
    input: Input,
    caller: &'a Caller,
}

impl HttpState {
    /// Performs a call, subject to faults and limits. The second value is a fault that suppresses
    /// the response.
    async fn perform(&self, call: Decoded<'_>) -> (Result<Output, AwsError>, Option<Fault>) {
        let mut lost = None;
        if let Some(fault) = self.faults.due(call.service, call.operation) {
            match fault.kind {
                FaultKind::Throttle => {
                    let usual = limits::throttled(call.service, call.operation, &self.account);
                    let message = fault.message.unwrap_or(usual.message);
                    return (Err(AwsError { message, ..usual }), None);
                }
                FaultKind::Error => return (Err(fault.error()), None),
                FaultKind::Latency => tokio::time::sleep(fault.latency()).await,
                FaultKind::LoseResponse => lost = Some(fault),
            }
        }
        (self.admitted(call).await, lost)
    }

    async fn admitted(&self, call: Decoded<'_>) -> Result<Output, AwsError> {
        let Decoded { service, operation, input, caller } = call;
        let input = match input {
            Input::Records(encoding, body) => {
                let answer = self.kinesis.put_records(caller, encoding, &body);
                return answer.map(|body| Output::Encoded(body.into()));
            }
            Input::Parameters(input) => input,
        };
        let Some(handler) = self.registry.service(service) else {
            return Err(operations::unknown_service(service));
        };
        let moment = self.clock.moment();
        if !self.limits.admits(service, operation, &caller.region, &input, moment.wall) {
            return Err(limits::throttled(service, operation, &self.account));
        }
        if let Some(supported) = handler.operations() {
            operations::check_request(supported, service, operation, &input)?;
        }
        handler.call(Call { operation, input: &input, caller, now: moment.model }).await.map(Output::Value)
    }
}

/// The content type of the response: the AWS JSON version of the request.
fn json_type(headers: &HeaderMap) -> &'static str {
    if identity::content_type(headers).starts_with("application/x-amz-json-1.0") {
        "application/x-amz-json-1.0"
    } else {
        protocol::json::CONTENT_TYPE
    }
}

/// Reads a body of at most [`MAX_BODY_BYTES`] and discards it.
async fn discard(body: Body) {
    let mut frames = body.into_data_stream();
    let mut read = 0;
    let reading = async {
        while let Some(Ok(frame)) = frames.next().await {
            read += frame.len();
            if read > MAX_BODY_BYTES {
                break;
            }
        }
    };
    // After the timeout, slower clients get the response as well.
    let _ = tokio::time::timeout(REJECTED_BODY_TIMEOUT, reading).await;
}

/// The body, decompressed if needed (the SDKs compress `PutMetricData` from 10 KiB on).
async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, AwsError> {
    let too_large = || AwsError {
        status: 413,
        code: "RequestEntityTooLargeException".to_owned(),
        message: "Request body is too large".to_owned(),
    };
    let body = axum::body::to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| too_large())?;
    match headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes()) {
        Some(b"gzip") => {
            use std::io::Read;
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(&body[..])
                .take(MAX_BODY_BYTES as u64 + 1)
                .read_to_end(&mut unpacked)
                .map_err(|_| AwsError::client("SerializationException", ""))?;
            if unpacked.len() > MAX_BODY_BYTES { Err(too_large()) } else { Ok(unpacked.into()) }
        }
        _ => Ok(body),
    }
}

/// The operation and its parameters.
fn decoded(target: &RequestTarget, body: Bytes) -> Result<(String, Input), AwsError> {
    let encoding = match target.protocol {
        Protocol::JsonInCbor => Encoding::Cbor,
        Protocol::Json | Protocol::Cbor | Protocol::Query => Encoding::Json,
    };
    let (operation, parameters) = match (target.protocol, &target.operation) {
        (Protocol::Query, _) | (_, None) => protocol::query::decode(&body)?,
        (Protocol::Cbor, Some(operation)) => (operation.clone(), protocol::cbor::RPC_V2.decode(&body)?),
        (Protocol::Json | Protocol::JsonInCbor, Some(operation)) => {
            if target.service == Some("kinesis") && operation == "PutRecords" {
                return Ok((operation.clone(), Input::Records(encoding, body)));
            }
            (operation.clone(), encoding.decode(&body)?)
        }
    };
    Ok((operation, Input::Parameters(parameters)))
}
