//! Kinesis streams. In: names and ARNs. Out: their descriptions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::BuildError;
use aws_sdk_kinesis::types::{
    MinimumThroughputBillingCommitmentOutputStatus as Commitment, StreamMode, StreamModeDetails, StreamStatus,
};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use kinesis_demo_api::MicroTime;

use super::client::Api;
use super::{
    Advantage, AwsError, AwsErrorClass, AwsResult, NewStream, StreamDescription, StreamState, Streams, Tags,
    Warm,
};

/// Kinesis.
pub struct KinesisStreams(Api<Client>);

impl KinesisStreams {
    pub(super) fn new(api: Api<Client>) -> Self {
        Self(api)
    }
}

#[async_trait]
impl Streams for KinesisStreams {
    async fn fetch_stream(&self, name: &str) -> AwsResult<Option<StreamDescription>> {
        let Self(api) = self;
        let operation = "DescribeStreamSummary";
        let queues = QueueCount::default();
        let request = api.client.describe_stream_summary().stream_name(name);
        let request = request.customize().interceptor(queues.clone()).send();
        let response = match api.call(operation, name, request).await {
            Err(error) if error.class == AwsErrorClass::NotFound => return Ok(None),
            response => response?,
        };
        let unreadable =
            |what: &str| AwsError::unanswered(operation, name, format!("the response has no known {what}"));
        let summary = response.stream_description_summary.ok_or_else(|| unreadable("summary"))?;
        let state = match summary.stream_status {
            StreamStatus::Creating => StreamState::Creating,
            StreamStatus::Active => StreamState::Active,
            StreamStatus::Updating => StreamState::Updating,
            StreamStatus::Deleting => StreamState::Deleting,
            _ => return Err(unreadable("status")),
        };
        let count = |value: i32| u32::try_from(value).unwrap_or(0);
        let warm = summary.warm_throughput.map(|warm| Warm {
            target: count(warm.target_mibps.unwrap_or(0)),
            current: count(warm.current_mibps.unwrap_or(0)),
        });
        Ok(Some(StreamDescription {
            arn: summary.stream_arn,
            state,
            open_shards: count(summary.open_shard_count),
            warm,
            created_at: micro_time(&summary.stream_creation_timestamp),
            queues: queues.get(),
        }))
    }

    async fn fetch_stream_tags(&self, arn: &str) -> AwsResult<Tags> {
        let Self(api) = self;
        let request = api.client.list_tags_for_resource().resource_arn(arn).send();
        let response = api.call("ListTagsForResource", arn, request).await?;
        let tags = response.tags.unwrap_or_default();
        Ok(tags.into_iter().map(|tag| (tag.key, tag.value.unwrap_or_default())).collect())
    }

    async fn create_stream(&self, stream: &NewStream) -> AwsResult<()> {
        let Self(api) = self;
        let operation = "CreateStream";
        let NewStream { name, warm_mib_per_second, tags } = stream;
        let on_demand = StreamModeDetails::builder()
            .stream_mode(StreamMode::OnDemand)
            .build()
            .map_err(|error| incomplete(operation, name, &error))?;
        let request = api
            .client
            .create_stream()
            .stream_name(name)
            .stream_mode_details(on_demand)
            .set_warm_throughput_mibps(warm_mib_per_second.map(mib))
            .set_tags(Some(tags.clone().into_iter().collect()))
            .send();
        api.call(operation, name, request).await.map(drop)
    }

    async fn update_warm_throughput(&self, arn: &str, mib_per_second: u32) -> AwsResult<()> {
        let Self(api) = self;
        let request = api
            .client
            .update_stream_warm_throughput()
            .stream_arn(arn)
            .warm_throughput_mibps(mib(mib_per_second))
            .send();
        api.call("UpdateStreamWarmThroughput", arn, request).await.map(drop)
    }

    async fn delete_stream(&self, arn: &str) -> AwsResult<()> {
        let Self(api) = self;
        let request = api.client.delete_stream().stream_arn(arn).enforce_consumer_deletion(true).send();
        api.call("DeleteStream", arn, request).await.map(drop)
    }

    async fn fetch_advantage(&self) -> AwsResult<Advantage> {
        let Self(api) = self;
        let (operation, target) = ("DescribeAccountSettings", "account");
        let response = api.call(operation, target, api.client.describe_account_settings().send()).await?;
        // Accounts that never committed may have no entry.
        let Some(commitment) = response.minimum_throughput_billing_commitment else {
            return Ok(Advantage::Disabled);
        };
        match commitment.status {
            Commitment::Enabled => Ok(Advantage::Enabled),
            Commitment::EnabledUntilEarliestAllowedEnd => Ok(Advantage::EnabledUntilEarliestAllowedEnd),
            Commitment::Disabled => Ok(Advantage::Disabled),
            other => {
                Err(AwsError::unanswered(operation, target, format!("unknown status {}", other.as_str())))
            }
        }
    }
}

