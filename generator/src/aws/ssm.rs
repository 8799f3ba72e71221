//! [`ControlSource`] over GetParameter. Touches the outside: Systems Manager.

use async_trait::async_trait;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::ProvideErrorMetadata;
use kinesis_demo_api::aws_error::AwsErrorClass;

use crate::error::ReadError;
use crate::reader::ControlSource;

/// One Systems Manager parameter.
pub struct ParameterSource {
    client: Client,
    name: String,
}

impl ParameterSource {
    /// Creates a source that reads the parameter `name`.
    pub fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }
}

#[async_trait]
impl ControlSource for ParameterSource {
    async fn fetch(&self) -> Result<Option<String>, ReadError> {
        match self.client.get_parameter().name(&self.name).send().await {
            Ok(output) => Ok(output.parameter.and_then(|parameter| parameter.value)),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_parameter_not_found()) => {
                Ok(None)
            }
            Err(error) if error.code().is_some_and(is_throttling) => Err(ReadError::Throttled(error.into())),
            Err(error) => Err(ReadError::Get(error.into())),
        }
    }
}

fn is_throttling(code: &str) -> bool {
    AwsErrorClass::of_code(code) == Some(AwsErrorClass::Throttled)
}

#[cfg(test)]
mod tests {
    use aws_sdk_ssm::operation::get_parameter::{GetParameterError, GetParameterOutput};
    use aws_sdk_ssm::types::Parameter;
    use aws_sdk_ssm::types::error::{InternalServerError, ParameterNotFound};
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    use super::*;

    #[tokio::test]
    async fn the_parameter_is_read_by_name() {
        let found = mock!(Client::get_parameter)
            .match_requests(|request| request.name() == Some("/kinesisdemo/x"))
            .then_output(|| {
                GetParameterOutput::builder().parameter(Parameter::builder().value("{}").build()).build()
            });
        let source = ParameterSource::new(mock_client!(aws_sdk_ssm, [&found]), "/kinesisdemo/x".into());
        assert_eq!(source.fetch().await.unwrap().as_deref(), Some("{}"));
        assert_eq!(found.num_calls(), 1);
    }

    #[tokio::test]
    async fn a_missing_parameter_is_none_and_other_errors_are_errors() {
        let missing = mock!(Client::get_parameter)
            .then_error(|| GetParameterError::ParameterNotFound(ParameterNotFound::builder().build()));
        let broken = mock!(Client::get_parameter)
            .then_error(|| GetParameterError::InternalServerError(InternalServerError::builder().build()));
        let client = mock_client!(aws_sdk_ssm, RuleMode::Sequential, [&missing, &broken]);
        let source = ParameterSource::new(client, "/kinesisdemo/x".into());
        assert_eq!(source.fetch().await.unwrap(), None);
        assert!(matches!(source.fetch().await, Err(ReadError::Get(_))));
        let busy = mock!(Client::get_parameter).then_error(|| {
            let metadata = aws_sdk_ssm::error::ErrorMetadata::builder().code("ThrottlingException");
            GetParameterError::generic(metadata.message("Rate exceeded").build())
        });
        let source = ParameterSource::new(mock_client!(aws_sdk_ssm, [&busy]), "/kinesisdemo/x".into());
        assert!(matches!(source.fetch().await, Err(ReadError::Throttled(_))));
    }
}
