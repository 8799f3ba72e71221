//! Drops a connection after an error response that does not seem to come from AWS. In: every
//! response. Out: the connection is not reused. Without TLS, an endpoint can briefly be someone
//! else's: a Service whose address no rule routes to its Pods yet, or a proxy that accepts
//! everything. A reused connection would keep sending our requests there.

use aws_sdk_sts::operation::RequestId;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// Poisons the connection after an error response without an AWS request id. The SDK itself does so
/// after a timeout and after a status of 500 or above.
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
        let response = context.response();
        // Every response of AWS has a request id.
        if response.status().is_success() || response.request_id().is_some() {
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

    const BODY: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult/></GetCallerIdentityResponse>";

    /// Counts the connections that three requests use if each response has this status, and a
    /// request id if `is_aws`.
    async fn connections(status: StatusCode, is_aws: bool) -> usize {
        let peers = Arc::new(Mutex::new(HashSet::new()));
        let seen = Arc::clone(&peers);
        let response = async move |ConnectInfo(peer): ConnectInfo<SocketAddr>| {
            seen.lock().unwrap().insert(peer);
            let id = is_aws.then_some(("x-amzn-requestid", "7a1c"));
            (status, AppendHeaders(id), BODY)
        };
        let service = Router::new().fallback(response).into_make_service_with_connect_info::<SocketAddr>();
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
    async fn a_connection_is_dropped_after_an_error_that_is_not_from_aws() {
        assert_eq!(connections(StatusCode::NOT_FOUND, false).await, 3);
    }

    #[tokio::test]
    async fn a_connection_is_kept_after_an_error_from_aws() {
        assert_eq!(connections(StatusCode::NOT_FOUND, true).await, 1);
        assert_eq!(connections(StatusCode::OK, false).await, 1);
    }
}
