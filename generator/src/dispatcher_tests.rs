use kinesis_demo_api::ledger::Counters;
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use super::*;
use crate::fake::{FakeStream, StreamBehavior, T0, TokioClock};
use crate::recorder::Totals;

struct TestTask {
    stream: Arc<FakeStream>,
    recorder: Arc<Recorder>,
    dispatcher: Arc<Dispatcher>,
    created: u32,
}

fn test_task(behavior: StreamBehavior, limits: DispatchLimits, seed: u64) -> TestTask {
    let clock: Arc<dyn Clock> = TokioClock::new();
    let stream = FakeStream::new(Arc::clone(&clock), behavior, seed);
    let recorder = Arc::new(Recorder::default());
    let dispatcher = Dispatcher::new(Arc::clone(&stream) as _, Arc::clone(&recorder), clock, limits);
    TestTask { stream, recorder, dispatcher, created: 0 }
}

impl TestTask {
    /// Offers and dispatches a batch of records that are due now.
    fn dispatch(&mut self, records: usize) {
        let mut batch = Batch::default();
        let phase = self.recorder.totals().phase("peak");
        let due_at = self.dispatcher.clock.now().wall;
        for _ in 0..records {
            let name = format!("{:08}", self.created);
            self.created += 1;
            batch.push(phase, due_at, |buffer| {
                let start = buffer.len();
                buffer.extend_from_slice(name.as_bytes());
                (*b"keykeyke", start..buffer.len())
            });
        }
        self.recorder.totals().offered(phase, records as u64);
        self.dispatcher.dispatch(batch);
    }

    fn counters(&self) -> Counters {
        ledger(&mut self.recorder.totals()).counters
    }
}

