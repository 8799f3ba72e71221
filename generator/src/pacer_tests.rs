use kinesis_demo_api::control::TaskId;
use kinesis_demo_api::ledger::Counters;
use kinesis_demo_api::schedule::Share;
use tokio::time::advance;

use super::*;
use crate::args::RecordSize;
use crate::clock::Clock;
use crate::dispatcher::Limits;
use crate::fake::{FakeStream, Nature, T0, TokioClock, segment};

struct TestTask {
    clock: Arc<TokioClock>,
    stream: Arc<FakeStream>,
    recorder: Arc<Recorder>,
    dispatcher: Arc<Dispatcher>,
    pacer: Pacer,
}

fn a_world(nature: Nature, limits: Limits) -> TestTask {
    let clock = TokioClock::new();
    let stream = FakeStream::new(Arc::clone(&clock) as _, nature, 1);
    let recorder = Arc::new(Recorder::default());
    let dispatcher =
        Dispatcher::new(Arc::clone(&stream) as _, Arc::clone(&recorder), Arc::clone(&clock) as _, limits);
    let posts = Posts::new(1, "kd-x-r1", &TaskId::from_arn("a1b2c3d4"), RecordSize::Natural);
    let pacer = Pacer::new(posts, Arc::clone(&dispatcher), Arc::clone(&recorder));
    TestTask { clock, stream, recorder, dispatcher, pacer }
}

impl TestTask {
    /// Offers what fell due between two instants, in milliseconds after the start.
    fn offer(&mut self, count: u64, from: u64, until: u64) {
        let release = DueRecords {
            version: (1, 1),
            segment: segment("peak", from, until, 0),
            share: Share { position: 0, of: 1 },
            count,
            from: T0 + ms(from),
            until: T0 + ms(until),
        };
        self.pacer.offer(&[release], self.clock.now());
    }

    fn counters(&self) -> Counters {
        let task = TaskId::from_arn("a1b2c3d4");
        self.recorder.books().next_line(1, &task, T0).phases.remove("peak").unwrap().counters
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn records_of_a_stretch_are_spread_over_it() {
    let release = |count| DueRecords {
        version: (1, 1),
        segment: segment("peak", 0, 0, 0),
        share: Share { position: 0, of: 1 },
        count,
        from: T0 + ms(20),
        until: T0 + ms(30),
    };
    let due =
        |count| (0..count).map(|nth| due_at(&release(count), nth).since(T0).as_micros()).collect::<Vec<_>>();
    assert_eq!(due(1), [30_000]);
    assert_eq!(due(4), [22_500, 25_000, 27_500, 30_000]);
}

#[tokio::test(start_paused = true)]
async fn all_that_fell_due_goes_at_once_in_as_few_requests_as_may_be() {
    let mut world = a_world(Nature::default(), Limits::default());
    advance(ms(20)).await;
    world.offer(30, 0, 20);
    tokio::task::yield_now().await;
    advance(ms(20)).await;
    world.offer(1_201, 20, 40);
    tokio::task::yield_now().await;
    let sizes: Vec<_> = world.stream.requests().iter().map(|r| (r.at.as_millis(), r.records.len())).collect();
    assert_eq!(sizes, [(20, 30), (40, 500), (40, 500), (40, 201)]);
    world.dispatcher.drained().await;
    assert_eq!(world.counters(), Counters { offered: 1_231, accepted: 1_231, ..Counters::default() });
}

#[tokio::test(start_paused = true)]
async fn what_fell_due_too_long_ago_is_dropped_instead_of_sent_in_a_burst() {
    let mut world = a_world(Nature::default(), Limits::default());
    advance(ms(3_000)).await;
    world.offer(3_000, 0, 3_000);
    world.dispatcher.drained().await;
    // Due at 1 ms, 2 ms, …: those before second two are more than a second late.
    assert_eq!(
        world.counters(),
        Counters { offered: 3_000, accepted: 1_001, dropped: 1_999, ..Counters::default() }
    );
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_room_is_dropped_and_does_not_come_back_later() {
    let limits = Limits { records: 1_200, requests: 1, ..Limits::default() };
    let mut world = a_world(Nature { latency: ms(100), ..Nature::default() }, limits);
    advance(ms(10)).await;
    world.offer(2_000, 0, 10);
    let counters = world.counters();
    assert_eq!((counters.offered, counters.dropped), (2_000, 800));
    world.dispatcher.drained().await;
    advance(ms(10)).await;
    world.offer(5, 10, 20);
    world.dispatcher.drained().await;
    assert_eq!(
        world.counters(),
        Counters { offered: 2_005, accepted: 1_205, dropped: 800, ..Counters::default() }
    );
    assert_eq!(world.stream.stored(), (1_205, 1));
}
