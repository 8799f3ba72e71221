//! Tests of ECS tasks as Pods on a real node, for behaviour that only kubelet and a container
//! runtime can show. They run if these variables are set: KINESISDEMO_NODE_KUBECONFIG,
//! KINESISDEMO_NODE_IMAGE (an image on the node with /bin/sh and a numeric user) and
//! KINESISDEMO_NODE_LISTEN (an address of this machine that Pods can reach, with port 0).

use std::time::{Duration, Instant};

use aws_sdk_ecs::types::DesiredStatus;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kinesis_demo_local_cluster::kubernetes::kubeconfig::client_from;
use kinesis_demo_sandbox::Options;
use kinesis_demo_sandbox::clock::ModelClock;
use kinesis_demo_sandbox::task_runner::pod::PodSettings;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::ecs_harness::EcsHarness;
use crate::wait::wait_within;

const NAMESPACE: &str = "kinesis-demo-node-test";
/// Counts as fast as a shell can. On SIGTERM it prints nine more numbers at once, then a final
/// line.
const COUNTER: &str = "n=0; trap 'for i in 1 2 3 4 5 6 7 8 9; do n=$((n+1)); echo $n; done; echo final line; exit 7' TERM; \
    while :; do n=$((n+1)); echo $n; [ $((n % 50)) -ne 0 ] || sleep 0.02; done";

struct Node {
    pods: Api<Pod>,
    harness: EcsHarness,
    image: String,
}

