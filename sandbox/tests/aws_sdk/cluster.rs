//! A real API server without nodes, on which the test plays kubelet. The sandbox gets the rights that docs/sandbox.md lists, no
//! more, in a namespace that enforces the restricted Pod Security Standard.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use futures::{StreamExt, stream};
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Binding, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use kubectl_kinesisdemo::local_cluster::access::apply_documents;
use kubectl_kinesisdemo::local_cluster::assets::cached_assets;
use kubectl_kinesisdemo::local_cluster::kubeconfig::{
    Credentials, client_from, kubeconfig, write_kubeconfig,
};
use kubectl_kinesisdemo::local_cluster::{ApiServer, ApiServerOptions};
use serde_json::{Value, json};
use tokio::sync::watch;

/// What the sandbox may do, and the namespace it may do it in.
const NAMESPACE: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: NAME, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: NAME}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: sandbox, namespace: NAME}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: sandbox, namespace: NAME}
rules:
  - {apiGroups: [""], resources: [pods], verbs: [create, delete, list, patch, watch]}
  - {apiGroups: [""], resources: [pods/log], verbs: [get]}
  - {apiGroups: [""], resources: [secrets], resourceNames: [sandbox], verbs: [get, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: sandbox, namespace: NAME}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: sandbox}
subjects: [{kind: ServiceAccount, name: sandbox, namespace: NAME}]
"#;

/// The API server.
pub struct Cluster {
    server: ApiServer,
    state: tempfile::TempDir,
}

impl Cluster {
    /// None where this machine has no API server.
    pub async fn start() -> Option<Self> {
        // The other crates' clients have installed one already, or nobody has.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let assets = cached_assets().await?;
        let state = tempfile::tempdir().unwrap();
        let server = ApiServer::start(state.path(), ApiServerOptions::new(assets)).await.unwrap();
        Some(Self { server, state })
    }

    /// A namespace with a kubelet.
    pub async fn namespace(&self, name: &str) -> Node {
        let admin = self.server.client();
        apply_documents(&admin, &NAMESPACE.replace("NAME", name)).await.unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), name);
        let request = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
        let token = accounts.create_token_request("sandbox", &PostParams::default(), &request).await.unwrap();
        let path = self.state.path().join(format!("{name}.kubeconfig"));
        let token = Credentials::Token(token.status.unwrap().token);
        write_kubeconfig(&path, &kubeconfig(self.server.endpoint(), "sandbox", name, &token)).unwrap();
        let kubelet = Arc::new(Kubelet {
            pods: Api::namespaced(admin, name),
            outputs: Mutex::default(),
            news: watch::Sender::default(),
            away: watch::Sender::default(),
            terminated: Mutex::default(),
        });
        let client = proxied(client_from(&path).await.unwrap(), Arc::clone(&kubelet));
        let living = Arc::clone(&kubelet);
        let living = tokio::spawn(async move { living.live().await });
        Node { kubelet, client, living }
    }

    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// A namespace and the kubelet of its Pods.
pub struct Node {
    pub kubelet: Arc<Kubelet>,
    /// The sandbox's way to the API server.
    pub client: Client,
    living: tokio::task::JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.living.abort();
    }
}

#[derive(Default)]
struct Output {
    lines: Vec<(Timestamp, String)>,
    is_over: bool,
}

/// Plays kubelet: containers run at once, say "ready", and on SIGTERM say "last word" and exit with 0. Images named `missing`
/// cannot be pulled.
pub struct Kubelet {
    /// With an administrator's rights.
    pub pods: Api<Pod>,
    outputs: Mutex<BTreeMap<String, Output>>,
    news: watch::Sender<()>,
    /// Whether the sandbox finds no API server.
    pub away: watch::Sender<bool>,
    /// The Pods as they were when their containers got SIGTERM.
    pub terminated: Mutex<Vec<Pod>>,
}

