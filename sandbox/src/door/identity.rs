//! Who calls what: from a request's line and headers to protocol, service, operation and region. Pure.

use axum::http::{HeaderMap, Method, Uri, header};

use crate::service::AwsError;

/// The wire formats of the AWS services we model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// AWS JSON 1.0 or 1.1: `X-Amz-Target` names the operation.
    Json,
    /// Smithy RPC v2 CBOR: the path names the operation.
    Cbor,
    /// AWS query: the body's `Action` names the operation.
    Query,
}

/// `X-Amz-Target` prefixes (from botocore's service models, `targetPrefix`) and the CBOR path's service names.
const SERVICES: &[(&str, &str)] = &[
    ("Kinesis_20131202", "kinesis"),
    ("AmazonEC2ContainerServiceV20141113", "ecs"),
    ("AmazonSSM", "ssm"),
    ("Logs_20140328", "logs"),
    ("AnyScaleFrontendService", "application-autoscaling"),
    ("GraniteServiceVersion20100801", "monitoring"),
];

/// What a request asks for, before its signature and body are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How body and answer are written.
    pub protocol: Protocol,
    /// The signing name of the addressed service; `None` for query requests, whose credential scope alone tells.
    pub service: Option<&'static str>,
    /// The operation; `None` for query requests, whose body tells.
    pub operation: Option<String>,
}

/// Reads the target, or `None` where AWS answers "Unable to determine service/operation name to be authorized".
pub fn target(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Target> {
    if method != Method::POST {
        return None;
    }
    if let Some(rest) = uri.path().strip_prefix("/service/") {
        let (prefix, operation) = rest.split_once("/operation/")?;
        return Some(Target {
            protocol: Protocol::Cbor,
            service: Some(service_named(prefix)?),
            operation: Some(operation.to_owned()),
        });
    }
    if let Some(target) = headers.get("x-amz-target").and_then(|value| value.to_str().ok()) {
        let (prefix, operation) = target.split_once('.')?;
        return Some(Target {
            protocol: Protocol::Json,
            service: Some(service_named(prefix)?),
            operation: Some(operation.to_owned()),
        });
    }
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    content_type.starts_with("application/x-www-form-urlencoded").then_some(Target {
        protocol: Protocol::Query,
        service: None,
        operation: None,
    })
}

fn service_named(prefix: &str) -> Option<&'static str> {
    SERVICES.iter().find(|(name, _)| *name == prefix).map(|(_, service)| *service)
}

/// The credential scope of a signed request. Any key and signature will do; their presence will not be waived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The region the request was signed for.
    pub region: String,
    /// The signing name of the service it was signed for.
    pub service: String,
}

/// Reads the credential scope from the `Authorization` header or a presigned query, with AWS's refusals.
pub fn scope(protocol: Protocol, uri: &Uri, headers: &HeaderMap) -> Result<Scope, AwsError> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        return header_scope(value.to_str().unwrap_or_default(), headers);
    }
    let presigned =
        uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("X-Amz-Credential="));
    match presigned {
        Some(credential) => {
            credential_scope(&credential.replace("%2F", "/")).ok_or_else(|| incomplete(credential))
        }
        None if protocol == Protocol::Query => Err(AwsError {
            status: 403,
            code: "MissingAuthenticationToken".to_owned(),
            message: "Request is missing Authentication Token".to_owned(),
        }),
        None => Err(AwsError::client("MissingAuthenticationTokenException", "Missing Authentication Token")),
    }
}