impl Node {
    async fn start() -> Option<Self> {
        let variable = |name: &str| std::env::var(format!("KINESISDEMO_NODE_{name}")).ok();
        let (kubeconfig, image, listen) = (variable("KUBECONFIG")?, variable("IMAGE")?, variable("LISTEN")?);
        let client = client_from(kubeconfig.as_ref()).await.unwrap();
        let namespace: Namespace = serde_json::from_value(json!({
            "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        }))
        .unwrap();
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        let listen: std::net::SocketAddr = listen.parse().unwrap();
        let settings = PodSettings {
            client: client.clone(),
            endpoint: format!("http://{}:1", listen.ip()),
            namespace: NAMESPACE.into(),
            instance: "node-test".into(),
            service_account: None,
            secret: None,
            is_user_from_cluster: false,
            owner: None,
        };
        let options =
            Options { listen, allow_non_loopback: true, pods: Some(settings), ..Options::default() };
        let harness = EcsHarness::start_at(options, ModelClock::start(20)).await;
        harness.logs.create_log_group().log_group_name("/demo").send().await.unwrap();
        Some(Self { pods: Api::namespaced(client, NAMESPACE), harness, image })
    }

    /// Registers a task definition whose shell runs `script`, and scales the service to `count`
    /// tasks of it.
    async fn run(&self, image: &str, script: &str, count: i32) {
        self.harness.register_shell(image, script).await;
        if self
            .harness
            .ecs
            .describe_services()
            .cluster("demo")
            .services("generators")
            .send()
            .await
            .unwrap()
            .services()
            .is_empty()
        {
            self.harness.create(count).await;
        } else {
            let update = self.harness.ecs.update_service().cluster("demo").service("generators");
            update.task_definition("generator").desired_count(count).send().await.unwrap();
        }
    }

    /// Waits until `condition` is true; returns how long that took.
    async fn within(&self, seconds: u64, what: &str, condition: impl AsyncFn() -> bool) -> Duration {
        let began = Instant::now();
        wait_within(Duration::from_secs(seconds), what, async || condition().await.then_some(())).await;
        began.elapsed()
    }

    async fn stopped(&self, codes: &[i32]) -> Vec<String> {
        let stopped = self.harness.tasks(DesiredStatus::Stopped).await;
        let ended = stopped
            .iter()
            .filter(|task| task.containers()[0].exit_code().is_some_and(|code| codes.contains(&code)));
        ended.map(|task| task.task_arn().unwrap().to_owned()).collect()
    }

    /// All lines of a task. One read returns at most 10,000 of them.
    async fn all_lines(&self, task: &str) -> Vec<String> {
        let stream = format!("run/main/{}", task.rsplit('/').next().unwrap());
        let (mut lines, mut token) = (Vec::new(), None);
        loop {
            let read = self.harness.logs.get_log_events().log_group_name("/demo").log_stream_name(&stream);
            let response = read.start_from_head(true).set_next_token(token.clone()).send().await.unwrap();
            lines.extend(response.events().iter().map(|event| event.message().unwrap().to_owned()));
            let next = response.next_forward_token().map(str::to_owned);
            if next == token {
                return lines;
            }
            token = next;
        }
    }

    async fn assert_all_lines_arrived(&self, task: &str) {
        let mut lines = self.all_lines(task).await;
        assert_eq!(lines.pop().as_deref(), Some("final line"), "{task}");
        let counted: Vec<usize> = lines.iter().map(|line| line.parse().unwrap()).collect();
        assert_eq!(counted, (1..=counted.len()).collect::<Vec<_>>(), "{task}");
        assert!(counted.len() > 100, "{task}: only {} lines", counted.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_on_a_node_get_sigterm_and_deliver_all_lines() {
    let Some(node) = Node::start().await else {
        println!("skipped: KINESISDEMO_NODE_KUBECONFIG, _IMAGE and _LISTEN are not set");
        return;
    };
    let harness = &node.harness;
    node.run(&node.image, COUNTER, 3).await;
    let took =
        node.within(60, "three running tasks", async || harness.service().await.running_count() == 3).await;
    println!("three tasks run after {took:?}");
    tokio::time::sleep(Duration::from_secs(2)).await;

    // One Pod is deleted.
    let victim = node.pods.list(&ListParams::default()).await.unwrap().items[0].name_any();
    node.pods.delete(&victim, &DeleteParams::default()).await.unwrap();
    let took = node.within(60, "its end", async || node.stopped(&[7]).await.len() == 1).await;
    println!("a deleted Pod's task ended after {took:?}");
    node.within(60, "its replacement", async || harness.service().await.running_count() == 3).await;
    tokio::time::sleep(Duration::from_secs(2)).await;

    harness.resize(0).await;
    let took = node.within(60, "the scale-in", async || node.stopped(&[7]).await.len() == 4).await;
    println!("scale-in to zero took {took:?}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    for task in node.stopped(&[7]).await {
        node.assert_all_lines_arrived(&task).await;
    }
    let is_empty = async || node.pods.list(&ListParams::default()).await.unwrap().items.is_empty();
    node.within(30, "the end of all Pods", is_empty).await;

    // Kubelet kills a container that ignores SIGTERM after the stop timeout, 30 s.
    node.run(&node.image, "trap '' TERM; while :; do sleep 0.2; done", 1).await;
    node.within(60, "the stubborn task", async || harness.service().await.running_count() == 1).await;
    harness.resize(0).await;
    let took = node.within(60, "its kill", async || node.stopped(&[137]).await.len() == 1).await;
    println!("a stubborn task was killed after {took:?}");
    assert!(took >= Duration::from_secs(29));

    node.run("example.com/kinesis-demo-missing:1", "true", 1).await;
    let pull = async || {
        let stopped = harness.tasks(DesiredStatus::Stopped).await;
        stopped
            .iter()
            .any(|task| task.stopped_reason().is_some_and(|why| why.starts_with("CannotPullContainerError")))
    };
    node.within(90, "the pull error", pull).await;
    node.run(&node.image, COUNTER, 2).await;
    node.within(120, "two running tasks", async || harness.service().await.running_count() == 2).await;
    let (pods, Node { harness, .. }) = (node.pods.clone(), node);
    let started = Instant::now();
    harness.end().await;
    println!("the sandbox ended in {:?}", started.elapsed());
    assert!(pods.list(&ListParams::default()).await.unwrap().items.is_empty());
    let namespaces: Api<Namespace> = Api::all(pods.into_client());
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await.unwrap();
}
