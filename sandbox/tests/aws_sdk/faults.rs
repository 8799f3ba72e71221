//! Tests of injected faults: their error messages in each protocol, and the rejection of invalid
//! rules.

use aws_sdk_ecs::error::ProvideErrorMetadata as _;
use serde_json::{Value, json};

use crate::test_sandbox::{TestSandbox, admin, config};

/// The error message of ECS in a new account, extended by characters that each format escapes
/// differently.
const MESSAGE: &str =
    "Unable to assume the service linked role. Please verify that \"<the ECS>\" & its role exist\u{e9}.";

/// Status, code and message of an SDK error.
macro_rules! received {
    ($error:expr) => {{
        let error = $error;
        let status = error.raw_response().unwrap().status().as_u16();
        (status, error.code().unwrap().to_owned(), error.message().unwrap().to_owned())
    }};
}

fn expected(status: u16, code: &str, message: &str) -> (u16, String, String) {
    (status, code.to_owned(), message.to_owned())
}

#[tokio::test]
async fn each_protocol_carries_the_error_message() {
    let sandbox = TestSandbox::start().await;
    let shared = config(&sandbox.running, "us-east-1").await;
    let error = |service: &str, code: &str, status: u16| {
        json!({
            "service": service, "operation": "*", "kind": "Error", "code": code, "status": status, "message": MESSAGE
        })
    };
    // AWS JSON 1.1.
    sandbox.inject(error("ecs", "InvalidParameterException", 400)).await;
    let ecs = aws_sdk_ecs::Client::new(&shared);
    let rejected = ecs.create_service().service_name("s").send().await.unwrap_err();
    assert_eq!(received!(&rejected), expected(400, "InvalidParameterException", MESSAGE));
    assert!(rejected.into_service_error().is_invalid_parameter_exception());
    // RPC v2 CBOR.
    sandbox.inject(error("cloudwatch", "InternalServiceFault", 500)).await;
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&shared);
    let rejected = cloudwatch.list_metrics().send().await.unwrap_err();
    // awsQueryCompatible: the SDK takes the code from the header.
    assert_eq!(received!(rejected), expected(500, "InternalServiceError", MESSAGE));
    // Query.
    sandbox.inject(error("sts", "InvalidIdentityToken", 400)).await;
    let sts = aws_sdk_sts::Client::new(&shared);
    let rejected = sts.get_caller_identity().send().await.unwrap_err();
    assert_eq!(received!(rejected), expected(400, "InvalidIdentityToken", MESSAGE));
    sts.get_caller_identity().send().await.unwrap();
}

#[tokio::test]
async fn a_throttle_has_the_services_code_and_the_given_message() {
    let sandbox = TestSandbox::start().await;
    let shared = config(&sandbox.running, "us-east-1").await;
    let throttle = |service: &str| json!({"service": service, "operation": "*", "kind": "Throttle", "message": MESSAGE, "times": 1});
    sandbox.inject(throttle("ssm")).await;
    let ssm = aws_sdk_ssm::Client::new(&shared);
    let rejected = ssm.get_parameter().name("a").send().await.unwrap_err();
    assert_eq!(received!(rejected), expected(400, "ThrottlingException", MESSAGE));
    sandbox.inject(throttle("monitoring")).await;
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&shared);
    let rejected = cloudwatch.list_metrics().send().await.unwrap_err();
    assert_eq!(received!(rejected), expected(400, "Throttling", MESSAGE));
    sandbox.inject(json!({"service": "ssm", "operation": "*", "kind": "Throttle"})).await;
    let rejected = ssm.get_parameter().name("a").send().await.unwrap_err();
    assert_eq!(received!(rejected), expected(400, "ThrottlingException", "Rate exceeded"));
}

#[tokio::test]
async fn a_lost_response_with_a_status_has_the_given_message() {
    let sandbox = TestSandbox::start().await;
    let ssm = aws_sdk_ssm::Client::new(&config(&sandbox.running, "us-east-1").await);
    sandbox
        .inject(json!({
            "service": "ssm", "operation": "PutParameter", "kind": "LoseResponse", "status": 503,
            "code": "ServiceUnavailable", "message": MESSAGE
        }))
        .await;
    let put = || ssm.put_parameter().name("a").value("b").r#type(aws_sdk_ssm::types::ParameterType::String);
    assert_eq!(received!(put().send().await.unwrap_err()), expected(503, "ServiceUnavailable", MESSAGE));
    let again = put().send().await.unwrap_err();
    assert_eq!(again.code(), Some("ParameterAlreadyExists"), "the call took effect");
}

#[tokio::test]
async fn invalid_rules_are_rejected_with_a_message() {
    let sandbox = TestSandbox::start().await;
    let url = format!("{}/_sandbox/faults", sandbox.running.endpoint_url());
    for (rule, expected_message) in [
        (
            json!({"service": "ecs", "operation": "*", "kind": "Error", "massage": "m"}),
            "unknown field `massage`",
        ),
        (json!({"service": "ecs", "operation": "*"}), "missing field `kind`"),
        (json!({"service": "ecs", "operation": "*", "kind": "Latency"}), "Latency needs latencyMs"),
        (
            json!({"service": "ecs", "operation": "*", "kind": "Latency", "latencyMs": 1, "message": "m"}),
            "Latency does not use message",
        ),
        (
            json!({"service": "ecs", "operation": "*", "kind": "LoseResponse", "message": "m"}),
            "LoseResponse does not use message",
        ),
        (json!({"service": "ec2", "operation": "*", "kind": "Throttle"}), "the sandbox has no service ec2"),
    ] {
        let response = admin(&sandbox.running).post(&url).json(&rule).send().await.unwrap();
        assert_eq!(response.status(), 400, "{rule}");
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert!(body["error"].as_str().unwrap().contains(expected_message), "{body}");
    }
    assert_eq!(sandbox.admin_get("faults").await, json!({"faults": []}));
}
