//! The page of a real API server, for users of different roles.

use std::time::Duration;

use kinesis_demo_api::KinesisDemo;
use kinesis_demo_api::demo::REQUEST_ANNOTATION;
use kinesis_demo_local_cluster::kubernetes::definition;
use kinesis_demo_local_cluster::{ApiServer, ApiServerOptions};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kubectl_kinesisdemo::args::Connection;
use kubectl_kinesisdemo::cluster::Cluster;
use kubectl_kinesisdemo::dashboard::server::Source;
use kubectl_kinesisdemo::dashboard::watching::Watching;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Page;

/// A cluster with a namespace, and one object in it.
struct Harness {
    server: ApiServer,
    state: tempfile::TempDir,
}

impl Harness {
    async fn set_up() -> Option<Self> {
        let options = ApiServerOptions::cached().await?;
        let state = tempfile::tempdir().unwrap();
        let server = ApiServer::start(state.path(), options).await.unwrap();
        definition::put_namespace(&server.client(), "demos").await.unwrap();
        definition::put_definitions(&server.client()).await.unwrap();
        Some(Self { server, state })
    }

    fn demos(&self) -> Api<KinesisDemo> {
        Api::namespaced(self.server.client(), "demos")
    }

    async fn create(&self, name: &str) {
        let demo = json!({"apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo", "metadata": {"name": name}, "spec": {}});
        self.demos().create(&PostParams::default(), &serde_json::from_value(demo).unwrap()).await.unwrap();
        let run = json!({"number": 3, "stageEnteredAt": "2026-11-22T10:00:00.000000Z"});
        let status = json!({"status": {"stage": "Running", "observedGeneration": 1, "run": run}});
        self.demos().patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    /// The cluster as another user sees it, by impersonation.
    async fn cluster_of(&self, user: Option<&str>) -> Cluster {
        let text = std::fs::read_to_string(self.server.admin_kubeconfig()).unwrap();
        let mut config: Value = serde_saphyr::from_str(&text).unwrap();
        if let Some(user) = user {
            config["users"][0]["user"]["as"] = json!(user);
        }
        let path = self.state.path().join("user.kubeconfig");
        std::fs::write(&path, config.to_string()).unwrap();
        let connection =
            Connection { kubeconfig: Some(path), context: None, namespace: Some("demos".into()) };
        Cluster::connect(&connection).await.unwrap()
    }

    async fn page(&self, user: Option<&str>, is_read_only: bool) -> Page {
        let watching = Watching::start(self.cluster_of(user).await, Vec::new(), is_read_only, None);
        Page::of(Source::Cluster { watching, is_read_only }).await.logged_in().await
    }
}

impl Page {
    /// The page at that path, once it has the text.
    async fn text_with(&self, path: &str, part: &str) -> String {
        let mut html = String::new();
        for _ in 0..100 {
            html = self.text(path).await;
            if html.contains(part) {
                return html;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{path} has no {part}: {html}");
    }
}

#[tokio::test]
async fn objects_are_shown_and_requested_as_the_users_role_allows() {
    let Some(harness) = Harness::set_up().await else { return };
    harness.create("quick").await;
    let page = harness.page(None, false).await;
    let list = page.text_with("/list", "/show?demo=quick").await;
    assert!(list.contains("Running"), "{list}");
    let shown =
        page.text_with("/show?demo=quick", r#"data-request="abort" data-demo="quick" data-run="3""#).await;
    assert!(shown.contains("run 3"), "{shown}");
    page.text_with("/show?demo=later", "appears here once it is created").await;

    // A request reaches the object; one for an object that the page does not have is refused.
    page.text_with("/show?demo=quick", r#"The traffic stops, and everything of the run is removed.">Abort"#)
        .await;
    let sent = page.post("/requests/abort", &json!({"demo": "quick", "run": 3})).send().await.unwrap();
    assert_eq!(sent.status(), StatusCode::ACCEPTED);
    let annotations = harness.demos().get("quick").await.unwrap().annotations().clone();
    let request: Value = serde_json::from_str(&annotations[REQUEST_ANNOTATION]).unwrap();
    assert_eq!((&request["verb"], &request["run"]), (&json!("abort"), &json!(3)));
    let other = page.post("/requests/abort", &json!({"demo": "other", "run": 1})).send().await.unwrap();
    assert_eq!(other.status(), StatusCode::NOT_FOUND);
    let unknown = page.post("/requests/explode", &json!({"demo": "quick", "run": 1})).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);

    // Read only: shown, and not sent.
    let reading = harness.page(None, true).await;
    reading.text_with("/show?demo=quick", "this page was started with --read-only").await;
    let refused = reading.post("/requests/abort", &json!({"demo": "quick", "run": 3})).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);

    // A user who may read and not patch sees disabled buttons with the reason.
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "viewer"},
        "rules": [{"apiGroups": ["kinesisdemo.io"], "resources": ["kinesisdemos", "kinesisdemoruns"], "verbs": ["get", "list", "watch"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "viewer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "viewer"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "viewer"}]});
    let roles: Api<k8s_openapi::api::rbac::v1::ClusterRole> = Api::all(harness.server.client());
    let bindings: Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> = Api::all(harness.server.client());
    roles.create(&PostParams::default(), &serde_json::from_value(role).unwrap()).await.unwrap();
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    let viewing = harness.page(Some("viewer"), false).await;
    let html = viewing
        .text_with("/show?demo=quick", "your role may not patch kinesisdemos in namespace demos")
        .await;
    assert!(html.contains(r#"removed." disabled>Abort"#), "{html}");
    let denied = viewing.post("/requests/abort", &json!({"demo": "quick", "run": 3})).send().await.unwrap();
    assert_eq!(denied.status(), StatusCode::BAD_GATEWAY);
    assert!(denied.text().await.unwrap().contains("could not put the request"));

    // A user who may nothing is told what to ask for.
    let nobody = harness.page(Some("nobody"), false).await;
    nobody.text_with("/list", "KinesisDemos cannot be read in namespace demos").await;

    // A deleted object stays as it was last known.
    harness.demos().delete("quick", &Default::default()).await.unwrap();
    page.text_with("/show?demo=quick", "The object was deleted.").await;
    harness.server.stop().await;
}
