//! Identifies requests: from request line and headers to protocol, service, operation and region.
//! Pure.

use axum::http::{HeaderMap, Method, Uri, header};

use crate::call::AwsError;

/// The protocols of the modelled AWS services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// AWS JSON 1.0 or 1.1: `X-Amz-Target` names the operation.
    Json,
    /// AWS JSON encoded as CBOR, which Kinesis supports. The SDKs for Java use it by default.
    JsonInCbor,
    /// Smithy RPC v2 CBOR: the path names the operation.
    Cbor,
    /// AWS query: the body's `Action` names the operation.
    Query,
}

/// Whether a service supports a protocol (botocore's service models, `protocols`; for Kinesis's
/// CBOR the SDKs for Java). Requests in another protocol are rejected; no AWS client sends them.
pub fn is_supported(protocol: Protocol, service: &str) -> bool {
    match protocol {
        Protocol::Json => SERVICES.iter().any(|(_, name)| *name == service),
        Protocol::JsonInCbor => service == "kinesis",
        Protocol::Cbor => service == "monitoring",
        Protocol::Query => matches!(service, "monitoring" | "sts"),
    }
}

/// `X-Amz-Target` prefixes (botocore's service models, `targetPrefix`), which are also the service
/// names in CBOR paths.
const SERVICES: &[(&str, &str)] = &[
    ("Kinesis_20131202", "kinesis"),
    ("AmazonEC2ContainerServiceV20141113", "ecs"),
    ("AmazonSSM", "ssm"),
    ("Logs_20140328", "logs"),
    ("AnyScaleFrontendService", "application-autoscaling"),
    ("GraniteServiceVersion20100801", "monitoring"),
];

/// The header with the access key id in requests to `/_sandbox/…`.
pub const ADMIN_KEY_HEADER: &str = "x-sandbox-access-key-id";

/// The target of a request, determined before its signature and body are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTarget {
    /// The format of request and response body.
    pub protocol: Protocol,
    /// The signing name of the service; `None` for query requests, which name it only in the
    /// credential scope.
    pub service: Option<&'static str>,
    /// The operation; `None` for query requests, which name it in the body.
    pub operation: Option<String>,
}

/// Reads the target. For `None`, AWS returns "Unable to determine service/operation name to be
/// authorized".
pub fn target(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<RequestTarget> {
    if method != Method::POST {
        return None;
    }
    if let Some(rest) = uri.path().strip_prefix("/service/") {
        let (prefix, operation) = rest.split_once("/operation/")?;
        let service = service_named(prefix).filter(|service| is_supported(Protocol::Cbor, service))?;
        return Some(RequestTarget {
            protocol: Protocol::Cbor,
            service: Some(service),
            operation: Some(operation.to_owned()),
        });
    }
    if let Some(target) = headers.get("x-amz-target").and_then(|value| value.to_str().ok()) {
        let (prefix, operation) = target.split_once('.')?;
        let service = service_named(prefix)?;
        let is_cbor = is_supported(Protocol::JsonInCbor, service)
            && content_type(headers).starts_with("application/x-amz-cbor-1.");
        return Some(RequestTarget {
            protocol: if is_cbor { Protocol::JsonInCbor } else { Protocol::Json },
            service: Some(service),
            operation: Some(operation.to_owned()),
        });
    }
    content_type(headers).starts_with("application/x-www-form-urlencoded").then_some(RequestTarget {
        protocol: Protocol::Query,
        service: None,
        operation: None,
    })
}

/// The media type of the body, as sent.
pub fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The signing name of the service with this target prefix or path name.
pub fn service_named(prefix: &str) -> Option<&'static str> {
    SERVICES.iter().find(|(name, _)| *name == prefix).map(|(_, service)| *service)
}

/// The credential of a signed request. The signature must be present, but it is not checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Scope {
    /// The access key id of the signer.
    pub access_key_id: String,
    /// The region the request was signed for.
    pub region: String,
    /// The signing name of the service it was signed for.
    pub service: String,
}

/// Reads the credential scope from the `Authorization` header or a presigned query. Errors are
/// AWS's.
pub fn scope(protocol: Protocol, uri: &Uri, headers: &HeaderMap) -> Result<Scope, AwsError> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        return header_scope(value.to_str().unwrap_or_default(), headers);
    }
    match presigned_credential(uri) {
        Some(credential) => credential_scope(&credential).ok_or_else(|| incomplete(&credential)),
        None if protocol == Protocol::Query => Err(AwsError {
            status: 403,
            code: "MissingAuthenticationToken".to_owned(),
            message: "Request is missing Authentication Token".to_owned(),
        }),
        None => Err(AwsError::client("MissingAuthenticationTokenException", "Missing Authentication Token")),
    }
}

