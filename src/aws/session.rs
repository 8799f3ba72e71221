//! Connections to AWS. In: a region, the environment's credentials. Out: the adapters of a region, with one timeout, retry
//! and counting policy for all of them.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

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
use super::{Aws, AwsError, AwsErrorClass, AwsResult, Regions};
use crate::kubernetes::write_fence::WriteFence;

/// In the user agent of every call.
const APP_NAME: &str = "kinesis-demo-operator";

/// Attempts of one call, the first included. Whatever is still wrong then is the reconciler's to try again.
const ATTEMPTS: u32 = 3;

/// A TCP and TLS handshake within a region takes milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The slowest of our calls (CreateService, FilterLogEvents) answer within a few seconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(8);

/// A whole call with its attempts and the pauses between them: a pass must not hang.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// CloudWatch's dashboards and metrics: nothing of a run depends on them, so a pass waits for them no longer than this, all attempts
/// together. It is far below what a late pass may cost: the tasks' lease has 25 s to spare on a laptop and 45 s on AWS.
const SHOWING_TIMEOUT: Duration = Duration::from_secs(2);

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// AWS did it.
    Ok,
    /// It did not, or did not say so.
    Failed(AwsErrorClass),
}

impl CallOutcome {
    /// One fixed word, for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed(AwsErrorClass::NotFound) => "not_found",
            Self::Failed(AwsErrorClass::AlreadyExists) => "already_exists",
            Self::Failed(AwsErrorClass::Throttled) => "throttled",
            Self::Failed(AwsErrorClass::Denied) => "denied",
            Self::Failed(AwsErrorClass::Quota) => "quota",
            Self::Failed(AwsErrorClass::Invalid) => "invalid",
            Self::Failed(AwsErrorClass::Transient) => "transient",
        }
    }
}

/// Told about every call, its attempts together.
pub trait CallObserver: Send + Sync {
    /// `service` and `operation` come from a small closed set.
    fn called(&self, service: &str, operation: &str, outcome: CallOutcome, latency: Duration);
}

/// A service's client, whose calls are observed and whose errors are ours.
#[derive(Clone)]
pub(super) struct Api<C> {
    pub(super) client: C,
    service: &'static str,
    guard: CallGuard,
}

/// What every call passes: who is told of it, and whether we may still make it.
#[derive(Clone)]
pub(super) struct CallGuard {
    observer: Arc<dyn CallObserver>,
    write_fence: WriteFence,
}

impl<C> Api<C> {
    pub(super) fn new(service: &'static str, client: C, guard: CallGuard) -> Self {
        Self { client, service, guard }
    }

    /// Awaits `request`, which performs `operation` on `target`.
    pub(super) async fn call<T, E>(
        &self,
        operation: &'static str,
        target: &str,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> AwsResult<T>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let started = Instant::now();
        let result = match self.guard.write_fence.guard(request).await {
            Ok(answer) => answer.map_err(|error| AwsError::from_sdk(operation, target, &error)),
            Err(over) => Err(AwsError::not_sent(operation, target, &over)),
        };
        let outcome =
            result.as_ref().map_or_else(|error| CallOutcome::Failed(error.class), |_| CallOutcome::Ok);
        self.guard.observer.called(self.service, operation, outcome, started.elapsed());
        result
    }
}

/// Where credentials come from on EC2 and EKS, and this machine: no proxy reaches them.
const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fd00:ec2::/32";

/// The proxy that the environment names for AWS. The SDK's own client asks none, whatever is named. Credentials
/// and the sandbox are asked by plain HTTP, which no proxy is asked for.
fn https_proxy(look: impl Fn(&str) -> Option<String>) -> Result<Option<ProxyConfig>, String> {
    let first = |names: [&str; 2]| names.into_iter().find_map(&look);
    let Some(named) = first(["HTTPS_PROXY", "https_proxy"]) else { return Ok(None) };
    let url = if named.contains("://") { named } else { format!("http://{named}") };
    let proxy = ProxyConfig::https(url).map_err(|_| {
        "HTTPS_PROXY is not the address of a proxy, as http://proxy.example:3128 is".to_owned()
    })?;
    let exempt = first(["NO_PROXY", "no_proxy"]).unwrap_or_default();
    Ok(Some(proxy.no_proxy(format!("{NEVER_PROXIED},{exempt}"))))
}

