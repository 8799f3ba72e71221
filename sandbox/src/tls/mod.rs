//! HTTPS for clients that speak nothing else: the Kinesis Producer Library, agents, and SDKs that are told an https endpoint.
//! In: connections. Out: the same, once they are encrypted.

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

use crate::connections::most_files;

/// How long a client may take to agree on a key: two round trips, and one retransmission
/// ("Computing TCP's Retransmission Timer", RFC 6298: one second at first). The number is ours.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// So many connections may be agreeing on keys at once, or a quarter of the process's open files if
/// that is less; for one more, the oldest is given up. The numbers are ours.
const MOST_HANDSHAKES: usize = 256;

/// What TLS is asked for with.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the authority's certificate is written, for clients to trust.
    pub ca_file: PathBuf,
}

/// A listener whose connections are encrypted. Clients that are slow to agree on a key, or never
/// do, hold up nobody, however many they are.
pub struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
    /// The handshakes, the oldest first. Some may be over.
    oldest: VecDeque<AbortHandle>,
    most_handshakes: usize,
}

impl TlsListener {
    /// Encrypts what `tcp` accepts, as the holder of a certificate.
    pub fn new(
        tcp: TcpListener,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        // Named, lest another provider that is compiled in leave rustls without a choice.
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        // The SDKs for Java and JavaScript speak HTTP/2 with Kinesis.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            tcp,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            handshakes: JoinSet::new(),
            oldest: VecDeque::new(),
            most_handshakes: MOST_HANDSHAKES.min(most_files() / 4),
        })
    }

    /// Begins a handshake. If there are too many, the oldest is given up: it is the likeliest never
    /// to end.
    fn shake_hands(&mut self, connection: TcpStream, from: SocketAddr) {
        self.oldest.retain(|handshake| !handshake.is_finished());
        if self.oldest.len() >= self.most_handshakes
            && let Some(oldest) = self.oldest.pop_front()
        {
            tracing::debug!("a TLS handshake is given up for newer ones");
            oldest.abort();
        }
        let handshake = self.acceptor.accept(connection);
        let handshake = self.handshakes.spawn(async move {
            match tokio::time::timeout(HANDSHAKE, handshake).await {
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
                // First, so that what is done does not pile up.
                biased;
                Some(done) = self.handshakes.join_next() => {
                    // An error is a handshake that was given up.
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
                (connection, from) = Listener::accept(&mut self.tcp) => {
                    if let Err(error) = connection.set_nodelay(true) {
                        tracing::debug!(%error, "could not disable Nagle's algorithm");
                    }
                    self.shake_hands(connection, from);
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

    /// Serves connections that say nothing, with so many handshakes at once, and gives a client
    /// that trusts it.
    async fn serving(most_handshakes: usize) -> (SocketAddr, TlsConnector) {
        let identity = authority::issue(vec!["localhost".to_owned()], Timestamp::now()).unwrap();
        let tcp = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = tcp.local_addr().unwrap();
        let listener = TlsListener::new(tcp, identity.certificate, identity.key).unwrap();
        let mut listener = TlsListener { most_handshakes, ..listener };
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

    /// Whether the server closes a connection by then.
    async fn is_closed(connection: &mut TcpStream, within: Duration) -> bool {
        let read = timeout(within, connection.read(&mut [0; 1])).await;
        matches!(read, Ok(Ok(0) | Err(_)))
    }

    #[tokio::test]
    async fn as_many_silent_clients_as_there_may_be_keep_nobody_out() {
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
            served.push(timeout(HANDSHAKE / 2, client.connect(name, connection)).await.unwrap().unwrap());
        }
        assert!(began.elapsed() < HANDSHAKE, "before any silent client's time was up");
        // The oldest were given up, and the youngest of those that say nothing was not.
        let newest = silent.len() - 1;
        for (place, connection) in silent.iter_mut().enumerate() {
            let within = if place == newest { Duration::from_millis(50) } else { HANDSHAKE / 2 };
            if place < 4 || place == newest {
                assert_eq!(is_closed(connection, within).await, place != newest, "{place}");
            }
        }
        // Who agreed on a key stays, however many come after.
        for _ in 0..8 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        assert!(is_closed(&mut silent[newest], HANDSHAKE / 2).await);
        for connection in &mut served {
            let read = timeout(Duration::from_millis(50), connection.read(&mut [0; 1])).await;
            assert!(read.is_err(), "{read:?}");
        }
    }

    #[tokio::test]
    async fn a_handshake_has_three_seconds() {
        let (address, _) = serving(4).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        assert!(!is_closed(&mut silent, HANDSHAKE - Duration::from_secs(1)).await);
        assert!(is_closed(&mut silent, Duration::from_secs(3)).await);
    }
}