fn presigned_credential(uri: &Uri) -> Option<String> {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    let credential = pairs.find_map(|pair| pair.strip_prefix("X-Amz-Credential="))?;
    Some(credential.replace("%2F", "/").replace("%2f", "/"))
}

/// The access key id of a request to the admin API: from the header [`ADMIN_KEY_HEADER`], a bearer
/// token or an AWS signature. The separate header is for clients behind a proxy that consumes
/// `Authorization`, such as an API server.
pub fn admin_access_key_id(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(key) = text(ADMIN_KEY_HEADER) {
        return Some(key.to_owned());
    }
    let Some(authorization) = text("authorization") else {
        return credential_scope(&presigned_credential(uri)?).map(|scope| scope.access_key_id);
    };
    match authorization.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim().to_owned()),
        _ => header_scope(authorization, headers).ok().map(|scope| scope.access_key_id),
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
    let mut message = String::new();
    for name in ["Credential", "Signature", "SignedHeaders"] {
        if parameter(name).is_none() {
            message.push_str(&format!("Authorization header requires '{name}' parameter. "));
        }
    }
    if !headers.contains_key("x-amz-date") && !headers.contains_key(header::DATE) {
        message.push_str(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ",
        );
    }
    if !message.is_empty() {
        return Err(AwsError::client(
            "IncompleteSignatureException",
            format!("{message}Authorization={value}"),
        ));
    }
    let credential = parameter("Credential").unwrap_or_default();
    credential_scope(credential).ok_or_else(|| incomplete(credential))
}

fn credential_scope(credential: &str) -> Option<Scope> {
    // Access keys could contain slashes; the scope is always the last four parts.
    let mut parts = credential.rsplitn(5, '/');
    let terminator = parts.next()?;
    let service = parts.next()?;
    let region = parts.next()?;
    let _date = parts.next()?;
    let access_key_id = parts.next()?;
    let complete = terminator == "aws4_request" && !service.is_empty() && !region.is_empty();
    complete.then(|| Scope {
        access_key_id: access_key_id.to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
    })
}

