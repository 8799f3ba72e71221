//! CloudWatch dashboards. In: names and bodies. Out: whether a dashboard exists.
//!
//! Dashboards have no tags: `Tags` in PutDashboard needs `cloudwatch:TagResource`, which the
//! operator needs for nothing else. The name identifies the owner: it contains the object's uid.

use async_trait::async_trait;
use aws_sdk_cloudwatch::Client;
use tracing::warn;

use super::client::Api;
use super::{AwsErrorClass, AwsResult, Dashboards};

/// The account's dashboards.
pub struct CloudWatchDashboards(Api<Client>);

impl CloudWatchDashboards {
    pub(super) fn new(api: Api<Client>) -> Self {
        Self(api)
    }
}

#[async_trait]
impl Dashboards for CloudWatchDashboards {
    async fn fetch_dashboard_exists(&self, name: &str) -> AwsResult<bool> {
        let Self(api) = self;
        let request = api.client.get_dashboard().dashboard_name(name).send();
        match api.call("GetDashboard", name, request).await {
            Err(error) if error.class == AwsErrorClass::NotFound => Ok(false),
            response => response.map(|_| true),
        }
    }

    async fn put_dashboard(&self, name: &str, body: &str) -> AwsResult<()> {
        let Self(api) = self;
        let request = api.client.put_dashboard().dashboard_name(name).dashboard_body(body).send();
        let response = api.call("PutDashboard", name, request).await?;
        // Warnings: the dashboard exists, but a widget may not be drawn (PutDashboard,
        // DashboardValidationMessages).
        for message in response.dashboard_validation_messages() {
            let (path, text) =
                (message.data_path().unwrap_or_default(), message.message().unwrap_or_default());
            warn!(dashboard = name, path, "CloudWatch stored the dashboard with a warning: {text}");
        }
        Ok(())
    }

    async fn delete_dashboard(&self, name: &str) -> AwsResult<()> {
        let Self(api) = self;
        let request = api.client.delete_dashboards().dashboard_names(name).send();
        api.call("DeleteDashboards", name, request).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudwatch::config::retry::RetryConfig;
    use aws_sdk_cloudwatch::operation::delete_dashboards::DeleteDashboardsOutput;
    use aws_sdk_cloudwatch::operation::get_dashboard::GetDashboardOutput;
    use aws_sdk_cloudwatch::operation::put_dashboard::PutDashboardOutput;
    use aws_sdk_cloudwatch::types::DashboardValidationMessage;
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};

    use super::*;
    use crate::aws::client::tests::{refused_in_cbor, unobserved};

    const NAME: &str = "KinesisDemo-kd-x-r1";

    fn dashboards(rules: &[&Rule]) -> CloudWatchDashboards {
        CloudWatchDashboards::new(unobserved(mock_client!(
            aws_sdk_cloudwatch,
            RuleMode::Sequential,
            rules,
            |config| config.retry_config(RetryConfig::disabled())
        )))
    }

    #[tokio::test]
    async fn a_denied_dashboard_lookup_is_an_error_not_absence() {
        let existing = mock!(Client::get_dashboard)
            .match_requests(|request| request.dashboard_name() == Some(NAME))
            .then_output(|| GetDashboardOutput::builder().dashboard_name(NAME).build());
        assert!(dashboards(&[&existing]).fetch_dashboard_exists(NAME).await.unwrap());
        let missing = mock!(Client::get_dashboard)
            .then_http_response(|| refused_in_cbor(404, "DashboardNotFoundError", Some("ResourceNotFound")));
        assert!(!dashboards(&[&missing]).fetch_dashboard_exists(NAME).await.unwrap());
        let denied = mock!(Client::get_dashboard)
            .then_http_response(|| refused_in_cbor(403, "AccessDeniedException", Some("AccessDenied")));
        let error = dashboards(&[&denied]).fetch_dashboard_exists(NAME).await.unwrap_err();
        assert_eq!((error.class, error.target.as_str()), (AwsErrorClass::Denied, NAME));
    }

    #[tokio::test]
    async fn a_dashboard_is_put_without_tags_and_errors_have_classes() {
        let put = || {
            mock!(Client::put_dashboard).then_compute_output(|request| {
                assert_eq!((request.dashboard_name(), request.dashboard_body()), (Some(NAME), Some("{}")));
                assert!(request.tags().is_empty());
                let warning = DashboardValidationMessage::builder().data_path("/widgets/0").message("odd");
                PutDashboardOutput::builder().dashboard_validation_messages(warning.build()).build()
            })
        };
        dashboards(&[&put()]).put_dashboard(NAME, "{}").await.unwrap();
        for (status, shape, code, class) in [
            (400, "DashboardInvalidInputError", "InvalidParameterInput", AwsErrorClass::Invalid),
            (409, "ConflictException", "ConflictException", AwsErrorClass::Transient),
            (400, "Throttling", "Throttling", AwsErrorClass::Throttled),
            (500, "InternalServiceFault", "InternalServiceError", AwsErrorClass::Transient),
        ] {
            for query_code in [Some(code), None] {
                let rule = mock!(Client::put_dashboard)
                    .then_http_response(move || refused_in_cbor(status, shape, query_code));
                let error = dashboards(&[&rule]).put_dashboard(NAME, "{}").await.unwrap_err();
                assert_eq!(error.class, class, "{shape} {query_code:?}");
            }
        }
    }

    #[tokio::test]
    async fn deleting_a_missing_dashboard_reports_not_found() {
        let not_found = mock!(Client::delete_dashboards)
            .then_http_response(|| refused_in_cbor(404, "DashboardNotFoundError", Some("ResourceNotFound")));
        let error = dashboards(&[&not_found]).delete_dashboard(NAME).await.unwrap_err();
        assert_eq!(error.class, AwsErrorClass::NotFound);
        let deleted = mock!(Client::delete_dashboards).then_compute_output(|request| {
            assert_eq!(request.dashboard_names(), [NAME]);
            DeleteDashboardsOutput::builder().build()
        });
        dashboards(&[&deleted]).delete_dashboard(NAME).await.unwrap();
    }
}
