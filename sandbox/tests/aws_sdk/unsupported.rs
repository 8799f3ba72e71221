//! Tests of unsupported parameters, operations and services: the sandbox rejects them with a
//! message, in each protocol's format.

use std::time::Duration;

use aws_sdk_cloudwatch::error::ProvideErrorMetadata;
use aws_sdk_cloudwatch::types::{EntityMetricData, MetricDatum};
use serde_json::{Value, json};

use crate::test_sandbox::{TestSandbox, config};

const UNSUPPORTED: &str = "is not supported by this sandbox; docs/sandbox.md lists what is supported";

/// Sends a signed request; returns status, media type and body.
async fn send(
    sandbox: &TestSandbox,
    service: &str,
    headers: &[(&str, &str)],
    body: String,
) -> (u16, String, String) {
    let key = sandbox.running.access_key_id();
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={key}/20261122/us-east-1/{service}/aws4_request, SignedHeaders=host;x-amz-date, Signature=a"
    );
    let mut request = reqwest::Client::new()
        .post(sandbox.running.endpoint_url())
        .header("authorization", authorization)
        .header("x-amz-date", "20261122T000000Z")
        .body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    (response.status().as_u16(), media_type, response.text().await.unwrap())
}

/// Sends a request that must fail; returns code and message of the AWS JSON error.
async fn rejection(sandbox: &TestSandbox, service: &str, target: &str, body: Value) -> (String, String) {
    let headers = [("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")];
    let (status, media_type, body) = send(sandbox, service, &headers, body.to_string()).await;
    assert_eq!((status, media_type.as_str()), (400, "application/x-amz-json-1.1"), "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    (body["__type"].as_str().unwrap().to_owned(), body["message"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn unsupported_parameters_are_rejected_by_name() {
    let sandbox = TestSandbox::start().await;
    const ECS: &str = "AmazonEC2ContainerServiceV20141113";
    for (service, target, body, code, member) in [
        (
            "ecs",
            format!("{ECS}.CreateService"),
            json!({"serviceName": "s", "serviceConnectConfiguration": {"enabled": true}}),
            "UnsupportedFeatureException",
            "serviceConnectConfiguration",
        ),
        (
            "ecs",
            format!("{ECS}.UpdateService"),
            json!({"service": "s", "deploymentConfiguration": {"alarms": {"enable": true, "alarmNames": ["a"]}}}),
            "UnsupportedFeatureException",
            "deploymentConfiguration.alarms",
        ),
        (
            "ecs",
            format!("{ECS}.RegisterTaskDefinition"),
            json!({"family": "f", "containerDefinitions": [{"name": "a"}, {"name": "b", "secrets": [{"name": "c"}]}]}),
            "ClientException",
            "containerDefinitions.secrets",
        ),
        (
            "logs",
            "Logs_20140328.CreateLogGroup".to_owned(),
            json!({"logGroupName": "/g", "kmsKeyId": "k"}),
            "InvalidParameterException",
            "kmsKeyId",
        ),
        (
            "ssm",
            "AmazonSSM.PutParameter".to_owned(),
            json!({"Name": "a", "Value": "b", "Type": "String", "AllowedPattern": "c"}),
            "ValidationException",
            "AllowedPattern",
        ),
        (
            "application-autoscaling",
            "AnyScaleFrontendService.PutScheduledAction".to_owned(),
            json!({"ServiceNamespace": "ecs", "StartTime": 1}),
            "ValidationException",
            "StartTime",
        ),
        (
            "monitoring",
            "GraniteServiceVersion20100801.ListMetrics".to_owned(),
            json!({"Typo": "x"}),
            "InvalidParameterValueException",
            "Typo",
        ),
    ] {
        let operation = target.split_once('.').unwrap().1;
        let message = format!("{operation}: the parameter {member} {UNSUPPORTED}");
        assert_eq!(rejection(&sandbox, service, &target, body).await, (code.to_owned(), message));
    }
    let state = sandbox.admin_get("state").await;
    assert_eq!(
        (&state["logs"]["logGroups"]["us-east-1"], &state["ssm"]["parameters"]),
        (&Value::Null, &json!({}))
    );
}

#[tokio::test]
async fn entity_metrics_are_stored_but_strict_validation_is_rejected() {
    let sandbox = TestSandbox::start().await;
    let client = aws_sdk_cloudwatch::Client::new(&config(&sandbox.running, "us-east-1").await);
    let datum = MetricDatum::builder().metric_name("m").value(1.0).build();
    let entity = aws_sdk_cloudwatch::types::Entity::builder().key_attributes("Type", "Service").build();
    let data = EntityMetricData::builder().entity(entity).metric_data(datum).build();
    let put = || client.put_metric_data().namespace("n").entity_metric_data(data.clone());
    let strict = put().strict_entity_validation(true).send().await.unwrap_err();
    let message = format!("PutMetricData: the parameter StrictEntityValidation {UNSUPPORTED}");
    assert_eq!((strict.code(), strict.message()), (Some("InvalidParameterValue"), Some(message.as_str())));
    put().strict_entity_validation(false).send().await.unwrap();
    sandbox.advance(120);
    let listed = client.list_metrics().namespace("n").send().await.unwrap();
    assert_eq!(listed.metrics()[0].metric_name(), Some("m"));
}

#[tokio::test]
async fn unsupported_operations_are_rejected_in_each_protocol() {
    let sandbox = TestSandbox::start().await;
    let shared = config(&sandbox.running, "us-east-1").await;
    for (service, title, target) in [
        ("ecs", "ECS", "AmazonEC2ContainerServiceV20141113.RunTask"),
        ("ssm", "Systems Manager", "AmazonSSM.SendCommand"),
        ("logs", "CloudWatch Logs", "Logs_20140328.StartQuery"),
        ("application-autoscaling", "Application Auto Scaling", "AnyScaleFrontendService.PutScalingPolicy"),
    ] {
        let operation = target.split_once('.').unwrap().1;
        let message = format!("The operation {operation} of {title} {UNSUPPORTED}");
        let error = rejection(&sandbox, service, target, json!({"any": "member"})).await;
        assert_eq!(error, ("UnknownOperationException".to_owned(), message));
    }
    // RPC v2 CBOR and query.
    let alarms = aws_sdk_cloudwatch::Client::new(&shared).describe_alarms().send().await.unwrap_err();
    let message = format!("The operation DescribeAlarms of CloudWatch {UNSUPPORTED}");
    assert_eq!((alarms.code(), alarms.message()), (Some("InvalidAction"), Some(message.as_str())));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = "Action=AssumeRole&Version=2011-06-15&RoleArn=a".to_owned();
    let (status, _, body) = send(&sandbox, "sts", &form, body).await;
    assert_eq!(status, 400);
    assert!(
        body.contains(&format!(
            "<Code>InvalidAction</Code><Message>The operation AssumeRole of STS {UNSUPPORTED}"
        )),
        "{body}"
    );
}

#[tokio::test]
async fn unsupported_services_are_rejected_in_their_own_format() {
    let sandbox = TestSandbox::start().await;
    let message = |service: &str| format!("The service {service} {UNSUPPORTED}");
    let error = rejection(&sandbox, "dynamodb", "DynamoDB_20120810.ListTables", json!({})).await;
    assert_eq!(error, ("UnknownOperationException".to_owned(), message("DynamoDB_20120810")));
    let form = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
    let (status, media_type, body) =
        send(&sandbox, "iam", &form, "Action=ListRoles&Version=2010-05-08".to_owned()).await;
    assert_eq!((status, media_type.as_str()), (400, "text/xml"));
    assert!(body.contains(&message("iam")), "{body}");
    let (status, media_type, body) = send(&sandbox, "lambda", &[], String::new()).await;
    assert_eq!((status, media_type.as_str()), (400, "application/json"));
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), json!({"message": message("lambda")}));
    let (status, media_type, body) = send(&sandbox, "s3", &[], String::new()).await;
    assert_eq!((status, media_type.as_str()), (400, "application/xml"));
    assert!(body.contains(&format!("<Message>{}</Message>", message("s3"))), "{body}");
    // A request for a supported service that names no operation gets AWS's error.
    assert_access_denied("GET", send_get(&sandbox).await).await;
}

