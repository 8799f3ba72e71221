use kinesis_demo_api::ledger::Counters;
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use super::*;
use crate::fake::{FakeStream, Nature, T0, TokioClock};
use crate::recorder::Books;

struct TestTask {
    stream: Arc<FakeStream>,
    recorder: Arc<Recorder>,
    dispatcher: Arc<Dispatcher>,
    made: u32,
}

fn a_world(nature: Nature, limits: Limits, seed: u64) -> TestTask {
    let clock: Arc<dyn Clock> = TokioClock::new();
    let stream = FakeStream::new(Arc::clone(&clock), nature, seed);
    let recorder = Arc::new(Recorder::default());
    let dispatcher = Dispatcher::new(Arc::clone(&stream) as _, Arc::clone(&recorder), clock, limits);
    TestTask { stream, recorder, dispatcher, made: 0 }
}

impl TestTask {
    /// Offers and hands over a batch of records that are due now.
    fn dispatch(&mut self, records: usize) {
        let mut batch = Batch::default();
        let phase = self.recorder.books().phase("peak");
        let due_at = self.dispatcher.clock.now().wall;
        for _ in 0..records {
            let name = format!("{:08}", self.made);
            self.made += 1;
            batch.push(phase, due_at, |buffer| {
                let start = buffer.len();
                buffer.extend_from_slice(name.as_bytes());
                (*b"keykeyke", start..buffer.len())
            });
        }
        self.recorder.books().offered(phase, records as u64);
        self.dispatcher.dispatch(batch);
    }

    fn counters(&self) -> Counters {
        line(&mut self.recorder.books()).counters
    }
}

