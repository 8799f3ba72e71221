//! HTTPS for clients that speak nothing else: the Kinesis Producer Library, agents, and SDKs with
//! an https endpoint. In: connections. Out: encrypted connections.

pub mod authority;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use kinesis_demo_connections::most_files;

/// The time limit of a handshake: two round trips and one retransmission ("Computing TCP's
/// Retransmission Timer", RFC 6298: initially one second). The number is our choice.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// How many handshakes may be in progress at once, or a quarter of the process's open files if that
/// is less. A further one aborts the oldest. The numbers are our choice.
const MAX_HANDSHAKES: usize = 256;

/// The TLS settings.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// The address to listen on; port 0 selects a free port.
    pub listen: SocketAddr,
    /// The file for the authority's certificate, for clients to trust.
    pub ca_file: PathBuf,
}

/// A listener with encrypted connections. Clients with slow or endless handshakes never delay other
/// clients, however many there are.
pub struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
    /// The handshakes in progress, oldest first. Some may have ended.
    oldest: VecDeque<AbortHandle>,
    max_handshakes: usize,
}

impl TlsListener {
    /// Creates a listener that encrypts the connections of `tcp` with a certificate.
    pub fn new(
        tcp: TcpListener,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        // The provider is named explicitly. If several providers are compiled in, rustls cannot
        // choose one.
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        // The SDKs for Java and JavaScript use HTTP/2 with Kinesis.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            tcp,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            handshakes: JoinSet::new(),
            oldest: VecDeque::new(),
            max_handshakes: MAX_HANDSHAKES.min(most_files() / 4),
        })
    }

    /// Starts a handshake. If there are too many, the oldest is aborted, because it is the least
    /// likely to complete.
    fn start_handshake(&mut self, connection: TcpStream, from: SocketAddr) {
        self.oldest.retain(|handshake| !handshake.is_finished());
        if self.oldest.len() >= self.max_handshakes
            && let Some(oldest) = self.oldest.pop_front()
        {
            tracing::debug!("aborted the oldest TLS handshake for a new one");
            oldest.abort();
        }
        let handshake = self.acceptor.accept(connection);
        let handshake = self.handshakes.spawn(async move {
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
                Ok(Ok(connection)) => Some((connection, from)),
                Ok(Err(error)) => {
                    tracing::debug!(%from, %error, "a TLS handshake failed");
                    None
                }
                Err(_) => {
                    tracing::debug!(%from, "a TLS handshake took too long");
                    None
                }
            }
        });
        self.oldest.push_back(handshake);
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                // Checked first, so that completed handshakes do not pile up.
                biased;
                Some(result) = self.handshakes.join_next() => {
                    // An error is an aborted handshake.
                    if let Ok(Some(connection)) = result {
                        return connection;
                    }
                }
                (connection, from) = Listener::accept(&mut self.tcp) => {
                    if let Err(error) = connection.set_nodelay(true) {
                        tracing::debug!(%error, "could not disable Nagle's algorithm");
                    }
                    self.start_handshake(connection, from);
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rustls::pki_types::ServerName;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::AsyncReadExt as _;
    use tokio::time::{Instant, timeout};
    use tokio_rustls::TlsConnector;

    use super::*;

    /// Starts a listener with a limit of handshakes. It accepts connections and never responds.
    /// Returns its address and a client that trusts it.
    async fn serving(max_handshakes: usize) -> (SocketAddr, TlsConnector) {
        let identity = authority::issue(vec!["localhost".to_owned()], Timestamp::now()).unwrap();
        let tcp = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = tcp.local_addr().unwrap();
        let listener = TlsListener::new(tcp, identity.certificate, identity.key).unwrap();
        let mut listener = TlsListener { max_handshakes, ..listener };
        tokio::spawn(async move {
            let mut served = Vec::new();
            loop {
                served.push(listener.accept().await);
            }
        });
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(identity.authority.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (address, TlsConnector::from(Arc::new(config)))
    }

    /// Whether the server closes the connection within this time.
    async fn is_closed(connection: &mut TcpStream, within: Duration) -> bool {
        let read = timeout(within, connection.read(&mut [0; 1])).await;
        matches!(read, Ok(Ok(0) | Err(_)))
    }

    #[tokio::test]
    async fn silent_clients_do_not_keep_others_out() {
        let (address, client) = serving(4).await;
        let mut silent = Vec::new();
        for _ in 0..8 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let began = Instant::now();
        let mut served = Vec::new();
        for _ in 0..3 {
            let name = ServerName::try_from("localhost").unwrap();
            let connection = TcpStream::connect(address).await.unwrap();
            served.push(
                timeout(HANDSHAKE_TIMEOUT / 2, client.connect(name, connection)).await.unwrap().unwrap(),
            );
        }
        assert!(began.elapsed() < HANDSHAKE_TIMEOUT, "before the handshake of any silent client timed out");
        // The oldest handshakes were aborted, and the newest silent one was not.
        let newest = silent.len() - 1;
        for (index, connection) in silent.iter_mut().enumerate() {
            let within = if index == newest { Duration::from_millis(50) } else { HANDSHAKE_TIMEOUT / 2 };
            if index < 4 || index == newest {
                assert_eq!(is_closed(connection, within).await, index != newest, "{index}");
            }
        }
        // A completed handshake is never aborted, however many come later.
        for _ in 0..8 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        assert!(is_closed(&mut silent[newest], HANDSHAKE_TIMEOUT / 2).await);
        for connection in &mut served {
            let read = timeout(Duration::from_millis(50), connection.read(&mut [0; 1])).await;
            assert!(read.is_err(), "{read:?}");
        }
    }

    #[tokio::test]
    async fn a_handshake_times_out_after_three_seconds() {
        let (address, _) = serving(4).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        assert!(!is_closed(&mut silent, HANDSHAKE_TIMEOUT - Duration::from_secs(1)).await);
        assert!(is_closed(&mut silent, Duration::from_secs(3)).await);
    }
}
