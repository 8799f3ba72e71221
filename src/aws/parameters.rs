//! Systems Manager parameters. In: names and values. Out: values and tags.

use async_trait::async_trait;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::{ParameterTier, ParameterType, ResourceTypeForTagging, Tag};

use super::client::Api;
use super::{AwsError, AwsErrorClass, AwsResult, OverwriteResult, Parameters, Tags};

/// Systems Manager.
pub struct SsmParameters(Api<Client>);

impl SsmParameters {
    pub(super) fn new(api: Api<Client>) -> Self {
        Self(api)
    }
}

#[async_trait]
impl Parameters for SsmParameters {
    async fn fetch_parameter(&self, name: &str) -> AwsResult<Option<String>> {
        let Self(api) = self;
        let request = api.client.get_parameter().name(name).send();
        match api.call("GetParameter", name, request).await {
            Err(error) if error.class == AwsErrorClass::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(response) => Ok(response.parameter.and_then(|parameter| parameter.value)),
        }
    }

    async fn fetch_parameter_tags(&self, name: &str) -> AwsResult<Tags> {
        let Self(api) = self;
        let request = api
            .client
            .list_tags_for_resource()
            .resource_type(ResourceTypeForTagging::Parameter)
            .resource_id(name)
            .send();
        let response = api.call("ListTagsForResource", name, request).await?;
        Ok(response.tag_list.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    async fn create_parameter(&self, name: &str, text: &str, tags: &Tags) -> AwsResult<()> {
        let Self(api) = self;
        let operation = "PutParameter";
        let request = api
            .client
            .put_parameter()
            .name(name)
            .value(text)
            .r#type(ParameterType::String)
            .tier(ParameterTier::Standard)
            .overwrite(false)
            .set_tags(Some(sdk_tags(operation, name, tags)?))
            .send();
        api.call(operation, name, request).await.map(drop)
    }

    async fn overwrite_parameter(&self, name: &str, text: &str) -> AwsResult<OverwriteResult> {
        let Self(api) = self;
        // PutParameter rejects tags together with overwrite (Systems Manager API reference,
        // PutParameter, `Tags`). The existing tags remain.
        let request = api
            .client
            .put_parameter()
            .name(name)
            .value(text)
            .r#type(ParameterType::String)
            .tier(ParameterTier::Standard)
            .overwrite(true)
            .send();
        // Versions start at 1, again after a deletion (Systems Manager API reference, PutParameter,
        // `Version`).
        match api.call("PutParameter", name, request).await?.version() {
            1 => Ok(OverwriteResult::Created),
            _ => Ok(OverwriteResult::Replaced),
        }
    }

    async fn tag_parameter(&self, name: &str, tags: &Tags) -> AwsResult<()> {
        let Self(api) = self;
        let operation = "AddTagsToResource";
        let request = api
            .client
            .add_tags_to_resource()
            .resource_type(ResourceTypeForTagging::Parameter)
            .resource_id(name)
            .set_tags(Some(sdk_tags(operation, name, tags)?))
            .send();
        api.call(operation, name, request).await.map(drop)
    }

    async fn delete_parameter(&self, name: &str) -> AwsResult<()> {
        let Self(api) = self;
        api.call("DeleteParameter", name, api.client.delete_parameter().name(name).send()).await.map(drop)
    }
}

fn sdk_tags(operation: &'static str, name: &str, tags: &Tags) -> AwsResult<Vec<Tag>> {
    let tags = tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    tags.collect::<Result<_, _>>()
        .map_err(|error| AwsError::refused(operation, name, "ValidationException", error.to_string()))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ssm::config::retry::RetryConfig;
    use aws_sdk_ssm::operation::add_tags_to_resource::AddTagsToResourceOutput;
    use aws_sdk_ssm::operation::get_parameter::GetParameterOutput;
    use aws_sdk_ssm::operation::list_tags_for_resource::ListTagsForResourceOutput;
    use aws_sdk_ssm::operation::put_parameter::PutParameterOutput;
    use aws_sdk_ssm::types::Parameter;
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};

    use super::*;
    use crate::aws::client::tests::{refused, unobserved};

    fn ssm(rules: &[&Rule]) -> SsmParameters {
        SsmParameters::new(unobserved(mock_client!(aws_sdk_ssm, RuleMode::Sequential, rules, |config| {
            config.retry_config(RetryConfig::disabled())
        })))
    }

    fn tags() -> Tags {
        Tags::from([("owner".into(), "me".into())])
    }

    #[tokio::test]
    async fn a_missing_parameter_is_none_and_denial_an_error() {
        let found = mock!(Client::get_parameter).then_compute_output(|request| {
            assert_eq!(request.name(), Some("/kd/control"));
            GetParameterOutput::builder().parameter(Parameter::builder().value("{}").build()).build()
        });
        assert_eq!(ssm(&[&found]).fetch_parameter("/kd/control").await.unwrap().as_deref(), Some("{}"));
        let missing =
            mock!(Client::get_parameter).then_http_response(|| refused(400, "ParameterNotFound", ""));
        assert_eq!(ssm(&[&missing]).fetch_parameter("/kd/control").await.unwrap(), None);
        let expired = mock!(Client::get_parameter)
            .then_http_response(|| refused(400, "ExpiredTokenException", "expired"));
        let error = ssm(&[&expired]).fetch_parameter("/kd/control").await.unwrap_err();
        assert_eq!(error.class, AwsErrorClass::Denied);
    }

    #[tokio::test]
    async fn a_new_parameter_has_tags_and_replaces_nothing() {
        let created = mock!(Client::put_parameter).then_compute_output(|request| {
            assert_eq!((request.value(), request.overwrite()), (Some("{}"), Some(false)));
            assert_eq!(
                (request.r#type(), request.tier()),
                (Some(&ParameterType::String), Some(&ParameterTier::Standard))
            );
            let tags: Vec<_> = request.tags().iter().map(|tag| (tag.key(), tag.value())).collect();
            assert_eq!(tags, [("owner", "me")]);
            PutParameterOutput::builder().version(1).build()
        });
        ssm(&[&created]).create_parameter("/kd/control", "{}", &tags()).await.unwrap();
        let existing =
            mock!(Client::put_parameter).then_http_response(|| refused(400, "ParameterAlreadyExists", ""));
        let error = ssm(&[&existing]).create_parameter("/kd/control", "{}", &tags()).await.unwrap_err();
        assert_eq!(error.class, AwsErrorClass::AlreadyExists);
    }

    #[tokio::test]
    async fn an_overwrite_sends_no_tags() {
        let written = mock!(Client::put_parameter).then_compute_output(|request| {
            assert_eq!((request.overwrite(), request.tags().len()), (Some(true), 0));
            PutParameterOutput::builder().version(2).build()
        });
        let found = ssm(&[&written]).overwrite_parameter("/kd/control", "{}").await.unwrap();
        assert_eq!(found, OverwriteResult::Replaced);
        let busy = mock!(Client::put_parameter).then_http_response(|| refused(400, "TooManyUpdates", ""));
        let error = ssm(&[&busy]).overwrite_parameter("/kd/control", "{}").await.unwrap_err();
        assert_eq!(error.class, AwsErrorClass::Throttled);
    }

    #[tokio::test]
    async fn overwriting_a_deleted_parameter_reports_created() {
        let created = mock!(Client::put_parameter)
            .then_compute_output(|_| PutParameterOutput::builder().version(1).build());
        let found = ssm(&[&created]).overwrite_parameter("/kd/control", "{}").await.unwrap();
        assert_eq!(found, OverwriteResult::Created);
        let tagged = mock!(Client::add_tags_to_resource).then_compute_output(|request| {
            assert_eq!(request.resource_type(), Some(&ResourceTypeForTagging::Parameter));
            assert_eq!(request.resource_id(), Some("/kd/control"));
            let tags: Vec<_> = request.tags().iter().map(|tag| (tag.key(), tag.value())).collect();
            assert_eq!(tags, [("owner", "me")]);
            AddTagsToResourceOutput::builder().build()
        });
        ssm(&[&tagged]).tag_parameter("/kd/control", &tags()).await.unwrap();
    }

    #[tokio::test]
    async fn tags_and_deletion_use_the_name() {
        let listed = mock!(Client::list_tags_for_resource).then_compute_output(|request| {
            assert_eq!(request.resource_type(), Some(&ResourceTypeForTagging::Parameter));
            assert_eq!(request.resource_id(), Some("/kd/control"));
            let tag = Tag::builder().key("owner").value("me").build().unwrap();
            ListTagsForResourceOutput::builder().tag_list(tag).build()
        });
        assert_eq!(ssm(&[&listed]).fetch_parameter_tags("/kd/control").await.unwrap(), tags());
        let not_found = mock!(Client::delete_parameter)
            .match_requests(|request| request.name() == Some("/kd/control"))
            .then_http_response(|| refused(400, "ParameterNotFound", ""));
        let error = ssm(&[&not_found]).delete_parameter("/kd/control").await.unwrap_err();
        assert_eq!(error.class, AwsErrorClass::NotFound);
    }
}
