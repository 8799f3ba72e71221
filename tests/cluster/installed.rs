//! A release of the chart, with the sandbox. In: its name. Out: install, test and uninstall with
//! the helm program; the sandbox's pages through the API server; the current leader; the objects of
//! the release in the cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kinesis_demo_testing::wait::wait_for;
use kube::api::{DynamicObject, GroupVersionKind, ListParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Discovery, ResourceExt};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use crate::test_cluster::{SYSTEM, TestCluster};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/kinesis-demo-operator");
pub const LEASE: &str = "kinesis-demo-operator";
/// The label of the Pods that run tasks.
pub const TASKS: &str = "app.kubernetes.io/component=task";

/// How long the replicas must stay ready. By then the API server knows if a container exited:
/// kubelet checks every second.
const SETTLED_FOR: Duration = Duration::from_secs(4);

#[derive(Clone, Copy)]
pub struct Installed<'a> {
    cluster: &'a TestCluster,
    pub name: &'a str,
}

/// Installs the chart as a release with this name and waits until everything is ready.
pub async fn install<'a>(cluster: &'a TestCluster, name: &'a str) -> Installed<'a> {
    let registry = format!("image.registry={}", std::env::var("REGISTRY").unwrap_or_default());
    let mut command = cluster.helm();
    command.args(["install", name, CHART, "--namespace", SYSTEM, "--set", "sandbox.enabled=true"]);
    // Needed to read the sandbox's pages through the API server.
    let host = format!("sandbox.allowedHosts={{{}}}", cluster.api_server);
    command.args(["--set", &registry, "--set", &host, "--wait", "--timeout", "3m"]);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "helm install: {}", String::from_utf8_lossy(&output.stderr));
    Installed { cluster, name }
}

