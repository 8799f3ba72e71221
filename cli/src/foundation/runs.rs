//! The runs in a Kubernetes cluster. In: a kubeconfig; the account and Region of a stack. Out: the
//! KinesisDemos that still need them. Reads all namespaces; the decision is pure.

use std::path::PathBuf;

use async_trait::async_trait;
use kinesis_demo_api::KinesisDemo;
use kinesis_demo_api::demo::FINALIZER;
use kube::config::KubeconfigError;
use kube::core::DeserializeGuard;
use kube::{Resource, ResourceExt};

use super::error::{FoundationError, FoundationResult};
use crate::args::Connection;
use crate::cluster::Cluster;
use crate::error::CliError;

/// The result of reading the KinesisDemos.
pub enum FetchedRuns {
    Objects(Vec<DeserializeGuard<KinesisDemo>>),
    /// Kubernetes could not be queried, and why.
    Unavailable(String),
}

#[async_trait]
pub trait Runs: Send + Sync {
    /// The KinesisDemos of all namespaces.
    async fn fetch(&self) -> FoundationResult<FetchedRuns>;
}

/// The cluster that a kubeconfig selects.
pub struct ClusterRuns {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
}

#[async_trait]
impl Runs for ClusterRuns {
    async fn fetch(&self) -> FoundationResult<FetchedRuns> {
        let failed = |error: CliError| FoundationError::Kubernetes(Box::new(error));
        let named = self.kubeconfig.is_some()
            || self.context.is_some()
            || std::env::var_os("KUBECONFIG").is_some_and(|paths| !paths.is_empty());
        let connection = Connection {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            namespace: None,
        };
        let cluster = match Cluster::connect(&connection).await {
            Err(error) if !named && is_kubeconfig_missing(&error) => {
                return Ok(FetchedRuns::Unavailable("there is no kubeconfig".into()));
            }
            connected => connected.map_err(failed)?,
        };
        match cluster.fetch_all(true).await {
            Err(CliError::Kubernetes { error, .. }) if is_not_installed(&error) => {
                Ok(FetchedRuns::Unavailable("KinesisDemo is not installed in the Kubernetes cluster".into()))
            }
            fetched => fetched.map(FetchedRuns::Objects).map_err(failed),
        }
    }
}

/// Whether there is no kubeconfig at the default path.
fn is_kubeconfig_missing(error: &CliError) -> bool {
    let CliError::Kubeconfig { source, .. } = error else { return false };
    match source.downcast_ref::<KubeconfigError>() {
        Some(KubeconfigError::ReadConfig(error, _)) => error.kind() == std::io::ErrorKind::NotFound,
        Some(KubeconfigError::FindPath) => true,
        _ => false,
    }
}

/// Whether the cluster does not have this resource.
fn is_not_installed(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}

/// Descriptions of the objects that still need the account and the Region. For a run that has not
/// started, the operator's choice of both is unknown: it counts as using this account and Region
/// unless its spec names another Region.
#[must_use]
pub fn live_runs(objects: &[DeserializeGuard<KinesisDemo>], account: &str, region: &str) -> Vec<String> {
    let live = |DeserializeGuard(object): &DeserializeGuard<KinesisDemo>| match object {
        Ok(demo) => is_live(demo, account, region).then(|| {
            let stage = demo.status.as_ref().and_then(|status| status.stage).unwrap_or_default();
            format!("{} ({stage})", qualified_name(demo.meta()))
        }),
        // The finalizer shows that the operator has created resources for it; what remains is
        // unknown.
        Err(invalid) => invalid
            .metadata
            .finalizers
            .iter()
            .flatten()
            .any(|finalizer| finalizer == FINALIZER)
            .then(|| format!("{} (unreadable)", qualified_name(&invalid.metadata))),
    };
    objects.iter().filter_map(live).collect()
}

fn is_live(demo: &KinesisDemo, account: &str, region: &str) -> bool {
    let status = demo.status.as_ref();
    let ended = status.and_then(|status| status.stage).is_some_and(|stage| stage.is_terminal());
    if ended && !demo.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        return false;
    }
    match status.and_then(|status| status.run.as_ref()?.effective.as_ref()) {
        Some(effective) => effective.account_id == account && effective.region == region,
        None => demo.spec.region.as_ref().is_none_or(|named| named == region),
    }
}

fn qualified_name(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> String {
    let of = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}/{}", of(&metadata.namespace), of(&metadata.name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(name: &str, finalizer: bool, spec: Value, status: Value) -> DeserializeGuard<KinesisDemo> {
        let finalizers: &[&str] = if finalizer { &[FINALIZER] } else { &[] };
        let object = json!({
            "apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo",
            "metadata": {"name": name, "namespace": "demos", "finalizers": finalizers},
            "spec": spec, "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    fn run_in(account: &str, region: &str) -> Value {
        json!({"number": 1, "stageEnteredAt": "2026-11-23T10:00:00.000000Z", "effective": {
            "accountId": account, "region": region, "cluster": "kinesis-demo", "streamName": "s",
            "baseName": "kd-s", "spec": {}}})
    }

    #[test]
    fn a_run_is_live_until_it_is_over_and_cleaned_up() {
        let run = run_in("111122223333", "us-east-1");
        let staged = |stage: &str| json!({"stage": stage, "run": run});
        let objects = [
            object("running", true, json!({}), staged("Running")),
            object("cleaning", true, json!({}), staged("CleaningUp")),
            // Its stage is terminal, but the operator's finalizer shows that something is left.
            object("unfinished", true, json!({}), staged("Aborted")),
            object("over", false, json!({}), staged("Succeeded")),
            object("new", false, json!({}), json!(null)),
        ];
        assert_eq!(
            live_runs(&objects, "111122223333", "us-east-1"),
            [
                "demos/running (Running)",
                "demos/cleaning (CleaningUp)",
                "demos/unfinished (Aborted)",
                "demos/new (Pending)"
            ]
        );
    }

    #[test]
    fn runs_elsewhere_are_ignored_and_unknown_ones_count() {
        let running =
            |account: &str, region: &str| json!({"stage": "Running", "run": run_in(account, region)});
        let objects = [
            object("elsewhere", true, json!({}), running("111122223333", "eu-west-1")),
            object("sandbox", true, json!({}), running("000000000000", "us-east-1")),
            object("planned-elsewhere", false, json!({"region": "eu-west-1"}), json!({"stage": "Pending"})),
            object("planned-here", false, json!({"region": "us-east-1"}), json!({"stage": "Pending"})),
            object("unreadable", true, json!({"phases": 7}), json!({})),
            object("unreadable-and-free", false, json!({"phases": 7}), json!({})),
        ];
        assert_eq!(
            live_runs(&objects, "111122223333", "us-east-1"),
            ["demos/planned-here (Pending)", "demos/unreadable (unreadable)"]
        );
    }

    #[tokio::test]
    async fn a_kubeconfig_given_explicitly_must_exist() {
        let runs = ClusterRuns { kubeconfig: Some("/nonexistent/kubeconfig".into()), context: None };
        let error = runs.fetch().await.err().expect("the file does not exist");
        assert!(
            matches!(&error, FoundationError::Kubernetes(inner) if is_kubeconfig_missing(inner)),
            "{error:?}"
        );
        assert!(error.next_step().unwrap().ends_with("or use --skip-kubernetes to check only AWS"));
    }
}
