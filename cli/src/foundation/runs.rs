//! The runs that a Kubernetes cluster has. In: a kubeconfig; the account and Region of a stack. Out: the KinesisDemos that still need them.
//! Reads all namespaces; the judging is pure.

use std::path::PathBuf;

use async_trait::async_trait;
use kinesis_demo_api::KinesisDemo;
use kinesis_demo_api::demo::FINALIZER;
use kube::config::KubeconfigError;
use kube::core::DeserializeGuard;
use kube::{Resource, ResourceExt};

use super::{FoundationError, FoundationResult};
use crate::args::Connection;
use crate::cluster::Cluster;
use crate::error::CliError;

/// What came of asking.
pub enum Asked {
    Objects(Vec<DeserializeGuard<KinesisDemo>>),
    /// There was nobody to ask, and why.
    Nobody(String),
}

#[async_trait]
pub trait Runs: Send + Sync {
    /// The KinesisDemos of all namespaces.
    async fn fetch(&self) -> FoundationResult<Asked>;
}

/// The cluster that a kubeconfig names.
pub struct ClusterRuns {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
}

#[async_trait]
impl Runs for ClusterRuns {
    async fn fetch(&self) -> FoundationResult<Asked> {
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
            Err(error) if !named && is_missing(&error) => {
                return Ok(Asked::Nobody("there is no kubeconfig".into()));
            }
            connected => connected.map_err(failed)?,
        };
        match cluster.fetch_all(true).await {
            Err(CliError::Kubernetes { error, .. }) if is_unknown(&error) => {
                Ok(Asked::Nobody("the Kubernetes cluster does not know KinesisDemo".into()))
            }
            fetched => fetched.map(Asked::Objects).map_err(failed),
        }
    }
}

/// Whether there is no kubeconfig at the usual place.
fn is_missing(error: &CliError) -> bool {
    let CliError::Kubeconfig { source, .. } = error else { return false };
    match source.downcast_ref::<KubeconfigError>() {
        Some(KubeconfigError::ReadConfig(error, _)) => error.kind() == std::io::ErrorKind::NotFound,
        Some(KubeconfigError::FindPath) => true,
        _ => false,
    }
}

/// Whether the cluster has no such resource.
fn is_unknown(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}

/// The objects that still need the account and the Region, for people. One that has not begun needs what its operator will choose: that is
/// not known, and counts as this one unless its spec names another Region.
#[must_use]
pub fn live_runs(objects: &[DeserializeGuard<KinesisDemo>], account: &str, region: &str) -> Vec<String> {
    let live = |DeserializeGuard(object): &DeserializeGuard<KinesisDemo>| match object {
        Ok(demo) => is_live(demo, account, region).then(|| {
            let stage = demo.status.as_ref().and_then(|status| status.stage).unwrap_or_default();
            format!("{} ({stage})", place(demo.meta()))
        }),
        // The operator has begun something for it, and cannot know what is left.
        Err(invalid) => invalid
            .metadata
            .finalizers
            .iter()
            .flatten()
            .any(|held| held == FINALIZER)
            .then(|| format!("{} (unreadable)", place(&invalid.metadata))),
    };
    objects.iter().filter_map(live).collect()
}

fn is_live(demo: &KinesisDemo, account: &str, region: &str) -> bool {
    let status = demo.status.as_ref();
    let ended = status.and_then(|status| status.stage).is_some_and(|stage| stage.is_terminal());
    if ended && !demo.finalizers().iter().any(|held| held == FINALIZER) {
        return false;
    }
    match status.and_then(|status| status.run.as_ref()?.effective.as_ref()) {
        Some(effective) => effective.account_id == account && effective.region == region,
        None => demo.spec.region.as_ref().is_none_or(|named| named == region),
    }
}

fn place(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> String {
    let of = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}/{}", of(&metadata.namespace), of(&metadata.name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(name: &str, finalizer: bool, spec: Value, status: Value) -> DeserializeGuard<KinesisDemo> {
        let held: &[&str] = if finalizer { &[FINALIZER] } else { &[] };
        let object = json!({
            "apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo",
            "metadata": {"name": name, "namespace": "demos", "finalizers": held},
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
    fn a_run_lives_until_it_is_over_and_cleaned_up() {
        let run = run_in("111122223333", "us-east-1");
        let staged = |stage: &str| json!({"stage": stage, "run": run});
        let objects = [
            object("running", true, json!({}), staged("Running")),
            object("cleaning", true, json!({}), staged("CleaningUp")),
            // Over by its stage, and yet the operator holds it: something is left.
            object("held", true, json!({}), staged("Aborted")),
            object("over", false, json!({}), staged("Succeeded")),
            object("new", false, json!({}), json!(null)),
        ];
        assert_eq!(
            live_runs(&objects, "111122223333", "us-east-1"),
            [
                "demos/running (Running)",
                "demos/cleaning (CleaningUp)",
                "demos/held (Aborted)",
                "demos/new (Pending)"
            ]
        );
    }

    #[test]
    fn runs_of_other_accounts_and_regions_do_not_matter_and_unknown_ones_do() {
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
    async fn a_kubeconfig_that_is_named_must_be_there() {
        let runs = ClusterRuns { kubeconfig: Some("/nonexistent/kubeconfig".into()), context: None };
        let error = runs.fetch().await.err().expect("it is not there");
        assert!(matches!(&error, FoundationError::Kubernetes(inner) if is_missing(inner)), "{error:?}");
        assert!(error.next_step().unwrap().ends_with("or --skip-kubernetes asks AWS only"));
    }
}
