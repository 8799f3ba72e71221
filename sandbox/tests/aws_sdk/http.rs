//! Tests of the HTTP server: credentials, unknown operations, injected faults, the admin API, and
//! listen addresses.

use std::time::{Duration, Instant};

use crate::test_sandbox::{TestSandbox, admin, config, mode, records};
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::types::StreamMode;
use kinesis_demo_sandbox::access::Access;
use kinesis_demo_sandbox::{Options, Sandbox};
use serde_json::{Value, json};

fn signed(sandbox: &TestSandbox) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={}/20261122/us-east-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature=abc",
        sandbox.running.access_key_id()
    )
}

async fn post(
    sandbox: &TestSandbox,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, reqwest::header::HeaderMap, String) {
    let mut request = reqwest::Client::new().post(sandbox.running.endpoint_url()).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.headers().clone(), response.text().await.unwrap())
}

#[tokio::test]
async fn a_credential_is_required_but_signatures_are_not_checked() {
    let sandbox = TestSandbox::start().await;
    let authorization = signed(&sandbox);
    let target = ("x-amz-target", "Kinesis_20131202.ListStreams");
    let json_type = ("content-type", "application/x-amz-json-1.1");
    let (status, _, body) = post(&sandbox, &[target, json_type], "{}").await;
    let error: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, error["__type"].as_str()), (400, Some("MissingAuthenticationTokenException")));
    let signed =
        [target, json_type, ("authorization", authorization.as_str()), ("x-amz-date", "20261122T000000Z")];
    let (status, headers, body) = post(&sandbox, &signed, "{}").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(headers["content-type"], "application/x-amz-json-1.1");
    assert!(headers.contains_key("x-amzn-requestid") && headers.contains_key("date"));
    let elsewhere = ("x-amz-target", "AmazonSSM.GetParameter");
    let (status, _, body) = post(&sandbox, &[elsewhere, json_type, signed[2], signed[3]], "{}").await;
    assert_eq!(status, 400);
    assert!(body.contains("InvalidSignatureException"), "{body}");
}

#[tokio::test]
async fn requests_without_a_known_operation_are_rejected() {
    let sandbox = TestSandbox::start().await;
    let (status, headers, _) = post(&sandbox, &[], "").await;
    assert_eq!((status, &headers["x-amzn-errortype"]), (403, &"AccessDeniedException".parse().unwrap()));
    let authorization = signed(&sandbox);
    let nonsense = [
        ("x-amz-target", "Kinesis_20131202.Nonsense"),
        ("authorization", authorization.as_str()),
        ("x-amz-date", "20261122T000000Z"),
    ];
    let (status, _, body) = post(&sandbox, &nonsense, "{}").await;
    assert_eq!((status, body.as_str()), (400, r#"{"__type":"UnknownOperationException"}"#));
    let (status, _, body) = post(&sandbox, &[("x-amz-target", "DynamoDB_20120810.ListTables")], "{}").await;
    let error: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, error["__type"].as_str()), (400, Some("UnknownOperationException")));
    assert_eq!(
        error["message"].as_str(),
        Some(
            "The service DynamoDB_20120810 is not supported by this sandbox; docs/sandbox.md lists what is supported"
        )
    );
}

