//! Injected faults in AWS's own words, as each protocol carries them, and rules that are refused.

use aws_sdk_ecs::error::ProvideErrorMetadata as _;
use serde_json::{Value, json};

use crate::test_sandbox::{TestSandbox, admin, config};

/// What the ECS of a new account answers, with characters that each format writes in its own way.
const WORDS: &str =
    "Unable to assume the service linked role. Please verify that \"<the ECS>\" & its role exist\u{e9}.";

/// An error that was answered: status, code and message.
macro_rules! answered {
    ($error:expr) => {{
        let error = $error;
        let status = error.raw_response().unwrap().status().as_u16();
        (status, error.code().unwrap().to_owned(), error.message().unwrap().to_owned())
    }};
}

fn told(status: u16, code: &str, message: &str) -> (u16, String, String) {
    (status, code.to_owned(), message.to_owned())
}

#[tokio::test]
async fn each_protocol_carries_the_words_of_an_error() {
    let sandbox = TestSandbox::start().await;
    let shared = config(&sandbox.running, "us-east-1").await;
    let error = |service: &str, code: &str, status: u16| {
        json!({
            "service": service, "operation": "*", "kind": "Error", "code": code, "status": status, "message": WORDS
        })
    };
    // AWS JSON 1.1.
    sandbox.inject(error("ecs", "InvalidParameterException", 400)).await;
    let ecs = aws_sdk_ecs::Client::new(&shared);
    let refused = ecs.create_service().service_name("s").send().await.unwrap_err();
    assert_eq!(answered!(&refused), told(400, "InvalidParameterException", WORDS));
    assert!(refused.into_service_error().is_invalid_parameter_exception());
    // RPC v2 CBOR.
    sandbox.inject(error("cloudwatch", "InternalServiceFault", 500)).await;
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&shared);
    let refused = cloudwatch.list_metrics().send().await.unwrap_err();
    // awsQueryCompatible: the code that the header names.
    assert_eq!(answered!(refused), told(500, "InternalServiceError", WORDS));
    // Query.
    sandbox.inject(error("sts", "InvalidIdentityToken", 400)).await;
    let sts = aws_sdk_sts::Client::new(&shared);
    let refused = sts.get_caller_identity().send().await.unwrap_err();
    assert_eq!(answered!(refused), told(400, "InvalidIdentityToken", WORDS));
    sts.get_caller_identity().send().await.unwrap();
}

#[tokio::test]
async fn a_throttle_keeps_the_services_code_and_says_what_it_is_told_to() {
    let sandbox = TestSandbox::start().await;
    let shared = config(&sandbox.running, "us-east-1").await;
    let throttle = |service: &str| json!({"service": service, "operation": "*", "kind": "Throttle", "message": WORDS, "times": 1});
    sandbox.inject(throttle("ssm")).await;
    let ssm = aws_sdk_ssm::Client::new(&shared);
    let refused = ssm.get_parameter().name("a").send().await.unwrap_err();
    assert_eq!(answered!(refused), told(400, "ThrottlingException", WORDS));
    sandbox.inject(throttle("monitoring")).await;
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&shared);
    let refused = cloudwatch.list_metrics().send().await.unwrap_err();
    assert_eq!(answered!(refused), told(400, "Throttling", WORDS));
    sandbox.inject(json!({"service": "ssm", "operation": "*", "kind": "Throttle"})).await;
    let refused = ssm.get_parameter().name("a").send().await.unwrap_err();
    assert_eq!(answered!(refused), told(400, "ThrottlingException", "Rate exceeded"));
}

#[tokio::test]
async fn a_lost_answer_that_is_an_error_has_its_words_too() {
    let sandbox = TestSandbox::start().await;
    let ssm = aws_sdk_ssm::Client::new(&config(&sandbox.running, "us-east-1").await);
    sandbox
        .inject(json!({
            "service": "ssm", "operation": "PutParameter", "kind": "LoseResponse", "status": 503,
            "code": "ServiceUnavailable", "message": WORDS
        }))
        .await;
    let put = || ssm.put_parameter().name("a").value("b").r#type(aws_sdk_ssm::types::ParameterType::String);
    assert_eq!(answered!(put().send().await.unwrap_err()), told(503, "ServiceUnavailable", WORDS));
    let again = put().send().await.unwrap_err();
    assert_eq!(again.code(), Some("ParameterAlreadyExists"), "the call took effect");
}

#[tokio::test]
async fn bad_rules_are_refused_in_words() {
    let sandbox = TestSandbox::start().await;
    let url = format!("{}/_sandbox/faults", sandbox.running.endpoint_url());
    for (rule, words) in [
        (
            json!({"service": "ecs", "operation": "*", "kind": "Error", "massage": "m"}),
            "unknown field `massage`",
        ),
        (json!({"service": "ecs", "operation": "*"}), "missing field `kind`"),
        (json!({"service": "ecs", "operation": "*", "kind": "Latency"}), "Latency needs latencyMs"),
        (
            json!({"service": "ecs", "operation": "*", "kind": "Latency", "latencyMs": 1, "message": "m"}),
            "Latency has no use for message",
        ),
        (
            json!({"service": "ecs", "operation": "*", "kind": "LoseResponse", "message": "m"}),
            "LoseResponse has no use for message",
        ),
        (
            json!({"service": "ec2", "operation": "*", "kind": "Throttle"}),
            "ec2 is no service of this sandbox",
        ),
    ] {
        let answer = admin(&sandbox.running).post(&url).json(&rule).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{rule}");
        let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert!(body["error"].as_str().unwrap().contains(words), "{body}");
    }
    assert_eq!(sandbox.observe("faults").await, json!({"faults": []}));
}
