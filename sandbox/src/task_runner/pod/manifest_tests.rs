//! Tests of the whole manifest.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::task_runner::pod::settings::PodOwner;

fn settings(owner: Option<PodOwner>, service_account: Option<&str>) -> PodSettings {
    let no_server = tower::service_fn(|_: http::Request<kube::client::Body>| async {
        Err::<http::Response<kube::client::Body>, std::io::Error>(std::io::Error::other(
            "no request is expected",
        ))
    });
    PodSettings {
        client: kube::Client::new(no_server, "demo"),
        endpoint: "http://kd-sandbox.demo.svc:4566".into(),
        namespace: "demo".into(),
        instance: "kd-sandbox.demo".into(),
        service_account: service_account.map(str::to_owned),
        secret: None,
        is_user_from_cluster: false,
        owner,
    }
}

fn container_launch(name: &str) -> ContainerLaunch {
    ContainerLaunch {
        name: name.into(),
        image: "example.com/generator:1".into(),
        entry_point: vec![],
        command: vec![],
        working_directory: None,
        user: None,
        memory_mib: None,
        environment: vec![],
        output: None,
    }
}

fn launch(containers: Vec<ContainerLaunch>) -> Launch {
    Launch {
        task: "0123456789abcdef0123456789abcdef".into(),
        task_arn: "arn:aws:ecs:us-east-1:000000000000:task/demo/0123456789abcdef0123456789abcdef".into(),
        family: "run-7".into(),
        service: Some("run_7-".into()),
        cpu_units: 256,
        memory_mib: 512,
        stop_timeout: Duration::from_secs(30),
        containers,
    }
}

#[tokio::test]
async fn a_task_is_a_restricted_pod_owned_by_the_sandbox() {
    let container = ContainerLaunch {
        entry_point: vec!["/generator".into()],
        command: vec!["--price".into(), "$(HOME) costs 5$".into()],
        working_directory: Some("/data".into()),
        user: Some("1000:2000".into()),
        environment: vec![
            ("AWS_REGION".into(), "us-east-1".into()),
            ("GREETING".into(), "$(AWS_REGION)".into()),
            ("AWS_REGION".into(), "eu-west-1".into()),
        ],
        ..container_launch("generator")
    };
    let owner = PodOwner { name: "sandbox-0".into(), uid: "u1".into() };
    let pod = manifest(&launch(vec![container]), &settings(Some(owner), Some("tasks"))).unwrap();
    assert_eq!(
        serde_json::to_value(&pod).unwrap(),
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "ecs-task-0123456789abcdef0123456789abcdef",
                "namespace": "demo",
                "labels": {
                    "app.kubernetes.io/name": "kinesis-demo-task",
                    "app.kubernetes.io/instance": "kd-sandbox.demo",
                    "app.kubernetes.io/component": "task",
                    "app.kubernetes.io/part-of": "kinesis-demo",
                    "app.kubernetes.io/managed-by": "kinesis-demo-sandbox",
                    "kinesisdemo.io/sandbox": "kd-sandbox.demo",
                    "kinesisdemo.io/task": "0123456789abcdef0123456789abcdef",
                    "kinesisdemo.io/service": "run_7",
                },
                "annotations": {
                    "kinesisdemo.io/task-arn":
                        "arn:aws:ecs:us-east-1:000000000000:task/demo/0123456789abcdef0123456789abcdef",
                },
                "ownerReferences":
                    [{"apiVersion": "v1", "kind": "Pod", "name": "sandbox-0", "uid": "u1", "controller": true}],
            },
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 30,
                "serviceAccountName": "tasks",
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "generator",
                    "image": "example.com/generator:1",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["/generator"],
                    "args": ["--price", "$$(HOME) costs 5$$"],
                    "workingDir": "/data",
                    "env": [
                        {"name": "GREETING", "value": "$$(AWS_REGION)"},
                        {"name": "AWS_REGION", "value": "eu-west-1"},
                    ],
                    "resources": {
                        "limits": {"memory": "512Mi"},
                        "requests": {"cpu": "25m", "memory": "16Mi"},
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": false,
                        "capabilities": {"drop": ["ALL"]},
                        "readOnlyRootFilesystem": true,
                        "runAsUser": 1000,
                        "runAsGroup": 2000,
                    },
                }],
            },
        })
    );
}

