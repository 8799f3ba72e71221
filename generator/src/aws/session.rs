//! Creates the AWS clients. In: the region and the environment. Out: clients. Touches the outside:
//! credentials are fetched when the first request needs them.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// Part of the user agent of every call.
const APP_NAME: &str = "kinesis-demo-generator";

/// A connection that is not established within this time counts as rejected: nothing was sent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The outcome of a request without a response within this time is unknown.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Shorter than the idle timeout of servers, so that requests rarely use a connection that is being
/// closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Settings shared by all clients. Every call is one attempt, because only the caller can count
/// retries.
pub struct Session {
    config: SdkConfig,
}

impl Session {
    /// Reads the environment (endpoint, source of credentials).
    pub async fn open(region: &str, connections: usize) -> Self {
        let http = Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(connections)
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(ATTEMPT_TIMEOUT)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            // Protection against stalled streams is not needed: bodies are small, and every attempt
            // has a timeout.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Ok(name) = AppName::new(APP_NAME) {
            loader = loader.app_name(name);
        }
        Self { config: loader.load().await }
    }

    /// A client for the stream.
    pub fn kinesis(&self) -> aws_sdk_kinesis::Client {
        aws_sdk_kinesis::Client::new(&self.config)
    }

    /// A client for the control parameter.
    pub fn ssm(&self) -> aws_sdk_ssm::Client {
        aws_sdk_ssm::Client::new(&self.config)
    }

    /// A client for the metrics.
    pub fn cloudwatch(&self) -> aws_sdk_cloudwatch::Client {
        aws_sdk_cloudwatch::Client::new(&self.config)
    }
}