impl Kubelet {
    async fn live(&self) {
        loop {
            for pod in self.pods.list(&ListParams::default()).await.unwrap() {
                self.sync(&pod).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn names(&self) -> Vec<String> {
        self.pods.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect()
    }

    fn write(&self, pod: &str, line: &str, is_over: bool) {
        let mut outputs = self.outputs.lock().unwrap();
        let output = outputs.entry(pod.to_owned()).or_default();
        output.lines.push((Timestamp::now(), line.to_owned()));
        output.is_over = is_over;
        self.news.send_replace(());
    }

    async fn sync(&self, pod: &Pod) {
        let name = pod.name_any();
        let spec = pod.spec.as_ref().unwrap();
        let image = spec.containers[0].image.as_deref().unwrap();
        let state =
            pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()?.first()?.state.clone());
        let is_deleted = pod.metadata.deletion_timestamp.is_some();
        let is_running = state.as_ref().is_some_and(|state| state.running.is_some());
        if spec.node_name.is_none() {
            let binding = json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": "test"}});
            let binding: Binding = serde_json::from_value(binding).unwrap();
            // Deleted meanwhile is as good.
            let _: Result<Value, _> =
                self.pods.create_subresource("binding", &name, &PostParams::default(), &binding).await;
        } else if is_running && (is_deleted || spec.active_deadline_seconds.is_some()) {
            self.terminated.lock().unwrap().push(pod.clone());
            self.write(&name, "last word", true);
            self.report(pod, "Failed", json!({"terminated": {"exitCode": 0, "reason": "Completed"}})).await;
        } else if is_deleted && !is_running {
            self.outputs.lock().unwrap().remove(&name);
            // Gone already is as good.
            let _ = self.pods.delete(&name, &DeleteParams::default().grace_period(0)).await;
        } else if state.is_none() && image.contains("missing") {
            self.report(
                pod,
                "Pending",
                json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}}),
            )
            .await;
        } else if state.is_none() {
            self.write(&name, "ready", false);
            self.report(pod, "Running", json!({"running": {"startedAt": "2026-11-23T00:00:00Z"}})).await;
        }
    }

    async fn report(&self, pod: &Pod, phase: &str, state: Value) {
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let status = json!({"status": {"phase": phase, "containerStatuses": [{
            "name": container.name, "image": container.image, "imageID": "", "ready": true, "restartCount": 0, "state": state,
        }]}});
        // A Pod that is deleted meanwhile needs no status.
        let _ = self.pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await;
    }

    /// `GET …/pods/NAME/log`, followed to its end or not.
    fn log(self: &Arc<Self>, request: &Request<kube::client::Body>) -> Response<Body> {
        let pod = request.uri().path().rsplit('/').nth(1).unwrap().to_owned();
        let query = request.uri().query().unwrap_or_default();
        let follows = query.contains("follow=true");
        let since = query.split('&').find_map(|pair| pair.strip_prefix("sinceTime="));
        let since: Option<Timestamp> = since.map(|text| text.replace("%3A", ":").parse().unwrap());
        if !self.outputs.lock().unwrap().contains_key(&pod) {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "message": "not found", "reason": "NotFound"});
            let mut response = Response::new(Body::from(status.to_string()));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
        let state = (Arc::clone(self), self.news.subscribe(), 0);
        let lines = stream::unfold(state, move |(kubelet, mut news, next)| {
            let pod = pod.clone();
            async move {
                loop {
                    let (line, is_over) = match kubelet.outputs.lock().unwrap().get(&pod) {
                        Some(output) => (output.lines.get(next).cloned(), output.is_over),
                        None => (None, true),
                    };
                    if let Some((at, text)) = line {
                        let sent = since.is_none_or(|since| at >= since);
                        let bytes = if sent { format!("{at} {text}\n") } else { String::new() };
                        return Some((Ok::<_, std::io::Error>(bytes), (kubelet, news, next + 1)));
                    }
                    if is_over || !follows || news.changed().await.is_err() {
                        return None;
                    }
                }
            }
        });
        Response::new(Body::from_stream(lines))
    }
}

/// A client whose log requests the kubelet answers, and which finds nobody while the API server is away.
fn proxied(client: Client, kubelet: Arc<Kubelet>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let (client, kubelet) = (client.clone(), Arc::clone(&kubelet));
        async move {
            let mut away = kubelet.away.subscribe();
            if *away.borrow() {
                return Err(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)).into());
            }
            let response = if request.uri().path().ends_with("/log") {
                kubelet.log(&request)
            } else {
                client.send(request).await.map_err(tower::BoxError::from)?.map(Body::new)
            };
            let cut = async move {
                // The kubelet outlives its connections.
                let _ = away.wait_for(|away| *away).await;
            };
            Ok::<_, tower::BoxError>(
                response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(cut)))),
            )
        }
    });
    Client::new(service, namespace)
}
