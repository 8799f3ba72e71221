//! Tests of TLS and HTTP/2: the certificate's names, untrusting and silent clients, listen
//! addresses and files.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_kinesis::config::Credentials;
use aws_sdk_kinesis::error::SdkError;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use kinesis_demo_sandbox::access::Access;
use kinesis_demo_sandbox::tls::TlsSettings;
use kinesis_demo_sandbox::{Options, Running, Sandbox};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::wait::wait_for;

struct TestSandbox {
    running: Running,
    _folder: TempDir,
}

impl TestSandbox {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            tls: Some(TlsSettings {
                listen: ([127, 0, 0, 1], 0).into(),
                ca_file: folder.path().join("ca.pem"),
            }),
            allowed_hosts: vec!["sandbox.demo.svc".to_owned()],
            ..Options::default()
        };
        Self { running: Sandbox::start(options).await.unwrap(), _folder: folder }
    }

    fn address(&self) -> SocketAddr {
        self.running.tls.as_ref().unwrap().0
    }

    fn authority(&self) -> Vec<u8> {
        let ca_file: &PathBuf = &self.running.tls.as_ref().unwrap().1;
        std::fs::read(ca_file).unwrap()
    }

    async fn kinesis(&self, host: &str, trusted: TrustStore) -> aws_sdk_kinesis::Client {
        let context = TlsContext::builder().with_trust_store(trusted).build().unwrap();
        let http = Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(context)
            .build_https();
        let credentials = Credentials::new(self.running.access_key_id(), "any", None, None, "test");
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(format!("https://{host}:{}", self.address().port()))
            .credentials_provider(credentials)
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .http_client(http)
            .load()
            .await;
        aws_sdk_kinesis::Client::new(&config)
    }

    /// Performs a TLS handshake with the server name `name`; returns the ALPN protocol.
    async fn handshake(&self, name: &str) -> std::io::Result<Option<Vec<u8>>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&self.authority()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let connection = TcpStream::connect(self.address()).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = TlsConnector::from(Arc::new(config)).connect(name, connection).await?;
        Ok(connection.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
    }
}

#[tokio::test]
async fn only_clients_that_trust_the_authority_connect() {
    let sandbox = TestSandbox::start().await;
    let trusted = TrustStore::empty().with_pem_certificate(sandbox.authority());
    for host in ["127.0.0.1", "localhost"] {
        let kinesis = sandbox.kinesis(host, trusted.clone()).await;
        kinesis.create_stream().stream_name(format!("at-{host}")).shard_count(1).send().await.unwrap();
    }
    let other = TestSandbox::start().await;
    let other_authority = TrustStore::empty().with_pem_certificate(other.authority());
    let error = sandbox.kinesis("localhost", other_authority).await.list_streams().send().await.unwrap_err();
    assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
    let plain = crate::test_sandbox::config(&sandbox.running, "us-east-1").await;
    let listed = aws_sdk_kinesis::Client::new(&plain).list_streams().send().await.unwrap();
    assert_eq!(listed.stream_names(), ["at-127.0.0.1", "at-localhost"], "both ports serve the same sandbox");
}

#[tokio::test]
async fn the_certificate_covers_exactly_the_served_names() {
    let sandbox = TestSandbox::start().await;
    for name in ["localhost", "127.0.0.1", "::1", "sandbox.demo.svc"] {
        assert_eq!(sandbox.handshake(name).await.unwrap().as_deref(), Some(&b"h2"[..]), "{name}");
    }
    for name in ["example.com", "other.demo.svc", "10.0.0.1"] {
        assert!(sandbox.handshake(name).await.is_err(), "{name}");
    }
}

#[tokio::test]
async fn silent_clients_do_not_block_others() {
    let sandbox = TestSandbox::start().await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(sandbox.address()).await.unwrap());
    }
    let mut plain = TcpStream::connect(sandbox.address()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let trusted = TrustStore::empty().with_pem_certificate(sandbox.authority());
    let kinesis = sandbox.kinesis("localhost", trusted).await;
    let listed = tokio::time::timeout(Duration::from_secs(5), kinesis.list_streams().send()).await;
    assert!(listed.unwrap().unwrap().stream_names().is_empty());
}

