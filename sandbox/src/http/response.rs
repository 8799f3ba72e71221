//! Responses and errors in the caller's protocol. No I/O.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;
use uuid::Uuid;

use super::identity::Protocol;
use crate::call::AwsError;
use crate::protocol;

/// The parts of a request that its response depends on.
pub struct ResponseContext<'a> {
    /// The protocol of the response.
    pub protocol: Protocol,
    /// JSON 1.0 or 1.1, as in the request.
    pub json_type: &'static str,
    /// The addressed service.
    pub service: &'a str,
    /// The addressed operation.
    pub operation: &'a str,
    /// The id of the request, as in its response headers.
    pub request_id: Uuid,
}

impl ResponseContext<'_> {
    /// A successful response.
    pub fn success(&self, value: &Value) -> Response<Body> {
        let body = match self.protocol {
            Protocol::Json => protocol::json::encode(value),
            Protocol::Cbor => protocol::cbor::RPC_V2.encode(value),
            Protocol::JsonInCbor => protocol::cbor::KINESIS.encode(value),
            Protocol::Query => {
                protocol::query::encode(self.service, self.operation, value, &self.request_id.to_string())
            }
        };
        self.respond(StatusCode::OK, body.into())
    }

    /// A successful response that is already encoded in the caller's format.
    pub fn respond_encoded(&self, body: Bytes) -> Response<Body> {
        self.respond(StatusCode::OK, body)
    }

    /// An error response.
    pub fn error(&self, error: &AwsError) -> Response<Body> {
        let body = match self.protocol {
            Protocol::Json => protocol::json::encode_error(error),
            Protocol::Cbor => protocol::cbor::RPC_V2.encode_error(error),
            Protocol::JsonInCbor => protocol::cbor::KINESIS.encode_error(error),
            Protocol::Query => {
                protocol::query::encode_error(self.service, error, &self.request_id.to_string())
            }
        };
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = self.respond(status, body.into());
        if self.service == "monitoring" && self.protocol != Protocol::Query {
            // CloudWatch used the query protocol before: for compatible clients it also sends the
            // old code (Smithy, "awsQueryCompatible trait").
            let fault = if error.status < 500 { "Sender" } else { "Receiver" };
            if let Ok(value) =
                HeaderValue::from_str(&format!("{};{fault}", protocol::query::error_code(&error.code)))
            {
                response.headers_mut().insert("x-amzn-query-error", value);
            }
        }
        response
    }

    fn respond(&self, status: StatusCode, body: Bytes) -> Response<Body> {
        let content_type = match self.protocol {
            Protocol::Json => self.json_type,
            Protocol::Cbor => protocol::cbor::RPC_V2.content_type,
            Protocol::JsonInCbor => protocol::cbor::KINESIS.content_type,
            Protocol::Query => "text/xml",
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Ok(id) = HeaderValue::from_str(&self.request_id.to_string()) {
            headers.insert("x-amzn-requestid", id);
        }
        if self.protocol == Protocol::Cbor {
            headers.insert("smithy-protocol", HeaderValue::from_static("rpc-v2-cbor"));
        }
        response
    }
}

/// AWS's response to a request without a recognizable service or operation.
pub fn unaddressed() -> Response<Body> {
    let mut response = Response::new(Body::from(
        "<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be \
         authorized</Message>\n</AccessDeniedException>\n",
    ));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static("AccessDeniedException"));
    response
}

/// A response that breaks off before its body: the caller sees only a failed connection.
pub fn lost() -> Response<Body> {
    let broken =
        futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("response lost on purpose")) });
    let mut response = Response::new(Body::from_stream(broken));
    // With a content length, clients do not mistake the interruption for the end of the body.
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("1"));
    response
}
