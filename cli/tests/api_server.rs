//! A real API server is started, used and ended. Needs kube-apiserver and etcd on this machine; prints a line and passes without.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kubectl_kinesisdemo::local_cluster::certificates::Identity;
use kubectl_kinesisdemo::local_cluster::kubeconfig::{Credentials, Endpoint, client_from, kubeconfig};
use kubectl_kinesisdemo::local_cluster::{ApiServer, ApiServerOptions, leftovers};

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
    let Some(options) = harness::api_server_options().await else { return };
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
    assert!(refused.to_string().contains("another demo is using"), "{refused}");

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

    assert_ports_are_closed(&server).await;
    assert_files_are_private(server.supervisor().state());

    let folder = server.supervisor().state().to_path_buf();
    let processes = leftovers::running(&folder).unwrap();
    let roles: Vec<_> = processes.iter().map(|entry| entry.role.as_str()).collect();
    assert_eq!(roles, ["etcd", "kube-apiserver"]);
    server.stop().await;
    assert_eq!(leftovers::running(&folder).unwrap(), vec![]);
    for entry in processes {
        let seen = kubectl_kinesisdemo::local_cluster::process_record::fetch_process(entry.pid);
        assert!(
            !kubectl_kinesisdemo::local_cluster::process_record::is_still_ours(&entry, &seen),
            "{} still runs",
            entry.role
        );
    }
    println!("whole life in {:?}", began.elapsed());
}

/// The TCP ports at which a process listens, as /proc tells them; none on other systems.
fn listening_ports(pid: i32) -> BTreeSet<u16> {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return BTreeSet::new() };
    let sockets: BTreeSet<String> = descriptors
        .filter_map(|entry| entry.ok()?.path().read_link().ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let mut ports = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            let (local, state, inode) = (fields[1], fields[3], fields[9]);
            if state == "0A" && sockets.contains(inode) {
                ports.insert(u16::from_str_radix(local.rsplit(':').next().unwrap(), 16).unwrap());
            }
        }
    }
    ports
}

/// Whether `server` serves `path` to who has these credentials. Every answer counts but one that
/// asks who is there: "not found", too, is told to those who were let in.
async fn serves(server: &str, path: &str, authority: &str, credentials: &Credentials) -> bool {
    let endpoint = Endpoint { server: server.to_owned(), authority: authority.to_owned() };
    let file = Kubeconfig::from_yaml(&kubeconfig(&endpoint, "someone", "default", credentials)).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    config.proxy_url = None;
    let client = kube::Client::try_from(config).unwrap();
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    match tokio::time::timeout(Duration::from_secs(5), client.request_text(request)).await {
        Ok(Ok(_)) => true,
        // 400 is what Go says to plain HTTP at a TLS port.
        Ok(Err(kube::Error::Api(status))) => ![400, 401, 403].contains(&status.code),
        Ok(Err(_)) | Err(_) => false,
    }
}

/// Any user of the machine reaches loopback: no port may say anything to one who has no
/// certificate, or one for another port.
async fn assert_ports_are_closed(server: &ApiServer) {
    let folder = server.supervisor().state().join("kubernetes");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let of = |name: &str| {
        let (certificate, key) = (read(&format!("{name}.crt")), read(&format!("{name}.key")));
        Credentials::Certificate(Identity { certificate, key })
    };
    let stranger = Credentials::Token("guessed".into());
    let mut etcd_answered = 0;
    // The API server's certificate is of the authority that its users have: etcd must not take
    // those, nor the API server etcd's.
    for (role, authority, other) in [
        ("etcd", read("etcd-authority.crt"), of("server")),
        ("kube-apiserver", read("authority.crt"), of("etcd-client")),
    ] {
        let ports = listening_ports(server.supervisor().pid(role).unwrap());
        assert!(cfg!(not(target_os = "linux")) || !ports.is_empty(), "{role} listens nowhere");
        for port in ports {
            for path in [
                "/",
                "/version",
                "/health",
                "/healthz",
                "/metrics",
                "/members",
                "/v3/kv/range",
                "/debug/pprof/",
            ] {
                for scheme in ["http", "https"] {
                    for (who, credentials) in [("a stranger", &stranger), ("another port's user", &other)] {
                        let at = format!("{scheme}://127.0.0.1:{port}");
                        assert!(
                            !serves(&at, path, &authority, credentials).await,
                            "{role} serves {who} at {at}{path}"
                        );
                    }
                }
            }
            let at = format!("https://127.0.0.1:{port}");
            if role == "etcd" && serves(&at, "/health", &authority, &of("etcd-client")).await {
                etcd_answered += 1;
            }
        }
    }
    assert!(
        cfg!(not(target_os = "linux")) || etcd_answered > 0,
        "ports that answer nobody would prove nothing"
    );
}

/// Keys are nobody else's to read, and the folders that hold them nobody else's to enter.
fn assert_files_are_private(state: &Path) {
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    for folder in [state.to_path_buf(), state.join("kubernetes"), state.join("logs")] {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
    let mut keys = 0;
    for entry in std::fs::read_dir(state.join("kubernetes")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            keys += usize::from(path.extension().is_some_and(|extension| extension == "key"));
        }
    }
    assert_eq!(keys, 4, "of the API server, of its tokens, of etcd and of etcd's client");
    for name in ["admin.kubeconfig", "operator.kubeconfig"] {
        assert_eq!(mode(&state.join(name)), 0o600, "{name}");
    }
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
    assert!(text.contains("etcd exited unexpectedly") && text.contains("exit status: 7"), "{text}");
    assert!(text.contains("no space left on device"), "{text}");
}
