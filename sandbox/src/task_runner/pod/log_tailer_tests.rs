//! Tests of the log tailer with an API server whose streams break, under paused time.

use std::collections::VecDeque;
use std::sync::Mutex;

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, Response, StatusCode};
use serde_json::json;

use super::*;
use crate::call::AwsError;

/// The response to a log request.
#[derive(Clone, Copy, Debug)]
enum Reply {
    /// This many bytes of the requested log, then the end of the stream.
    Ends(usize),
    /// This many bytes, then the connection is lost.
    Breaks(usize),
    /// This many bytes, then nothing forever.
    Hangs(usize),
    /// An error status.
    Fails(u16),
}

/// An API server with the log of one container.
struct Node {
    log: Vec<(Timestamp, String)>,
    replies: VecDeque<Reply>,
    requests: Vec<String>,
}

impl Node {
    /// The lines that kubelet sends: those not before `sinceTime`, each with its timestamp.
    fn sent(&self, query: &str) -> Vec<u8> {
        let since = query.split('&').find_map(|pair| pair.strip_prefix("sinceTime="));
        let since: Option<Timestamp> = since.map(|text| text.replace("%3A", ":").parse().unwrap());
        let lines = self.log.iter().filter(|(at, _)| since.is_none_or(|since| *at >= since));
        lines.flat_map(|(at, text)| format!("{at} {text}\n").into_bytes()).collect()
    }

    fn reply(&mut self, request: &Request<kube::client::Body>) -> Response<Body> {
        let query = request.uri().query().unwrap().to_owned();
        let reply = self.replies.pop_front().unwrap_or(Reply::Ends(usize::MAX));
        let sent = self.sent(&query);
        self.requests.push(query);
        let part = |length: usize| Bytes::copy_from_slice(&sent[..sent.len().min(length)]);
        let body = match reply {
            Reply::Ends(length) => Body::from(part(length)),
            Reply::Breaks(length) => Body::from_stream(stream::iter([
                Ok(part(length)),
                Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
            ])),
            Reply::Hangs(length) => Body::from_stream(
                stream::iter([Ok::<_, std::io::Error>(part(length))]).chain(stream::pending()),
            ),
            Reply::Fails(code) => {
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "no", "reason": "no"});
                let mut response = Response::new(Body::from(status.to_string()));
                *response.status_mut() = StatusCode::from_u16(code).unwrap();
                return response;
            }
        };
        Response::new(body)
    }
}

/// The appended lines: milliseconds since the first instant of the log, and text.
#[derive(Default)]
struct AppendedLines(Mutex<Vec<(i64, String)>>);

impl ContainerLogs for AppendedLines {
    fn create_stream(&self, _stream: &LogStream) -> Result<(), AwsError> {
        Ok(())
    }

    fn append(&self, stream: &LogStream, line: String, written: Option<Timestamp>) {
        assert_eq!(*stream, stream_of_the_container());
        let since_first = written.unwrap().as_millisecond() - at(0).as_millisecond();
        self.0.lock().unwrap().push((since_first, line));
    }
}

fn stream_of_the_container() -> LogStream {
    LogStream { region: "us-east-1".into(), group: "/g".into(), name: "run/main/t".into() }
}

struct Harness {
    node: Arc<Mutex<Node>>,
    logs: Arc<AppendedLines>,
    ended: watch::Sender<bool>,
    running: tokio::task::JoinHandle<()>,
}

