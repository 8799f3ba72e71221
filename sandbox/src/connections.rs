//! How many connections there may be, and how long one may take to ask for something. In:
//! listeners. Out: the same, whose connections end when their time is up or their place is needed.
//! Reads the process's limit of open files.
//!
//! Whoever connects and says nothing, or half a request's head, would else hold a file of ours for
//! ever, until none is left for those who do ask.

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

/// How long a new connection may take until the head of its first request is there. The number is
/// ours.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// The open files that are counted on where the system does not tell: the least that a system of
/// today gives a process (macOS).
const USUAL_FILES: u64 = 256;
/// A process whose files are not limited is still not to be filled.
const MOST_FILES: u64 = 1 << 16;

/// While so many connections are to end, the next one waits, but not for ever. The numbers are ours.
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
    patience: Duration,
    held: Arc<Mutex<Vec<Weak<Line>>>>,
    /// How many were told to end and have not yet.
    ending: Arc<AtomicUsize>,
}

/// A connection, as far as it matters whether it may stay.
struct Line {
    state: Mutex<State>,
    end: CancellationToken,
}

struct State {
    /// How many of its requests are being answered.
    requests: usize,
    has_asked: bool,
    is_gone: bool,
    /// When it last had a request or took a part of an answer.
    active_at: Instant,
}

impl Line {
    fn new() -> Arc<Self> {
        let state = State { requests: 0, has_asked: false, is_gone: false, active_at: Instant::now() };
        Arc::new(Self { state: Mutex::new(state), end: CancellationToken::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when nothing has been asked for or answered; `None` while something is.
    fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.requests == 0).then_some(state.active_at)
    }
}

impl Connections {
    /// At most `most` connections; a half of the open files leaves enough for tasks and their
    /// output.
    pub fn new(most: usize) -> Self {
        Self { most, patience: FIRST_REQUEST, held: Arc::default(), ending: Arc::default() }
    }

    /// Answers the requests that reach a listener, until the token is cancelled.
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
        let asked_to_stop = stopping.clone().cancelled_owned();
        let router = router.layer(from_fn(mark)).into_make_service_with_connect_info::<Origin>();
        tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(asked_to_stop).await })
    }

    /// Takes a connection in. If there are too many, the one that has had nothing to do for the
    /// longest time is ended.
    fn admit(&self) -> Arc<Line> {
        let line = Line::new();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= self.most {
            held.retain(|line| line.upgrade().is_some_and(|line| !line.end.is_cancelled()));
        }
        if held.len() >= self.most {
            let lines = held.iter().filter_map(Weak::upgrade);
            let idle =
                lines.filter_map(|line| Some((line.idle_since()?, line))).min_by_key(|(since, _)| *since);
            if let Some((_, line)) = idle {
                tracing::debug!("a connection that asks for nothing is ended for a newer one");
                // Under the lock, lest it go uncounted between the two.
                let state = line.state();
                if !state.is_gone {
                    self.ending.fetch_add(1, Ordering::Relaxed);
                    line.end.cancel();
                }
            }
        }
        held.push(Arc::downgrade(&line));
        line
    }
}

/// A listener whose connections are watched.
struct Watched<L> {
    listener: L,
    connections: Connections,
}

