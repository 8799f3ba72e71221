//! The caller's identity, from STS. In: credentials. Out: the account that they belong to.

use async_trait::async_trait;
use aws_sdk_sts::Client;

use super::client::Api;
use super::{AwsError, AwsResult, Identity};

/// STS.
pub struct StsIdentity(Api<Client>);

impl StsIdentity {
    pub(super) fn new(api: Api<Client>) -> Self {
        Self(api)
    }
}

#[async_trait]
impl Identity for StsIdentity {
    async fn fetch_account_id(&self) -> AwsResult<String> {
        let Self(api) = self;
        let (operation, target) = ("GetCallerIdentity", "account");
        let response = api.call(operation, target, api.client.get_caller_identity().send()).await?;
        response
            .account
            .ok_or_else(|| AwsError::unanswered(operation, target, "the response contains no account"))
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityOutput;
    use aws_smithy_mocks::{mock, mock_client};

    use super::*;
    use crate::aws::AwsErrorClass;
    use crate::aws::client::tests::unobserved;

    #[tokio::test]
    async fn the_account_id_comes_from_the_response() {
        let rule = mock!(Client::get_caller_identity).then_output(|| {
            GetCallerIdentityOutput::builder().account("000000000000").user_id("someone").build()
        });
        let identity = StsIdentity::new(unobserved(mock_client!(aws_sdk_sts, [&rule])));
        assert_eq!(identity.fetch_account_id().await.unwrap(), "000000000000");
    }

    #[tokio::test]
    async fn a_response_without_an_account_is_transient() {
        let rule =
            mock!(Client::get_caller_identity).then_output(|| GetCallerIdentityOutput::builder().build());
        let identity = StsIdentity::new(unobserved(mock_client!(aws_sdk_sts, [&rule])));
        assert_eq!(identity.fetch_account_id().await.unwrap_err().class, AwsErrorClass::Transient);
    }
}