impl Harness {
    fn start(log: &[(i64, &str)], replies: &[Reply]) -> Self {
        let line = |(millis, text): &(i64, &str)| (at(*millis), (*text).to_owned());
        let node = Node {
            log: log.iter().map(line).collect(),
            replies: replies.iter().copied().collect(),
            requests: Vec::new(),
        };
        let node = Arc::new(Mutex::new(node));
        let requested = Arc::clone(&node);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let response = requested.lock().unwrap().reply(&request);
            async move { Ok::<_, std::io::Error>(response) }
        });
        let logs = Arc::new(AppendedLines::default());
        let (ended, receiver) = watch::channel(false);
        let tailer = LogTailer {
            pods: Api::namespaced(kube::Client::new(service, "demo"), "demo"),
            pod: "p".into(),
            container: "main".into(),
            stream: stream_of_the_container(),
            logs: logs.clone(),
        };
        Self { node, logs, ended, running: tokio::spawn(tailer.run(receiver)) }
    }

    /// The lines in the order of their timestamps, as CloudWatch Logs returns them.
    fn logged(&self) -> Vec<(i64, String)> {
        let mut lines = self.logs.0.lock().unwrap().clone();
        lines.sort_by_key(|(millis, _)| *millis);
        lines
    }

    /// Lets the tailer run for this long.
    async fn wait(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// Ends the container. Returns the events and requests once the tailer has finished.
    async fn end(mut self) -> (Vec<(i64, String)>, Vec<String>) {
        self.ended.send_replace(true);
        (&mut self.running).await.unwrap();
        let logged = self.logged();
        let requests = self.node.lock().unwrap().requests.clone();
        (logged, requests)
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
}

fn expected(log: &[(i64, &str)]) -> Vec<(i64, String)> {
    log.iter().map(|(millis, text)| (*millis, (*text).to_owned())).collect()
}

const LOG: [(i64, &str); 4] = [(0, "one"), (1_200, "two"), (1_200, "two"), (5_000, "last word")];

#[tokio::test(start_paused = true)]
async fn every_line_is_logged_once_wherever_the_stream_breaks() {
    let length: usize = LOG.iter().map(|(millis, text)| format!("{} {text}\n", at(*millis)).len()).sum();
    for at in 0..=length {
        for reply in [Reply::Breaks(at), Reply::Ends(at)] {
            let harness = Harness::start(&LOG, &[reply, Reply::Fails(500), reply]);
            harness.wait(10).await;
            let (logged, _) = harness.end().await;
            assert_eq!(logged, expected(&LOG), "{reply:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_stream_is_dropped_after_the_container_ends() {
    let harness = Harness::start(&LOG, &[Reply::Hangs(40)]);
    harness.wait(1).await;
    let (logged, requests) = harness.end().await;
    assert_eq!(logged, expected(&LOG));
    assert!(requests[0].contains("follow=true") && requests[0].contains("timestamps=true"), "{requests:?}");
    assert!(requests.len() == 2 && !requests[1].contains("follow"), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_reopened() {
    let harness = Harness::start(&LOG, &[Reply::Hangs(40), Reply::Hangs(usize::MAX)]);
    harness.wait(SILENCE.as_secs() + 5).await;
    assert_eq!(harness.logged(), expected(&LOG));
    assert_eq!(harness.end().await.0, expected(&LOG));
}

#[tokio::test(start_paused = true)]
async fn the_last_read_is_retried_unless_there_is_no_log() {
    let harness = Harness::start(&LOG, &[Reply::Hangs(0), Reply::Fails(503), Reply::Breaks(50)]);
    harness.wait(1).await;
    assert_eq!(harness.end().await.0, expected(&LOG));
    let missing =
        Harness::start(&LOG, &[Reply::Breaks(0), Reply::Fails(404), Reply::Fails(404), Reply::Fails(404)]);
    assert_eq!(missing.end().await.0, []);
}

#[tokio::test(start_paused = true)]
async fn long_lines_are_split_and_kubelets_own_lines_skipped() {
    let long = "x".repeat(300 * 1024);
    let harness = Harness::start(&[(0, &long), (1, ""), (2, "end")], &[Reply::Breaks(280 * 1024)]);
    harness.wait(5).await;
    let (logged, _) = harness.end().await;
    let stamp = at(0).to_string().len() + 1;
    let first = LINE_BYTES as usize - stamp;
    assert_eq!(
        logged.iter().map(|(millis, text)| (*millis, text.len())).collect::<Vec<_>>(),
        [(0, first), (0, long.len() - first), (2, 3)]
    );
    assert_eq!(split_timestamp("unable to retrieve container logs for containerd://1"), None);
    assert_eq!(
        split_timestamp("2026-11-23T02:02:02.123456789+02:00 a b"),
        Some(("2026-11-23T00:02:02.123456789Z".parse().unwrap(), "a b"))
    );
}