impl<L: Listener> Listener for Watched<L> {
    type Io = WatchedIo<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // A crowd may come faster than what is ended for it goes, and files would run out between.
        for _ in 0..MOST_PAUSES {
            if self.connections.ending.load(Ordering::Relaxed) < MOST_ENDING {
                break;
            }
            sleep(PAUSE).await;
        }
        let (io, from) = self.listener.accept().await;
        let line = self.connections.admit();
        let end = Box::pin(line.end.clone().cancelled_owned());
        let patience = Box::pin(sleep(self.connections.patience));
        (WatchedIo { io, line, end, patience, ending: self.connections.ending.clone() }, from)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that is watched. Reading fails once it is to end.
struct WatchedIo<Io> {
    io: Io,
    line: Arc<Line>,
    end: Pin<Box<WaitForCancellationFutureOwned>>,
    patience: Pin<Box<Sleep>>,
    ending: Arc<AtomicUsize>,
}

impl<Io> Drop for WatchedIo<Io> {
    fn drop(&mut self) {
        let mut state = self.line.state();
        state.is_gone = true;
        if self.line.end.is_cancelled() {
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
        let mut is_late = || !this.line.state().has_asked && this.patience.as_mut().poll(context).is_ready();
        if read.is_pending() && is_late() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for WatchedIo<Io> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.line.state().active_at = Instant::now();
        Pin::new(&mut this.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.line.state().active_at = Instant::now();
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

/// The connection that a request came by.
#[derive(Clone)]
struct Origin(Arc<Line>);

impl<L: Listener> Connected<IncomingStream<'_, Watched<L>>> for Origin {
    fn connect_info(stream: IncomingStream<'_, Watched<L>>) -> Self {
        Self(stream.io().line.clone())
    }
}

/// Tells the connection that it has asked for something, and when that is answered.
async fn mark(ConnectInfo(Origin(line)): ConnectInfo<Origin>, request: Request, next: Next) -> Response {
    struct Answering(Arc<Line>);
    impl Drop for Answering {
        fn drop(&mut self) {
            let mut state = self.0.state();
            state.requests -= 1;
            state.active_at = Instant::now();
        }
    }
    {
        let mut state = line.state();
        state.requests += 1;
        state.has_asked = true;
    }
    let _answering = Answering(line);
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

    async fn serving(most: usize, patience: Duration) -> std::net::SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Connections { patience, ..Connections::new(most) };
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route("/slow", get(|| async { sleep(SHORT * 10).await }));
        connections.serve(listener, router, &CancellationToken::new());
        address
    }

    async fn connected(address: std::net::SocketAddr, said: &str) -> TcpStream {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(said.as_bytes()).await.unwrap();
        connection
    }

    /// Whether the server ends a connection by then.
    async fn is_ended(connection: &mut TcpStream, within: Duration) -> bool {
        let read = timeout(within, connection.read(&mut [0; 1])).await;
        matches!(read, Ok(Ok(0) | Err(_)))
    }

    async fn is_answered(connection: &mut TcpStream) -> bool {
        let mut answer = [0; 256];
        let read = timeout(SHORT * 20, connection.read(&mut answer)).await;
        matches!(read, Ok(Ok(length)) if answer[..length].starts_with(b"HTTP/1.1 200 OK"))
    }

    const WHOLE: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    const SLOW: &str = "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n";
    const HALF: &str = "GET / HTTP/1.1\r\nhost: ";

    #[tokio::test]
    async fn who_does_not_ask_in_time_is_let_go_and_who_asked_may_pause() {
        let address = serving(100, SHORT * 5).await;
        let (mut silent, mut half) = (connected(address, "").await, connected(address, HALF).await);
        let (mut asking, mut slow) = (connected(address, WHOLE).await, connected(address, SLOW).await);
        assert!(is_answered(&mut asking).await);
        assert!(!is_ended(&mut silent, SHORT).await);
        assert!(is_ended(&mut silent, SHORT * 10).await);
        assert!(is_ended(&mut half, SHORT * 10).await);
        assert!(is_answered(&mut slow).await, "its answer took longer than it had to ask");
        asking.write_all(WHOLE.as_bytes()).await.unwrap();
        assert!(is_answered(&mut asking).await);
    }

    #[tokio::test]
    async fn for_one_more_than_there_may_be_the_longest_idle_goes_and_nobody_who_is_being_answered() {
        let address = serving(3, SHORT * 100).await;
        let mut slow = connected(address, SLOW).await;
        let mut asked = connected(address, WHOLE).await;
        assert!(is_answered(&mut asked).await);
        let mut half = connected(address, HALF).await;
        sleep(SHORT).await;
        let mut fourth = connected(address, WHOLE).await;
        assert!(is_answered(&mut fourth).await);
        assert!(is_ended(&mut asked, SHORT * 5).await);
        let mut fifth = connected(address, WHOLE).await;
        assert!(is_answered(&mut fifth).await);
        assert!(is_ended(&mut half, SHORT * 5).await);
        assert!(is_answered(&mut slow).await);
    }

    #[tokio::test]
    async fn many_silent_ones_keep_nobody_out() {
        let address = serving(8, SHORT * 100).await;
        let mut silent = Vec::new();
        for _ in 0..100 {
            silent.push(connected(address, HALF).await);
        }
        let mut asking = connected(address, WHOLE).await;
        assert!(is_answered(&mut asking).await);
        assert!(is_ended(&mut silent[0], SHORT * 5).await);
    }

    #[test]
    fn the_system_tells_how_many_files_there_may_be() {
        assert!((64..=1 << 16).contains(&most_files()), "{}", most_files());
    }
}
