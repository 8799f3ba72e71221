//! The operator's identity in a Kubernetes API server. In: an administrator's client. Out: a ServiceAccount bound to the role of
//! `deploy/operator-role.yaml`, and a token for it. Writes to the API server.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};

use super::LocalClusterError;

/// Namespace, ServiceAccount, roles and bindings of the operator: the same text that installs them in a cluster.
pub const OPERATOR_ROLE: &str = include_str!("../../../deploy/operator-role.yaml");

const NAMESPACE: &str = "kinesis-demo-system";
const ACCOUNT: &str = "kinesis-demo-operator";
/// A laptop's demo may be left up over a working day and a night.
const TOKEN_SECONDS: i64 = 48 * 3600;

/// Who the operator is and how it proves it.
pub struct OperatorAccess {
    pub token: String,
    pub namespace: String,
    pub user: String,
}

/// Applies the role and asks the API server for a token of the ServiceAccount, as a pod would get one.
pub async fn grant_operator_access(client: &kube::Client) -> Result<OperatorAccess, LocalClusterError> {
    apply_documents(client, OPERATOR_ROLE).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    let request = TokenRequest {
        spec: TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() },
        ..TokenRequest::default()
    };
    let attempt = "get a token for the operator's ServiceAccount";
    let answer = accounts
        .create_token_request(ACCOUNT, &PostParams::default(), &request)
        .await
        .map_err(|error| LocalClusterError::kubernetes(attempt, error))?;
    let token = answer.status.map(|status| status.token).ok_or_else(|| {
        LocalClusterError::kubernetes(attempt, std::io::Error::other("the answer held none"))
    })?;
    Ok(OperatorAccess { token, namespace: NAMESPACE.into(), user: ACCOUNT.into() })
}

/// Applies every document of a YAML text, in order, server-side. Only for kinds whose plural is regular.
pub async fn apply_documents(client: &kube::Client, yaml: &str) -> Result<(), LocalClusterError> {
    let documents: Vec<DynamicObject> = serde_saphyr::from_multiple(yaml)
        .map_err(|error| LocalClusterError::kubernetes("read the operator's role", error))?;
    for document in documents {
        apply_document(client, &document).await?;
    }
    Ok(())
}

async fn apply_document(client: &kube::Client, document: &DynamicObject) -> Result<(), LocalClusterError> {
    let types = document.types.clone().unwrap_or_default();
    let name = document.metadata.name.clone().unwrap_or_default();
    let attempt = || format!("apply {} {name}", types.kind);
    let kind = GroupVersionKind::try_from(&types)
        .map_err(|error| LocalClusterError::kubernetes(attempt(), error))?;
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = match &document.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let params = PatchParams::apply("kubectl-kinesisdemo").force();
    api.patch(&name, &params, &Patch::Apply(document))
        .await
        .map(drop)
        .map_err(|error| LocalClusterError::kubernetes(attempt(), error))
}