/// `StreamDescriptionSummary.QueueCount`, which the SDK does not support yet (botocore 1.44.8 has
/// it).
#[derive(Clone, Debug, Default)]
struct QueueCount(Arc<AtomicU32>);

impl QueueCount {
    fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn in_body(body: &[u8]) -> Option<u32> {
        let response: serde_json::Value = serde_json::from_slice(body).ok()?;
        u32::try_from(response.get("StreamDescriptionSummary")?.get("QueueCount")?.as_u64()?).ok()
    }
}

impl Intercept for QueueCount {
    fn name(&self) -> &'static str {
        "QueueCount"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let count = context.response().body().bytes().and_then(Self::in_body);
        self.0.store(count.unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }
}

fn mib(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn incomplete(operation: &'static str, target: &str, error: &BuildError) -> AwsError {
    AwsError::refused(operation, target, "ValidationException", error.to_string())
}

fn micro_time(at: &DateTime) -> Option<MicroTime> {
    let micros = at.secs().checked_mul(1_000_000)?.checked_add(i64::from(at.subsec_nanos() / 1_000))?;
    Some(MicroTime::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::config::retry::RetryConfig;
    use aws_sdk_kinesis::operation::create_stream::CreateStreamOutput;
    use aws_sdk_kinesis::operation::delete_stream::DeleteStreamOutput;
    use aws_sdk_kinesis::operation::describe_account_settings::DescribeAccountSettingsOutput;
    use aws_sdk_kinesis::operation::describe_stream_summary::DescribeStreamSummaryOutput;
    use aws_sdk_kinesis::operation::list_tags_for_resource::ListTagsForResourceOutput;
    use aws_sdk_kinesis::operation::update_stream_warm_throughput::UpdateStreamWarmThroughputOutput;
    use aws_sdk_kinesis::types::{
        MinimumThroughputBillingCommitmentOutput, StreamDescriptionSummary, Tag, WarmThroughputObject,
    };
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};

    use super::*;
    use crate::aws::client::tests::{refused, unobserved};

    const ARN: &str = "arn:aws:kinesis:eu-west-1:000000000000:stream/posts";

    fn kinesis(rules: &[&Rule]) -> KinesisStreams {
        KinesisStreams::new(unobserved(mock_client!(
            aws_sdk_kinesis,
            RuleMode::Sequential,
            rules,
            |config| config.retry_config(RetryConfig::disabled())
        )))
    }

    fn summary(status: StreamStatus, warm: Option<(i32, i32)>) -> DescribeStreamSummaryOutput {
        let warm = warm.map(|(target, current)| {
            WarmThroughputObject::builder().target_mibps(target).current_mibps(current).build()
        });
        let summary = StreamDescriptionSummary::builder()
            .stream_name("posts")
            .stream_arn(ARN)
            .stream_status(status)
            .retention_period_hours(24)
            .stream_creation_timestamp(DateTime::from_millis(1_800_000_000_500))
            .set_enhanced_monitoring(Some(vec![]))
            .open_shard_count(4)
            .set_warm_throughput(warm)
            .build()
            .unwrap();
        DescribeStreamSummaryOutput::builder().stream_description_summary(summary).build()
    }

    #[tokio::test]
    async fn a_stream_is_described_by_its_summary() {
        let rule = mock!(Client::describe_stream_summary).then_compute_output(|request| {
            assert_eq!(request.stream_name(), Some("posts"));
            summary(StreamStatus::Updating, Some((100, 52)))
        });
        let seen = kinesis(&[&rule]).fetch_stream("posts").await.unwrap().unwrap();
        let warm = Some(Warm { target: 100, current: 52 });
        let state = StreamState::Updating;
        let created_at = Some(MicroTime::from_micros(1_800_000_000_500_000));
        assert_eq!(
            seen,
            StreamDescription { arn: ARN.into(), state, open_shards: 4, warm, created_at, queues: 0 }
        );
        let body = br#"{"StreamDescriptionSummary": {"StreamName": "posts", "QueueCount": 2}}"#;
        assert_eq!((QueueCount::in_body(body), QueueCount::in_body(b"{}")), (Some(2), None));

        let cold = mock!(Client::describe_stream_summary).then_output(|| summary(StreamStatus::Active, None));
        assert_eq!(kinesis(&[&cold]).fetch_stream("posts").await.unwrap().unwrap().warm, None);
        let odd =
            mock!(Client::describe_stream_summary).then_output(|| summary(StreamStatus::from("NEW"), None));
        assert_eq!(kinesis(&[&odd]).fetch_stream("posts").await.unwrap_err().class, AwsErrorClass::Transient);
    }

    #[tokio::test]
    async fn a_missing_stream_is_none_and_other_failures_are_errors() {
        let rule = mock!(Client::describe_stream_summary).then_http_response(|| {
            refused(400, "ResourceNotFoundException", "Stream posts under account 1 not found.")
        });
        assert_eq!(kinesis(&[&rule]).fetch_stream("posts").await.unwrap(), None);
        for (status, code, class) in [
            (400, "AccessDeniedException", AwsErrorClass::Denied),
            (400, "LimitExceededException", AwsErrorClass::Quota),
            (400, "com.amazonaws.kinesis#ValidationException", AwsErrorClass::Invalid),
            (500, "InternalFailure", AwsErrorClass::Transient),
        ] {
            let rule = mock!(Client::describe_stream_summary)
                .then_http_response(move || refused(status, code, "no"));
            let error = kinesis(&[&rule]).fetch_stream("posts").await.unwrap_err();
            assert_eq!((error.class, error.target.as_str()), (class, "posts"), "{code}");
        }
    }

    #[tokio::test]
    async fn streams_are_created_on_demand_with_warm_throughput_and_tags() {
        let rule = mock!(Client::create_stream).then_compute_output(|request| {
            let mode = request.stream_mode_details().unwrap().stream_mode();
            assert_eq!((request.stream_name(), mode), (Some("posts"), &StreamMode::OnDemand));
            assert_eq!((request.warm_throughput_mibps(), request.shard_count()), (Some(100), None));
            assert_eq!(request.tags().unwrap()["owner"], "me");
            CreateStreamOutput::builder().build()
        });
        let tags = Tags::from([("owner".into(), "me".into())]);
        let stream = NewStream { name: "posts".into(), warm_mib_per_second: Some(100), tags };
        kinesis(&[&rule]).create_stream(&stream).await.unwrap();

        let cold = mock!(Client::create_stream).then_compute_output(|request| {
            assert_eq!(request.warm_throughput_mibps(), None);
            CreateStreamOutput::builder().build()
        });
        kinesis(&[&cold])
            .create_stream(&NewStream { warm_mib_per_second: None, ..stream.clone() })
            .await
            .unwrap();

        let twice = mock!(Client::create_stream)
            .then_http_response(|| refused(400, "ResourceInUseException", "Stream posts already exists."));
        let error = kinesis(&[&twice]).create_stream(&stream).await.unwrap_err();
        assert_eq!((error.class, error.operation), (AwsErrorClass::AlreadyExists, "CreateStream"));
    }

    #[tokio::test]
    async fn changes_use_the_streams_arn() {
        let warm = mock!(Client::update_stream_warm_throughput).then_compute_output(|request| {
            assert_eq!((request.stream_arn(), request.warm_throughput_mibps()), (Some(ARN), Some(0)));
            UpdateStreamWarmThroughputOutput::builder().build()
        });
        kinesis(&[&warm]).update_warm_throughput(ARN, 0).await.unwrap();
        let delete = mock!(Client::delete_stream).then_compute_output(|request| {
            assert_eq!((request.stream_arn(), request.enforce_consumer_deletion()), (Some(ARN), Some(true)));
            DeleteStreamOutput::builder().build()
        });
        kinesis(&[&delete]).delete_stream(ARN).await.unwrap();
        let tags = mock!(Client::list_tags_for_resource).then_compute_output(|request| {
            assert_eq!(request.resource_arn(), Some(ARN));
            let tag = Tag::builder().key("owner").value("me").build().unwrap();
            ListTagsForResourceOutput::builder().tags(tag).build()
        });
        assert_eq!(kinesis(&[&tags]).fetch_stream_tags(ARN).await.unwrap()["owner"], "me");
    }

    #[tokio::test]
    async fn advantage_is_on_until_its_earliest_end() {
        let states = [
            (Commitment::Enabled, Advantage::Enabled),
            (Commitment::EnabledUntilEarliestAllowedEnd, Advantage::EnabledUntilEarliestAllowedEnd),
            (Commitment::Disabled, Advantage::Disabled),
        ];
        for (status, advantage) in states {
            let rule = mock!(Client::describe_account_settings).then_output(move || {
                let commitment = MinimumThroughputBillingCommitmentOutput::builder()
                    .status(status.clone())
                    .build()
                    .unwrap();
                DescribeAccountSettingsOutput::builder()
                    .minimum_throughput_billing_commitment(commitment)
                    .build()
            });
            assert_eq!(kinesis(&[&rule]).fetch_advantage().await.unwrap(), advantage);
        }
        let never = mock!(Client::describe_account_settings)
            .then_output(|| DescribeAccountSettingsOutput::builder().build());
        assert_eq!(kinesis(&[&never]).fetch_advantage().await.unwrap(), Advantage::Disabled);
    }
}