/// The SDK's client as it would be, with a proxy.
fn proxied(proxy: ProxyConfig) -> SharedHttpClient {
    let connector = Connector::builder()
        .connector_settings(HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build())
        .proxy_config(proxy)
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
        .build();
    let connector = SharedHttpConnector::new(connector);
    http_client_fn(move |_, _| connector.clone())
}

/// The AWS of the environment's credentials, region by region.
pub struct SdkRegions {
    config: SdkConfig,
    guard: CallGuard,
    skew: SkewMeter,
    made: Mutex<HashMap<String, Aws>>,
}

impl SdkRegions {
    /// Finds out how to reach AWS: credentials by the SDK's default chain, endpoints by its environment variables. Nothing is
    /// called yet, so credentials that are missing show at the first call.
    pub async fn connect(
        default_region: &str,
        observer: Arc<dyn CallObserver>,
        write_fence: WriteFence,
    ) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(CALL_TIMEOUT)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(default_region.to_owned()))
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts);
        if let Ok(name) = AppName::new(APP_NAME) {
            loader = loader.app_name(name);
        }
        let look = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        match https_proxy(look) {
            Ok(Some(proxy)) => loader = loader.http_client(proxied(proxy)),
            Ok(None) => {}
            Err(reason) => tracing::error!(reason, "AWS is asked directly"),
        }
        Self::new(loader.load().await, CallGuard { observer, write_fence })
    }

    fn new(config: SdkConfig, guard: CallGuard) -> Self {
        Self { config, guard, skew: SkewMeter::default(), made: Mutex::default() }
    }

    fn make(&self, region: &str) -> Aws {
        // One configuration for all services of a region: they share the connector, the credentials and their cache.
        let config = self.config.to_builder().region(Region::new(region.to_owned())).build();
        let showing = TimeoutConfig::builder()
            .connect_timeout(SHOWING_TIMEOUT / 2)
            .operation_attempt_timeout(SHOWING_TIMEOUT)
            .operation_timeout(SHOWING_TIMEOUT)
            .build();
        macro_rules! api {
            ($service:literal, $sdk:ident $(, $setting:ident($value:expr))?) => {{
                let config = $sdk::config::Builder::from(&config).interceptor(SuspectConnectionInterceptor).interceptor(self.skew.clone())$(.$setting($value))?;
                Api::new($service, $sdk::Client::from_conf(config.build()), self.guard.clone())
            }};
        }
        let cloudwatch = api!("cloudwatch", aws_sdk_cloudwatch, timeout_config(showing));
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
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry(region.to_owned()).or_insert_with(|| self.make(region)).clone()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Keeps what it was told.
    #[derive(Default)]
    pub(crate) struct RecordingObserver(Mutex<Vec<(String, String, &'static str)>>);

    impl RecordingObserver {
        pub(crate) fn lines(&self) -> Vec<(String, String, &'static str)> {
            self.0.lock().unwrap().clone()
        }
    }

    impl CallObserver for RecordingObserver {
        fn called(&self, service: &str, operation: &str, outcome: CallOutcome, _: Duration) {
            self.0.lock().unwrap().push((service.into(), operation.into(), outcome.as_str()));
        }
    }

    /// An answer of a JSON service that refuses.
    pub(crate) fn refused(status: u16, code: &str, message: &str) -> HttpResponse {
        let body = format!(r#"{{"__type":"{code}","message":"{message}"}}"#);
        HttpResponse::new(status.try_into().unwrap(), body.into())
    }

    /// An answer of CloudWatch that refuses: smithy's rpc-v2-cbor, with the error's code of the old query protocol in a header where
    /// the service still sends it.
    pub(crate) fn refused_in_cbor(status: u16, shape: &str, query_code: Option<&str>) -> HttpResponse {
        let mut body = vec![0xa1, 0x66];
        body.extend(b"__type");
        body.push(0x78);
        let shape = format!("com.amazonaws.cloudwatch#{shape}");
        body.push(u8::try_from(shape.len()).unwrap());
        body.extend(shape.as_bytes());
        let mut answer = HttpResponse::new(status.try_into().unwrap(), body.into());
        answer.headers_mut().insert("smithy-protocol", "rpc-v2-cbor");
        if let Some(code) = query_code {
            answer.headers_mut().insert("x-amzn-query-error", format!("{code};Sender"));
        }
        answer
    }

    fn guard(notebook: &Arc<RecordingObserver>) -> CallGuard {
        CallGuard { observer: Arc::clone(notebook) as _, write_fence: WriteFence::unshared() }
    }

    /// A client of which nobody observes the calls.
    pub(crate) fn unobserved<C>(client: C) -> Api<C> {
        Api::new("test", client, guard(&Arc::default()))
    }

    #[tokio::test]
    async fn calls_go_through_the_proxy_that_the_environment_names() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        assert!(https_proxy(|_| None).unwrap().is_none());
        assert!(https_proxy(|name| (name == "HTTP_PROXY").then(|| "http://p:1".into())).unwrap().is_none());
        assert!(https_proxy(|name| (name == "HTTPS_PROXY").then(|| "http://[".into())).is_err());

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = tokio::spawn(async move {
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
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("CONNECT sts.eu-west-1.amazonaws.com:443 "), "{asked}");
    }

    #[tokio::test]
    async fn without_tenure_nothing_is_sent() {
        use aws_sdk_sts::Client;
        use aws_smithy_mocks::{RuleMode, mock, mock_client};

        let known = mock!(Client::get_caller_identity).then_output(|| {
            aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityOutput::builder().build()
        });
        let client = mock_client!(aws_sdk_sts, RuleMode::Sequential, [&known]);
        let mut guard = guard(&Arc::default());
        guard.write_fence = WriteFence::until(tokio::time::Instant::now());
        let api = Api::new("sts", client, guard);
        let refused = api.call("GetCallerIdentity", "account", api.client.get_caller_identity().send()).await;
        assert_eq!(refused.unwrap_err().class, AwsErrorClass::Transient);
        assert_eq!(known.num_calls(), 0);
    }

    #[tokio::test]
    async fn every_call_is_observed_with_its_outcome() {
        use aws_sdk_sts::Client;
        use aws_smithy_mocks::{RuleMode, mock, mock_client};

        let known = mock!(Client::get_caller_identity)
            .sequence()
            .output(|| {
                aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityOutput::builder()
                    .account("1")
                    .build()
            })
            .http_status(403, None)
            .build();
        let notebook = Arc::new(RecordingObserver::default());
        let client = mock_client!(aws_sdk_sts, RuleMode::Sequential, [&known]);
        let api = Api::new("sts", client, guard(&notebook));
        let ask = || api.call("GetCallerIdentity", "account", api.client.get_caller_identity().send());
        assert_eq!(ask().await.unwrap().account(), Some("1"));
        assert_eq!(ask().await.unwrap_err().class, AwsErrorClass::Denied);
        let line = |outcome| ("sts".to_owned(), "GetCallerIdentity".to_owned(), outcome);
        assert_eq!(notebook.lines(), [line("ok"), line("denied")]);
    }

    #[tokio::test]
    async fn a_region_is_made_once() {
        let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
        let regions = SdkRegions::new(config, guard(&Arc::default()));
        let (one, two) = (regions.in_region("eu-west-1"), regions.in_region("eu-west-1"));
        assert!(Arc::ptr_eq(&one.streams, &two.streams));
        assert!(!Arc::ptr_eq(&one.streams, &regions.in_region("us-east-1").streams));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_waits_two_seconds_for_what_it_only_shows() {
        use aws_credential_types::Credentials;
        use aws_credential_types::provider::SharedCredentialsProvider;

        // It takes connections and never answers.
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
        assert_eq!(started.elapsed().as_secs(), SHOWING_TIMEOUT.as_secs());
    }
}
