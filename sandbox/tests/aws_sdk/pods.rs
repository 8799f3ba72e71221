//! Tests of ECS tasks as Pods, against a real API server: states, logs, interruptions and exits.

use aws_sdk_ecs::types::DesiredStatus;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kinesis_demo_sandbox::Options;
use kinesis_demo_sandbox::task_runner::pod::PodSettings;
use kinesis_demo_sandbox::task_runner::pod::secret::fetch_access_key_id;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::cluster::{Cluster, Node};
use crate::ecs_harness::{EcsHarness, IMAGE};
use crate::wait::wait_for;

async fn harness(node: &Node) -> EcsHarness {
    let pods = PodSettings {
        client: node.client.clone(),
        endpoint: "http://sandbox.demo.svc:4566".into(),
        namespace: node.client.default_namespace().into(),
        instance: "sandbox.demo".into(),
        service_account: None,
        secret: None,
        is_user_from_cluster: false,
        owner: None,
    };
    let harness = EcsHarness::start_with(Options { pods: Some(pods), ..Options::default() }).await;
    harness.logs.create_log_group().log_group_name("/demo").send().await.unwrap();
    harness
}

/// All cases share one API server, because its start takes longer than they do.
#[tokio::test(flavor = "multi_thread")]
async fn tasks_run_as_pods() {
    let Some(cluster) = Cluster::start().await else { return };
    pods_start_stop_and_deliver_their_last_lines(&cluster.namespace("life").await).await;
    an_image_that_cannot_be_pulled_fails_the_task(&cluster.namespace("pull").await).await;
    changes_while_the_api_server_is_offline_are_noticed_later(&cluster.namespace("offline").await).await;
    a_sandbox_deletes_orphaned_pods_and_leaves_none(&cluster.namespace("orphans").await).await;
    the_secret_gets_a_key_once_and_keeps_it(&cluster.namespace("secret").await).await;
    cluster.stop().await;
}

async fn pods_start_stop_and_deliver_their_last_lines(node: &Node) {
    let harness = harness(node).await;
    harness.register(IMAGE, "serve").await;
    harness.create(2).await;
    harness.until_running(2).await;
    let pods = node.kubelet.pods.list(&ListParams::default()).await.unwrap().items;
    let running = harness.tasks(DesiredStatus::Running).await;
    let mut names: Vec<String> = running
        .iter()
        .map(|task| format!("ecs-task-{}", task.task_arn().unwrap().rsplit('/').next().unwrap()))
        .collect();
    names.sort();
    assert_eq!(pods.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), names);
    let environment = pods[0].spec.as_ref().unwrap().containers[0].env.as_ref().unwrap();
    let value = |name: &str| {
        environment
            .iter()
            .find(|variable| variable.name == name)
            .and_then(|variable| variable.value.clone())
            .unwrap()
    };
    assert_eq!(value("AWS_ENDPOINT_URL"), "http://sandbox.demo.svc:4566");
    assert!(value("ECS_CONTAINER_METADATA_URI_V4").starts_with("http://sandbox.demo.svc:4566/_ecs/v4/"));
    assert_eq!(value("KINESISDEMO_RUN"), "7");
    let processes = harness.processes().await;
    assert_eq!(processes.len(), 2);
    assert_eq!((&processes[0]["pod"], &processes[0]["phase"]), (&json!(names[0]), &json!("Running")));

    // If a Pod is deleted, its task ends and is replaced.
    node.kubelet.pods.delete(&names[0], &DeleteParams::default()).await.unwrap();
    harness.until("the task's end", async || !harness.tasks(DesiredStatus::Stopped).await.is_empty()).await;
    let stopped = harness.tasks(DesiredStatus::Stopped).await.remove(0);
    assert!(names[0].ends_with(stopped.task_arn().unwrap().rsplit('/').next().unwrap()));
    assert_eq!(stopped.stopped_reason(), Some("Essential container in task exited"));
    assert_eq!(stopped.containers()[0].exit_code(), Some(0));
    assert_eq!(harness.lines(stopped.task_arn().unwrap()).await, ["ready", "final line"]);
    harness
        .until("the replacement", async || {
            node.kubelet.names().await.len() == 2 && harness.service().await.running_count() == 2
        })
        .await;

    // Scale-in ends containers by SIGTERM and keeps their Pods until their log is read.
    node.kubelet.terminated.lock().unwrap().clear();
    harness.resize(0).await;
    harness
        .until("the end of all tasks", async || harness.tasks(DesiredStatus::Stopped).await.len() == 3)
        .await;
    harness.until("the end of all pods", async || node.kubelet.names().await.is_empty()).await;
    let terminated = node.kubelet.terminated.lock().unwrap().clone();
    assert_eq!(terminated.len(), 2);
    for pod in terminated {
        assert_eq!(pod.metadata.deletion_timestamp, None);
        assert_eq!(pod.spec.unwrap().active_deadline_seconds, Some(1));
    }
    for task in harness.tasks(DesiredStatus::Stopped).await {
        assert_eq!(harness.lines(task.task_arn().unwrap()).await, ["ready", "final line"]);
        assert_eq!(task.containers()[0].exit_code(), Some(0));
    }
    assert_eq!(harness.processes().await.len(), 0);
    harness.end().await;
}

