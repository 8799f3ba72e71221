//! A follower against an API server that breaks off, under paused time.

use std::collections::VecDeque;
use std::sync::Mutex;

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, Response, StatusCode};
use serde_json::json;

use super::*;
use crate::clock::ModelClock;
use crate::services::{Call, Caller, Service};

/// How an answer to a log request goes.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// So many bytes of what was asked for, then the end of the stream.
    Ends(usize),
    /// So many bytes, then the connection is lost.
    Breaks(usize),
    /// So many bytes, then nothing for ever.
    Hangs(usize),
    /// An error status.
    Fails(u16),
}

/// An API server that has one container's log.
struct Node {
    log: Vec<(Timestamp, String)>,
    answers: VecDeque<Answer>,
    requests: Vec<String>,
}

impl Node {
    /// Kubelet's rule: lines not before `sinceTime`, each with its timestamp.
    fn sent(&self, query: &str) -> Vec<u8> {
        let since = query.split('&').find_map(|pair| pair.strip_prefix("sinceTime="));
        let since: Option<Timestamp> = since.map(|text| text.replace("%3A", ":").parse().unwrap());
        let lines = self.log.iter().filter(|(at, _)| since.is_none_or(|since| *at >= since));
        lines.flat_map(|(at, text)| format!("{at} {text}\n").into_bytes()).collect()
    }

    fn answer(&mut self, request: &Request<kube::client::Body>) -> Response<Body> {
        let query = request.uri().query().unwrap().to_owned();
        let answer = self.answers.pop_front().unwrap_or(Answer::Ends(usize::MAX));
        let sent = self.sent(&query);
        self.requests.push(query);
        let part = |length: usize| Bytes::copy_from_slice(&sent[..sent.len().min(length)]);
        let body = match answer {
            Answer::Ends(length) => Body::from(part(length)),
            Answer::Breaks(length) => Body::from_stream(stream::iter([
                Ok(part(length)),
                Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
            ])),
            Answer::Hangs(length) => Body::from_stream(
                stream::iter([Ok::<_, std::io::Error>(part(length))]).chain(stream::pending()),
            ),
            Answer::Fails(code) => {
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "no", "reason": "no"});
                let mut response = Response::new(Body::from(status.to_string()));
                *response.status_mut() = StatusCode::from_u16(code).unwrap();
                return response;
            }
        };
        Response::new(body)
    }
}

struct Harness {
    node: Arc<Mutex<Node>>,
    logs: Arc<Logs>,
    clock: ModelClock,
    ended: watch::Sender<bool>,
    running: tokio::task::JoinHandle<()>,
}

impl Harness {
    async fn start(log: &[(i64, &str)], answers: &[Answer]) -> Self {
        let line = |(millis, text): &(i64, &str)| (at(*millis), (*text).to_owned());
        let node = Node {
            log: log.iter().map(line).collect(),
            answers: answers.iter().copied().collect(),
            requests: Vec::new(),
        };
        let node = Arc::new(Mutex::new(node));
        let asked = Arc::clone(&node);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let response = asked.lock().unwrap().answer(&request);
            async move { Ok::<_, std::io::Error>(response) }
        });
        let clock = ModelClock::manual(1);
        let logs = Arc::new(Logs::new(clock.clone()));
        let (ended, receiver) = watch::channel(false);
        let follower = LogTailer {
            pods: Api::namespaced(kube::Client::new(service, "demo"), "demo"),
            pod: "p".into(),
            container: "main".into(),
            stream: LogStream { region: "us-east-1".into(), group: "/g".into(), name: "run/main/t".into() },
            logs: Arc::clone(&logs),
        };
        let harness = Self { node, logs, clock, ended, running: tokio::spawn(follower.run(receiver)) };
        harness.call("CreateLogGroup", json!({"logGroupName": "/g"})).await;
        harness.logs.create_container_stream("us-east-1", "/g", "run/main/t").unwrap();
        harness
    }

    async fn call(&self, operation: &str, input: serde_json::Value) -> serde_json::Value {
        let caller = Caller { account: "000000000000".into(), region: "us-east-1".into() };
        let call = Call { operation, input: &input, caller: &caller, now: self.clock.now() };
        self.logs.call(call).await.unwrap()
    }

    /// What CloudWatch Logs holds: milliseconds since the log's first instant, and text.
    async fn held(&self) -> Vec<(i64, String)> {
        self.clock.advance(Duration::from_secs(10));
        let read = json!({"logGroupName": "/g", "logStreamName": "run/main/t", "startFromHead": true});
        let answer = self.call("GetLogEvents", read).await;
        let events = answer["events"].as_array().unwrap();
        let first = at(0).as_millisecond();
        events
            .iter()
            .map(|event| {
                let message = event["message"].as_str().unwrap().to_owned();
                (event["timestamp"].as_i64().unwrap() - first, message)
            })
            .collect()
    }

    /// Lets the follower go on for so long.
    async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// The container ends; returns what is in the log once the follower is done.
    async fn end(mut self) -> (Vec<(i64, String)>, Vec<String>) {
        self.ended.send_replace(true);
        (&mut self.running).await.unwrap();
        let held = self.held().await;
        let requests = self.node.lock().unwrap().requests.clone();
        (held, requests)
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
}

