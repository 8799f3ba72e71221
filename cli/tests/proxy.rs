//! Runs the program behind a proxy, against a real API server. The proxies are small ones on
//! loopback that record the requested hosts. Needs kube-apiserver and etcd on this machine; without
//! them the tests print a line and pass.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use kinesis_demo_local_cluster::kubernetes::definition;
use kinesis_demo_local_cluster::{ApiServer, ApiServerOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A host name that only the proxies resolve.
const HOST: &str = "api.example";

#[derive(Clone, Copy, PartialEq)]
enum ProxyKind {
    Connect,
    Socks5,
}

/// A proxy that connects every client to one server, whatever host it requests.
struct Proxy {
    address: SocketAddr,
    requested: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(kind: ProxyKind, server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self { address: listener.local_addr().unwrap(), requested: Arc::default() };
        let requested = Arc::clone(&proxy.requested);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let requested = Arc::clone(&requested);
                // Errors of a disconnected client do not matter.
                tokio::spawn(async move { relay(kind, client, server, &requested).await.ok() });
            }
        });
        proxy
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    /// The hosts requested since the last call.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.requested.lock().unwrap())
    }
}

async fn relay(
    kind: ProxyKind,
    mut client: TcpStream,
    server: SocketAddr,
    requested: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    match kind {
        ProxyKind::Connect => {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await?);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let recorded = head.lines().filter(|line| {
                line.starts_with("CONNECT") || line.to_lowercase().starts_with("proxy-authorization")
            });
            requested.lock().unwrap().push(recorded.collect::<Vec<_>>().join(" | "));
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        }
        // RFC 1928: no authentication, a connection to a host name.
        ProxyKind::Socks5 => {
            let mut greeting = [0; 2];
            client.read_exact(&mut greeting).await?;
            let mut methods = vec![0; greeting[1].into()];
            client.read_exact(&mut methods).await?;
            client.write_all(&[5, 0]).await?;
            let mut request = [0; 4];
            client.read_exact(&mut request).await?;
            let length = if request[3] == 3 { client.read_u8().await?.into() } else { 4 };
            let mut host = vec![0; length];
            client.read_exact(&mut host).await?;
            let port = client.read_u16().await?;
            requested.lock().unwrap().push(format!("{}:{port}", String::from_utf8_lossy(&host)));
            client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        }
    }
    let mut server = TcpStream::connect(server).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

struct Harness {
    server: ApiServer,
    port: u16,
    state: tempfile::TempDir,
}

impl Harness {
    async fn set_up() -> Option<Self> {
        let options = ApiServerOptions::cached().await?;
        let state = tempfile::tempdir().unwrap();
        let server = ApiServer::start(state.path(), options).await.unwrap();
        definition::put_definitions(&server.client()).await.unwrap();
        let port = server.endpoint().server.rsplit_once(':').unwrap().1.parse().unwrap();
        Some(Self { server, port, state })
    }

    /// The administrator's kubeconfig with this host name for the server, and with a proxy if
    /// given.
    fn kubeconfig(&self, host: &str, proxy: Option<&str>) -> PathBuf {
        let text = std::fs::read_to_string(self.server.admin_kubeconfig()).unwrap();
        let mut document: Value = serde_json::from_str(&text).unwrap();
        let cluster = &mut document["clusters"][0]["cluster"];
        cluster["server"] = json!(format!("https://{host}:{}", self.port));
        cluster["tls-server-name"] = json!("localhost");
        if let Some(proxy) = proxy {
            cluster["proxy-url"] = json!(proxy);
        }
        let path = self.state.path().join("kubeconfig");
        std::fs::write(&path, document.to_string()).unwrap();
        path
    }
}

struct CommandResult {
    code: i32,
    err: String,
}

/// Runs `list` with only the given environment.
async fn list(kubeconfig: &Path, environment: &[(&str, &str)]) -> CommandResult {
    run(&["list", "--kubeconfig", kubeconfig.to_str().unwrap()], environment).await
}

async fn run(words: &[&str], environment: &[(&str, &str)]) -> CommandResult {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_kubectl-kinesisdemo"))
        .args(words)
        .env_clear()
        .envs(environment.iter().copied())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    CommandResult { code: output.status.code().unwrap(), err: String::from_utf8(output.stderr).unwrap() }
}

