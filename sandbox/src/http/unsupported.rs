//! Responses to requests for services that the sandbox does not support, in the form that their
//! clients expect, and to requests that address a supported service in an unknown way. In: a
//! request's line and headers. Out: a response. No I/O.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
use uuid::Uuid;

use super::identity::{self, Protocol};
use super::response::{self, ResponseContext};
use crate::call::AwsError;
use crate::operations;
use crate::protocol;
use crate::registry::Registry;

/// Services whose clients expect XML if a request names no operation in header or body (REST-XML
/// protocol).
const REST_XML: [&str; 5] = ["s3", "s3express", "s3-outposts", "cloudfront", "route53"];

/// The response to a request that names no operation of a supported service.
pub fn response(registry: &Registry, uri: &Uri, headers: &HeaderMap) -> Response<Body> {
    let spoken = |protocol, error: &AwsError| {
        let (json_type, request_id) = (protocol::json::CONTENT_TYPE, Uuid::new_v4());
        ResponseContext { protocol, json_type, service: "", operation: "", request_id }.error(error)
    };
    let path = uri.path().strip_prefix("/service/").and_then(|rest| rest.split_once("/operation/"));
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()?.split_once('.'));
    let is_supported_service = |name: &str| identity::service_named(name).is_some();
    match (path, target) {
        // The services exist but use other protocols; AWS rejects such a request as unaddressed.
        (Some((service, _)), _) | (None, Some((service, _))) if is_supported_service(service) => {
            response::unaddressed()
        }
        (Some((service, _)), _) => spoken(Protocol::Cbor, &operations::unknown_service(service)),
        (None, Some((service, _))) => spoken(Protocol::Json, &operations::unknown_service(service)),
        (None, None) => match identity::scope(Protocol::Json, uri, headers) {
            Ok(scope) if registry.service(&scope.service).is_none() => rest_error(&scope.service),
            _ => response::unaddressed(),
        },
    }
}

/// An error of the REST protocols.
fn rest_error(service: &str) -> Response<Body> {
    let AwsError { code, message, .. } = operations::unknown_service(service);
    let is_xml = REST_XML.contains(&service);
    let (media_type, body) = if is_xml {
        ("application/xml", format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
    } else {
        ("application/json", serde_json::json!({ "message": message }).to_string())
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let Ok(code) = HeaderValue::from_str(&code) {
        headers.insert("x-amzn-errortype", code);
    }
    response
}
