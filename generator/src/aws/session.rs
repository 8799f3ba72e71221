//! How this process talks to AWS. In: the region and the environment. Out: clients. Touches the outside: credentials are
//! looked for when the first request needs them.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// In the user agent of every call.
const APP_NAME: &str = "kinesis-demo-generator";

/// A connection that is not made by then counts as refused: nothing was sent over it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// An answer that has not arrived by then counts as lost.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Shorter than the time after which servers close idle connections, so that requests seldom meet a closing one.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// The settings that all clients share. A call is one attempt: who calls decides what is tried again, since only a caller
/// can count it.
pub struct Session {
    config: SdkConfig,
}

impl Session {
    /// Reads the environment (endpoint, where to find credentials).
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
        let mut batch_builder = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            // Bodies are small both ways and every attempt has its timeout.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Ok(name) = AppName::new(APP_NAME) {
            batch_builder = batch_builder.app_name(name);
        }
        Self { config: batch_builder.load().await }
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
