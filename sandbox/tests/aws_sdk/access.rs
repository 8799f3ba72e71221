//! Tests of access control with real HTTP requests: the sandbox serves only callers with the access
//! key id, and no web page of another origin.

use std::collections::BTreeMap;

use aws_sdk_kinesis::error::ProvideErrorMetadata;
use kinesis_demo_sandbox::access::{Access, Secret};
use kinesis_demo_sandbox::{Options, Running, Sandbox};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::test_sandbox::{TestSandbox, admin, config, config_for, mode, records};
use aws_sdk_kinesis::types::StreamMode;

/// A well-formed access key id that is not the sandbox's.
const OTHER_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
/// Every path and method of the admin API, and some that do not exist.
const ADMIN: [(&str, &str); 11] = [
    ("GET", "health"),
    ("GET", "state"),
    ("GET", "ingest"),
    ("GET", "shards"),
    ("GET", "tasks"),
    ("GET", "calls"),
    ("GET", "faults"),
    ("POST", "faults"),
    ("DELETE", "faults"),
    ("PUT", "faults"),
    ("OPTIONS", "faults"),
];

/// An unsigned request, one or more for each protocol.
struct ApiCall {
    name: &'static str,
    service: &'static str,
    path: &'static str,
    target: Option<&'static str>,
    content_type: &'static str,
    body: &'static str,
    /// Status and code of the error for a missing and for an unknown key.
    missing: (u16, &'static str),
    unknown: (u16, &'static str),
}

const JSON_TYPE: &str = "application/x-amz-json-1.1";
const FORM_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";
const MISSING: (u16, &str) = (400, "MissingAuthenticationTokenException");
const UNKNOWN: (u16, &str) = (400, "UnrecognizedClientException");

const fn json_call(service: &'static str, target: &'static str) -> ApiCall {
    ApiCall {
        name: target,
        service,
        path: "/",
        target: Some(target),
        content_type: JSON_TYPE,
        body: "{}",
        missing: MISSING,
        unknown: UNKNOWN,
    }
}

const fn query_call(service: &'static str, name: &'static str, body: &'static str) -> ApiCall {
    ApiCall {
        name,
        service,
        path: "/",
        target: None,
        content_type: FORM_TYPE,
        body,
        missing: (403, "MissingAuthenticationToken"),
        unknown: (403, "InvalidClientTokenId"),
    }
}

const API_CALLS: [ApiCall; 11] = [
    json_call("kinesis", "Kinesis_20131202.ListStreams"),
    json_call("kinesis", "Kinesis_20131202.PutRecords"),
    json_call("kinesis", "Kinesis_20131202.Nonsense"),
    json_call("ecs", "AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition"),
    json_call("ssm", "AmazonSSM.DescribeParameters"),
    json_call("logs", "Logs_20140328.DescribeLogGroups"),
    json_call("application-autoscaling", "AnyScaleFrontendService.DescribeScalableTargets"),
    json_call("monitoring", "GraniteServiceVersion20100801.ListMetrics"),
    ApiCall {
        name: "ListMetrics (CBOR)",
        service: "monitoring",
        path: "/service/GraniteServiceVersion20100801/operation/ListMetrics",
        target: None,
        content_type: "application/cbor",
        body: "",
        missing: MISSING,
        unknown: UNKNOWN,
    },
    query_call("sts", "GetCallerIdentity", "Action=GetCallerIdentity&Version=2011-06-15"),
    query_call("monitoring", "ListMetrics (query)", "Action=ListMetrics&Version=2010-08-01"),
];

fn credential(key: &str, service: &str, slash: &str) -> String {
    [key, "20261122", "us-east-1", service, "aws4_request"].join(slash)
}

impl ApiCall {
    fn unsigned(&self, running: &Running, query: &str) -> RequestBuilder {
        let url = format!("{}{}{query}", running.endpoint_url(), self.path);
        let request =
            reqwest::Client::new().post(url).header("content-type", self.content_type).body(self.body);
        match self.target {
            Some(target) => request.header("x-amz-target", target),
            None => request,
        }
    }

    fn signed(&self, running: &Running, key: &str) -> RequestBuilder {
        let credential = credential(key, self.service, "/");
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host;x-amz-date, Signature=abc");
        let request = self.unsigned(running, "").header("authorization", authorization);
        request.header("x-amz-date", "20261122T000000Z")
    }

    fn presigned(&self, running: &Running, key: &str) -> RequestBuilder {
        let credential = credential(key, self.service, "%2F");
        self.unsigned(running, &format!("?X-Amz-Credential={credential}&X-Amz-Signature=abc"))
    }
}

async fn send(request: RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), String::from_utf8_lossy(&response.bytes().await.unwrap()).into_owned())
}

