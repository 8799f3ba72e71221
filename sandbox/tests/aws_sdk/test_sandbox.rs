//! An embedded sandbox with a manual clock, and SDK clients without retries.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kinesis::config::Credentials;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, StreamMode, StreamModeDetails, StreamStatus};
use kinesis_demo_sandbox::clock::ModelClock;
use kinesis_demo_sandbox::{Options, Running, Sandbox};
use serde_json::Value;

/// A sandbox and its clock.
pub struct TestSandbox {
    /// The clock, which only the test advances.
    pub clock: ModelClock,
    /// The sandbox.
    pub running: Running,
    /// A Kinesis client in us-east-1.
    pub kinesis: aws_sdk_kinesis::Client,
}

impl TestSandbox {
    /// A sandbox at speed 1.
    pub async fn start() -> Self {
        let clock = ModelClock::manual(1);
        let running = Sandbox::start_with_clock(Options::default(), clock.clone()).await.unwrap();
        let kinesis = aws_sdk_kinesis::Client::new(&config(&running, "us-east-1").await);
        Self { clock, running, kinesis }
    }

    /// Advances wall time and monotonic time by `seconds`.
    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Creates an on-demand stream and waits until it is ACTIVE.
    pub async fn on_demand_stream(&self, name: &str) {
        self.kinesis
            .create_stream()
            .stream_name(name)
            .stream_mode_details(mode(StreamMode::OnDemand))
            .send()
            .await
            .unwrap();
        self.advance(20);
        assert_eq!(self.status(name).await, StreamStatus::Active);
    }

    /// Creates a provisioned stream and waits until it is ACTIVE.
    pub async fn provisioned_stream(&self, name: &str, shards: i32) {
        self.kinesis.create_stream().stream_name(name).shard_count(shards).send().await.unwrap();
        self.advance(20);
        assert_eq!(self.status(name).await, StreamStatus::Active);
    }

    /// A stream's status.
    pub async fn status(&self, name: &str) -> StreamStatus {
        let summary = self.kinesis.describe_stream_summary().stream_name(name).send().await.unwrap();
        summary.stream_description_summary().unwrap().stream_status().clone()
    }

    /// Returns the response to `GET /_sandbox/{path}`.
    pub async fn admin_get(&self, path: &str) -> Value {
        let url = format!("{}/_sandbox/{path}", self.running.endpoint_url());
        let response = admin(&self.running).get(url).send().await.unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    /// Adds a fault.
    pub async fn inject(&self, fault: Value) {
        let url = format!("{}/_sandbox/faults", self.running.endpoint_url());
        let response = admin(&self.running).post(url).json(&fault).send().await.unwrap();
        assert_eq!(response.status(), 201, "{}", response.text().await.unwrap());
    }
}

/// SDK settings for a sandbox.
pub async fn config(running: &Running, region: &'static str) -> SdkConfig {
    config_for(&running.endpoint_url(), running.access_key_id(), region).await
}

/// A client of the admin API.
pub fn admin(running: &Running) -> reqwest::Client {
    let key = format!("Bearer {}", running.access_key_id());
    let headers = [(reqwest::header::AUTHORIZATION, key.parse().unwrap())].into_iter().collect();
    reqwest::Client::builder().default_headers(headers).build().unwrap()
}

/// SDK settings for a sandbox at a URL with an access key id.
pub async fn config_for(endpoint_url: &str, access_key_id: &str, region: &'static str) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region))
        .endpoint_url(endpoint_url)
        .credentials_provider(Credentials::new(access_key_id, "any", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .load()
        .await
}

/// Stream mode details for a request.
pub fn mode(mode: StreamMode) -> StreamModeDetails {
    StreamModeDetails::builder().stream_mode(mode).build().unwrap()
}

/// `count` small records with different keys.
pub fn records(count: usize) -> Vec<PutRecordsRequestEntry> {
    let record = |number: usize| {
        PutRecordsRequestEntry::builder()
            .data(Blob::new(format!("record {number}")))
            .partition_key(format!("key-{number}"))
            .build()
            .unwrap()
    };
    (0..count).map(record).collect()
}