fn line(books: &mut Books) -> kinesis_demo_api::ledger::PhaseLedger {
    let task = kinesis_demo_api::control::TaskId::from_arn("a1b2c3d4");
    books.next_line(1, &task, T0).phases.remove("peak").unwrap()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[tokio::test(start_paused = true)]
async fn accepted_records_count_from_the_instant_they_were_due() {
    let mut world = a_world(Nature { latency: ms(20), ..Nature::default() }, Limits::default(), 1);
    world.dispatch(500);
    world.dispatcher.drained().await;
    let ledger = line(&mut world.recorder.books());
    assert_eq!(ledger.counters, Counters { offered: 500, accepted: 500, ..Counters::default() });
    let latency = ledger.latency.max().unwrap();
    assert!((ms(20)..ms(22)).contains(&latency), "{latency:?}");
    assert_eq!(world.dispatcher.room(), Limits::default().records);
}

#[tokio::test(start_paused = true)]
async fn only_refused_records_are_sent_again_with_the_same_bytes() {
    let nature = Nature { refuse_records: 300, ..Nature::default() };
    let mut world = a_world(nature, Limits { attempts: 100, ..Limits::default() }, 2);
    world.dispatch(400);
    world.dispatcher.drained().await;
    let requests = world.stream.requests();
    assert!(requests.len() > 2, "{}", requests.len());
    for pair in requests.windows(2) {
        let Answer::PerRecord(outcomes) = &pair[0].answer else { panic!("{:?}", pair[0].answer) };
        let refused: Vec<_> = std::iter::zip(&pair[0].records, outcomes)
            .filter(|(_, outcome)| **outcome != Outcome::Accepted)
            .map(|(record, _)| record.clone())
            .collect();
        assert_eq!(refused, pair[1].records);
    }
    let throttled = requests.iter().flat_map(|request| match &request.answer {
        Answer::PerRecord(outcomes) => outcomes.clone(),
        _ => Vec::new(),
    });
    let throttled =
        throttled.filter(|outcome| *outcome == Outcome::Refused(Refusal::Throughput)).count() as u64;
    let retried: usize = requests.iter().skip(1).map(|request| request.records.len()).sum();
    let expected =
        Counters { offered: 400, accepted: 400, throttled, retried: retried as u64, ..Counters::default() };
    assert_eq!(world.counters(), expected);
    assert_eq!(world.stream.stored(), (400, 1));
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_counts_once_per_record_and_pauses_grow() {
    let nature = Nature { refuse_requests: 1_000, ..Nature::default() };
    let mut world = a_world(nature, Limits::default(), 3);
    world.dispatch(10);
    world.dispatcher.drained().await;
    let counters = world.counters();
    assert_eq!((counters.offered, counters.failed, counters.retried), (10, 10, 50));
    assert_eq!(counters.throttled % 10, 0);
    let at: Vec<_> = world.stream.requests().iter().map(|request| request.at).collect();
    assert_eq!(at.len(), 6);
    for (nth, pair) in at.windows(2).enumerate() {
        let longest = ms(50 << nth);
        let pause = pair[1] - pair[0];
        assert!((longest / 2..=longest + ms(2)).contains(&pause), "pause {nth}: {pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_answer_was_lost_is_not_sent_again() {
    for nature in [
        Nature { lose_before_storing: 1_000, ..Nature::default() },
        Nature { lose_after_storing: 1_000, ..Nature::default() },
    ] {
        let mut world = a_world(nature, Limits::default(), 4);
        world.dispatch(7);
        world.dispatcher.drained().await;
        assert_eq!(world.counters(), Counters { offered: 7, unknown: 7, ..Counters::default() });
        assert_eq!(world.stream.requests().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_turn_came_for_in_time_is_dropped_and_never_sent() {
    let limits = Limits { requests: 1, ..Limits::default() };
    let mut world = a_world(Nature { latency: ms(4_000), ..Nature::default() }, limits, 5);
    world.dispatch(3);
    world.dispatch(5);
    world.dispatcher.drained().await;
    assert_eq!(world.counters(), Counters { offered: 8, accepted: 3, dropped: 5, ..Counters::default() });
    assert_eq!(world.stream.stored(), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn refusals_end_when_a_record_is_too_old() {
    let limits = Limits { attempts: 1_000, ..Limits::default() };
    let mut world = a_world(Nature { capacity: Some(0), ..Nature::default() }, limits, 6);
    let began = Instant::now();
    world.dispatch(100);
    world.dispatcher.drained().await;
    assert_eq!(world.counters().failed, 100);
    let longest = limits.give_up_after + limits.longest_pause;
    assert!((limits.give_up_after..=longest).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn lasting_refusals_cost_half_as_many_attempts_again_as_records_are_offered() {
    let limits = Limits::default();
    let mut world = a_world(Nature { capacity: Some(0), ..Nature::default() }, limits, 11);
    for _ in 0..100 {
        world.dispatch(500);
        sleep(ms(50)).await;
    }
    world.dispatcher.drained().await;
    let counters = world.counters();
    assert_eq!((counters.offered, counters.failed), (50_000, 50_000));
    let afforded = limits.retry_reserve as u64 + 50_000 / 2;
    assert!((afforded - 1_000..=afforded).contains(&counters.retried), "{counters:?}");
    assert_eq!(counters.throttled, counters.offered + counters.retried);
}

#[tokio::test(start_paused = true)]
async fn requests_under_way_and_room_are_bounded() {
    let limits = Limits { requests: 4, records: 1_000, ..Limits::default() };
    let mut world = a_world(Nature { latency: ms(100), ..Nature::default() }, limits, 7);
    for batch in 0..8 {
        assert_eq!(world.dispatcher.room(), 1_000 - batch * 100);
        world.dispatch(100);
    }
    world.dispatcher.drained().await;
    assert_eq!((world.stream.most_under_way(), world.dispatcher.room()), (4, 1_000));

    let by_bytes = Limits { bytes: 80, ..limits };
    let mut world = a_world(Nature { latency: ms(100), ..Nature::default() }, by_bytes, 8);
    world.dispatch(10);
    assert_eq!(world.dispatcher.room(), 0);
    world.dispatcher.drained().await;
    assert_eq!(world.dispatcher.room(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn after_send_no_more_answers_still_count_and_what_waits_is_settled_at_once() {
    let limits = Limits { requests: 1, ..Limits::default() };
    let mut world = a_world(Nature { latency: ms(500), ..Nature::default() }, limits, 9);
    world.dispatch(3);
    sleep(ms(10)).await;
    world.dispatch(5);
    sleep(ms(10)).await;
    world.dispatcher.send_no_more();
    sleep(ms(10)).await;
    assert_eq!(world.counters(), Counters { offered: 8, dropped: 5, ..Counters::default() });
    world.dispatcher.drained().await;
    assert_eq!(world.counters(), Counters { offered: 8, accepted: 3, dropped: 5, ..Counters::default() });
}

#[tokio::test(start_paused = true)]
async fn abandoning_leaves_nothing_open() {
    let nature = Nature { capacity: Some(0), ..Nature::default() };
    let mut world = a_world(nature, Limits { requests: 1, ..Limits::default() }, 10);
    world.dispatch(2);
    sleep(ms(5)).await;
    world.stream.nature.lock().unwrap().hangs = true;
    world.dispatch(3);
    sleep(ms(5)).await;
    world.dispatch(4);
    sleep(ms(5)).await;
    world.dispatcher.abandon();
    world.dispatcher.drained().await;
    let expected =
        Counters { offered: 9, failed: 2, unknown: 3, dropped: 4, throttled: 2, ..Counters::default() };
    assert_eq!(world.counters(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the stream does, every record ends in exactly one way, none is stored twice, and what is stored agrees.
    #[test]
    fn the_books_balance_in_every_mix_of_faults(
        seed: u64, latency in 0_u64..2_000,
        [refuse_records, refuse_requests, lose_before_storing, lose_after_storing] in [0_u32..700, 0_u32..700, 0_u32..300, 0_u32..300],
        capacity in prop::option::of(0_usize..2_000),
        batches in prop::collection::vec((1_usize..500, 0_u64..300), 1..20),
        requests in 1_usize..6, ends_with in 0_u8..3,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let nature = Nature {
                latency: ms(latency), refuse_records, refuse_requests, lose_before_storing, lose_after_storing, capacity,
                hangs: false,
            };
            let mut world = a_world(nature, Limits { requests, ..Limits::default() }, seed);
            for (records, pause) in batches {
                world.dispatch(records);
                let counters = world.counters();
                prop_assert!(counters.offered >= counters.settled());
                sleep(ms(pause)).await;
            }
            match ends_with {
                0 => {}
                1 => world.dispatcher.send_no_more(),
                _ => world.dispatcher.abandon(),
            }
            world.dispatcher.drained().await;
            let counters = world.counters();
            prop_assert_eq!(counters.offered, counters.settled());
            let (stored, most) = world.stream.stored();
            prop_assert!(most <= 1);
            let bounds = counters.accepted..=counters.accepted + counters.unknown;
            prop_assert!(bounds.contains(&(stored as u64)), "{stored} {counters:?}");
            prop_assert_eq!(world.dispatcher.room(), Limits::default().records);
            Ok(())
        })?;
    }
}
