//! Applies YAML documents to an API server. In: an administrator's client, a text. Writes to that
//! API server.

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};

use crate::error::LocalClusterError;

/// The field manager of everything that the local cluster applies.
pub const FIELD_MANAGER: &str = "kinesis-demo-local-cluster";

/// Applies every document of a YAML text in order, with server-side apply. Works only for kinds
/// with a regular plural.
pub async fn apply_documents(client: &kube::Client, yaml: &str) -> Result<(), LocalClusterError> {
    let documents: Vec<DynamicObject> = serde_saphyr::from_multiple(yaml)
        .map_err(|error| LocalClusterError::kubernetes("read the documents to apply", error))?;
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
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(document))
        .await
        .map(drop)
        .map_err(|error| LocalClusterError::kubernetes(attempt(), error))
}
