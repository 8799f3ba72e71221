//! CloudWatch dashboards. In: names and bodies. Out: whether a dashboard is there.
//!
//! No tags: `Tags` in PutDashboard needs `cloudwatch:TagResource`, which the operator has no other use for. The name says whose a
//! dashboard is: it holds the object's uid.

use async_trait::async_trait;
use aws_sdk_cloudwatch::Client;
use tracing::warn;

use super::session::Api;
use super::{AwsErrorClass, AwsResult, Dashboards};

/// Dashboards of the account.
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
            answer => answer.map(|_| true),
        }
    }

    async fn put_dashboard(&self, name: &str, body: &str) -> AwsResult<()> {
        let Self(api) = self;
        let request = api.client.put_dashboard().dashboard_name(name).dashboard_body(body).send();
        let answer = api.call("PutDashboard", name, request).await?;
        // Warnings: the dashboard is there, but some widget may not be drawn (PutDashboard, DashboardValidationMessages).
        for message in answer.dashboard_validation_messages() {
            let (path, text) =
                (message.data_path().unwrap_or_default(), message.message().unwrap_or_default());
            warn!(dashboard = name, path, "CloudWatch says of the dashboard: {text}");
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
    use crate::aws::session::tests::{refused_in_cbor, unobserved};

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
    async fn a_dashboard_is_there_or_not_and_a_refusal_is_neither() {
        let there = mock!(Client::get_dashboard)
            .match_requests(|request| request.dashboard_name() == Some(NAME))
            .then_output(|| GetDashboardOutput::builder().dashboard_name(NAME).build());
        assert!(dashboards(&[&there]).fetch_dashboard_exists(NAME).await.unwrap());
        let missing = mock!(Client::get_dashboard)
            .then_http_response(|| refused_in_cbor(404, "DashboardNotFoundError", Some("ResourceNotFound")));
        assert!(!dashboards(&[&missing]).fetch_dashboard_exists(NAME).await.unwrap());
        let denied = mock!(Client::get_dashboard)
            .then_http_response(|| refused_in_cbor(403, "AccessDeniedException", Some("AccessDenied")));
        let error = dashboards(&[&denied]).fetch_dashboard_exists(NAME).await.unwrap_err();
        assert_eq!((error.class, error.target.as_str()), (AwsErrorClass::Denied, NAME));
    }

    #[tokio::test]
    async fn a_body_is_put_whole_and_without_tags() {
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
    async fn a_deletion_names_one_dashboard_and_tells_that_it_is_gone() {
        let gone = mock!(Client::delete_dashboards)
            .then_http_response(|| refused_in_cbor(404, "DashboardNotFoundError", Some("ResourceNotFound")));
        let error = dashboards(&[&gone]).delete_dashboard(NAME).await.unwrap_err();
        assert_eq!(error.class, AwsErrorClass::NotFound);
        let done = mock!(Client::delete_dashboards).then_compute_output(|request| {
            assert_eq!(request.dashboard_names(), [NAME]);
            DeleteDashboardsOutput::builder().build()
        });
        dashboards(&[&done]).delete_dashboard(NAME).await.unwrap();
    }
}