async fn the_secret_gets_a_key_once_and_keeps_it(node: &Node) {
    let namespace = node.client.default_namespace();
    let fetch = || fetch_access_key_id(&node.client, namespace, "sandbox");
    let missing = format!("{:#}", fetch().await.unwrap_err());
    assert!(missing.contains("could not read the Secret sandbox in namespace secret"), "{missing}");
    let secrets: Api<Secret> = Api::namespaced(node.kubelet.pods.clone().into_client(), namespace);
    let empty = serde_json::from_value(json!({"metadata": {"name": "sandbox"}})).unwrap();
    secrets.create(&PostParams::default(), &empty).await.unwrap();
    let (first, second) = (fetch().await.unwrap(), fetch().await.unwrap());
    assert!(first.matches(second.reveal()));
    let data = secrets.get("sandbox").await.unwrap().data.unwrap();
    assert_eq!(data["AWS_ACCESS_KEY_ID"].0, first.reveal().as_bytes());
    assert!(data.contains_key("AWS_SECRET_ACCESS_KEY"));
    let wrong = json!({"stringData": {"AWS_ACCESS_KEY_ID": "short"}});
    secrets.patch("sandbox", &PatchParams::default(), &Patch::Merge(&wrong)).await.unwrap();
    let error = format!("{:#}", fetch().await.unwrap_err());
    assert!(error.contains("is not an access key id") && !error.contains("short"), "{error}");
}

async fn an_image_that_cannot_be_pulled_fails_the_task(node: &Node) {
    let harness = harness(node).await;
    harness.register("example.com/missing:1", "serve").await;
    harness.create(1).await;
    let failed = async || harness.tasks(DesiredStatus::Stopped).await;
    harness.until("two failures", async || failed().await.len() == 2).await;
    for task in failed().await {
        let reason = task.stopped_reason().unwrap();
        assert_eq!(
            reason,
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): not found"
        );
        assert_eq!(task.started_at(), None);
    }
    harness.resize(0).await;
    harness.until("the end of their pods", async || node.kubelet.names().await.is_empty()).await;
    harness.end().await;
}

async fn changes_while_the_api_server_is_offline_are_noticed_later(node: &Node) {
    let harness = harness(node).await;
    harness.register(IMAGE, "serve").await;
    harness.create(2).await;
    harness.until_running(2).await;
    let names = node.kubelet.names().await;
    node.kubelet.offline.send_replace(true);
    node.kubelet.pods.delete(&names[0], &DeleteParams::default()).await.unwrap();
    let is_deleted = async || (!node.kubelet.names().await.contains(&names[0])).then_some(());
    wait_for("the deletion of a Pod", is_deleted).await;
    // A change requested meanwhile takes effect later.
    harness.resize(1).await;
    let tasks = harness.tasks(DesiredStatus::Running).await;
    assert_eq!(tasks.len(), 2, "the deletion is not known yet");
    node.kubelet.offline.send_replace(false);
    harness
        .until("the lost task's end", async || {
            harness
                .tasks(DesiredStatus::Stopped)
                .await
                .iter()
                .any(|task| names[0].ends_with(task.task_arn().unwrap().rsplit('/').next().unwrap()))
        })
        .await;
    harness
        .until("one running pod", async || {
            let service = harness.service().await;
            service.running_count() == 1
                && service.pending_count() == 0
                && node.kubelet.names().await.len() == 1
        })
        .await;
    for task in harness.tasks(DesiredStatus::Running).await {
        assert_eq!(
            harness.lines(task.task_arn().unwrap()).await,
            ["ready"],
            "a resumed log stream repeats no line"
        );
    }
    harness.end().await;
}

async fn a_sandbox_deletes_orphaned_pods_and_leaves_none(node: &Node) {
    let pod = |name: &str, sandbox: &str| -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"kinesisdemo.io/sandbox": sandbox}},
            "spec": {
                "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "main", "image": "i",
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        }))
        .unwrap()
    };
    for (name, sandbox) in [("left", "sandbox.demo"), ("others", "sandbox.other")] {
        node.kubelet.pods.create(&PostParams::default(), &pod(name, sandbox)).await.unwrap();
    }
    let harness = harness(node).await;
    assert_eq!(node.kubelet.names().await, ["others"]);
    harness.register(IMAGE, "serve").await;
    harness.create(3).await;
    harness.until_running(3).await;
    assert_eq!(node.kubelet.names().await.len(), 4);
    harness.end().await;
    assert_eq!(node.kubelet.names().await, ["others"]);
    let terminated = node.kubelet.terminated.lock().unwrap().clone();
    let stopped_by_deadline =
        terminated.iter().filter(|pod| pod.spec.as_ref().unwrap().active_deadline_seconds == Some(1));
    assert_eq!(stopped_by_deadline.count(), 3, "each Pod got SIGTERM and was kept until its log was read");
}
