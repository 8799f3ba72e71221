//! HTTPS for clients that speak nothing else: the Kinesis Producer Library, agents, and SDKs that are told an https endpoint.
//! In: connections. Out: the same, once they are encrypted.

pub mod authority;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take to agree on a key.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// So many connections may be agreeing on keys at once; others wait in the kernel's queue.
const MOST_HANDSHAKES: usize = 256;

/// What TLS is asked for with.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the authority's certificate is written, for clients to trust.
    pub ca_file: PathBuf,
}

type Handshake = BoxFuture<'static, Option<(TlsStream<TcpStream>, SocketAddr)>>;

/// A listener whose connections are encrypted. A client that is slow to agree on a key, or never does, holds up nobody.
pub struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: FuturesUnordered<Handshake>,
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
        Ok(Self { tcp, acceptor: TlsAcceptor::from(Arc::new(config)), handshakes: FuturesUnordered::new() })
    }

    fn shake_hands(&self, connection: TcpStream, from: SocketAddr) -> Handshake {
        let handshake = self.acceptor.accept(connection);
        Box::pin(async move {
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
        })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                (connection, from) = Listener::accept(&mut self.tcp), if self.handshakes.len() < MOST_HANDSHAKES => {
                    if let Err(error) = connection.set_nodelay(true) {
                        tracing::debug!(%error, "could not disable Nagle's algorithm");
                    }
                    self.handshakes.push(self.shake_hands(connection, from));
                }
                Some(done) = self.handshakes.next() => {
                    if let Some(connection) = done {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