async fn assert_rejected(what: &str, request: RequestBuilder, (status, code): (u16, &str)) {
    let (got, body) = send(request).await;
    assert!(got == status && body.contains(code), "{what}: {got} {body}, expected {status} {code}");
}

/// The calls counted since the start, rejected ones included.
async fn counted_calls(running: &Running) -> Value {
    let url = format!("{}/_sandbox/calls", running.endpoint_url());
    let body = admin(running).get(url).send().await.unwrap().bytes().await.unwrap();
    serde_json::from_slice::<Value>(&body).unwrap()["services"].clone()
}

#[tokio::test]
async fn every_protocol_rejects_requests_without_the_key() {
    let sandbox = TestSandbox::start().await;
    let running = &sandbox.running;
    let key = running.access_key_id();
    // A prefix of the key, the key with another character, in another case, and so on are all
    // unknown.
    let similar = [&key[..key.len() - 1], &format!("{key}0"), &key.to_lowercase(), "any", ""];
    for call in API_CALLS {
        assert_rejected(call.name, call.unsigned(running, ""), call.missing).await;
        for other_key in similar.into_iter().chain([OTHER_KEY]) {
            assert_rejected(call.name, call.signed(running, other_key), call.unknown).await;
            assert_rejected(call.name, call.presigned(running, other_key), call.unknown).await;
        }
        // The correct key in the wrong place, or next to a wrong one.
        assert_rejected(call.name, call.unsigned(running, "").bearer_auth(key), (400, "IncompleteSignature"))
            .await;
        let both = call.signed(running, OTHER_KEY).header("x-sandbox-access-key-id", key);
        assert_rejected(call.name, both, call.unknown).await;
        let twice = call.presigned(running, key).header("authorization", "AWS4-HMAC-SHA256 Credential=x");
        assert_rejected(call.name, twice, (400, "IncompleteSignature")).await;
    }
    assert_eq!(counted_calls(running).await, json!({}), "no operation was performed");
    for call in API_CALLS {
        for request in [call.signed(running, key), call.presigned(running, key)] {
            let (_, body) = send(request).await;
            assert!(!body.contains(call.unknown.1), "{}: {body}", call.name);
        }
    }
    assert_eq!(counted_calls(running).await["sts"]["GetCallerIdentity"]["calls"], 2);
}

#[tokio::test]
async fn a_large_request_without_the_key_is_rejected_and_not_stored() {
    let sandbox = TestSandbox::start().await;
    sandbox.on_demand_stream("posts").await;
    let url = sandbox.running.endpoint_url();
    let unauthorized = aws_sdk_kinesis::Client::new(&config_for(&url, OTHER_KEY, "us-east-1").await);
    let large = aws_sdk_kinesis::types::PutRecordsRequestEntry::builder()
        .data(aws_sdk_kinesis::primitives::Blob::new(vec![b'x'; 5 << 20]))
        .partition_key("k")
        .build()
        .unwrap();
    for rejected in [vec![large], records(500)] {
        let put = unauthorized.put_records().stream_name("posts").set_records(Some(rejected));
        let rejected = put.send().await.unwrap_err();
        assert_eq!(rejected.code(), Some("UnrecognizedClientException"), "{rejected:?}");
        assert_eq!(rejected.raw_response().unwrap().status().as_u16(), 400);
    }
    let create =
        unauthorized.create_stream().stream_name("theirs").stream_mode_details(mode(StreamMode::OnDemand));
    assert_eq!(create.send().await.unwrap_err().code(), Some("UnrecognizedClientException"));
    let state = sandbox.admin_get("state").await;
    assert_eq!(state["kinesis"]["streams"].as_array().unwrap().len(), 1);
    assert_eq!(sandbox.admin_get("ingest").await["streams"][0]["totals"]["records"], 0);
}

