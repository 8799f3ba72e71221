//! A real API server is started, used and ended. Needs kube-apiserver and etcd on this machine; prints a line and passes without.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Instant;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, ListParams, PostParams};
use kubectl_kinesisdemo::laptop::{ApiServer, ApiServerOptions, assets, kubeconfig::client_from, leftovers};

async fn options() -> Option<ApiServerOptions> {
    kubectl_kinesisdemo::install_crypto();
    let assets = assets::cached_assets().await;
    if assets.is_none() {
        println!(
            "skipped: no kube-apiserver and etcd on this machine; hack/envtest/envtest fetches or builds them"
        );
    }
    assets.map(ApiServerOptions::new)
}

async fn may(
    client: &kube::Client,
    verb: &str,
    group: &str,
    resource: &str,
    namespace: Option<&str>,
) -> bool {
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (resource, None),
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.into()),
                group: Some(group.into()),
                resource: Some(resource.into()),
                subresource,
                namespace: namespace.map(Into::into),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = api.create(&PostParams::default(), &review).await.unwrap();
    answer.status.unwrap().allowed
}

#[tokio::test]
async fn an_api_server_serves_the_admin_confines_the_operator_and_leaves_nothing() {
    let Some(options) = options().await else { return };
    let state = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let server = ApiServer::start(state.path(), options.clone()).await.unwrap();
    println!("ready in {:?}", server.started_in());

    let namespaces: Api<Namespace> = Api::all(server.client());
    let mut demos = Namespace::default();
    demos.metadata.name = Some("demos".into());
    namespaces.create(&PostParams::default(), &demos).await.unwrap();
    assert!(namespaces.get("demos").await.is_ok());

    // Another run in the same folder is refused while this one lives.
    let refused = ApiServer::start(state.path(), options).await.err().expect("the folder is in use");
    assert!(refused.to_string().contains("another demo uses"), "{refused}");

    let operator = client_from(&server.operator_kubeconfig().await.unwrap()).await.unwrap();
    let ours = "kinesisdemo.io";
    for (verb, group, resource, namespace) in [
        ("watch", ours, "kinesisdemos", None),
        ("patch", ours, "kinesisdemos", None),
        ("update", ours, "kinesisdemos/status", None),
        ("create", "events.k8s.io", "events", Some("demos")),
        ("create", "coordination.k8s.io", "leases", Some("kinesis-demo-system")),
    ] {
        assert!(
            may(&operator, verb, group, resource, namespace).await,
            "the operator needs {verb} {resource}"
        );
    }
    for (verb, group, resource, namespace) in [
        ("delete", ours, "kinesisdemos", None),
        ("create", ours, "kinesisdemos", None),
        ("update", "coordination.k8s.io", "leases", Some("demos")),
        ("get", "", "secrets", Some("kinesis-demo-system")),
    ] {
        assert!(
            !may(&operator, verb, group, resource, namespace).await,
            "the operator must not {verb} {resource}"
        );
    }
    let secrets: Api<Secret> = Api::all(operator);
    let denied = secrets.list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(denied, kube::Error::Api(status) if status.is_forbidden()));

    let processes = leftovers::running(state.path()).unwrap();
    let roles: Vec<_> = processes.iter().map(|entry| entry.role.as_str()).collect();
    assert_eq!(roles, ["etcd", "kube-apiserver"]);
    server.stop().await;
    assert_eq!(leftovers::running(state.path()).unwrap(), vec![]);
    for entry in processes {
        let seen = kubectl_kinesisdemo::laptop::process_record::fetch_process(entry.pid);
        assert!(
            !kubectl_kinesisdemo::laptop::process_record::is_still_ours(&entry, &seen),
            "{} still runs",
            entry.role
        );
    }
    println!("whole life in {:?}", began.elapsed());
}

#[tokio::test]
async fn a_program_that_cannot_start_is_named_with_the_end_of_its_log() {
    kubectl_kinesisdemo::install_crypto();
    let state = tempfile::tempdir().unwrap();
    let assets = tempfile::tempdir().unwrap();
    for name in ["etcd", "kube-apiserver"] {
        // Written by another process: a thread of ours that forks at the wrong moment would hold it open for writing, and what
        // is open for writing cannot be executed.
        let write = "printf '%s\\n' '#!/bin/sh' 'echo no space left on device >&2' 'exit 7' > \"$0\" && chmod 755 \"$0\"";
        let written =
            std::process::Command::new("sh").args(["-c", write]).arg(assets.path().join(name)).status();
        assert!(written.unwrap().success());
    }
    let options = ApiServerOptions::new(assets.path().to_path_buf());
    let error = ApiServer::start(state.path(), options).await.err().expect("etcd cannot start");
    let text = error.to_string();
    assert!(text.contains("etcd ended") && text.contains("exit status: 7"), "{text}");
    assert!(text.contains("no space left on device"), "{text}");
}
