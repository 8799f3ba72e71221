//! Starts, uses and stops a real API server. Needs kube-apiserver and etcd on this machine; without
//! them the tests print a line and pass.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kinesis_demo_local_cluster::kubernetes::certificates::ClientCertificate;
use kinesis_demo_local_cluster::kubernetes::kubeconfig::{Credentials, Endpoint, client_from, kubeconfig};
use kinesis_demo_local_cluster::processes::orphans::running;
use kinesis_demo_local_cluster::processes::record::{fetch_process, is_still_ours};
use kinesis_demo_local_cluster::{ApiServer, ApiServerOptions};
use kube::api::{Api, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};

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
    let response = api.create(&PostParams::default(), &review).await.unwrap();
    response.status.unwrap().allowed
}

#[tokio::test]
async fn an_api_server_enforces_rbac_and_stops_completely() {
    let Some(options) = ApiServerOptions::cached().await else { return };
    let state = tempfile::tempdir().unwrap();
    let started_at = Instant::now();
    let server = ApiServer::start(state.path(), options.clone()).await.unwrap();
    println!("ready in {:?}", server.started_in());

    let namespaces: Api<Namespace> = Api::all(server.client());
    let mut demos = Namespace::default();
    demos.metadata.name = Some("demos".into());
    namespaces.create(&PostParams::default(), &demos).await.unwrap();
    assert!(namespaces.get("demos").await.is_ok());

    // A second run in the same folder is refused while this one runs.
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
    let processes = running(&folder).unwrap();
    let roles: Vec<_> = processes.iter().map(|entry| entry.role.as_str()).collect();
    assert_eq!(roles, ["etcd", "kube-apiserver"]);
    server.stop().await;
    assert_eq!(running(&folder).unwrap(), vec![]);
    for entry in processes {
        assert!(!is_still_ours(&entry, &fetch_process(entry.pid)), "{} still runs", entry.role);
    }
    println!("started and stopped in {:?}", started_at.elapsed());
}

/// The TCP ports on which a process listens, from /proc; none on other systems.
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

/// Whether `server` serves `path` with these credentials. Every response counts except
/// authentication and authorisation errors: "not found" is also sent only to authenticated clients.
async fn serves(server: &str, path: &str, authority: &str, credentials: &Credentials) -> bool {
    let endpoint = Endpoint { server: server.to_owned(), authority: authority.to_owned() };
    let file = Kubeconfig::from_yaml(&kubeconfig(&endpoint, "someone", "default", credentials)).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    config.proxy_url = None;
    let client = kube::Client::try_from(config).unwrap();
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    match tokio::time::timeout(Duration::from_secs(5), client.request_text(request)).await {
        Ok(Ok(_)) => true,
        // Go's server responds with 400 to plain HTTP on a TLS port.
        Ok(Err(kube::Error::Api(status))) => ![400, 401, 403].contains(&status.code),
        Ok(Err(_)) | Err(_) => false,
    }
}

/// Any user of the machine can reach loopback: no port may serve a client without a certificate, or
/// with a certificate for another port.
async fn assert_ports_are_closed(server: &ApiServer) {
    let folder = server.supervisor().state().join("kubernetes");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let of = |name: &str| {
        let (certificate, key) = (read(&format!("{name}.crt")), read(&format!("{name}.key")));
        Credentials::Certificate(ClientCertificate { certificate, key })
    };
    let unauthenticated = Credentials::Token("guessed".into());
    let mut etcd_responses = 0;
    // The API server's certificate comes from the authority of its users. etcd must not accept
    // certificates of that authority, and the API server none of etcd's.
    for (role, authority, other) in [
        ("etcd", read("etcd-authority.crt"), of("server")),
        ("kube-apiserver", read("authority.crt"), of("etcd-client")),
    ] {
        let ports = listening_ports(server.supervisor().pid(role).unwrap());
        assert!(cfg!(not(target_os = "linux")) || !ports.is_empty(), "{role} does not listen on any port");
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
                    for (who, credentials) in
                        [("an unauthenticated client", &unauthenticated), ("another port's user", &other)]
                    {
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
                etcd_responses += 1;
            }
        }
    }
    assert!(
        cfg!(not(target_os = "linux")) || etcd_responses > 0,
        "etcd must serve its own client, otherwise this test proves nothing"
    );
}

/// Only the owner can read the keys and enter the folders that contain them.
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
    assert_eq!(keys, 4, "the keys of the API server, its tokens, etcd and etcd's client");
    for name in ["admin.kubeconfig", "operator.kubeconfig"] {
        assert_eq!(mode(&state.join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_program_that_cannot_start_is_named_with_its_log_tail() {
    let state = tempfile::tempdir().unwrap();
    let assets = tempfile::tempdir().unwrap();
    for name in ["etcd", "kube-apiserver"] {
        // Written by another process: a thread of this process that forks at the wrong moment would
        // inherit the file open for writing, and such a file cannot be executed.
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
