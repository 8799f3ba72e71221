//! A real API server without nodes, where the test acts as kubelet. The sandbox gets exactly the
//! permissions listed in docs/sandbox.md, in a namespace that enforces the restricted Pod Security
//! Standard.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use futures::{StreamExt, stream};
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Binding, Pod, ServiceAccount};
use kinesis_demo_local_cluster::kubernetes::apply::apply_documents;
use kinesis_demo_local_cluster::kubernetes::kubeconfig::{
    Credentials, client_from, kubeconfig, write_kubeconfig,
};
use kinesis_demo_local_cluster::{ApiServer, ApiServerOptions};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;

/// The sandbox's namespace and permissions.
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

/// A running API server.
pub struct Cluster {
    server: ApiServer,
    state: tempfile::TempDir,
}

impl Cluster {
    /// Starts the API server. Without its programs, prints a line and returns `None`.
    pub async fn start() -> Option<Self> {
        let options = ApiServerOptions::cached().await?;
        let state = tempfile::tempdir().unwrap();
        let server = ApiServer::start(state.path(), options).await.unwrap();
        Some(Self { server, state })
    }

    /// Creates a namespace with a kubelet.
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
            changes: watch::Sender::default(),
            offline: watch::Sender::default(),
            terminated: Mutex::default(),
        });
        let client = proxied(client_from(&path).await.unwrap(), Arc::clone(&kubelet));
        let sync_loop = Arc::clone(&kubelet);
        let sync_loop = tokio::spawn(async move { sync_loop.run().await });
        Node { kubelet, client, sync_loop }
    }

    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// A namespace and the kubelet for its Pods.
pub struct Node {
    pub kubelet: Arc<Kubelet>,
    /// The sandbox's client for the API server.
    pub client: Client,
    sync_loop: tokio::task::JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.sync_loop.abort();
    }
}

#[derive(Default)]
struct Output {
    lines: Vec<(Timestamp, String)>,
    has_ended: bool,
}

/// Acts as kubelet: containers run at once, print "ready", and on SIGTERM print "final line" and
/// exit with 0. Images with `missing` in their name cannot be pulled.
pub struct Kubelet {
    /// Pods, with administrator permissions.
    pub pods: Api<Pod>,
    outputs: Mutex<BTreeMap<String, Output>>,
    changes: watch::Sender<()>,
    /// True while the sandbox cannot reach the API server.
    pub offline: watch::Sender<bool>,
    /// The Pods at the time their containers got SIGTERM.
    pub terminated: Mutex<Vec<Pod>>,
}

impl Kubelet {
    async fn run(&self) {
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

    fn write(&self, pod: &str, line: &str, has_ended: bool) {
        let mut outputs = self.outputs.lock().unwrap();
        let output = outputs.entry(pod.to_owned()).or_default();
        output.lines.push((Timestamp::now(), line.to_owned()));
        output.has_ended = has_ended;
        self.changes.send_replace(());
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
            // An error means that the Pod was deleted meanwhile.
            let _: Result<Value, _> =
                self.pods.create_subresource("binding", &name, &PostParams::default(), &binding).await;
        } else if is_running && (is_deleted || spec.active_deadline_seconds.is_some()) {
            self.terminated.lock().unwrap().push(pod.clone());
            self.write(&name, "final line", true);
            self.report(pod, "Failed", json!({"terminated": {"exitCode": 0, "reason": "Completed"}})).await;
        } else if is_deleted && !is_running {
            self.outputs.lock().unwrap().remove(&name);
            // An error means that the Pod is already deleted.
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
        // An error means that the Pod was deleted meanwhile and needs no status.
        let _ = self.pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await;
    }

    /// `GET …/pods/NAME/log`, with or without following.
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
        let state = (Arc::clone(self), self.changes.subscribe(), 0);
        let lines = stream::unfold(state, move |(kubelet, mut changes, next)| {
            let pod = pod.clone();
            async move {
                loop {
                    let (line, has_ended) = match kubelet.outputs.lock().unwrap().get(&pod) {
                        Some(output) => (output.lines.get(next).cloned(), output.has_ended),
                        None => (None, true),
                    };
                    if let Some((at, text)) = line {
                        let is_included = since.is_none_or(|since| at >= since);
                        let bytes = if is_included { format!("{at} {text}\n") } else { String::new() };
                        return Some((Ok::<_, std::io::Error>(bytes), (kubelet, changes, next + 1)));
                    }
                    if has_ended || !follows || changes.changed().await.is_err() {
                        return None;
                    }
                }
            }
        });
        Response::new(Body::from_stream(lines))
    }
}

/// A client whose log requests go to the kubelet. All its requests fail while the API server is
/// offline.
fn proxied(client: Client, kubelet: Arc<Kubelet>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let (client, kubelet) = (client.clone(), Arc::clone(&kubelet));
        async move {
            let mut offline = kubelet.offline.subscribe();
            if *offline.borrow() {
                return Err(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)).into());
            }
            let response = if request.uri().path().ends_with("/log") {
                kubelet.log(&request)
            } else {
                client.send(request).await.map_err(tower::BoxError::from)?.map(Body::new)
            };
            let cut = async move {
                // An error is impossible: the kubelet outlives its connections.
                let _ = offline.wait_for(|offline| *offline).await;
            };
            Ok::<_, tower::BoxError>(
                response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(cut)))),
            )
        }
    });
    Client::new(service, namespace)
}
