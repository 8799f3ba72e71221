//! Refusals that are hardly AWS's. In: every answer. Out: the connection it came by is not used again. An endpoint without TLS can be
//! another's for a moment (a Service whose address no rule leads to its Pods yet, a proxy that takes everything): who got that connection
//! would else answer for as long as we keep asking.

use aws_sdk_sts::operation::RequestId;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// Leaves connections to strangers. The SDK itself leaves those that fail, by timeout or with a status of 500 and above.
#[derive(Debug)]
pub(super) struct SuspectConnectionInterceptor;

impl Intercept for SuspectConnectionInterceptor {
    fn name(&self) -> &'static str {
        "SuspectConnectionInterceptor"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response();
        // AWS gives every answer an id.
        if answer.status().is_success() || answer.request_id().is_some() {
            return Ok(());
        }
        if let Some(connection) =
            config.load::<CaptureSmithyConnection>().and_then(CaptureSmithyConnection::get)
        {
            connection.poison();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::SocketAddr;
    use std::sync::{Arc, Mutex};

    use aws_credential_types::Credentials;
    use aws_sdk_sts::config::{BehaviorVersion, Region};
    use axum::Router;
    use axum::extract::ConnectInfo;
    use axum::http::StatusCode;
    use axum::response::AppendHeaders;

    use super::*;

    const ANSWER: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult/></GetCallerIdentityResponse>";

    /// By how many connections three questions go, if each is answered by this status, and with an id if it is AWS that answers.
    async fn connections(status: StatusCode, is_aws: bool) -> usize {
        let peers = Arc::new(Mutex::new(HashSet::new()));
        let seen = Arc::clone(&peers);
        let answer = async move |ConnectInfo(peer): ConnectInfo<SocketAddr>| {
            seen.lock().unwrap().insert(peer);
            let id = is_aws.then_some(("x-amzn-requestid", "7a1c"));
            (status, AppendHeaders(id), ANSWER)
        };
        let service = Router::new().fallback(answer).into_make_service_with_connect_info::<SocketAddr>();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(axum::serve(listener, service).into_future());
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .endpoint_url(url)
            .interceptor(SuspectConnectionInterceptor)
            .build();
        let client = aws_sdk_sts::Client::from_conf(config);
        for _ in 0..3 {
            assert_eq!(client.get_caller_identity().send().await.is_ok(), status.is_success());
        }
        server.abort();
        peers.lock().unwrap().len()
    }

    #[tokio::test]
    async fn whoever_refuses_and_is_not_aws_is_asked_once() {
        assert_eq!(connections(StatusCode::NOT_FOUND, false).await, 3);
    }

    #[tokio::test]
    async fn what_aws_refuses_is_no_reason_to_leave() {
        assert_eq!(connections(StatusCode::NOT_FOUND, true).await, 1);
        assert_eq!(connections(StatusCode::OK, false).await, 1);
    }
}
