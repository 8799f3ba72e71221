//! The operator's identity in a Kubernetes API server. In: an administrator's client. Out: a
//! ServiceAccount with the role of `deploy/operator-role.yaml`, and a token for it. Writes to the
//! API server.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};

use super::apply::apply_documents;
use crate::error::LocalClusterError;

/// Namespace, ServiceAccount, roles and bindings of the operator: the same manifest that installs
/// them in a cluster.
pub const OPERATOR_ROLE: &str = include_str!("../../../deploy/operator-role.yaml");

const NAMESPACE: &str = "kinesis-demo-system";
const ACCOUNT: &str = "kinesis-demo-operator";
/// A detached demo may run for a day and a night.
const TOKEN_SECONDS: i64 = 48 * 3600;

/// The operator's user name, namespace and token.
pub struct OperatorAccess {
    pub token: String,
    pub namespace: String,
    pub user: String,
}

/// Applies the role and requests a token for the ServiceAccount, like the token that a pod gets.
pub async fn grant_operator_access(client: &kube::Client) -> Result<OperatorAccess, LocalClusterError> {
    apply_documents(client, OPERATOR_ROLE).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    let request = TokenRequest {
        spec: TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() },
        ..TokenRequest::default()
    };
    let attempt = "get a token for the operator's ServiceAccount";
    let response = accounts
        .create_token_request(ACCOUNT, &PostParams::default(), &request)
        .await
        .map_err(|error| LocalClusterError::kubernetes(attempt, error))?;
    let token = response.status.map(|status| status.token).ok_or_else(|| {
        LocalClusterError::kubernetes(attempt, std::io::Error::other("the response contained no token"))
    })?;
    Ok(OperatorAccess { token, namespace: NAMESPACE.into(), user: ACCOUNT.into() })
}