/// `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, SignedHeaders=…, Signature=…`
/// (Signature Version 4 signing process, "Add the signature to the HTTP request").
fn header_scope(value: &str, headers: &HeaderMap) -> Result<Scope, AwsError> {
    let parameter = |name: &str| {
        value
            .split([',', ' '])
            .filter_map(|part| part.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    };
    let mut complaint = String::new();
    for name in ["Credential", "Signature", "SignedHeaders"] {
        if parameter(name).is_none() {
            complaint.push_str(&format!("Authorization header requires '{name}' parameter. "));
        }
    }
    if !headers.contains_key("x-amz-date") && !headers.contains_key(header::DATE) {
        complaint.push_str(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ",
        );
    }
    if !complaint.is_empty() {
        return Err(AwsError::client(
            "IncompleteSignatureException",
            format!("{complaint}Authorization={value}"),
        ));
    }
    let credential = parameter("Credential").unwrap_or_default();
    credential_scope(credential).ok_or_else(|| incomplete(credential))
}

fn credential_scope(credential: &str) -> Option<Scope> {
    // Access keys may hold slashes in theory; the scope is always the last four parts.
    let mut parts = credential.rsplitn(5, '/');
    let terminator = parts.next()?;
    let service = parts.next()?;
    let region = parts.next()?;
    let complete = terminator == "aws4_request" && !service.is_empty() && !region.is_empty();
    (complete && parts.count() == 2).then(|| Scope { region: region.to_owned(), service: service.to_owned() })
}

fn incomplete(credential: &str) -> AwsError {
    AwsError::client(
        "IncompleteSignatureException",
        format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. \
             keyid/date/region/service/term, got '{credential}'"
        ),
    )
}

/// The refusal of a request that was signed for another service than it addresses.
pub fn wrong_service(service: &str) -> AwsError {
    AwsError::client(
        "InvalidSignatureException",
        format!("Credential should be scoped to correct service: '{service}'."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=AKID/20261122/eu-west-1/kinesis/aws4_request, \
                          SignedHeaders=host;x-amz-date, Signature=abc";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn post(path: &'static str, pairs: &[(&'static str, &str)]) -> Option<Target> {
        target(&Method::POST, &Uri::from_static(path), &headers(pairs))
    }

    #[test]
    fn the_three_protocols_are_told_apart() {
        let json = post("/", &[("x-amz-target", "Kinesis_20131202.PutRecords")]).unwrap();
        assert_eq!((json.protocol, json.service), (Protocol::Json, Some("kinesis")));
        assert_eq!(json.operation.as_deref(), Some("PutRecords"));
        let cbor = post("/service/GraniteServiceVersion20100801/operation/PutMetricData", &[]).unwrap();
        assert_eq!((cbor.protocol, cbor.service), (Protocol::Cbor, Some("monitoring")));
        assert_eq!(cbor.operation.as_deref(), Some("PutMetricData"));
        let form = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        assert_eq!(post("/", &form).unwrap().protocol, Protocol::Query);
    }

    #[test]
    fn what_addresses_no_service_has_no_target() {
        assert_eq!(post("/", &[]), None);
        assert_eq!(post("/", &[("x-amz-target", "Nonsense_1.PutRecords")]), None);
        assert_eq!(post("/service/Unknown/operation/Put", &[]), None);
        let get = target(&Method::GET, &Uri::from_static("/"), &headers(&[]));
        assert_eq!(get, None);
    }

    #[test]
    fn the_scope_comes_from_the_header_or_a_presigned_query() {
        let signed = headers(&[("authorization", SIGNED), ("x-amz-date", "20261122T000000Z")]);
        let expected = Scope { region: "eu-west-1".to_owned(), service: "kinesis".to_owned() };
        assert_eq!(scope(Protocol::Json, &Uri::from_static("/"), &signed).unwrap(), expected);
        let uri =
            Uri::from_static("/?X-Amz-Credential=AKID%2F20261122%2Feu-west-1%2Fkinesis%2Faws4_request&b=c");
        assert_eq!(scope(Protocol::Json, &uri, &headers(&[])).unwrap(), expected);
    }

    #[test]
    fn unsigned_and_half_signed_requests_get_awss_refusals() {
        let refusal = |protocol, pairs: &[(&'static str, &str)]| {
            let error = scope(protocol, &Uri::from_static("/"), &headers(pairs)).unwrap_err();
            (error.status, error.code)
        };
        assert_eq!(refusal(Protocol::Json, &[]), (400, "MissingAuthenticationTokenException".to_owned()));
        assert_eq!(refusal(Protocol::Query, &[]), (403, "MissingAuthenticationToken".to_owned()));
        let incomplete = (400, "IncompleteSignatureException".to_owned());
        assert_eq!(refusal(Protocol::Json, &[("authorization", SIGNED)]), incomplete);
        let no_scope = "AWS4-HMAC-SHA256 Credential=AKID, SignedHeaders=host, Signature=abc";
        let dated = [("authorization", no_scope), ("x-amz-date", "20261122T000000Z")];
        assert_eq!(refusal(Protocol::Json, &dated), incomplete);
    }
}