fn ledger(totals: &mut Totals) -> kinesis_demo_api::ledger::PhaseLedger {
    let task = kinesis_demo_api::control::TaskId::from_arn("a1b2c3d4");
    totals.next_line(1, &task, T0).phases.remove("peak").unwrap()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[tokio::test(start_paused = true)]
async fn latency_is_measured_from_the_due_time() {
    let mut task = test_task(
        StreamBehavior { latency: ms(20), ..StreamBehavior::default() },
        DispatchLimits::default(),
        1,
    );
    task.dispatch(500);
    task.dispatcher.drained().await;
    let phase_ledger = ledger(&mut task.recorder.totals());
    assert_eq!(phase_ledger.counters, Counters { offered: 500, accepted: 500, ..Counters::default() });
    let latency = phase_ledger.latency.max().unwrap();
    assert!((ms(20)..ms(22)).contains(&latency), "{latency:?}");
    assert_eq!(task.dispatcher.room(), DispatchLimits::default().records);
}

#[tokio::test(start_paused = true)]
async fn only_rejected_records_are_retried_with_the_same_bytes() {
    let behavior = StreamBehavior { reject_records: 300, ..StreamBehavior::default() };
    let mut task = test_task(behavior, DispatchLimits { attempts: 100, ..DispatchLimits::default() }, 2);
    task.dispatch(400);
    task.dispatcher.drained().await;
    let requests = task.stream.requests();
    assert!(requests.len() > 2, "{}", requests.len());
    for pair in requests.windows(2) {
        let SendOutcome::PerRecord(outcomes) = &pair[0].send_outcome else {
            panic!("{:?}", pair[0].send_outcome)
        };
        let rejected: Vec<_> = std::iter::zip(&pair[0].records, outcomes)
            .filter(|(_, outcome)| **outcome != RecordOutcome::Accepted)
            .map(|(record, _)| record.clone())
            .collect();
        assert_eq!(rejected, pair[1].records);
    }
    let throttled = requests.iter().flat_map(|request| match &request.send_outcome {
        SendOutcome::PerRecord(outcomes) => outcomes.clone(),
        _ => Vec::new(),
    });
    let throttled =
        throttled.filter(|outcome| *outcome == RecordOutcome::Rejected(Rejection::Throughput)).count() as u64;
    let retried: usize = requests.iter().skip(1).map(|request| request.records.len()).sum();
    let expected =
        Counters { offered: 400, accepted: 400, throttled, retried: retried as u64, ..Counters::default() };
    assert_eq!(task.counters(), expected);
    assert_eq!(task.stream.stored(), (400, 1));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_request_counts_per_record_and_pauses_double() {
    let behavior = StreamBehavior { reject_requests: 1_000, ..StreamBehavior::default() };
    let mut task = test_task(behavior, DispatchLimits::default(), 3);
    task.dispatch(10);
    task.dispatcher.drained().await;
    let counters = task.counters();
    assert_eq!((counters.offered, counters.failed, counters.retried), (10, 10, 50));
    assert_eq!(counters.throttled % 10, 0);
    let at: Vec<_> = task.stream.requests().iter().map(|request| request.at).collect();
    assert_eq!(at.len(), 6);
    for (nth, pair) in at.windows(2).enumerate() {
        let longest = ms(50 << nth);
        let pause = pair[1] - pair[0];
        assert!((longest / 2..=longest + ms(2)).contains(&pause), "pause {nth}: {pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn records_whose_response_was_lost_are_not_retried() {
    for behavior in [
        StreamBehavior { lose_before_storing: 1_000, ..StreamBehavior::default() },
        StreamBehavior { lose_after_storing: 1_000, ..StreamBehavior::default() },
    ] {
        let mut task = test_task(behavior, DispatchLimits::default(), 4);
        task.dispatch(7);
        task.dispatcher.drained().await;
        assert_eq!(task.counters(), Counters { offered: 7, unknown: 7, ..Counters::default() });
        assert_eq!(task.stream.requests().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_wait_too_long_for_a_request_slot_are_dropped() {
    let limits = DispatchLimits { requests: 1, ..DispatchLimits::default() };
    let mut task = test_task(StreamBehavior { latency: ms(4_000), ..StreamBehavior::default() }, limits, 5);
    task.dispatch(3);
    task.dispatch(5);
    task.dispatcher.drained().await;
    assert_eq!(task.counters(), Counters { offered: 8, accepted: 3, dropped: 5, ..Counters::default() });
    assert_eq!(task.stream.stored(), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn retries_end_when_a_record_is_too_old() {
    let limits = DispatchLimits { attempts: 1_000, ..DispatchLimits::default() };
    let mut task = test_task(StreamBehavior { capacity: Some(0), ..StreamBehavior::default() }, limits, 6);
    let started = Instant::now();
    task.dispatch(100);
    task.dispatcher.drained().await;
    assert_eq!(task.counters().failed, 100);
    let longest = limits.give_up_after + limits.backoff.longest;
    assert!((limits.give_up_after..=longest).contains(&started.elapsed()), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn lasting_rejections_cost_one_retry_per_two_offered_records() {
    let limits = DispatchLimits::default();
    let mut task = test_task(StreamBehavior { capacity: Some(0), ..StreamBehavior::default() }, limits, 11);
    for _ in 0..100 {
        task.dispatch(500);
        sleep(ms(50)).await;
    }
    task.dispatcher.drained().await;
    let counters = task.counters();
    assert_eq!((counters.offered, counters.failed), (50_000, 50_000));
    let afforded = limits.retry_reserve as u64 + 50_000 / 2;
    assert!((afforded - 1_000..=afforded).contains(&counters.retried), "{counters:?}");
    assert_eq!(counters.throttled, counters.offered + counters.retried);
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_and_waiting_records_are_bounded() {
    let limits = DispatchLimits { requests: 4, records: 1_000, ..DispatchLimits::default() };
    let mut task = test_task(StreamBehavior { latency: ms(100), ..StreamBehavior::default() }, limits, 7);
    for batch in 0..8 {
        assert_eq!(task.dispatcher.room(), 1_000 - batch * 100);
        task.dispatch(100);
    }
    task.dispatcher.drained().await;
    assert_eq!((task.stream.max_in_flight(), task.dispatcher.room()), (4, 1_000));

    let by_bytes = DispatchLimits { bytes: 80, ..limits };
    let mut task = test_task(StreamBehavior { latency: ms(100), ..StreamBehavior::default() }, by_bytes, 8);
    task.dispatch(10);
    assert_eq!(task.dispatcher.room(), 0);
    task.dispatcher.drained().await;
    assert_eq!(task.dispatcher.room(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn stop_sending_drops_waiting_records_and_awaits_responses() {
    let limits = DispatchLimits { requests: 1, ..DispatchLimits::default() };
    let mut task = test_task(StreamBehavior { latency: ms(500), ..StreamBehavior::default() }, limits, 9);
    task.dispatch(3);
    sleep(ms(10)).await;
    task.dispatch(5);
    sleep(ms(10)).await;
    task.dispatcher.stop_sending();
    sleep(ms(10)).await;
    assert_eq!(task.counters(), Counters { offered: 8, dropped: 5, ..Counters::default() });
    task.dispatcher.drained().await;
    assert_eq!(task.counters(), Counters { offered: 8, accepted: 3, dropped: 5, ..Counters::default() });
}

#[tokio::test(start_paused = true)]
async fn abandon_settles_every_record() {
    let behavior = StreamBehavior { capacity: Some(0), ..StreamBehavior::default() };
    let mut task = test_task(behavior, DispatchLimits { requests: 1, ..DispatchLimits::default() }, 10);
    task.dispatch(2);
    sleep(ms(5)).await;
    task.stream.behavior.lock().unwrap().hangs = true;
    task.dispatch(3);
    sleep(ms(5)).await;
    task.dispatch(4);
    sleep(ms(5)).await;
    task.dispatcher.abandon();
    task.dispatcher.drained().await;
    let expected =
        Counters { offered: 9, failed: 2, unknown: 3, dropped: 4, throttled: 2, ..Counters::default() };
    assert_eq!(task.counters(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the stream does, every record is settled in exactly one way, none is stored twice,
    /// and the counters agree with what is stored.
    #[test]
    fn the_books_balance_in_every_mix_of_faults(
        seed: u64, latency in 0_u64..2_000,
        [reject_records, reject_requests, lose_before_storing, lose_after_storing] in [0_u32..700, 0_u32..700, 0_u32..300, 0_u32..300],
        capacity in prop::option::of(0_usize..2_000),
        batches in prop::collection::vec((1_usize..500, 0_u64..300), 1..20),
        requests in 1_usize..6, ends_with in 0_u8..3,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let behavior = StreamBehavior {
                latency: ms(latency), reject_records, reject_requests, lose_before_storing, lose_after_storing, capacity,
                hangs: false,
            };
            let mut task = test_task(behavior, DispatchLimits { requests, ..DispatchLimits::default() }, seed);
            for (records, pause) in batches {
                task.dispatch(records);
                let counters = task.counters();
                prop_assert!(counters.offered >= counters.settled());
                sleep(ms(pause)).await;
            }
            match ends_with {
                0 => {}
                1 => task.dispatcher.stop_sending(),
                _ => task.dispatcher.abandon(),
            }
            task.dispatcher.drained().await;
            let counters = task.counters();
            prop_assert_eq!(counters.offered, counters.settled());
            let (stored, most) = task.stream.stored();
            prop_assert!(most <= 1);
            let bounds = counters.accepted..=counters.accepted + counters.unknown;
            prop_assert!(bounds.contains(&(stored as u64)), "{stored} {counters:?}");
            prop_assert_eq!(task.dispatcher.room(), DispatchLimits::default().records);
            Ok(())
        })?;
    }
}
