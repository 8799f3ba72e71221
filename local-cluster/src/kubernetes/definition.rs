//! Installs our kinds in an API server. In: an administrator's client. Out: the
//! CustomResourceDefinitions generated from the types of `api/`, served by the API server; a
//! namespace for objects. Writes to the API server.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kinesis_demo_api::{KinesisDemo, KinesisDemoRun};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions::is_crd_established};
use kube::{CustomResourceExt, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::apply::FIELD_MANAGER;
use crate::error::LocalClusterError;

/// The API server serves a new resource within a second or two.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Applies the CustomResourceDefinitions and waits until objects of both kinds can be listed.
pub async fn put_definitions(client: &kube::Client) -> Result<(), LocalClusterError> {
    tokio::try_join!(put_definition::<KinesisDemo>(client), put_definition::<KinesisDemoRun>(client))?;
    Ok(())
}

async fn put_definition<K>(client: &kube::Client) -> Result<(), LocalClusterError>
where
    K: CustomResourceExt + Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition = K::crd();
    let name = definition.name_any();
    let attempt = format!("install the CustomResourceDefinition {name}");
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(&definition))
        .await
        .map_err(|error| LocalClusterError::kubernetes(attempt.clone(), error))?;
    let served = async {
        // An error of this watch is not final: the list request below, or the timeout, decides.
        let _ = await_condition(api, &name, is_crd_established()).await;
        let objects: Api<K> = Api::all(client.clone());
        while objects.list(&ListParams::default().limit(1)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, served).await.map_err(|late| LocalClusterError::kubernetes(attempt, late))
}

/// Creates a namespace if it does not exist.
pub async fn put_namespace(client: &kube::Client, name: &str) -> Result<(), LocalClusterError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(name, &params, &Patch::Apply(&namespace))
        .await
        .map(drop)
        .map_err(|error| LocalClusterError::kubernetes(format!("create the namespace {name}"), error))
}
