//! Limits the number of connections and the time until a connection's first request. In: listeners.
//! Out: the same listeners, whose connections are closed when they exceed the time or must make
//! room for others. Reads the process's limit of open files.
//!
//! Without these limits, clients that connect and send nothing, or only half of a request's head,
//! would use up the process's open files, and other clients could not connect.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use nix::sys::resource::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How long a new connection may take to send the head of its first request. The number is ours.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// The assumed limit of open files if the system does not report one: the smallest default of
/// today's systems (macOS).
const USUAL_FILES: u64 = 256;
/// An upper bound for processes without a limit of open files.
const MOST_FILES: u64 = 1 << 16;

/// While this many connections are closing, accepting waits, but for a limited time. The numbers
/// are ours.
const MOST_ENDING: usize = 16;
const PAUSE: Duration = Duration::from_millis(1);
const MOST_PAUSES: usize = 100;

/// How many files this process may have open.
pub fn most_files() -> usize {
    let soft = getrlimit(Resource::RLIMIT_NOFILE).map_or(USUAL_FILES, |(soft, _)| soft);
    usize::try_from(soft.min(MOST_FILES)).unwrap_or_default()
}

/// The connections of all listeners together.
#[derive(Clone)]
pub struct Connections {
    most: usize,
    first_request_timeout: Duration,
    open: Arc<Mutex<Vec<Weak<Connection>>>>,
    /// How many connections were cancelled and are not closed yet.
    ending: Arc<AtomicUsize>,
}

/// The state of a connection that decides whether it may stay open.
struct Connection {
    state: Mutex<State>,
    end: CancellationToken,
}

struct State {
    /// How many of its requests are in progress.
    requests: usize,
    has_sent_request: bool,
    is_closed: bool,
    /// When it last received a request or part of a response was written to it.
    active_at: Instant,
}

impl Connection {
    fn new() -> Arc<Self> {
        let state =
            State { requests: 0, has_sent_request: false, is_closed: false, active_at: Instant::now() };
        Arc::new(Self { state: Mutex::new(state), end: CancellationToken::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when the connection has been idle; `None` while a request is in progress.
    fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.requests == 0).then_some(state.active_at)
    }
}

impl Connections {
    /// At most `most` connections. Half of the open files leaves enough for tasks and their output.
    pub fn new(most: usize) -> Self {
        Self { most, first_request_timeout: FIRST_REQUEST, open: Arc::default(), ending: Arc::default() }
    }

    /// Serves the requests that reach a listener, until the token is cancelled.
    pub fn serve<L>(
        &self,
        listener: L,
        router: Router,
        stopping: &CancellationToken,
    ) -> JoinHandle<io::Result<()>>
    where
        L: Listener,
        L::Addr: fmt::Debug,
    {
        let listener = Watched { listener, connections: self.clone() };
        let stop_requested = stopping.clone().cancelled_owned();
        let router = router.layer(from_fn(mark)).into_make_service_with_connect_info::<Origin>();
        tokio::spawn(
            async move { axum::serve(listener, router).with_graceful_shutdown(stop_requested).await },
        )
    }