/// The error for an access key id that AWS does not know ("Common Errors" of the APIs:
/// `InvalidClientTokenId` with 403 in the query protocol, `UnrecognizedClientException` with 400 in
/// the others).
pub fn unknown_key(protocol: Protocol) -> AwsError {
    const MESSAGE: &str = "The security token included in the request is invalid.";
    match protocol {
        Protocol::Query => {
            AwsError { status: 403, code: "InvalidClientTokenId".to_owned(), message: MESSAGE.to_owned() }
        }
        Protocol::Json | Protocol::JsonInCbor | Protocol::Cbor => {
            AwsError::client("UnrecognizedClientException", MESSAGE)
        }
    }
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

/// The error for a request that was signed for another service than it addresses.
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

    fn post(path: &'static str, pairs: &[(&'static str, &str)]) -> Option<RequestTarget> {
        target(&Method::POST, &Uri::from_static(path), &headers(pairs))
    }

    #[test]
    fn protocols_are_recognized() {
        let json = post("/", &[("x-amz-target", "Kinesis_20131202.PutRecords")]).unwrap();
        assert_eq!((json.protocol, json.service), (Protocol::Json, Some("kinesis")));
        assert_eq!(json.operation.as_deref(), Some("PutRecords"));
        let cbor = post("/service/GraniteServiceVersion20100801/operation/PutMetricData", &[]).unwrap();
        assert_eq!((cbor.protocol, cbor.service), (Protocol::Cbor, Some("monitoring")));
        assert_eq!(cbor.operation.as_deref(), Some("PutMetricData"));
        let cbor = ("content-type", "application/x-amz-cbor-1.1");
        let java = post("/", &[("x-amz-target", "Kinesis_20131202.PutRecords"), cbor]).unwrap();
        assert_eq!((java.protocol, java.operation), (Protocol::JsonInCbor, json.operation));
        let ssm = post("/", &[("x-amz-target", "AmazonSSM.GetParameter"), cbor]).unwrap();
        assert_eq!(ssm.protocol, Protocol::Json, "of the services with a target, only Kinesis supports CBOR");
        let form = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        assert_eq!(post("/", &form).unwrap().protocol, Protocol::Query);
    }

    #[test]
    fn requests_without_a_known_service_have_no_target() {
        assert_eq!(post("/", &[]), None);
        assert_eq!(post("/", &[("x-amz-target", "Nonsense_1.PutRecords")]), None);
        assert_eq!(post("/service/Unknown/operation/Put", &[]), None);
        assert_eq!(post("/service/GraniteServiceVersion20100801/Put", &[]), None);
        let get = target(&Method::GET, &Uri::from_static("/"), &headers(&[]));
        assert_eq!(get, None);
    }

    #[test]
    fn each_service_supports_only_its_own_protocols() {
        for (prefix, service) in SERVICES {
            let path = format!("/service/{prefix}/operation/Any");
            let found = target(&Method::POST, &path.parse().unwrap(), &headers(&[]));
            assert_eq!(found.is_some(), *service == "monitoring", "{service} by path");
            let found = post("/", &[("x-amz-target", &format!("{prefix}.Any"))]);
            assert_eq!(found.map(|target| target.protocol), Some(Protocol::Json), "{service} by target");
            assert_eq!(is_supported(Protocol::Query, service), *service == "monitoring", "{service} by form");
        }
        assert!(is_supported(Protocol::Query, "sts") && !is_supported(Protocol::Json, "sts"));
    }

    #[test]
    fn the_scope_comes_from_the_header_or_a_presigned_query() {
        let signed = headers(&[("authorization", SIGNED), ("x-amz-date", "20261122T000000Z")]);
        let read = |uri: &'static str, headers: &HeaderMap| {
            let Scope { access_key_id, region, service } =
                scope(Protocol::Json, &Uri::from_static(uri), headers).ok().unwrap();
            [access_key_id, region, service]
        };
        let expected = ["AKID", "eu-west-1", "kinesis"];
        assert_eq!(read("/", &signed), expected);
        for uri in [
            "/?X-Amz-Credential=AKID%2F20261122%2Feu-west-1%2Fkinesis%2Faws4_request&b=c",
            "/?a=b&X-Amz-Credential=AKID%2f20261122%2feu-west-1%2fkinesis%2faws4_request",
        ] {
            assert_eq!(read(uri, &headers(&[])), expected, "{uri}");
        }
    }

    #[test]
    fn the_admin_key_comes_from_a_header_token_or_signature() {
        let key = |uri: &'static str, pairs: &[(&'static str, &str)]| {
            admin_access_key_id(&Uri::from_static(uri), &headers(pairs))
        };
        let dated = [("authorization", SIGNED), ("x-amz-date", "20261122T000000Z")];
        assert_eq!(key("/", &dated).as_deref(), Some("AKID"));
        assert_eq!(key("/", &[("authorization", "bearer AKID")]).as_deref(), Some("AKID"));
        assert_eq!(key("/", &[(ADMIN_KEY_HEADER, "AKID")]).as_deref(), Some("AKID"));
        let presigned = "/?X-Amz-Credential=AKID%2F20261122%2Feu-west-1%2Fkinesis%2Faws4_request";
        assert_eq!(key(presigned, &[]).as_deref(), Some("AKID"));
        for nothing in ["", "Basic QUtJRA==", "Bearer", "AWS4-HMAC-SHA256 Credential=AKID"] {
            assert_eq!(key("/", &[("authorization", nothing)]), None, "{nothing}");
        }
        assert_eq!(key("/", &[]), None);
    }

    #[test]
    fn unsigned_and_incomplete_requests_get_aws_errors() {
        let error_for = |protocol, pairs: &[(&'static str, &str)]| {
            let error = scope(protocol, &Uri::from_static("/"), &headers(pairs)).err().unwrap();
            (error.status, error.code)
        };
        assert_eq!(error_for(Protocol::Json, &[]), (400, "MissingAuthenticationTokenException".to_owned()));
        assert_eq!(error_for(Protocol::Query, &[]), (403, "MissingAuthenticationToken".to_owned()));
        let incomplete = (400, "IncompleteSignatureException".to_owned());
        assert_eq!(error_for(Protocol::Json, &[("authorization", SIGNED)]), incomplete);
        let no_scope = "AWS4-HMAC-SHA256 Credential=AKID, SignedHeaders=host, Signature=abc";
        let dated = [("authorization", no_scope), ("x-amz-date", "20261122T000000Z")];
        assert_eq!(error_for(Protocol::Json, &dated), incomplete);
    }
}