#[tokio::test]
async fn the_admin_api_needs_the_key_and_accepts_only_json() {
    let sandbox = TestSandbox::start().await;
    let running = &sandbox.running;
    let key = running.access_key_id().to_owned();
    let call = |method: &str, path: &str| {
        let url = format!("{}/_sandbox/{path}", running.endpoint_url());
        reqwest::Client::new().request(Method::from_bytes(method.as_bytes()).unwrap(), url)
    };
    let fault = json!({"service": "kinesis", "operation": "*", "kind": "Throttle", "times": 9});
    for (method, path) in ADMIN {
        let what = format!("{method} {path}");
        let rejected = (401, "access key id");
        let call = || call(method, path).json(&fault);
        // HEAD is not tried, because its response has no body to check.
        assert_rejected(&what, call(), rejected).await;
        for other_key in [OTHER_KEY, "", "any", &key[1..]] {
            assert_rejected(&what, call().bearer_auth(other_key), rejected).await;
            assert_rejected(&what, call().header("x-sandbox-access-key-id", other_key), rejected).await;
        }
        assert_rejected(&what, call().basic_auth(&key, Some(&key)), rejected).await;
    }
    let post = || call("POST", "faults").bearer_auth(&key).body(fault.to_string());
    for foreign in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json", ""]
    {
        assert_rejected(foreign, post().header("content-type", foreign), (415, "application/json")).await;
    }
    assert_rejected("no type", post(), (415, "application/json")).await;
    assert_rejected(
        "a body that is ignored",
        call("DELETE", "faults").bearer_auth(&key).body("x"),
        (415, "JSON"),
    )
    .await;
    assert_eq!(sandbox.admin_get("faults").await, json!({"faults": []}));
    for typed in ["application/json", "Application/JSON; charset=utf-8"] {
        assert_eq!(send(post().header("content-type", typed)).await.0, 201, "{typed}");
    }
    // All ways to pass the key.
    let signature = format!(
        "AWS4-HMAC-SHA256 Credential={}, SignedHeaders=host, Signature=abc",
        credential(&key, "sandbox", "/")
    );
    for request in [
        call("GET", "state").bearer_auth(&key),
        call("GET", "state").header("x-sandbox-access-key-id", &key),
        call("GET", "state").header("authorization", signature).header("x-amz-date", "20261122T000000Z"),
        call("GET", &format!("state?X-Amz-Credential={}", credential(&key, "sandbox", "%2F"))),
    ] {
        assert_eq!(send(request).await.0, 200);
    }
}

