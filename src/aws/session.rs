//! Connections to AWS. In: a region and the environment's credentials. Out: the adapters of a
//! region, which share one policy for timeouts, retries and metrics.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};

use super::client::{Api, CallGuard, CallObserver};
use super::dashboards::CloudWatchDashboards;
use super::identity::StsIdentity;
use super::logs::CloudWatchLogs;
use super::metrics::CloudWatchMetrics;
use super::parameters::SsmParameters;
use super::scaling::ApplicationAutoScaling;
use super::service::EcsServices;
use super::skew::SkewMeter;
use super::streams::KinesisStreams;
use super::suspect_connection::SuspectConnectionInterceptor;
use super::task_definitions::EcsTaskDefinitions;
use super::tasks::EcsTasks;
use super::{Aws, Regions};
use crate::write_fence::WriteFence;

/// Part of the user agent of every call.
const APP_NAME: &str = "kinesis-demo-operator";

/// Attempts per call, including the first. The reconciler retries what fails after that.
const ATTEMPTS: u32 = 3;

/// The TCP and TLS handshakes within a region take milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Our slowest calls (CreateService, FilterLogEvents) take a few seconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(8);

/// The limit of a whole call, with its attempts and the pauses between them, so that a reconcile
/// cannot hang.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// The limit of calls for CloudWatch dashboards and metrics, all attempts together. A run does not
/// depend on them, so a reconcile must not wait long. A reconcile may be late by far more: the
/// tasks' lease has 25 s to spare in the local demo and 45 s on AWS.
const DISPLAY_TIMEOUT: Duration = Duration::from_secs(2);

/// Addresses that are never reached by proxy: this machine, and the sources of credentials on EC2
/// and EKS.
const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fd00:ec2::/32";

/// The proxy for AWS from the environment. The SDK's default client ignores these variables. Only
/// HTTPS is proxied: credentials and the sandbox are reached by plain HTTP.
fn https_proxy(variable: impl Fn(&str) -> Option<String>) -> Result<Option<ProxyConfig>, String> {
    let first = |names: [&str; 2]| names.into_iter().find_map(&variable);
    let Some(proxy_url) = first(["HTTPS_PROXY", "https_proxy"]) else { return Ok(None) };
    let url = if proxy_url.contains("://") { proxy_url } else { format!("http://{proxy_url}") };
    let proxy = ProxyConfig::https(url).map_err(|_| {
        "HTTPS_PROXY is not the address of a proxy; an example is http://proxy.example:3128".to_owned()
    })?;
    let exempt = first(["NO_PROXY", "no_proxy"]).unwrap_or_default();
    Ok(Some(proxy.no_proxy(format!("{NEVER_PROXIED},{exempt}"))))
}

/// The SDK's default client with a proxy.
fn proxied(proxy: ProxyConfig) -> SharedHttpClient {
    let connector = Connector::builder()
        .connector_settings(HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build())
        .proxy_config(proxy)
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
        .build();
    let connector = SharedHttpConnector::new(connector);
    http_client_fn(move |_, _| connector.clone())
}

/// The AWS clients for the environment's credentials, one set per region.
pub struct SdkRegions {
    config: SdkConfig,
    guard: CallGuard,
    skew: SkewMeter,
    clients: Mutex<HashMap<String, Aws>>,
}

impl SdkRegions {
    /// Configures the access to AWS: credentials from the SDK's default chain, endpoints from its
    /// environment variables. Makes no call, so missing credentials show at the first call.
    pub async fn connect(
        default_region: &str,
        observer: Arc<dyn CallObserver>,
        write_fence: WriteFence,
    ) -> Self {
        let environment = aws_config::defaults(BehaviorVersion::latest());
        Self::connect_with(environment, default_region, observer, write_fence).await
    }