#[tokio::test]
async fn the_program_uses_the_same_proxy_as_kubectl() {
    let Some(harness) = Harness::set_up().await else { return };
    let address = SocketAddr::from(([127, 0, 0, 1], harness.port));
    let connect = Proxy::start(ProxyKind::Connect, address).await;
    let socks = Proxy::start(ProxyKind::Socks5, address).await;
    let (http, port) = (connect.url("http"), harness.port);
    let requested = [format!("CONNECT {HOST}:{port} HTTP/1.1")];

    // Set in the kubeconfig: the environment does not matter.
    let named = harness.kubeconfig(HOST, Some(&http));
    for environment in [&[][..], &[("NO_PROXY", "*")], &[("HTTPS_PROXY", "http://127.0.0.1:1")]] {
        let result = list(&named, environment).await;
        assert_eq!((result.code, connect.take()), (0, requested.to_vec()), "{environment:?}: {}", result.err);
    }
    let result = list(&harness.kubeconfig(HOST, Some(&socks.url("socks5"))), &[]).await;
    assert_eq!((result.code, socks.take()), (0, vec![format!("{HOST}:{port}")]), "{}", result.err);
    let here = harness.kubeconfig("127.0.0.1", Some(&http));
    let result = list(&here, &[]).await;
    assert_eq!((result.code, connect.take().len()), (0, 1), "{}", result.err);

    // Set in the environment.
    let plain = harness.kubeconfig(HOST, None);
    let bare = connect.address.to_string();
    for environment in [("HTTPS_PROXY", http.as_str()), ("https_proxy", &http), ("HTTPS_PROXY", &bare)] {
        let result = list(&plain, &[environment]).await;
        assert_eq!((result.code, connect.take()), (0, requested.to_vec()), "{environment:?}: {}", result.err);
    }
    let result = list(&plain, &[("HTTPS_PROXY", &socks.url("socks5h"))]).await;
    assert_eq!((result.code, socks.take().len()), (0, 1), "{}", result.err);
    let secret = http.replace("http://", "http://me:pa%40ss@");
    let result = list(&plain, &[("HTTPS_PROXY", &secret)]).await;
    // The base64 of me:pa@ss.
    assert_eq!(result.code, 0, "{}", result.err);
    assert!(connect.take()[0].to_lowercase().ends_with(&"basic bWU6cGFAc3M=".to_lowercase()));
    let result = list(&plain, &[("HTTPS_PROXY", &http), ("NO_PROXY", "127.0.0.1,proxy.example")]).await;
    assert_eq!(
        (result.code, connect.take()),
        (0, requested.to_vec()),
        "the proxy's own name in NO_PROXY does not matter: {}",
        result.err
    );
    harness.server.stop().await;
}

#[tokio::test]
async fn no_proxy_hosts_and_loopback_are_reached_directly() {
    let Some(harness) = Harness::set_up().await else { return };
    let connect = Proxy::start(ProxyKind::Connect, SocketAddr::from(([127, 0, 0, 1], harness.port))).await;
    let http = connect.url("http");

    let plain = harness.kubeconfig(HOST, None);
    for list_of_names in ["api.example", ".example", "other,*.example", "*"] {
        let result = list(&plain, &[("HTTPS_PROXY", &http), ("NO_PROXY", list_of_names)]).await;
        // Without the proxy that name does not resolve.
        assert_eq!((result.code, connect.take().len()), (1, 0), "{list_of_names}: {}", result.err);
    }
    for loopback in ["127.0.0.1", "localhost"] {
        let here = harness.kubeconfig(loopback, None);
        for proxy in ["http://proxy.invalid:3128", &http, "ftp://a b"] {
            let result = list(&here, &[("HTTPS_PROXY", proxy)]).await;
            assert_eq!((result.code, connect.take().len()), (0, 0), "{loopback} by {proxy}: {}", result.err);
        }
    }

    // Lists with empty or invalid entries, which kubectl accepts.
    let plain = harness.kubeconfig(HOST, None);
    for list_of_names in ["localhost,127.0.0.1,", ",,", " , other.example ,,", "a b", "10.0.0.0/99,[::1"] {
        let result = list(&plain, &[("HTTPS_PROXY", &http), ("NO_PROXY", list_of_names)]).await;
        assert_eq!((result.code, connect.take().len()), (0, 1), "{list_of_names}: {}", result.err);
    }
    let result = list(&plain, &[("HTTPS_PROXY", &http), ("no_proxy", ",api.example,")]).await;
    assert_eq!((result.code, connect.take().len()), (1, 0), "{}", result.err);

    // A proxy error is reported as such.
    let result = list(&plain, &[("HTTPS_PROXY", "http://127.0.0.1:1")]).await;
    assert_eq!(result.code, 1);
    assert!(
        result.err.contains("next: check that the cluster is up and reachable, and also its proxy"),
        "{}",
        result.err
    );
    for wrong in ["ftp://proxy.example", "http://a b", "http://"] {
        let result = list(&plain, &[("HTTPS_PROXY", wrong)]).await;
        assert_eq!(result.code, 1);
        assert!(result.err.contains("error: HTTPS_PROXY is not the address of a proxy"), "{}", result.err);
        assert!(result.err.contains("next: correct HTTPS_PROXY, or unset it"), "{}", result.err);
    }
    let result = list(&harness.kubeconfig(HOST, Some("ftp://proxy.example")), &[]).await;
    assert!(result.err.contains("error: proxy-url in the kubeconfig is not the address"), "{}", result.err);
    assert!(result.err.contains("next: correct proxy-url in the kubeconfig"), "{}", result.err);
    harness.server.stop().await;
}

#[tokio::test]
async fn aws_calls_also_use_the_proxy() {
    // No server is behind the proxy: recording the requested host is enough.
    let proxy = Proxy::start(ProxyKind::Connect, SocketAddr::from(([127, 0, 0, 1], 1))).await;
    let (http, bare) = (proxy.url("http"), proxy.address.to_string());
    let account = [
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("HOME", "/nonexistent"),
    ];
    let status =
        async |more: &[(&str, &str)]| run(&["foundation", "status"], &[&account, more].concat()).await.code;
    for named in [("HTTPS_PROXY", http.as_str()), ("https_proxy", &bare)] {
        assert_eq!(status(&[named]).await, 1);
        let requested = proxy.take();
        assert!(
            requested.iter().all(|line| line.starts_with("CONNECT sts.us-east-1.amazonaws.com:443 ")),
            "{requested:?}"
        );
        assert!(!requested.is_empty(), "{named:?}");
    }
    assert_eq!(status(&[("HTTPS_PROXY", &http), ("NO_PROXY", ".amazonaws.com")]).await, 1);
    assert_eq!(proxy.take(), [] as [&str; 0]);
}
