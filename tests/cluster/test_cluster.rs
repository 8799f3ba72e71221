//! The cluster given to the tests, and the namespaces they use in it. In: the environment. Out: a
//! client, the programs helm and kubectl bound to the context, and clean namespaces. Fails in a
//! cluster where others have runs, because an uninstall would end them.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kinesis_demo_api::KinesisDemo;
use kinesis_demo_local_cluster::tls::install_crypto_provider;
use kinesis_demo_testing::demos::Demos;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::KubeConfigOptions;
use kube::core::DeserializeGuard;
use kube::runtime::wait::delete::{Error, delete_and_finalize};
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::process::Command;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// The namespace of the chart, under the restricted Pod Security Standard.
pub const SYSTEM: &str = "kinesis-demo-test";
/// The namespace of the KinesisDemos.
pub const RUNS: &str = "kinesis-demo-test-runs";
/// The label of the namespaces that the tests created. No other namespace is ever deleted.
const MARK: &str = "kinesisdemo.io/cluster-test";
const DEFINITION: &str = "kinesisdemos.kinesisdemo.io";

/// Runs one test at a time, because they share the cluster.
static SERIAL_LOCK: Mutex<()> = Mutex::const_new(());

pub struct TestCluster {
    pub client: Client,
    pub runs: Demos,
    /// The host name of the API server, which its proxy forwards as `Host`.
    pub api_server: String,
    context: String,
    began: Instant,
    /// Whether the definition existed before the tests. If so, they must not change it.
    pub definition_preexists: bool,
    _serial: MutexGuard<'static, ()>,
}

/// A number from the environment.
pub fn number(name: &str, default: u32) -> u32 {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number"))
        }
        _ => default,
    }
}

/// The cluster, without objects of earlier tests. If no cluster is named, prints so and returns
/// `None`.
pub async fn test_cluster() -> Option<TestCluster> {
    install_crypto_provider();
    let Ok(context) = std::env::var("KINESISDEMO_CLUSTER_CONTEXT") else {
        println!("skipped: no cluster named; run make cluster-test CONTEXT=…");
        return None;
    };
    let serial = SERIAL_LOCK.lock().await;
    let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
    let config = Config::from_kubeconfig(&options).await.unwrap();
    let api_server = config.cluster_url.host().unwrap().to_owned();
    let client = Client::try_from(config).unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition_preexists = definitions.get_opt(DEFINITION).await.unwrap().is_some();
    let runs = Demos::new(client.clone(), RUNS);
    let began = Instant::now();
    let cluster =
        TestCluster { client, runs, api_server, context, began, definition_preexists, _serial: serial };
    cluster.clear().await;
    if definition_preexists {
        let all: Api<DeserializeGuard<KinesisDemo>> = Api::all(cluster.client.clone());
        let others = all.list(&ListParams::default()).await.unwrap();
        let others: Vec<_> = others
            .iter()
            .map(|object| format!("{:?}/{:?}", object.meta().namespace, object.meta().name))
            .collect();
        assert!(others.is_empty(), "the cluster has KinesisDemos that the tests would end: {others:?}");
    }
    cluster.create_namespace(SYSTEM, &[("pod-security.kubernetes.io/enforce", "restricted")]).await;
    cluster.create_namespace(RUNS, &[]).await;
    Some(cluster)
}

impl TestCluster {
    /// The names of the columns that `kubectl get` prints.
    pub async fn definition_columns(&self) -> Vec<String> {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let definition = definitions.get(DEFINITION).await.unwrap();
        let versions = definition.spec.versions.into_iter();
        versions
            .flat_map(|version| version.additional_printer_columns.unwrap_or_default())
            .map(|column| column.name)
            .collect()
    }

    /// Prints a progress line with the seconds since the test began.
    pub fn step(&self, text: impl std::fmt::Display) {
        println!("{:7.1} s  {text}", self.began.elapsed().as_secs_f64());
    }

    /// `helm`, bound to the context.
    pub fn helm(&self) -> Command {
        let mut command = Command::new(std::env::var("HELM").unwrap_or_else(|_| "helm".into()));
        command.args(["--kube-context", &self.context]);
        command
    }

    /// `kubectl`, bound to the context.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".into()));
        command.args(["--context", &self.context]);
        command
    }

    /// The Pods in the system namespace with these labels.
    pub async fn pods(&self, labels: &str) -> Vec<Pod> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), SYSTEM);
        api.list(&ListParams::default().labels(labels)).await.unwrap().items
    }

    pub async fn create_namespace(&self, name: &str, labels: &[(&str, &str)]) {
        let mut labels: std::collections::BTreeMap<_, _> = labels.iter().copied().collect();
        labels.insert(MARK, "");
        let namespace =
            serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels } })).unwrap();
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.create(&PostParams::default(), &namespace).await.unwrap();
    }

    /// Deletes a namespace and waits until it no longer exists.
    pub async fn delete_namespace(&self, name: &str, limit: Duration) {
        delete(Api::<Namespace>::all(self.client.clone()), name, limit).await;
    }

    /// Waits until `wanted` returns true for the object.
    pub async fn wait(
        &self,
        name: &str,
        limit: Duration,
        wanted: impl FnMut(&KinesisDemo) -> bool,
    ) -> KinesisDemo {
        self.runs.wait_within(name, limit, wanted).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Removes everything that the tests created.
    pub async fn close(self) {
        self.clear().await;
    }

    async fn clear(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let ours = namespaces.list(&ListParams::default().labels(MARK)).await.unwrap().items;
        // The objects of a failed test may have no operator that removes their finalizers.
        if ours.iter().any(|namespace| namespace.name_any() == RUNS) {
            let demos: Api<DeserializeGuard<KinesisDemo>> = Api::namespaced(self.client.clone(), RUNS);
            for demo in demos.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default() {
                let name = demo.meta().name.clone().unwrap_or_default();
                let none = json!({ "metadata": { "finalizers": null } });
                let _ = demos.delete(&name, &DeleteParams::default()).await;
                let _ = demos.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&none)).await;
            }
            self.delete_namespace(RUNS, Duration::from_secs(60)).await;
        }
        if ours.iter().any(|namespace| namespace.name_any() == SYSTEM) {
            let listed = self.helm().args(["list", "--short", "--all", "--namespace", SYSTEM]).output().await;
            for release in String::from_utf8(listed.unwrap().stdout).unwrap().split_whitespace() {
                let mut command = self.helm();
                command.args(["uninstall", release, "--namespace", SYSTEM, "--no-hooks", "--wait"]);
                assert!(command.status().await.unwrap().success(), "helm uninstall {release}");
            }
            self.delete_namespace(SYSTEM, Duration::from_secs(120)).await;
        }
        if !ours.is_empty() && !self.definition_preexists {
            // Wait for the deletion: otherwise it could complete after the next test has installed
            // its operator.
            let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
            for name in [DEFINITION, "kinesisdemoruns.kinesisdemo.io"] {
                delete(api.clone(), name, Duration::from_secs(60)).await;
            }
        }
    }
}

/// Deletes an object and waits until it no longer exists. An object that does not exist is no
/// error.
async fn delete<K>(api: Api<K>, name: &str, limit: Duration)
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let params = DeleteParams::default();
    match tokio::time::timeout(limit, delete_and_finalize(api.clone(), name, &params)).await {
        Ok(Err(Error::Delete(kube::Error::Api(error)))) if error.is_not_found() => {}
        Ok(result) => result.unwrap_or_else(|error| panic!("{name} cannot be deleted: {error}")),
        Err(_) => panic!("{name} still exists after {limit:?}: {:#?}", api.get_opt(name).await),
    }
}
