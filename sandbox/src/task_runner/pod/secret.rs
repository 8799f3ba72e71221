//! The Secret with the sandbox's access key id, for all its clients in the cluster. In: the
//! Secret's name. Out: the key. Reads the Secret and, if it has no key, writes a random one, so
//! that no manifest has to contain a key.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Secret as KubernetesSecret;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::calls::call_with_retry;
use crate::access::{SECRET_ACCESS_KEY, Secret};

/// The keys of the Secret, which are also the names of the variables in Pods.
pub(super) const CREDENTIALS: [&str; 2] = [ACCESS_KEY_ID, SIGNING_KEY];
const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SIGNING_KEY: &str = "AWS_SECRET_ACCESS_KEY";

/// Returns the access key id in the Secret, and creates one if it has none. The Secret itself must
/// exist, so that permission to change this one Secret suffices.
pub async fn fetch_access_key_id(client: &Client, namespace: &str, name: &str) -> Result<Secret> {
    let secrets: Api<KubernetesSecret> = Api::namespaced(client.clone(), namespace);
    let what = format!("the Secret {name} in namespace {namespace}, which holds the access key id");
    loop {
        let stored =
            call_with_retry(|| secrets.get(name)).await.with_context(|| format!("could not read {what}"))?;
        if let Some(bytes) = stored.data.as_ref().and_then(|data| data.get(ACCESS_KEY_ID)) {
            let text = String::from_utf8_lossy(&bytes.0);
            return Ok(Secret::access_key_id(text.trim(), &format!("{ACCESS_KEY_ID} of {what},"))?);
        }
        let key = Secret::random_access_key_id();
        let change = json!({
            // Rejected if another writer was faster; then the other key is used.
            "metadata": {"resourceVersion": stored.metadata.resource_version},
            "stringData": {ACCESS_KEY_ID: key.reveal(), SIGNING_KEY: SECRET_ACCESS_KEY},
        });
        let (patch, params) = (Patch::Merge(&change), PatchParams::default());
        match call_with_retry(|| secrets.patch(name, &params, &patch)).await {
            Ok(_) => return Ok(key),
            Err(error) if error.code() == Some(409) => {}
            Err(error) => return Err(error).with_context(|| format!("could not write {what}")),
        }
    }
}
