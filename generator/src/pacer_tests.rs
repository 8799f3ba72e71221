use kinesis_demo_api::control::TaskId;
use kinesis_demo_api::ledger::Counters;
use kinesis_demo_api::record_size::RecordSize;
use kinesis_demo_api::schedule::Share;
use tokio::time::advance;

use super::*;
use crate::clock::Clock;
use crate::dispatcher::DispatchLimits;
use crate::fake::{FakeStream, StreamBehavior, T0, TokioClock, segment};

struct TestTask {
    clock: Arc<TokioClock>,
    stream: Arc<FakeStream>,
    recorder: Arc<Recorder>,
    dispatcher: Arc<Dispatcher>,
    pacer: Pacer,
}

fn test_task(behavior: StreamBehavior, limits: DispatchLimits) -> TestTask {
    let clock = TokioClock::new();
    let stream = FakeStream::new(Arc::clone(&clock) as _, behavior, 1);
    let recorder = Arc::new(Recorder::default());
    let dispatcher =
        Dispatcher::new(Arc::clone(&stream) as _, Arc::clone(&recorder), Arc::clone(&clock) as _, limits);
    let posts = Posts::new(1, "kd-x-r1", &TaskId::from_arn("a1b2c3d4"), RecordSize::Natural);
    let pacer = Pacer::new(posts, Arc::clone(&dispatcher), Arc::clone(&recorder));
    TestTask { clock, stream, recorder, dispatcher, pacer }
}

impl TestTask {
    /// Offers `count` records due between two instants, in milliseconds after the start.
    fn offer(&mut self, count: u64, from: u64, until: u64) {
        let due_records = DueRecords {
            version: (1, 1),
            segment: segment("peak", from, until, 0),
            share: Share { position: 0, of: 1 },
            count,
            from: T0 + ms(from),
            until: T0 + ms(until),
        };
        self.pacer.offer(&[due_records], self.clock.now());
    }

    fn counters(&self) -> Counters {
        let task = TaskId::from_arn("a1b2c3d4");
        self.recorder.totals().next_line(1, &task, T0).phases.remove("peak").unwrap().counters
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn due_times_are_spread_evenly_over_the_interval() {
    let due_records = |count| DueRecords {
        version: (1, 1),
        segment: segment("peak", 0, 0, 0),
        share: Share { position: 0, of: 1 },
        count,
        from: T0 + ms(20),
        until: T0 + ms(30),
    };
    let due = |count| {
        (0..count).map(|nth| due_at(&due_records(count), nth).since(T0).as_micros()).collect::<Vec<_>>()
    };
    assert_eq!(due(1), [30_000]);
    assert_eq!(due(4), [22_500, 25_000, 27_500, 30_000]);
}

#[tokio::test(start_paused = true)]
async fn due_records_are_sent_at_once_in_the_fewest_requests() {
    let mut task = test_task(StreamBehavior::default(), DispatchLimits::default());
    advance(ms(20)).await;
    task.offer(30, 0, 20);
    tokio::task::yield_now().await;
    advance(ms(20)).await;
    task.offer(1_201, 20, 40);
    tokio::task::yield_now().await;
    let sizes: Vec<_> = task.stream.requests().iter().map(|r| (r.at.as_millis(), r.records.len())).collect();
    assert_eq!(sizes, [(20, 30), (40, 500), (40, 500), (40, 201)]);
    task.dispatcher.drained().await;
    assert_eq!(task.counters(), Counters { offered: 1_231, accepted: 1_231, ..Counters::default() });
}

#[tokio::test(start_paused = true)]
async fn records_that_are_too_late_are_dropped() {
    let mut task = test_task(StreamBehavior::default(), DispatchLimits::default());
    advance(ms(3_000)).await;
    task.offer(3_000, 0, 3_000);
    task.dispatcher.drained().await;
    // Due at 1 ms, 2 ms, …: those due before second two are more than a second late.
    assert_eq!(
        task.counters(),
        Counters { offered: 3_000, accepted: 1_001, dropped: 1_999, ..Counters::default() }
    );
}

#[tokio::test(start_paused = true)]
async fn records_beyond_the_dispatchers_room_are_dropped_for_good() {
    let limits = DispatchLimits { records: 1_200, requests: 1, ..DispatchLimits::default() };
    let mut task = test_task(StreamBehavior { latency: ms(100), ..StreamBehavior::default() }, limits);
    advance(ms(10)).await;
    task.offer(2_000, 0, 10);
    let counters = task.counters();
    assert_eq!((counters.offered, counters.dropped), (2_000, 800));
    task.dispatcher.drained().await;
    advance(ms(10)).await;
    task.offer(5, 10, 20);
    task.dispatcher.drained().await;
    assert_eq!(
        task.counters(),
        Counters { offered: 2_005, accepted: 1_205, dropped: 800, ..Counters::default() }
    );
    assert_eq!(task.stream.stored(), (1_205, 1));
}
