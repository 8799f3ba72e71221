//! The client of one service, as the adapters use it: every call is observed, is sent only while
//! this operator leads, and fails with an [`AwsError`].

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{AwsError, AwsErrorClass, AwsResult};
use crate::write_fence::WriteFence;

/// The result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// AWS did it.
    Ok,
    /// The call failed, or its result is unknown.
    Failed(AwsErrorClass),
}

impl CallOutcome {
    /// A fixed word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed(class) => class.name(),
        }
    }
}

/// Is notified of every call; the attempts of a call count as one.
pub trait CallObserver: Send + Sync {
    /// `service` and `operation` come from a small closed set.
    fn called(&self, service: &str, operation: &str, outcome: CallOutcome, latency: Duration);
}

/// The client of one service. Observes its calls and converts their errors.
#[derive(Clone)]
pub(super) struct Api<C> {
    pub(super) client: C,
    service: &'static str,
    guard: CallGuard,
}

/// Wraps every call: notifies the observer, and sends nothing after leadership is lost.
#[derive(Clone)]
pub(super) struct CallGuard {
    pub(super) observer: Arc<dyn CallObserver>,
    pub(super) write_fence: WriteFence,
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
            Ok(response) => response.map_err(|error| AwsError::from_sdk(operation, target, &error)),
            Err(lost) => Err(AwsError::not_sent(operation, target, &lost)),
        };
        let outcome =
            result.as_ref().map_or_else(|error| CallOutcome::Failed(error.class), |_| CallOutcome::Ok);
        self.guard.observer.called(self.service, operation, outcome, started.elapsed());
        result
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Records the calls that it is notified of.
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

    /// An error response of a JSON service.
    pub(crate) fn refused(status: u16, code: &str, message: &str) -> HttpResponse {
        let body = format!(r#"{{"__type":"{code}","message":"{message}"}}"#);
        HttpResponse::new(status.try_into().unwrap(), body.into())
    }

    /// An error response of CloudWatch: smithy's rpc-v2-cbor. A header has the error code of the
    /// former query protocol where the service still sends it.
    pub(crate) fn refused_in_cbor(status: u16, shape: &str, query_code: Option<&str>) -> HttpResponse {
        let mut body = vec![0xa1, 0x66];
        body.extend(b"__type");
        body.push(0x78);
        let shape = format!("com.amazonaws.cloudwatch#{shape}");
        body.push(u8::try_from(shape.len()).unwrap());
        body.extend(shape.as_bytes());
        let mut response = HttpResponse::new(status.try_into().unwrap(), body.into());
        response.headers_mut().insert("smithy-protocol", "rpc-v2-cbor");
        if let Some(code) = query_code {
            response.headers_mut().insert("x-amzn-query-error", format!("{code};Sender"));
        }
        response
    }

    pub(crate) fn guard(observer: &Arc<RecordingObserver>) -> CallGuard {
        CallGuard { observer: Arc::clone(observer) as _, write_fence: WriteFence::unshared() }
    }

    /// A client whose calls are not observed.
    pub(crate) fn unobserved<C>(client: C) -> Api<C> {
        Api::new("test", client, guard(&Arc::default()))
    }

    #[tokio::test]
    async fn nothing_is_sent_after_the_write_fence_closes() {
        use aws_sdk_sts::Client;
        use aws_smithy_mocks::{RuleMode, mock, mock_client};

        let rule = mock!(Client::get_caller_identity).then_output(|| {
            aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityOutput::builder().build()
        });
        let client = mock_client!(aws_sdk_sts, RuleMode::Sequential, [&rule]);
        let mut guard = guard(&Arc::default());
        guard.write_fence = WriteFence::until(tokio::time::Instant::now());
        let api = Api::new("sts", client, guard);
        let refused = api.call("GetCallerIdentity", "account", api.client.get_caller_identity().send()).await;
        assert_eq!(refused.unwrap_err().class, AwsErrorClass::Transient);
        assert_eq!(rule.num_calls(), 0);
    }

    #[tokio::test]
    async fn every_call_is_observed_with_its_outcome() {
        use aws_sdk_sts::Client;
        use aws_smithy_mocks::{RuleMode, mock, mock_client};

        let rule = mock!(Client::get_caller_identity)
            .sequence()
            .output(|| {
                aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityOutput::builder()
                    .account("1")
                    .build()
            })
            .http_status(403, None)
            .build();
        let observer = Arc::new(RecordingObserver::default());
        let client = mock_client!(aws_sdk_sts, RuleMode::Sequential, [&rule]);
        let api = Api::new("sts", client, guard(&observer));
        let call = || api.call("GetCallerIdentity", "account", api.client.get_caller_identity().send());
        assert_eq!(call().await.unwrap().account(), Some("1"));
        assert_eq!(call().await.unwrap_err().class, AwsErrorClass::Denied);
        let line = |outcome| ("sts".to_owned(), "GetCallerIdentity".to_owned(), outcome);
        assert_eq!(observer.lines(), [line("ok"), line("denied")]);
    }
}
