//! The cluster that the tests were given, and the namespaces they use in it. In: the environment. Out: a client, the programs helm and
//! kubectl bound to the context, and a clean place. Refuses a cluster in which others have runs: uninstalling would end them.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kinesis_demo_api::KinesisDemo;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::KubeConfigOptions;
use kube::core::DeserializeGuard;
use kube::runtime::wait::delete::{Error, delete_and_finalize};
use kube::{Api, Client, Config, Resource, ResourceExt};
use kubectl_kinesisdemo::cluster::Cluster;
use kubectl_kinesisdemo::follow::until;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::process::Command;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// Where the chart is installed: under the restricted Pod Security Standard.
pub const SYSTEM: &str = "kinesis-demo-test";
/// Where the KinesisDemos are.
pub const RUNS: &str = "kinesis-demo-test-runs";
/// On the namespaces that the tests made: no other is ever removed.
const MARK: &str = "kinesisdemo.io/cluster-test";
const DEFINITION: &str = "kinesisdemos.kinesisdemo.io";

/// One test at a time: they share the cluster.
static TURN: Mutex<()> = Mutex::const_new(());

pub struct TestCluster {
    pub client: Client,
    pub runs: Cluster,
    /// The name under which the API server is addressed, and which its proxy passes on as `Host`.
    pub api_server: String,
    context: String,
    began: Instant,
    /// Then it is not the tests' to change.
    pub definition_was_there: bool,
    _turn: MutexGuard<'static, ()>,
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

/// The cluster, cleared of what an earlier test left; None, and a line, if none was named.
pub async fn place() -> Option<TestCluster> {
    kubectl_kinesisdemo::install_crypto();
    let Ok(context) = std::env::var("KINESISDEMO_CLUSTER_CONTEXT") else {
        println!("skipped: no cluster named; make cluster-test CONTEXT=…");
        return None;
    };
    let turn = TURN.lock().await;
    let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
    let config = Config::from_kubeconfig(&options).await.unwrap();
    let api_server = config.cluster_url.host().unwrap().to_owned();
    let client = Client::try_from(config).unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition_was_there = definitions.get_opt(DEFINITION).await.unwrap().is_some();
    let runs = Cluster::new(client.clone(), RUNS);
    let began = Instant::now();
    let place = TestCluster { client, runs, api_server, context, began, definition_was_there, _turn: turn };
    place.clear().await;
    if definition_was_there {
        let others = place.runs.fetch_all(true).await.unwrap();
        let others: Vec<_> = others
            .iter()
            .map(|object| format!("{:?}/{:?}", object.meta().namespace, object.meta().name))
            .collect();
        assert!(others.is_empty(), "the cluster has KinesisDemos that the tests would end: {others:?}");
    }
    place.make_namespace(SYSTEM, &[("pod-security.kubernetes.io/enforce", "restricted")]).await;
    place.make_namespace(RUNS, &[]).await;
    Some(place)
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

    /// Prints what is going on, with the seconds since the test began.
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

    /// The Pods of the system namespace that bear these labels.
    pub async fn pods(&self, labels: &str) -> Vec<Pod> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), SYSTEM);
        api.list(&ListParams::default().labels(labels)).await.unwrap().items
    }

    pub async fn make_namespace(&self, name: &str, labels: &[(&str, &str)]) {
        let mut labels: std::collections::BTreeMap<_, _> = labels.iter().copied().collect();
        labels.insert(MARK, "");
        let namespace =
            serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels } })).unwrap();
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.create(&PostParams::default(), &namespace).await.unwrap();
    }

    /// Deletes a namespace and waits until it is gone.
    pub async fn delete_namespace(&self, name: &str, limit: Duration) {
        delete(Api::<Namespace>::all(self.client.clone()), name, limit).await;
    }

    /// Waits until the object is as wanted.
    pub async fn wait(
        &self,
        name: &str,
        limit: Duration,
        wanted: impl FnMut(&KinesisDemo) -> bool,
    ) -> KinesisDemo {
        match tokio::time::timeout(limit, until(&self.runs, name, wanted)).await {
            Ok(demo) => demo.unwrap().unwrap_or_else(|| panic!("{name} is gone")),
            Err(_) => panic!("{name} is not as awaited after {limit:?}: {:#?}", self.runs.fetch(name).await),
        }
    }

    /// Removes all that the tests made.
    pub async fn close(self) {
        self.clear().await;
    }

    async fn clear(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let ours = namespaces.list(&ListParams::default().labels(MARK)).await.unwrap().items;
        // What a failed test left has perhaps no operator to let it go.
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
        if !ours.is_empty() && !self.definition_was_there {
            // One on its way out would go after the next test had installed its operator.
            let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
            delete(api, DEFINITION, Duration::from_secs(60)).await;
        }
    }
}

/// Deletes an object and waits until it is gone; one that is not there is.
async fn delete<K>(api: Api<K>, name: &str, limit: Duration)
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let params = DeleteParams::default();
    match tokio::time::timeout(limit, delete_and_finalize(api.clone(), name, &params)).await {
        Ok(Err(Error::Delete(kube::Error::Api(refusal)))) if refusal.is_not_found() => {}
        Ok(result) => result.unwrap_or_else(|error| panic!("{name} cannot be deleted: {error}")),
        Err(_) => panic!("{name} is not gone after {limit:?}: {:#?}", api.get_opt(name).await),
    }
}