impl Installed<'_> {
    /// The full name of the release's objects.
    pub fn full_name(&self) -> String {
        format!("{}-kinesis-demo-operator", self.name)
    }

    /// Runs `helm test` and returns its output.
    pub async fn test(&self) -> String {
        let output =
            self.cluster.helm().args(["test", self.name, "--namespace", SYSTEM]).output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Runs `helm upgrade` to a chart whose definition has one more column and whose operator Pods
    /// are replaced.
    pub async fn upgrade_with_another_column(&self, column: &str) {
        let folder = tempfile::tempdir().unwrap();
        let chart = folder.path().join("chart");
        let copied = Command::new("cp").arg("-R").arg(CHART).arg(&chart).status().await.unwrap();
        assert!(copied.success());
        let file = chart.join("files/kinesisdemos.kinesisdemo.io.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let columns = "  - additionalPrinterColumns:\n";
        assert!(text.contains(columns), "the definition has no columns");
        let more = format!(
            "{columns}    - jsonPath: .metadata.uid\n      name: {column}\n      priority: 1\n      type: string\n"
        );
        std::fs::write(&file, text.replacen(columns, &more, 1)).unwrap();
        let mut command = self.cluster.helm();
        command.args(["upgrade", self.name]).arg(&chart).args(["--namespace", SYSTEM, "--reuse-values"]);
        command.args(["--set", "podLabels.upgraded=yes", "--wait", "--timeout", "3m"]);
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "helm upgrade: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub async fn uninstall(&self) {
        let mut command = self.cluster.helm();
        command.args(["uninstall", self.name, "--namespace", SYSTEM, "--wait", "--timeout", "5m"]);
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "helm uninstall: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A page of the sandbox, through the API server. `None` if no sandbox responds.
    pub async fn page(&self, path: &str) -> Option<Value> {
        let service = format!("{}-sandbox:aws", self.full_name());
        let uri = format!("/api/v1/namespaces/{SYSTEM}/services/{service}/proxy/_sandbox/{path}");
        let response = async {
            // The API server does not forward `Authorization`.
            let request =
                http::Request::get(uri).header("x-sandbox-access-key-id", self.access_key_id().await?);
            self.cluster.client.request::<Value>(request.body(Vec::new()).ok()?).await.ok()
        };
        timeout(Duration::from_secs(5), response).await.ok()?
    }

    /// The sandbox's access key id. `None` if there is no sandbox.
    async fn access_key_id(&self) -> Option<String> {
        let secrets: Api<Secret> = Api::namespaced(self.cluster.client.clone(), SYSTEM);
        let secret = secrets.get_opt(&format!("{}-sandbox", self.full_name())).await.ok()??;
        String::from_utf8(secret.data?.remove("AWS_ACCESS_KEY_ID")?.0).ok()
    }

    /// All replicas of the operator.
    pub async fn replicas(&self) -> Vec<Pod> {
        let labels = format!("app.kubernetes.io/instance={},app.kubernetes.io/component=operator", self.name);
        self.cluster.pods(&labels).await
    }

    /// The Pods that run tasks.
    pub async fn task_pods(&self) -> Vec<Pod> {
        self.cluster.pods(TASKS).await
    }

    /// The current leader and its epoch. `None` if there is no leader.
    pub async fn leader(&self) -> Option<(String, u64)> {
        holder(&self.leases().get_opt(LEASE).await.unwrap()?)
    }

    /// Waits until a replica leads with a later epoch.
    pub async fn led_since(&self, epoch: u64, limit: Duration) -> (String, u64) {
        let leads = |lease: Option<&Lease>| lease.and_then(holder).is_some_and(|(_, now)| now > epoch);
        let led = timeout(limit, await_condition(self.leases(), LEASE, leads)).await;
        let led = led
            .unwrap_or_else(|_| panic!("no replica leads with an epoch later than {epoch} after {limit:?}"));
        led.unwrap().as_ref().and_then(holder).unwrap()
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.cluster.client.clone(), SYSTEM)
    }

    /// Waits until two replicas have been ready for [`SETTLED_FOR`] and one of them leads.
    pub async fn settled(&self, limit: Duration) -> (String, u64) {
        let give_up_at = Instant::now() + limit;
        let mut since = None;
        loop {
            let replicas = self.replicas().await;
            let ready = replicas.iter().filter(|pod| is_ready(pod)).count();
            match self.leader().await {
                Some((holder, epoch))
                    if (replicas.len(), ready) == (2, 2)
                        && replicas.iter().any(|pod| pod.name_any() == holder) =>
                {
                    if since.get_or_insert_with(Instant::now).elapsed() >= SETTLED_FOR {
                        return (holder, epoch);
                    }
                }
                _ => since = None,
            }
            assert!(Instant::now() < give_up_at, "no two ready replicas after {limit:?}: {replicas:#?}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Waits until no object of the release is in the cluster: Pods take time to terminate.
    pub async fn wait_until_removed(&self, limit: Duration) {
        let removed = wait_for(limit, || async { self.remains().await.is_empty().then_some(()) }).await;
        assert!(removed.is_some(), "left behind: {:?}", self.remains().await);
    }

    /// The objects in the cluster that have the release's name or label, or that its Pods created.
    /// Leaves out the CustomResourceDefinition, which is kept.
    pub async fn remains(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let discovery = Discovery::new(self.cluster.client.clone()).run().await.unwrap();
        for group in discovery.groups() {
            for (resource, capabilities) in group.recommended_resources() {
                let skipped = ["CustomResourceDefinition", "KinesisDemo", "Event", "PodMetrics"];
                if skipped.contains(&resource.kind.as_str()) || !capabilities.supports_operation("list") {
                    continue;
                }
                let api: Api<DynamicObject> = Api::all_with(self.cluster.client.clone(), &resource);
                let Ok(list) = api.list(&ListParams::default()).await else { continue };
                let kind = GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind).kind;
                let ours = list.items.into_iter().filter(|object| {
                    let labelled = object.labels().get("app.kubernetes.io/instance").map(String::as_str);
                    let name = object.name_any();
                    let in_system = object.namespace().as_deref() == Some(SYSTEM);
                    labelled == Some(self.name)
                        || name.starts_with(&self.full_name())
                        || (in_system && (kind == "Pod" || kind == "Lease"))
                });
                found.extend(ours.map(|object| format!("{kind} {}", object.name_any())));
            }
        }
        found
    }
}

/// The holder of the Lease and its epoch.
pub fn holder(lease: &Lease) -> Option<(String, u64)> {
    let spec = lease.spec.as_ref()?;
    let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty())?;
    Some((holder, u64::try_from(spec.lease_transitions?).unwrap()))
}

/// Whether the Pod is ready and not terminating.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready =
        conditions.into_iter().flatten().any(|found| found.type_ == "Ready" && found.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}