    /// Registers a connection. If there are too many, closes the one that has been idle longest.
    fn admit(&self) -> Arc<Connection> {
        let connection = Connection::new();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= self.most {
            open.retain(|connection| {
                connection.upgrade().is_some_and(|connection| !connection.end.is_cancelled())
            });
        }
        if open.len() >= self.most {
            let lines = open.iter().filter_map(Weak::upgrade);
            let idle = lines
                .filter_map(|connection| Some((connection.idle_since()?, connection)))
                .min_by_key(|(since, _)| *since);
            if let Some((_, connection)) = idle {
                tracing::debug!("closed the longest idle connection to make room for a new one");
                // Counted under the lock, so that the connection cannot close uncounted in between.
                let state = connection.state();
                if !state.is_closed {
                    self.ending.fetch_add(1, Ordering::Relaxed);
                    connection.end.cancel();
                }
            }
        }
        open.push(Arc::downgrade(&connection));
        connection
    }
}

/// A listener that tracks its connections.
struct Watched<L> {
    listener: L,
    connections: Connections,
}

impl<L: Listener> Listener for Watched<L> {
    type Io = WatchedIo<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // New connections may arrive faster than the cancelled ones close. Waiting here keeps the
        // process within its limit of open files.
        for _ in 0..MOST_PAUSES {
            if self.connections.ending.load(Ordering::Relaxed) < MOST_ENDING {
                break;
            }
            sleep(PAUSE).await;
        }
        let (io, from) = self.listener.accept().await;
        let connection = self.connections.admit();
        let end = Box::pin(connection.end.clone().cancelled_owned());
        let first_request_timeout = Box::pin(sleep(self.connections.first_request_timeout));
        (
            WatchedIo { io, connection, end, first_request_timeout, ending: self.connections.ending.clone() },
            from,
        )
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A tracked connection. Reading fails once it has been cancelled.
struct WatchedIo<Io> {
    io: Io,
    connection: Arc<Connection>,
    end: Pin<Box<WaitForCancellationFutureOwned>>,
    first_request_timeout: Pin<Box<Sleep>>,
    ending: Arc<AtomicUsize>,
}

impl<Io> Drop for WatchedIo<Io> {
    fn drop(&mut self) {
        let mut state = self.connection.state();
        state.is_closed = true;
        if self.connection.end.is_cancelled() {
            self.ending.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for WatchedIo<Io> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let read = Pin::new(&mut this.io).poll_read(context, buffer);
        let mut is_late = || {
            !this.connection.state().has_sent_request
                && this.first_request_timeout.as_mut().poll(context).is_ready()
        };
        if read.is_pending() && is_late() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for WatchedIo<Io> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.connection.state().active_at = Instant::now();
        Pin::new(&mut this.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.connection.state().active_at = Instant::now();
        Pin::new(&mut this.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}

/// The connection on which a request arrived.
#[derive(Clone)]
struct Origin(Arc<Connection>);

impl<L: Listener> Connected<IncomingStream<'_, Watched<L>>> for Origin {
    fn connect_info(stream: IncomingStream<'_, Watched<L>>) -> Self {
        Self(stream.io().connection.clone())
    }
}

/// Records that the connection has sent a request, and when its response is complete.
async fn mark(
    ConnectInfo(Origin(connection)): ConnectInfo<Origin>,
    request: Request,
    next: Next,
) -> Response {
    struct InProgress(Arc<Connection>);
    impl Drop for InProgress {
        fn drop(&mut self) {
            let mut state = self.0.state();
            state.requests -= 1;
            state.active_at = Instant::now();
        }
    }
    {
        let mut state = connection.state();
        state.requests += 1;
        state.has_sent_request = true;
    }
    let _in_progress = InProgress(connection);
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);

    async fn serving(most: usize, first_request_timeout: Duration) -> std::net::SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Connections { first_request_timeout, ..Connections::new(most) };
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route("/slow", get(|| async { sleep(SHORT * 10).await }));
        connections.serve(listener, router, &CancellationToken::new());
        address
    }

    async fn connected(address: std::net::SocketAddr, sent: &str) -> TcpStream {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(sent.as_bytes()).await.unwrap();
        connection
    }

    /// Whether the server closes a connection within this time.
    async fn is_ended(connection: &mut TcpStream, within: Duration) -> bool {
        let read = timeout(within, connection.read(&mut [0; 1])).await;
        matches!(read, Ok(Ok(0) | Err(_)))
    }

    async fn gets_response(connection: &mut TcpStream) -> bool {
        let mut answer = [0; 256];
        let read = timeout(SHORT * 20, connection.read(&mut answer)).await;
        matches!(read, Ok(Ok(length)) if answer[..length].starts_with(b"HTTP/1.1 200 OK"))
    }

    const WHOLE: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    const SLOW: &str = "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n";
    const HALF: &str = "GET / HTTP/1.1\r\nhost: ";

    #[tokio::test]
    async fn late_first_requests_close_and_later_pauses_do_not() {
        let address = serving(100, SHORT * 5).await;
        let (mut silent, mut half) = (connected(address, "").await, connected(address, HALF).await);
        let (mut active, mut slow) = (connected(address, WHOLE).await, connected(address, SLOW).await);
        assert!(gets_response(&mut active).await);
        assert!(!is_ended(&mut silent, SHORT).await);
        assert!(is_ended(&mut silent, SHORT * 10).await);
        assert!(is_ended(&mut half, SHORT * 10).await);
        assert!(
            gets_response(&mut slow).await,
            "the timeout of the first request must not apply to its response"
        );
        active.write_all(WHOLE.as_bytes()).await.unwrap();
        assert!(gets_response(&mut active).await);
    }

    #[tokio::test]
    async fn beyond_the_limit_the_longest_idle_connection_closes() {
        let address = serving(3, SHORT * 100).await;
        let mut slow = connected(address, SLOW).await;
        let mut asked = connected(address, WHOLE).await;
        assert!(gets_response(&mut asked).await);
        let mut half = connected(address, HALF).await;
        sleep(SHORT).await;
        let mut fourth = connected(address, WHOLE).await;
        assert!(gets_response(&mut fourth).await);
        assert!(is_ended(&mut asked, SHORT * 5).await);
        let mut fifth = connected(address, WHOLE).await;
        assert!(gets_response(&mut fifth).await);
        assert!(is_ended(&mut half, SHORT * 5).await);
        assert!(gets_response(&mut slow).await);
    }

    #[tokio::test]
    async fn many_silent_connections_do_not_block_others() {
        let address = serving(8, SHORT * 100).await;
        let mut silent = Vec::new();
        for _ in 0..100 {
            silent.push(connected(address, HALF).await);
        }
        let mut active = connected(address, WHOLE).await;
        assert!(gets_response(&mut active).await);
        assert!(is_ended(&mut silent[0], SHORT * 5).await);
    }

    #[test]
    fn the_limit_of_open_files_is_plausible() {
        assert!((64..=1 << 16).contains(&most_files()), "{}", most_files());
    }
}
