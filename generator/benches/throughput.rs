//! Measures how fast a task creates and dispatches records, without a network.
//! Run it with `cargo bench -p kinesis-demo-generator`. It only prints: a limit would depend on the
//! machine.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::gate::DueRecords;
use kinesis_demo_api::control::{Content, Segment, TaskId};
use kinesis_demo_api::record_size::RecordSize;
use kinesis_demo_api::schedule::{ScheduleSegment, Share};
use kinesis_demo_generator::batch::Batch;
use kinesis_demo_generator::clock::{Clock, SystemClock};
use kinesis_demo_generator::dispatcher::{DispatchLimits, Dispatcher};
use kinesis_demo_generator::pacer::Pacer;
use kinesis_demo_generator::payload::Posts;
use kinesis_demo_generator::recorder::Recorder;
use kinesis_demo_generator::sender::{RecordOutcome, SendOutcome, Sender};

const RECORDS: u64 = 1_000_000;

/// Accepts everything at once.
#[derive(Default)]
struct Sink(AtomicU64);

#[async_trait]
impl Sender for Sink {
    async fn put(&self, batch: &Batch) -> SendOutcome {
        self.0.fetch_add(batch.records().len() as u64, Ordering::Relaxed);
        SendOutcome::PerRecord(vec![RecordOutcome::Accepted; batch.records().len()])
    }
}

fn posts(size: RecordSize) -> Posts {
    Posts::new(1, "kd-viral-event-5f3c2a1b-r1", &TaskId::from_arn("a1b2c3d4"), size)
}

fn print_rate(what: &str, records: u64, took: Duration, bytes: Option<usize>) {
    let per_record = took.as_nanos() as f64 / records as f64;
    let size = bytes.map_or(String::new(), |bytes| format!(", {} bytes each", bytes as u64 / records));
    println!("{what:<44} {per_record:>7.0} ns/record{size}");
}

fn measure_posts(what: &str, content: Content, size: RecordSize) {
    let mut posts = posts(size);
    let mut buffer = Vec::new();
    let mut bytes = 0;
    let due_at = MicroTime::from_micros(1_795_341_600_000_000);
    let started = Instant::now();
    for nth in 0..RECORDS {
        if nth % 500 == 0 {
            bytes += buffer.len();
            buffer.clear();
        }
        posts.append(content, due_at + Duration::from_micros(nth * 20), &mut buffer);
    }
    print_rate(what, RECORDS, started.elapsed(), Some(bytes + buffer.len()));
}

/// A record's path from due to settled, at a schedule of 50,000 records per second, as fast as
/// possible.
fn measure_delivery() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_now());
        let (sink, recorder) = (Arc::new(Sink::default()), Arc::new(Recorder::default()));
        let dispatcher = Dispatcher::new(
            Arc::clone(&sink) as _,
            Arc::clone(&recorder),
            Arc::clone(&clock),
            DispatchLimits::default(),
        );
        let mut pacer = Pacer::new(posts(RecordSize::Natural), Arc::clone(&dispatcher), recorder);
        let started = Instant::now();
        for _ in 0..RECORDS / 500 {
            let now = clock.now();
            let (from, until) = (now.wall - Duration::from_millis(10), now.wall);
            let due = DueRecords {
                version: (1, 1),
                segment: Segment {
                    phase: "peak".into(),
                    span: ScheduleSegment::whole(from, until, [50_000, 50_000]),
                    content: Content::Viral,
                    cap_per_task: 50_000,
                },
                share: Share { position: 0, of: 1 },
                count: 500,
                from,
                until,
            };
            pacer.offer(&[due], now);
            if dispatcher.room() < 50_000 {
                dispatcher.drained().await;
            }
        }
        dispatcher.drained().await;
        assert_eq!(sink.0.load(Ordering::Relaxed), RECORDS);
        print_rate("due to settled, into a sink", RECORDS, started.elapsed(), None);
    });
}

fn main() {
    measure_posts("a baseline post", Content::Baseline, RecordSize::Natural);
    measure_posts("a viral post", Content::Viral, RecordSize::Natural);
    measure_posts("a post of 1,024 bytes", Content::Viral, RecordSize::Fixed(1_024));
    measure_posts("a post of 128 bytes", Content::Viral, RecordSize::Fixed(128));
    measure_delivery();
}