#[tokio::test]
async fn the_access_key_comes_from_the_secret() {
    let container = ContainerLaunch {
        environment: vec![
            ("AWS_REGION".into(), "us-east-1".into()),
            ("AWS_SECRET_ACCESS_KEY".into(), "of the definition".into()),
        ],
        ..container_launch("main")
    };
    let settings = PodSettings { secret: Some("kd-sandbox".into()), ..settings(None, None) };
    let pod = serde_json::to_value(manifest(&launch(vec![container]), &settings).unwrap()).unwrap();
    assert_eq!(
        pod["spec"]["containers"][0]["env"],
        json!([
            {
                "name": "AWS_ACCESS_KEY_ID",
                "valueFrom": {"secretKeyRef": {"name": "kd-sandbox", "key": "AWS_ACCESS_KEY_ID"}},
            },
            {"name": "AWS_REGION", "value": "us-east-1"},
            {"name": "AWS_SECRET_ACCESS_KEY", "value": "of the definition"},
        ])
    );
}

#[tokio::test]
async fn what_a_definition_omits_is_left_to_the_image() {
    let pod = manifest(&launch(vec![container_launch("main")]), &settings(None, None)).unwrap();
    let value = serde_json::to_value(&pod).unwrap();
    let container = value["spec"]["containers"][0].as_object().unwrap();
    for absent in ["command", "args", "workingDir"] {
        assert_eq!(container.get(absent), None);
    }
    assert_eq!(value["metadata"].get("ownerReferences"), None);
    assert_eq!(value["spec"].get("serviceAccountName"), None);
}

#[tokio::test]
async fn invalid_container_names_are_all_replaced_by_numbers() {
    let names =
        |given: &[&str]| container_names(&launch(given.iter().map(|name| container_launch(name)).collect()));
    assert_eq!(names(&["generator", "side-car2"]), ["generator", "side-car2"]);
    assert_eq!(names(&["container-1", "Side_Car"]), ["container-0", "container-1"]);
    assert_eq!(names(&["-a"]), ["container-0"]);
}

#[tokio::test]
async fn a_tenth_of_the_tasks_cpu_is_requested_in_equal_parts() {
    let launch =
        Launch { cpu_units: 4096, ..launch(vec![container_launch("main"), container_launch("side")]) };
    let pod = serde_json::to_value(manifest(&launch, &settings(None, None)).unwrap()).unwrap();
    for index in 0..2 {
        assert_eq!(pod["spec"]["containers"][index]["resources"]["requests"]["cpu"], "200m");
    }
}

#[tokio::test]
async fn a_containers_memory_limit_wins_and_users_are_numeric() {
    let limited = ContainerLaunch { memory_mib: Some(128), ..container_launch("main") };
    let pod = manifest(&launch(vec![limited]), &settings(None, None)).unwrap();
    assert_eq!(
        serde_json::to_value(&pod).unwrap()["spec"]["containers"][0]["resources"]["limits"]["memory"],
        "128Mi"
    );
    let named = ContainerLaunch { user: Some("nobody".into()), ..container_launch("main") };
    let error = manifest(&launch(vec![named]), &settings(None, None)).unwrap_err();
    assert!(error.starts_with("CannotCreateContainerError") && error.contains("nobody"), "{error}");
}

#[tokio::test]
async fn no_pod_sets_a_user_if_the_cluster_chooses_it() {
    let users = ["65532", "1000:2000", "0", "nobody"];
    let named = |user: &str| ContainerLaunch { user: Some(user.into()), ..container_launch("main") };
    let launch = launch(users.map(named).to_vec());
    let settings = PodSettings { is_user_from_cluster: true, ..settings(None, None) };
    let pod = serde_json::to_value(manifest(&launch, &settings).unwrap()).unwrap();
    let spec = &pod["spec"];
    assert_eq!(
        spec["securityContext"],
        json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}})
    );
    let containers = spec["containers"].as_array().unwrap();
    assert_eq!(containers.len(), users.len());
    for container in containers {
        assert_eq!(
            container["securityContext"],
            json!({
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": true,
            })
        );
    }
}