async fn assert_access_denied(what: &str, response: reqwest::Response) {
    let (status, kind) = (response.status().as_u16(), response.headers()["x-amzn-errortype"].clone());
    let body = response.text().await.unwrap();
    assert_eq!((status, kind.to_str().unwrap()), (403, "AccessDeniedException"), "{what}: {body}");
    assert!(body.contains("Unable to determine service/operation name to be authorized"), "{what}: {body}");
}

#[tokio::test]
async fn a_service_rejects_protocols_it_does_not_use() {
    const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
    let sandbox = TestSandbox::start().await;
    let (running, key) = (&sandbox.running, sandbox.running.access_key_id());
    let post = |service: &str, path: &str, content_type: &str, body: &'static [u8]| {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={key}/20261122/us-east-1/{service}/aws4_request, SignedHeaders=host;x-amz-date, Signature=a"
        );
        let request = reqwest::Client::new().post(format!("{}{path}", running.endpoint_url()));
        let request = request.header("authorization", authorization).header("x-amz-date", "x");
        request.header("content-type", content_type).timeout(Duration::from_secs(5)).body(body)
    };
    let path = |prefix: &str, operation: &str| format!("/service/{prefix}/operation/{operation}");
    for (service, prefix, operation, form) in [
        ("kinesis", "Kinesis_20131202", "ListStreams", &b"Action=ListStreams&Version=2013-12-02"[..]),
        (
            "ecs",
            "AmazonEC2ContainerServiceV20141113",
            "ListClusters",
            b"Action=ListClusters&Version=2014-11-13",
        ),
        ("ssm", "AmazonSSM", "DescribeParameters", b"Action=DescribeParameters&Version=2014-11-06"),
        ("logs", "Logs_20140328", "DescribeLogGroups", b"Action=DescribeLogGroups&Version=2014-03-28"),
        (
            "application-autoscaling",
            "AnyScaleFrontendService",
            "DescribeScalableTargets",
            b"Action=DescribeScalableTargets&Version=2016-02-06&ServiceNamespace=ecs",
        ),
    ] {
        let by_path = post(service, &path(prefix, operation), "application/cbor", b"\xa0");
        assert_access_denied(service, by_path.send().await.unwrap()).await;
        assert_access_denied(service, post(service, "/", FORM, form).send().await.unwrap()).await;
    }
    assert_eq!(sandbox.admin_get("calls").await["services"], json!({}), "no operation was performed");
    // The services that use these protocols.
    let metrics = path("GraniteServiceVersion20100801", "ListMetrics");
    for (service, path, content_type, body) in [
        ("monitoring", metrics.as_str(), "application/cbor", &b"\xa0"[..]),
        ("monitoring", "/", FORM, b"Action=ListMetrics&Version=2010-08-01"),
        ("sts", "/", FORM, b"Action=GetCallerIdentity&Version=2011-06-15"),
    ] {
        let response = post(service, path, content_type, body).send().await.unwrap();
        assert_eq!(response.status(), 200, "{service} {path} {content_type}");
    }
}

async fn send_get(sandbox: &TestSandbox) -> reqwest::Response {
    let key = sandbox.running.access_key_id();
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={key}/20261122/us-east-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature=a"
    );
    let request = reqwest::Client::new().get(sandbox.running.endpoint_url()).timeout(Duration::from_secs(5));
    request.header("authorization", authorization).header("x-amz-date", "x").send().await.unwrap()
}