#[tokio::test]
async fn faults_apply_as_often_as_requested() {
    let sandbox = TestSandbox::start().await;
    let list = || sandbox.kinesis.list_streams().send();
    sandbox
        .inject(json!({"service": "kinesis", "operation": "ListStreams", "kind": "Throttle", "times": 2}))
        .await;
    assert_eq!(sandbox.admin_get("faults").await["faults"][0]["times"], 2);
    for _ in 0..2 {
        assert_eq!(list().await.unwrap_err().code(), Some("LimitExceededException"));
    }
    list().await.unwrap();
    sandbox.inject(json!({"service": "kinesis", "operation": "PutRecords", "kind": "Throttle"})).await;
    let put = sandbox.kinesis.put_records().stream_name("any").set_records(Some(records(1)));
    assert_eq!(put.send().await.unwrap_err().code(), Some("ProvisionedThroughputExceededException"));
    sandbox
        .inject(json!({
            "service": "kinesis", "operation": "*", "kind": "Error", "code": "InternalFailure", "status": 500
        }))
        .await;
    let error = list().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 500);
    list().await.unwrap();
    sandbox
        .inject(json!({"service": "kinesis", "operation": "*", "kind": "Latency", "latencyMs": 300}))
        .await;
    let before = Instant::now();
    list().await.unwrap();
    assert!(before.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_lost_response_keeps_the_effect_of_the_call() {
    let sandbox = TestSandbox::start().await;
    sandbox.inject(json!({"service": "kinesis", "operation": "CreateStream", "kind": "LoseResponse"})).await;
    let create = |name| {
        sandbox.kinesis.create_stream().stream_name(name).stream_mode_details(mode(StreamMode::OnDemand))
    };
    let lost = create("posts").send().await.unwrap_err();
    assert!(matches!(lost, SdkError::ResponseError(_) | SdkError::DispatchFailure(_)), "{lost:?}");
    assert_eq!(create("posts").send().await.unwrap_err().code(), Some("ResourceInUseException"));
    sandbox
        .inject(
            json!({"service": "kinesis", "operation": "CreateStream", "kind": "LoseResponse", "status": 500}),
        )
        .await;
    let failed = create("other").send().await.unwrap_err();
    assert_eq!(failed.raw_response().unwrap().status().as_u16(), 500);
    assert_eq!(create("other").send().await.unwrap_err().code(), Some("ResourceInUseException"));
}

#[tokio::test]
async fn invalid_faults_are_rejected_and_all_can_be_cleared() {
    let sandbox = TestSandbox::start().await;
    let url = format!("{}/_sandbox/faults", sandbox.running.endpoint_url());
    let client = admin(&sandbox.running);
    for fault in
        [r#"{"service":"kinesis"}"#, r#"{"service":"a","operation":"b","kind":"Latency"}"#, "nonsense"]
    {
        assert_eq!(
            client
                .post(&url)
                .header("content-type", "application/json")
                .body(fault)
                .send()
                .await
                .unwrap()
                .status(),
            400,
            "{fault}"
        );
    }
    sandbox.inject(json!({"service": "kinesis", "operation": "*", "kind": "Throttle", "times": 9})).await;
    assert_eq!(client.delete(&url).send().await.unwrap().status(), 204);
    sandbox.kinesis.list_streams().send().await.unwrap();
}

#[tokio::test]
async fn a_new_account_has_empty_lists() {
    let sandbox = TestSandbox::start().await;
    let state = sandbox.admin_get("state").await;
    assert_eq!(state["kinesis"]["streams"], json!([]));
    assert_eq!(sandbox.admin_get("ingest").await, json!({"streams": []}));
    assert_eq!(sandbox.admin_get("calls").await["services"], json!({}));
}

#[tokio::test]
async fn non_loopback_addresses_need_a_flag() {
    let open = Options { listen: ([0, 0, 0, 0], 0).into(), ..Options::default() };
    let error = Sandbox::start(open.clone()).await.err().unwrap().to_string();
    assert!(error.contains("--allow-non-loopback"), "{error}");
    let allowed = Options { allow_non_loopback: true, ..open };
    let any_credentials = Options { access: Access::AnyCredentials, ..allowed.clone() };
    let error = Sandbox::start(any_credentials).await.err().unwrap().to_string();
    assert!(error.contains("--any-credentials") && error.contains("--access-key-file"), "{error}");
    let probed = Options { probe_listen: Some(([0, 0, 0, 0], 0).into()), ..Options::default() };
    let error = Sandbox::start(probed).await.err().unwrap().to_string();
    assert!(error.contains("--allow-non-loopback"), "{error}");
    Sandbox::start(allowed).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_stopped_sandbox_accepts_no_connections() {
    let sandbox = TestSandbox::start().await;
    sandbox.kinesis.list_streams().send().await.unwrap();
    let address = sandbox.running.address;
    let other = aws_sdk_kinesis::Client::new(&config(&sandbox.running, "us-east-1").await);
    sandbox.running.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert!(other.list_streams().send().await.is_err());
}
