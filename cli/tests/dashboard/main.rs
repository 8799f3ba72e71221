//! The page over HTTP: who is refused, what every response has, what stays text, how large it is;
//! and with a real API server, what a user may do. Without kube-apiserver and etcd on this machine
//! the latter prints a line and passes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cluster;
mod http;

use std::time::Duration;

use jiff::Timestamp;
use kinesis_demo_api::MicroTime;
use kubectl_kinesisdemo::dashboard::replay::Replay;
use kubectl_kinesisdemo::dashboard::server::{Serving, Source};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

/// A page, and a browser that may be logged in.
struct Page {
    serving: Serving,
    folder: tempfile::TempDir,
    client: Client,
    cookie: String,
    key: String,
}

impl Page {
    async fn of(source: Source) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let serving = Serving::start(folder.path(), 0, source).await.unwrap();
        let client =
            Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { serving, folder, client, cookie: String::new(), key: String::new() }
    }

    /// A replay that began that long ago, at 10,000 times the speed.
    async fn of_replay_since(runs: &Value, elapsed: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("runs.json");
        std::fs::write(&file, runs.to_string()).unwrap();
        let began_at = Timestamp::now() - elapsed;
        Self::of(Source::Replay(Replay::open(&file, 10_000, began_at).unwrap())).await
    }

    async fn of_replay(runs: &Value) -> Self {
        Self::of_replay_since(runs, Duration::ZERO).await
    }

    /// A replay that has ended: it shows the whole runs.
    async fn of_ended_replay(runs: &Value) -> Self {
        Self::of_replay_since(runs, Duration::from_secs(3_600)).await
    }

    async fn logged_in(mut self) -> Self {
        let welcome = self.get(&self.login_path()).await;
        assert_eq!(welcome.status(), StatusCode::OK);
        let cookie = welcome.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
        self.cookie = cookie.split(';').next().unwrap().to_owned();
        let text = welcome.text().await.unwrap();
        let (_, rest) = text.split_once(r#"name="key" content=""#).unwrap();
        self.key = rest.split('"').next().unwrap().to_owned();
        self
    }

    /// The path with the token that the file leads to.
    fn login_path(&self) -> String {
        let text = std::fs::read_to_string(self.serving.file()).unwrap();
        let (_, rest) = text.split_once(&self.serving.address()).unwrap();
        format!("/{}", rest.split('"').next().unwrap())
    }

    fn host(&self) -> String {
        self.serving.address().replace("http://", "").replace('/', "")
    }

    fn origin(&self) -> String {
        format!("http://{}", self.host())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.origin())).timeout(Duration::from_secs(20))
    }

    /// A request as the page's own script sends it.
    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path)
            .header("cookie", &self.cookie)
            .header("origin", self.origin())
            .header("content-type", "application/json")
            .header("x-kinesisdemo-key", &self.key)
            .body(body.to_string())
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).header("cookie", &self.cookie).send().await.unwrap()
    }

    async fn text(&self, path: &str) -> String {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.text().await.unwrap()
    }

    /// The first update of an open page: the parts by id.
    async fn update(&self, path: &str) -> (Value, usize) {
        let mut response = self.get(path).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut text = String::new();
        while !text.contains("\n\n") {
            text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
        }
        let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        (serde_json::from_str(data).unwrap(), text.len())
    }
}

/// A stored run with that many points, of eight hours; `text` is in every field that is text.
fn stored(points: u64, text: &str) -> Value {
    let second = 28_800 / points;
    let on = |second: u64| MicroTime::from_micros(1_800_000_000_000_000) + Duration::from_secs(second);
    let phases = 20;
    let phase = |index: u64| {
        json!({"name": text, "recordsPerSecond": 50_000, "tasks": 5, "startsAt": on(28_800 / phases * index), "begun": true,
            "endsAt": on(28_800 / phases * (index + 1)), "scheduled": 72_000_000, "offered": 72_000_000, "accepted": 71_000_000,
            "throttled": 1_234_567, "failed": 1_000_000, "dropped": 0, "unknown": 0, "unoffered": 0, "unreported": 0,
            "latencyMs": {"p50": 12, "p99": 1_234, "max": 5_000}})
    };
    let of = |count: &dyn Fn(u64) -> u64| (0..points).map(count).collect::<Vec<_>>();
    let kinds = ["Stage", "Request", "Lapse", "Throttle", "Warm", "Split", "Refusal", "Tasks", "Other"];
    let marks: Vec<_> = (0..200)
        .map(
            |index| json!({"at": on(144 * index), "kind": kinds[index as usize % kinds.len()], "text": text}),
        )
        .collect();
    json!({
        "apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemoRun", "metadata": {"name": text, "namespace": text},
        "spec": {"demo": text, "demoUid": text, "run": 7, "accountId": text, "region": text, "streamName": text,
            "settings": {"text": text}, "operatorVersion": text},
        "status": {
            "stage": "Failed", "outcome": "Failed", "reason": "DeadlineExceeded", "message": text,
            "startedAt": on(0) - Duration::from_secs(60), "trafficStartsAt": on(0), "trafficEndsAt": on(28_800), "finishedAt": on(28_900),
            "phases": (0..phases).map(phase).collect::<Vec<_>>(),
            "totals": {"scheduled": 1_440_000_000_u64, "offered": 1_440_000_000_u64, "accepted": 1_420_000_000_u64, "throttled": 24_691_340,
                "failed": 20_000_000, "dropped": 0, "unknown": 0, "unoffered": 0, "unreported": 0},
            "left": [text], "leftCount": 1,
            "traffic": {"origin": on(0), "fromMs": of(&|at| 1_000 * second * at), "untilMs": of(&|at| 1_000 * second * (at + 1)),
                "phase": of(&|at| at * phases / points), "scheduled": of(&|at| 2_800_000 + at * 37 % 1_000),
                "offered": of(&|at| 2_800_000 + at * 37 % 1_000), "accepted": of(&|at| 2_700_000 + at * 7_919 % 90_000),
                "throttled": of(&|at| at * 104_729 % 90_000), "failed": of(&|at| at * 1_299_709 % 10_000), "p50Ms": of(&|at| 5 + at % 17),
                "p99Ms": of(&|at| 100 + at * 31 % 1_700)},
            "capacity": (0..100).map(|at| json!({"at": on(288 * at), "shards": 4 + at, "warmTarget": 100, "warmCurrent": at,
                "tasksDesired": 5, "tasksRunning": at % 6})).collect::<Vec<_>>(),
            "marks": marks,
        },
    })
}
