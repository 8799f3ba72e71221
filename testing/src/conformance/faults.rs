//! Error responses and lost responses, of any service.

use kinesis_demo_operator::aws::AwsErrorClass;

use super::Arm;
use super::InjectedError;
use super::fixtures::{LOG_GROUP, assert_refused, aws, refusal, tags};

pub(super) async fn an_error_response_is_passed_on_whole(arm: &dyn Arm) {
    let logs = aws(arm).logs;
    for (class, status, code, message) in [
        (AwsErrorClass::Denied, 400, "AccessDeniedException", "User is not authorized to perform this"),
        (AwsErrorClass::Throttled, 400, "ThrottlingException", "Rate exceeded"),
        (AwsErrorClass::Quota, 400, "ServiceQuotaExceededException", "too many of them"),
        (AwsErrorClass::Invalid, 400, "UnheardOfException", "this code is in no table"),
        (AwsErrorClass::Transient, 503, "ServiceUnavailableException", "come back later"),
    ] {
        arm.fail("CreateLogGroup", &InjectedError { status, code, message }).await;
        let expected = refusal(class, "CreateLogGroup", LOG_GROUP, code, message);
        assert_refused(logs.create_log_group(LOG_GROUP, &tags("ns/demo")).await, expected);
        arm.clear_faults().await;
        assert_eq!(logs.fetch_log_group(LOG_GROUP).await.unwrap(), None, "{code}");
    }
    logs.create_log_group(LOG_GROUP, &tags("ns/demo")).await.unwrap();
}

/// JSON for Application Auto Scaling and Kinesis, CBOR for CloudWatch, the query protocol for STS.
pub(super) async fn an_error_is_read_in_every_protocol(arm: &dyn Arm) {
    let aws = aws(arm);
    let injected = InjectedError {
        status: 400,
        code: "AccessDeniedException",
        message: "User is not authorized to perform this",
    };
    let denied = |operation: &'static str, target: &str| {
        refusal(AwsErrorClass::Denied, operation, target, injected.code, injected.message)
    };
    for operation in
        ["GetCallerIdentity", "DescribeAccountSettings", "PutDashboard", "DescribeScalableTargets"]
    {
        arm.fail(operation, &injected).await;
    }
    assert_refused(aws.identity.fetch_account_id().await, denied("GetCallerIdentity", "account"));
    assert_refused(aws.streams.fetch_advantage().await, denied("DescribeAccountSettings", "account"));
    let put = aws.dashboards.put_dashboard("kd", r#"{"widgets": []}"#).await;
    assert_refused(put, denied("PutDashboard", "kd"));
    let scaling = aws.scaling.fetch_scheduled_scale_to_zero("default", "kd-service").await;
    assert_refused(scaling, denied("DescribeScalableTargets", "service/default/kd-service"));
    arm.clear_faults().await;
    assert!(!aws.dashboards.fetch_dashboard_exists("kd").await.unwrap());
}

pub(super) async fn a_call_whose_response_is_lost_was_performed(arm: &dyn Arm) {
    let logs = aws(arm).logs;
    arm.lose_responses("CreateLogGroup").await;
    let error = logs.create_log_group(LOG_GROUP, &tags("ns/demo")).await.unwrap_err();
    assert_eq!(
        (error.class, error.code, error.operation),
        (AwsErrorClass::Transient, None, "CreateLogGroup")
    );
    arm.clear_faults().await;
    assert!(logs.fetch_log_group(LOG_GROUP).await.unwrap().is_some());
    let again = logs.create_log_group(LOG_GROUP, &tags("ns/demo")).await.unwrap_err();
    assert_eq!(again.class, AwsErrorClass::AlreadyExists);
}
