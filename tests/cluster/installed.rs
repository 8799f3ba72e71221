//! A release of the chart, with the sandbox. In: its name. Out: install, test, uninstall by Helm's own program; the sandbox's pages by way of
//! the API server; who leads; what of the release is in the cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{DynamicObject, GroupVersionKind, ListParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Discovery, ResourceExt};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use crate::test_cluster::{SYSTEM, TestCluster};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/kinesis-demo-operator");
pub const LEASE: &str = "kinesis-demo-operator";
/// On the Pods that run tasks.
pub const TASKS: &str = "app.kubernetes.io/component=task";

/// By then the API server has heard of a container's end: kubelet looks every second.
const TOLD_AFTER: Duration = Duration::from_secs(4);

#[derive(Clone, Copy)]
pub struct Installed<'a> {
    place: &'a TestCluster,
    pub name: &'a str,
}

/// Installs the chart as a release of this name and waits until all of it is ready.
pub async fn install<'a>(place: &'a TestCluster, name: &'a str) -> Installed<'a> {
    let registry = format!("image.registry={}", std::env::var("REGISTRY").unwrap_or_default());
    let mut command = place.helm();
    command.args(["install", name, CHART, "--namespace", SYSTEM, "--set", "sandbox.enabled=true"]);
    // For the pages by way of the API server.
    let host = format!("sandbox.allowedHosts={{{}}}", place.api_server);
    command.args(["--set", &registry, "--set", &host, "--wait", "--timeout", "3m"]);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "helm install: {}", String::from_utf8_lossy(&output.stderr));
    Installed { place, name }
}

impl Installed<'_> {
    /// The name of the release's objects.
    pub fn full_name(&self) -> String {
        format!("{}-kinesis-demo-operator", self.name)
    }

    /// `helm test`: its output.
    pub async fn test(&self) -> String {
        let output =
            self.place.helm().args(["test", self.name, "--namespace", SYSTEM]).output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// `helm upgrade` to a chart whose definition has one more column, and whose operator's Pods are others.
    pub async fn upgrade_with_another_column(&self, column: &str) {
        let folder = tempfile::tempdir().unwrap();
        let chart = folder.path().join("chart");
        let copied = Command::new("cp").arg("-R").arg(CHART).arg(&chart).status().await.unwrap();
        assert!(copied.success());
        let file = chart.join("files/kinesisdemos.kinesisdemo.io.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let columns = "  - additionalPrinterColumns:\n";
        assert!(text.contains(columns), "the definition has columns");
        let more = format!(
            "{columns}    - jsonPath: .metadata.uid\n      name: {column}\n      priority: 1\n      type: string\n"
        );
        std::fs::write(&file, text.replacen(columns, &more, 1)).unwrap();
        let mut command = self.place.helm();
        command.args(["upgrade", self.name]).arg(&chart).args(["--namespace", SYSTEM, "--reuse-values"]);
        command.args(["--set", "podLabels.upgraded=yes", "--wait", "--timeout", "3m"]);
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "helm upgrade: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub async fn uninstall(&self) {
        let mut command = self.place.helm();
        command.args(["uninstall", self.name, "--namespace", SYSTEM, "--wait", "--timeout", "5m"]);
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "helm uninstall: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A page of the sandbox, through the API server; None while there is no sandbox that answers.
    pub async fn page(&self, path: &str) -> Option<Value> {
        let service = format!("{}-sandbox:aws", self.full_name());
        let uri = format!("/api/v1/namespaces/{SYSTEM}/services/{service}/proxy/_sandbox/{path}");
        let answer = async {
            // The API server keeps `Authorization` to itself.
            let request =
                http::Request::get(uri).header("x-sandbox-access-key-id", self.access_key_id().await?);
            self.place.client.request::<Value>(request.body(Vec::new()).ok()?).await.ok()
        };
        timeout(Duration::from_secs(5), answer).await.ok()?
    }

    /// The sandbox's key; None while there is none.
    async fn access_key_id(&self) -> Option<String> {
        let secrets: Api<Secret> = Api::namespaced(self.place.client.clone(), SYSTEM);
        let held = secrets.get_opt(&format!("{}-sandbox", self.full_name())).await.ok()??;
        String::from_utf8(held.data?.remove("AWS_ACCESS_KEY_ID")?.0).ok()
    }

    /// All replicas of the operator.
    pub async fn replicas(&self) -> Vec<Pod> {
        let labels = format!("app.kubernetes.io/instance={},app.kubernetes.io/component=operator", self.name);
        self.place.pods(&labels).await
    }

    /// The Pods that run tasks.
    pub async fn task_pods(&self) -> Vec<Pod> {
        self.place.pods(TASKS).await
    }

    /// Who leads, and its epoch; None if nobody does.
    pub async fn leader(&self) -> Option<(String, u64)> {
        holder(&self.leases().get_opt(LEASE).await.unwrap()?)
    }

    /// Waits until somebody leads under a later epoch.
    pub async fn led_since(&self, epoch: u64, limit: Duration) -> (String, u64) {
        let leads = |lease: Option<&Lease>| lease.and_then(holder).is_some_and(|(_, now)| now > epoch);
        let led = timeout(limit, await_condition(self.leases(), LEASE, leads)).await;
        let led =
            led.unwrap_or_else(|_| panic!("after {limit:?} nobody leads under an epoch later than {epoch}"));
        led.unwrap().as_ref().and_then(holder).unwrap()
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.place.client.clone(), SYSTEM)
    }

    /// Waits until two replicas are ready, and stay so for [`TOLD_AFTER`], and one of them leads.
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
                    if since.get_or_insert_with(Instant::now).elapsed() >= TOLD_AFTER {
                        return (holder, epoch);
                    }
                }
                _ => since = None,
            }
            assert!(Instant::now() < give_up_at, "no two ready replicas after {limit:?}: {replicas:#?}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Waits until nothing of the release is in the cluster: Pods take their time to end.
    pub async fn gone(&self, limit: Duration) {
        let give_up_at = Instant::now() + limit;
        loop {
            let remains = self.remains().await;
            if remains.is_empty() {
                return;
            }
            assert!(Instant::now() < give_up_at, "left behind: {remains:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// What is in the cluster under the release's name or label, or by its Pods' own hand; the definition, which is kept, is not told.
    pub async fn remains(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let discovery = Discovery::new(self.place.client.clone()).run().await.unwrap();
        for group in discovery.groups() {
            for (resource, capabilities) in group.recommended_resources() {
                let skipped = ["CustomResourceDefinition", "KinesisDemo", "Event", "PodMetrics"];
                if skipped.contains(&resource.kind.as_str()) || !capabilities.supports_operation("list") {
                    continue;
                }
                let api: Api<DynamicObject> = Api::all_with(self.place.client.clone(), &resource);
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

/// Who holds the Lease, and the epoch.
pub fn holder(lease: &Lease) -> Option<(String, u64)> {
    let spec = lease.spec.as_ref()?;
    let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty())?;
    Some((holder, u64::try_from(spec.lease_transitions?).unwrap()))
}

/// Whether the Pod is ready, and not on its way out.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready =
        conditions.into_iter().flatten().any(|found| found.type_ == "Ready" && found.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}