#[tokio::test]
async fn pages_of_other_origins_are_rejected_even_with_the_key() {
    let sandbox = TestSandbox::start().await;
    let running = &sandbox.running;
    let key = running.access_key_id().to_owned();
    let health = format!("{}/_sandbox/health", running.endpoint_url());
    let metadata = format!("{}/_ecs/v4/x/y", running.endpoint_url());
    let requests = || {
        let mut requests: BTreeMap<&str, RequestBuilder> =
            API_CALLS.iter().map(|call| (call.name, call.signed(running, &key))).collect();
        requests.insert("health", reqwest::Client::new().get(&health).bearer_auth(&key));
        requests.insert("metadata", reqwest::Client::new().get(&metadata));
        requests.insert("preflight", reqwest::Client::new().request(Method::OPTIONS, &health));
        requests.insert("nothing", reqwest::Client::new().get(running.endpoint_url()));
        requests
    };
    for (header, value, status) in [
        // A page whose host name is rebound to loopback.
        ("host", "rebound.example", 421),
        ("host", "rebound.example:80", 421),
        ("host", "localhost.rebound.example", 421),
        ("host", "169.254.169.254", 421),
        // A page that can send requests but not read responses.
        ("origin", "https://page.example", 403),
        ("origin", "null", 403),
        ("origin", "http://localhost:3000", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
    ] {
        for (name, request) in requests() {
            let (got, body) = send(request.header(header, value)).await;
            assert_eq!(got, status, "{name} with {header}: {value}: {body}");
        }
    }
    assert_eq!(counted_calls(running).await, json!({}), "no operation was performed");
    for host in ["localhost", "localhost:1", "127.0.0.1", "[::1]:8080"] {
        let (status, body) = send(API_CALLS[0].signed(running, &key).header("host", host)).await;
        assert_eq!(status, 200, "{host}: {body}");
    }
}

#[tokio::test]
async fn additional_host_names_are_served_if_allowed() {
    let options = Options { allowed_hosts: vec!["sandbox.demo.svc".into()], ..Options::default() };
    let running = Sandbox::start(options).await.unwrap();
    let key = running.access_key_id().to_owned();
    for (host, status) in
        [("sandbox.demo.svc:4566", 200), ("SANDBOX.demo.svc.", 200), ("other.demo.svc", 421)]
    {
        assert_eq!(send(API_CALLS[0].signed(&running, &key).header("host", host)).await.0, status, "{host}");
    }
    running.stop().await;
}

#[tokio::test]
async fn any_credentials_admits_local_clients_but_not_web_pages() {
    let options = Options { access: Access::AnyCredentials, ..Options::default() };
    let running = Sandbox::start(options).await.unwrap();
    assert_eq!(send(API_CALLS[0].signed(&running, OTHER_KEY)).await.0, 200);
    assert_rejected("unsigned", API_CALLS[0].unsigned(&running, ""), MISSING).await;
    let state = format!("{}/_sandbox/state", running.endpoint_url());
    assert_eq!(send(reqwest::Client::new().get(&state)).await.0, 200);
    assert_eq!(send(reqwest::Client::new().get(&state).header("origin", "null")).await.0, 403);
    assert_eq!(send(reqwest::Client::new().get(&state).header("host", "rebound.example")).await.0, 421);
    running.stop().await;
}

#[tokio::test]
async fn the_probe_port_serves_only_the_health_check() {
    let probe_listen = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    let running =
        Sandbox::start(Options { probe_listen: Some(probe_listen), ..Options::default() }).await.unwrap();
    let get = |path: &str| reqwest::Client::new().get(format!("http://{probe_listen}{path}"));
    // Kubelet sends the Pod's address as the host.
    assert_eq!(send(get("/healthz").header("host", "10.1.2.3:8081")).await, (200, "ok\n".to_owned()));
    for path in ["/", "/_sandbox/health", "/_sandbox/state", "/_ecs/v4/x/y"] {
        assert_eq!(send(get(path).bearer_auth(running.access_key_id())).await.0, 404, "{path}");
    }
    running.stop().await;
    assert!(get("/healthz").send().await.is_err());
}

#[tokio::test]
async fn two_sandboxes_have_two_keys() {
    let (first, second) = (TestSandbox::start().await, TestSandbox::start().await);
    let key = second.running.access_key_id();
    assert_rejected("the other's key", API_CALLS[0].signed(&first.running, key), UNKNOWN).await;
    let ours = Access::AccessKey(Secret::access_key_id(key, "the test's key").unwrap());
    let third = Sandbox::start(Options { access: ours, ..Options::default() }).await.unwrap();
    assert_eq!(send(API_CALLS[0].signed(&third, key)).await.0, 200);
    third.stop().await;
}

#[tokio::test]
async fn names_in_requests_never_become_file_names() {
    let outer = tempfile::tempdir().unwrap();
    let state = outer.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let options = Options {
        state_dir: Some(state),
        record_calls: Some(outer.path().join("calls.jsonl")),
        images: vec![("i".into(), "/bin/true".into())],
        ..Options::default()
    };
    let running = Sandbox::start(options).await.unwrap();
    let key = running.access_key_id().to_owned();
    let shared = config(&running, "us-east-1").await;
    // Names that AWS's rules reject are rejected; the others stay in memory.
    for name in ["../../escaped", "/../../escaped", "..%2f..%2fescaped", "escaped\0", "/tmp/escaped"] {
        let logs = aws_sdk_cloudwatchlogs::Client::new(&shared);
        let _ = logs.create_log_group().log_group_name(name).send().await;
        let _ = logs.create_log_stream().log_group_name(name).log_stream_name(name).send().await;
        let ssm = aws_sdk_ssm::Client::new(&shared).put_parameter().name(name).value("x");
        let _ = ssm.r#type(aws_sdk_ssm::types::ParameterType::String).send().await;
        let dashboard = aws_sdk_cloudwatch::Client::new(&shared).put_dashboard().dashboard_name(name);
        let _ = dashboard.dashboard_body(r#"{"widgets":[]}"#).send().await;
        let _ = aws_sdk_ecs::Client::new(&shared).create_cluster().cluster_name(name).send().await;
        let stream = aws_sdk_kinesis::Client::new(&shared).create_stream().stream_name(name);
        let _ = stream.shard_count(1).send().await;
    }
    running.stop().await;
    let names = |folder: &std::path::Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(outer.path()), ["calls.jsonl", "state"]);
    assert_eq!(names(&outer.path().join("state")), ["tasks.json"]);
    let recorded = std::fs::read_to_string(outer.path().join("calls.jsonl")).unwrap();
    assert!(recorded.contains("escaped"), "the calls arrived: {recorded}");
    assert!(!recorded.contains(&key), "the key is not recorded: {recorded}");
    assert!(!std::path::Path::new("/tmp/escaped").exists());
}