    /// As [`SdkRegions::connect`], but with what `loader` sets instead of the environment:
    /// credentials and the endpoint. For tests, which cannot change their environment.
    pub async fn connect_with(
        loader: ConfigLoader,
        default_region: &str,
        observer: Arc<dyn CallObserver>,
        write_fence: WriteFence,
    ) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(CALL_TIMEOUT)
            .build();
        let mut loader = loader
            .region(Region::new(default_region.to_owned()))
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts);
        if let Ok(name) = AppName::new(APP_NAME) {
            loader = loader.app_name(name);
        }
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        match https_proxy(variable) {
            Ok(Some(proxy)) => loader = loader.http_client(proxied(proxy)),
            Ok(None) => {}
            Err(reason) => tracing::error!(reason, "calls to AWS do not use a proxy"),
        }
        Self::new(loader.load().await, CallGuard { observer, write_fence })
    }

    fn new(config: SdkConfig, guard: CallGuard) -> Self {
        Self { config, guard, skew: SkewMeter::default(), clients: Mutex::default() }
    }

    fn create_clients(&self, region: &str) -> Aws {
        // One configuration for all services of a region, so that they share the connector and the
        // cached credentials.
        let config = self.config.to_builder().region(Region::new(region.to_owned())).build();
        let display = TimeoutConfig::builder()
            .connect_timeout(DISPLAY_TIMEOUT / 2)
            .operation_attempt_timeout(DISPLAY_TIMEOUT)
            .operation_timeout(DISPLAY_TIMEOUT)
            .build();
        macro_rules! api {
            ($service:literal, $sdk:ident $(, $setting:ident($value:expr))?) => {{
                let config = $sdk::config::Builder::from(&config).interceptor(SuspectConnectionInterceptor).interceptor(self.skew.clone())$(.$setting($value))?;
                Api::new($service, $sdk::Client::from_conf(config.build()), self.guard.clone())
            }};
        }
        let cloudwatch = api!("cloudwatch", aws_sdk_cloudwatch, timeout_config(display));
        let ecs = api!("ecs", aws_sdk_ecs);
        Aws {
            identity: Arc::new(StsIdentity::new(api!("sts", aws_sdk_sts))),
            streams: Arc::new(KinesisStreams::new(api!("kinesis", aws_sdk_kinesis))),
            task_definitions: Arc::new(EcsTaskDefinitions::new(ecs.clone())),
            services: Arc::new(EcsServices::new(ecs.clone())),
            tasks: Arc::new(EcsTasks::new(ecs)),
            scaling: Arc::new(ApplicationAutoScaling::new(api!(
                "application-autoscaling",
                aws_sdk_applicationautoscaling
            ))),
            parameters: Arc::new(SsmParameters::new(api!("ssm", aws_sdk_ssm))),
            logs: Arc::new(CloudWatchLogs::new(api!("logs", aws_sdk_cloudwatchlogs))),
            dashboards: Arc::new(CloudWatchDashboards::new(cloudwatch.clone())),
            metrics: Arc::new(CloudWatchMetrics::new(cloudwatch)),
            clock: Arc::new(self.skew.clone()),
        }
    }
}

impl Regions for SdkRegions {
    fn in_region(&self, region: &str) -> Aws {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.entry(region.to_owned()).or_insert_with(|| self.create_clients(region)).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::AwsErrorClass;
    use crate::aws::client::tests::guard;

    #[tokio::test]
    async fn calls_use_the_proxy_from_the_environment() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        assert!(https_proxy(|_| None).unwrap().is_none());
        assert!(https_proxy(|name| (name == "HTTP_PROXY").then(|| "http://p:1".into())).unwrap().is_none());
        assert!(https_proxy(|name| (name == "HTTPS_PROXY").then(|| "http://[".into())).is_err());

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let request = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 4096];
            let length = connection.read(&mut bytes).await.unwrap();
            connection.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            String::from_utf8_lossy(&bytes[..length]).into_owned()
        });
        let proxy = https_proxy(|name| (name == "https_proxy").then(|| address.to_string()));
        let proxy = proxy.unwrap().unwrap();
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(aws_credential_types::Credentials::new("id", "secret", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .http_client(proxied(proxy))
            .build();
        assert!(aws_sdk_sts::Client::from_conf(config).get_caller_identity().send().await.is_err());
        let request = request.await.unwrap();
        assert!(request.starts_with("CONNECT sts.eu-west-1.amazonaws.com:443 "), "{request}");
    }

    #[tokio::test]
    async fn the_clients_of_a_region_are_created_once() {
        let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
        let regions = SdkRegions::new(config, guard(&Arc::default()));
        let (one, two) = (regions.in_region("eu-west-1"), regions.in_region("eu-west-1"));
        assert!(Arc::ptr_eq(&one.streams, &two.streams));
        assert!(!Arc::ptr_eq(&one.streams, &regions.in_region("us-east-1").streams));
    }

    #[tokio::test(start_paused = true)]
    async fn dashboards_and_metrics_time_out_after_two_seconds() {
        use aws_credential_types::Credentials;
        use aws_credential_types::provider::SharedCredentialsProvider;

        // Accepts connections and never responds.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let credentials = Credentials::new("id", "secret", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(format!("http://{}", silent.local_addr().unwrap()))
            .build();
        let aws = SdkRegions::new(config, guard(&Arc::default())).in_region("us-east-1");
        let started = tokio::time::Instant::now();
        let (put, measured) = tokio::join!(
            aws.dashboards.put_dashboard("KinesisDemo-x", "{}"),
            aws.metrics.put_run_metrics("x", kinesis_demo_api::MicroTime::from_micros(0), &[]),
        );
        assert_eq!(
            (put.unwrap_err().class, measured.unwrap_err().class),
            (AwsErrorClass::Transient, AwsErrorClass::Transient)
        );
        assert_eq!(started.elapsed().as_secs(), DISPLAY_TIMEOUT.as_secs());
    }
}
