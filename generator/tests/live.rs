//! Runs the generator binary against the sandbox: two tasks together send the scheduled records,
//! change their rate on time, and their ledgers agree with what the stream stores.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_kinesis::config::Credentials;
use aws_sdk_kinesis::types::{StreamMode, StreamModeDetails, StreamStatus};
use aws_sdk_ssm::types::ParameterType;
use jiff::Timestamp;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::{Content, ControlDocument, ControlState, SCHEMA, Segment, TaskId};
use kinesis_demo_api::ledger::{Counters, LedgerLine, Ledgers};
use kinesis_demo_api::schedule::ScheduleSegment;
use kinesis_demo_sandbox::{Options, Running, Sandbox};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const STREAM: &str = "posts";
const PARAMETER: &str = "/kinesisdemo/live/control";
const TASKS: [&str; 2] = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"];

/// Timeout of every single wait in these tests.
const TIMEOUT: Duration = Duration::from_secs(60);

struct TestEnvironment {
    sandbox: Running,
    kinesis: aws_sdk_kinesis::Client,
    ssm: aws_sdk_ssm::Client,
    /// URL of a metadata endpoint that knows every task by its full id.
    metadata: String,
}

impl TestEnvironment {
    async fn start() -> Self {
        let sandbox = Sandbox::start(Options { speed: 600, ..Options::default() }).await.unwrap();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(sandbox.endpoint_url())
            .credentials_provider(Credentials::new(sandbox.access_key_id(), "secret", None, None, "test"))
            .load()
            .await;
        let (kinesis, ssm) = (aws_sdk_kinesis::Client::new(&config), aws_sdk_ssm::Client::new(&config));
        let on_demand = StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build().unwrap();
        kinesis.create_stream().stream_name(STREAM).stream_mode_details(on_demand).send().await.unwrap();
        let is_active = async {
            loop {
                let seen = kinesis.describe_stream_summary().stream_name(STREAM).send().await.unwrap();
                if seen.stream_description_summary().unwrap().stream_status() == &StreamStatus::Active {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(TIMEOUT, is_active).await.expect("the stream becomes active");
        Self { sandbox, kinesis, ssm, metadata: serve_metadata().await }
    }

    async fn put_document(&self, document: &ControlDocument) {
        let request = self.ssm.put_parameter().name(PARAMETER).r#type(ParameterType::String).overwrite(true);
        request.value(document.to_text().unwrap()).send().await.unwrap();
    }

    fn start_task(&self, id: &str) -> Task {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kinesis-demo-generator"))
            .env_clear()
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ENDPOINT_URL", self.sandbox.endpoint_url())
            .env("AWS_ACCESS_KEY_ID", self.sandbox.access_key_id())
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("ECS_CONTAINER_METADATA_URI_V4", format!("{}/{id}", self.metadata))
            .env("KINESISDEMO_CONTROL_PARAMETER", PARAMETER)
            .env("KINESISDEMO_STREAM", STREAM)
            .env("KINESISDEMO_RUN", "1")
            .env("KINESISDEMO_RUN_NAME", "kd-live-r1")
            .env("KINESISDEMO_DEADLINE", (now() + TIMEOUT * 5).to_string())
            .env("KINESISDEMO_MAX_RECORDS_PER_SECOND", "10000")
            .env("KINESISDEMO_LEDGER_EVERY_SECONDS", "1")
            .env("KINESISDEMO_METRICS_EVERY_SECONDS", "1")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Task { child, output }
    }

    /// Records that arrived, by the start of their tenth of a second.
    async fn ingest_statistics(&self) -> BTreeMap<MicroTime, u64> {
        let url = format!("{}/_sandbox/ingest?stream={STREAM}", self.sandbox.endpoint_url());
        let report: serde_json::Value = reqwest::Client::new()
            .get(url)
            .bearer_auth(self.sandbox.access_key_id())
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let buckets = report["streams"][0]["buckets"].as_array().unwrap().iter();
        let read = |bucket: &serde_json::Value| {
            let at: Timestamp = bucket["at"].as_str().unwrap().parse().unwrap();
            (MicroTime::from(at), bucket["records"].as_u64().unwrap())
        };
        buckets.map(read).collect()
    }
}

/// A running generator process.
struct Task {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Task {
    async fn until_final(&mut self, ledgers: &mut Ledgers) -> LedgerLine {
        let read = async {
            while let Some(line) = self.output.next_line().await.unwrap() {
                let Some(line) = LedgerLine::parse(&line) else {
                    println!("{line}");
                    continue;
                };
                assert!(line.phases.values().all(|phase| phase.counters.offered >= phase.counters.settled()));
                ledgers.take(line.clone());
                if line.is_final {
                    return line;
                }
            }
            panic!("the output ended before the final ledger line")
        };
        timeout(TIMEOUT, read).await.expect("a final ledger line")
    }

    /// Sends SIGTERM; returns the final ledger line and the exit status.
    async fn terminate(mut self, ledgers: &mut Ledgers) -> (LedgerLine, ExitStatus) {
        let pid = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").arg(pid).status().unwrap().success());
        let final_line = self.until_final(ledgers).await;
        (final_line, timeout(TIMEOUT, self.child.wait()).await.expect("an exit").unwrap())
    }
}

async fn serve_metadata() -> String {
    use axum::extract::Path;
    let task = |Path(id): Path<String>| async move {
        axum::Json(
            serde_json::json!({ "TaskARN": format!("arn:aws:ecs:us-east-1:000000000000:task/c/{id}") }),
        )
    };
    let router = axum::Router::new().route("/{id}/task", axum::routing::get(task));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn now() -> MicroTime {
    Timestamp::now().into()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Both tasks together: 200/s for two seconds, then 2,000/s for three, starting at `start`.
fn schedule_document(start: MicroTime) -> ControlDocument {
    let segment = |phase: &str, from: u64, until: u64, rate: u32, content| Segment {
        phase: phase.into(),
        span: ScheduleSegment::whole(start + ms(from), start + ms(until), [rate, rate]),
        content,
        cap_per_task: 10_000,
    };
    ControlDocument {
        schema: SCHEMA,
        epoch: 1,
        version: 1,
        run: 1,
        state: ControlState::Run,
        effective_at: start - ms(1_000),
        valid_until: start + ms(60_000),
        ends_by: start + ms(60_000),
        read_every_seconds: 1,
        read_lease_seconds: 10,
        slots: TASKS.map(|task| Some(TaskId::from_arn(task))).to_vec(),
        segments: vec![
            segment("baseline", 0, 2_000, 200, Content::Baseline),
            segment("spike", 2_000, 5_000, 2_000, Content::BreakingNews),
        ],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tasks_send_the_exact_schedule_and_change_rate_on_time() {
    let environment = TestEnvironment::start().await;
    // The schedule starts late enough for both idle tasks to have read the document.
    let mut tasks = TASKS.map(|task| environment.start_task(task));
    let start = now() + ms(6_000);
    environment.put_document(&schedule_document(start)).await;

    let mut ledgers = Ledgers::default();
    for task in &mut tasks {
        task.until_final(&mut ledgers).await;
    }
    let all = |records: u64| Counters { offered: records, accepted: records, ..Counters::default() };
    assert_eq!(ledgers.phase("baseline").counters, all(400));
    assert_eq!(ledgers.phase("spike").counters, all(6_000));
    for id in TASKS {
        assert_eq!(ledgers.of(&TaskId::from_arn(id)).unwrap().phases["spike"].counters.offered, 3_000);
    }

    let ingest_statistics = environment.ingest_statistics().await;
    assert_eq!(ingest_statistics.values().sum::<u64>(), 6_400);
    let boundary = start + ms(2_000);
    // 20 records per tenth of a second before the boundary, 200 after it. The change may take 300
    // ms.
    let busiest_before =
        ingest_statistics.range(..boundary - ms(100)).map(|(_, records)| *records).max().unwrap();
    let within = |from, until| {
        ingest_statistics.range(boundary + ms(from)..boundary + ms(until)).map(|(_, n)| *n).sum::<u64>()
    };
    println!("latency {:?}", ledgers.phase("spike").latency.percentile(99.0));
    println!(
        "around the boundary: {:?}",
        ingest_statistics
            .range(boundary - ms(500)..boundary + ms(1_000))
            .map(|(at, n)| (at.since(start).as_millis(), *n))
            .collect::<Vec<_>>()
    );
    assert!(busiest_before <= 80, "{busiest_before} before the boundary");
    assert!(within(300, 1_300) >= 1_600, "{} in the second after the change", within(300, 1_300));

    for task in tasks {
        let (final_line, status) = task.terminate(&mut ledgers).await;
        assert!(status.success() && final_line.sequence > 1, "{status}");
    }
    environment.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_agrees_with_the_stream_under_faults() {
    let environment = TestEnvironment::start().await;
    let mut task = environment.start_task(TASKS[0]);
    let start = now() + ms(4_000);
    let mut document = schedule_document(start);
    // A new on-demand stream accepts 4,000 records per second.
    document.segments = vec![Segment {
        phase: "flood".into(),
        span: ScheduleSegment::whole(start, start + ms(3_000), [6_000, 6_000]),
        content: Content::Viral,
        cap_per_task: 10_000,
    }];
    document.slots = vec![Some(TaskId::from_arn(TASKS[0]))];
    environment.put_document(&document).await;
    let faults = format!("{}/_sandbox/faults", environment.sandbox.endpoint_url());
    for (kind, times) in [("LoseResponse", 3), ("Throttle", 2), ("Error", 1)] {
        let fault = serde_json::json!({"service": "kinesis", "operation": "PutRecords", "kind": kind, "times": times});
        let response = reqwest::Client::new()
            .post(&faults)
            .bearer_auth(environment.sandbox.access_key_id())
            .json(&fault)
            .send()
            .await
            .unwrap();
        assert!(response.status().is_success(), "{kind}: {}", response.status());
    }
    let mut ledgers = Ledgers::default();
    let final_line = task.until_final(&mut ledgers).await;
    let counters = &final_line.phases["flood"].counters;
    println!("{counters:?}");
    assert_eq!((counters.offered, counters.settled()), (18_000, 18_000));
    assert!(counters.throttled > 0 && counters.unknown > 0, "{counters:?}");
    let stored: u64 = environment.ingest_statistics().await.values().sum();
    assert!(
        (counters.accepted..=counters.accepted + counters.unknown).contains(&stored),
        "{stored} {counters:?}"
    );

    // On SIGTERM in the middle of a second flood, it settles what it offered and exits.
    let restart = now() + ms(2_500);
    document.version = 2;
    document.effective_at = restart;
    document.segments[0].span = ScheduleSegment::whole(restart, restart + ms(20_000), [1_000, 1_000]);
    environment.put_document(&document).await;
    let wait = (restart + ms(1_500)).since(now());
    tokio::time::sleep(wait).await;
    let (final_line, status) = task.terminate(&mut ledgers).await;
    assert!(status.success(), "{status}");
    let counters = &final_line.phases["flood"].counters;
    assert!(counters.offered > 18_000 && counters.offered == counters.settled(), "{counters:?}");
    let seen = environment.kinesis.describe_stream_summary().stream_name(STREAM).send().await.unwrap();
    assert!(seen.stream_description_summary().unwrap().open_shard_count() >= 4);
    environment.sandbox.stop().await;
}