fn owned(log: &[(i64, &str)]) -> Vec<(i64, String)> {
    log.iter().map(|(millis, text)| (*millis, (*text).to_owned())).collect()
}

const LOG: [(i64, &str); 4] = [(0, "one"), (1_200, "two"), (1_200, "two"), (5_000, "last word")];

#[tokio::test(start_paused = true)]
async fn every_line_is_taken_once_with_its_own_time_wherever_the_stream_breaks() {
    let length: usize = LOG.iter().map(|(millis, text)| format!("{} {text}\n", at(*millis)).len()).sum();
    for at in 0..=length {
        for answer in [Answer::Breaks(at), Answer::Ends(at)] {
            let harness = Harness::start(&LOG, &[answer, Answer::Fails(500), answer]).await;
            harness.pass(10).await;
            let (held, _) = harness.end().await;
            assert_eq!(held, owned(&LOG), "{answer:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_hangs_is_cut_off_when_the_container_has_ended() {
    let harness = Harness::start(&LOG, &[Answer::Hangs(40)]).await;
    harness.pass(1).await;
    let (held, requests) = harness.end().await;
    assert_eq!(held, owned(&LOG));
    assert!(requests[0].contains("follow=true") && requests[0].contains("timestamps=true"), "{requests:?}");
    assert!(requests.len() == 2 && !requests[1].contains("follow"), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_dies_without_a_word_is_opened_anew() {
    let harness = Harness::start(&LOG, &[Answer::Hangs(40), Answer::Hangs(usize::MAX)]).await;
    harness.pass(SILENCE.as_secs() + 5).await;
    assert_eq!(harness.held().await, owned(&LOG));
    assert_eq!(harness.end().await.0, owned(&LOG));
}

#[tokio::test(start_paused = true)]
async fn the_last_pass_outlasts_an_api_server_that_is_away_and_gives_up_where_there_is_no_log() {
    let harness = Harness::start(&LOG, &[Answer::Hangs(0), Answer::Fails(503), Answer::Breaks(50)]).await;
    harness.pass(1).await;
    assert_eq!(harness.end().await.0, owned(&LOG));
    let gone = Harness::start(
        &LOG,
        &[Answer::Breaks(0), Answer::Fails(404), Answer::Fails(404), Answer::Fails(404)],
    )
    .await;
    assert_eq!(gone.end().await.0, []);
}

#[tokio::test(start_paused = true)]
async fn long_lines_are_split_and_what_no_container_wrote_is_left_out() {
    let long = "x".repeat(300 * 1024);
    let harness = Harness::start(&[(0, &long), (1, ""), (2, "end")], &[Answer::Breaks(280 * 1024)]).await;
    harness.pass(5).await;
    let (held, _) = harness.end().await;
    let stamp = at(0).to_string().len() + 1;
    let first = LINE_BYTES as usize - stamp;
    assert_eq!(
        held.iter().map(|(millis, text)| (*millis, text.len())).collect::<Vec<_>>(),
        [(0, first), (0, long.len() - first), (2, 3)]
    );
    assert_eq!(stamped("unable to retrieve container logs for containerd://1"), None);
    assert_eq!(
        stamped("2026-11-23T02:02:02.123456789+02:00 a b"),
        Some(("2026-11-23T00:02:02.123456789Z".parse().unwrap(), "a b"))
    );
}