#[tokio::test]
async fn http_2_without_tls_is_supported() {
    // For Kinesis, the SDK for JavaScript and the asynchronous SDK for Java use HTTP/2 with prior
    // knowledge even if the endpoint is http.
    let sandbox = TestSandbox::start().await;
    let mut connection = TcpStream::connect(sandbox.running.address).await.unwrap();
    let empty_settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    connection.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    connection.write_all(&empty_settings).await.unwrap();
    let mut head = [0; 9];
    connection.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "the server's first frame is SETTINGS");
}

#[tokio::test]
async fn tls_on_non_loopback_addresses_needs_a_flag() {
    let folder = tempfile::tempdir().unwrap();
    let tls = TlsSettings { listen: ([0, 0, 0, 0], 0).into(), ca_file: folder.path().join("ca.pem") };
    let open = Options { tls: Some(tls), ..Options::default() };
    let error = Sandbox::start(open.clone()).await.err().unwrap().to_string();
    assert!(error.contains("--allow-non-loopback"), "{error}");
    let any_credentials =
        Options { allow_non_loopback: true, access: Access::AnyCredentials, ..open.clone() };
    let error = Sandbox::start(any_credentials).await.err().unwrap().to_string();
    assert!(error.contains("--any-credentials"), "{error}");
    let missing_folder =
        TlsSettings { listen: ([127, 0, 0, 1], 0).into(), ca_file: folder.path().join("none/ca.pem") };
    let error =
        Sandbox::start(Options { tls: Some(missing_folder), ..Options::default() }).await.err().unwrap();
    assert!(error.to_string().contains("could not write"), "{error}");
}

/// The sandbox binary, with its own folder for its files.
fn program(folder: &TempDir) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_kinesis-demo-sandbox"));
    command.args(["serve", "--any-credentials", "--tls"]).current_dir(folder.path()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn the_address_file_has_the_tls_endpoint_and_the_ca_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut sandbox = program(&folder);
    sandbox.args(["--address-file", "sandbox.json"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut sandbox = sandbox.spawn().unwrap();
    let path = folder.path().join("sandbox.json");
    wait_for("the address file", async || path.exists().then_some(())).await;
    let endpoints: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let ca_file = PathBuf::from(endpoints["tlsCaFile"].as_str().unwrap());
    assert_eq!(ca_file.file_name().unwrap(), "sandbox.json.ca.pem");
    assert!(ca_file.is_absolute(), "the reader may have another working directory");
    CertificateDer::from_pem_slice(&std::fs::read(&ca_file).unwrap()).unwrap();
    let address: SocketAddr = endpoints["tlsAddress"].as_str().unwrap().parse().unwrap();
    assert!(address.ip().is_loopback() && endpoints["address"] != endpoints["tlsAddress"]);
    TcpStream::connect(address).await.unwrap();
    let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| std::fs::read(entry.unwrap().path()));
    for file in files {
        assert!(!String::from_utf8_lossy(&file.unwrap()).contains("PRIVATE KEY"));
    }
    sandbox.kill().await.unwrap();
}

#[tokio::test]
async fn tls_without_a_place_for_the_ca_file_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let output = program(&folder).output().await.unwrap();
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("--tls-ca-file"), "{stderr}");
}

#[tokio::test]
async fn a_ca_path_that_is_not_utf_8_is_an_error_not_a_panic() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    let folder = tempfile::tempdir().unwrap();
    let mut sandbox = program(&folder);
    sandbox.args(["--address-file", "sandbox.json", "--tls-ca-file"]).arg(OsStr::from_bytes(b"\xff.pem"));
    let output = tokio::time::timeout(Duration::from_secs(30), sandbox.output()).await.unwrap().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("UTF-8") && !stderr.contains("panicked"), "{stderr}");
    assert!(!folder.path().join("sandbox.json").exists(), "no incomplete address file is written");
    // Without an address file that must contain it, any path is allowed.
    let mut sandbox = program(&folder);
    let path = OsStr::from_bytes(b"\xfe.pem");
    sandbox.arg("--tls-ca-file").arg(path).stdout(Stdio::null()).stderr(Stdio::null());
    let mut sandbox = sandbox.spawn().unwrap();
    wait_for("the CA file", async || folder.path().join(path).exists().then_some(())).await;
    sandbox.kill().await.unwrap();
}
