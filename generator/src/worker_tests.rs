use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_api::control::gate::LONGEST_READ_LEASE;
use kinesis_demo_api::ledger::Counters;
use kinesis_demo_api::record_size::RecordSize;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::*;
use crate::dispatcher::DispatchLimits;
use crate::fake::{
    FakeParameter, FakeStream, MemoryLedgerWriter, StreamBehavior, T0, TokioClock, document, ms, segment,
};
use crate::payload::Posts;
use crate::reader::poll_control;

struct TestTask {
    started: Instant,
    clock: Arc<TokioClock>,
    stream: Arc<FakeStream>,
    parameter: Arc<FakeParameter>,
    ledger_writer: MemoryLedgerWriter,
    stop: Option<oneshot::Sender<()>>,
    work: JoinHandle<WorkerEnd>,
}

fn task_id() -> TaskId {
    TaskId::from_arn("a1b2c3d4")
}

/// A worker whose deadline is ten minutes away, with the real components around a fake stream and a
/// fake parameter.
fn test_task(behavior: StreamBehavior) -> TestTask {
    let clock = TokioClock::new();
    let started = Instant::now();
    let stream = FakeStream::new(Arc::clone(&clock) as _, behavior, 1);
    let recorder = Arc::new(Recorder::default());
    let dispatcher = Dispatcher::new(
        Arc::clone(&stream) as _,
        Arc::clone(&recorder),
        Arc::clone(&clock) as _,
        DispatchLimits::default(),
    );
    let posts = Posts::new(1, "kd-x-r1", &task_id(), RecordSize::Natural);
    let pacer = Pacer::new(posts, Arc::clone(&dispatcher), Arc::clone(&recorder));
    let (parameter, ledger_writer) = (Arc::new(FakeParameter::default()), MemoryLedgerWriter::default());
    let (send, reads) = mpsc::channel(1);
    tokio::spawn(poll_control(Arc::clone(&parameter) as _, Arc::clone(&clock) as _, send));
    let worker = Worker {
        task: task_id(),
        limits: TaskLimits {
            run: 1,
            deadline: T0 + ms(600_000),
            max_records_per_second: 10_000,
            longest_read_lease: LONGEST_READ_LEASE,
        },
        ledger_every: ms(5_000),
        clock: Arc::clone(&clock) as _,
        recorder,
        dispatcher,
        pacer,
        ledger_writer: Box::new(ledger_writer.clone()),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let work = tokio::spawn(worker.work(reads, async move {
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    }));
    TestTask { started, clock, stream, parameter, ledger_writer, stop: Some(stop), work }
}

impl TestTask {
    async fn at(&self, milliseconds: u64) {
        sleep_until(self.started + ms(milliseconds)).await;
    }

    fn put_document(&self, document: &ControlDocument) {
        self.parameter.put(document.to_text().unwrap());
    }

    async fn stop(mut self) -> (WorkerEnd, Vec<LedgerLine>) {
        self.stop.take().unwrap().send(()).unwrap();
        (self.work.await.unwrap(), self.ledger_writer.lines())
    }

    /// Records that arrived between `from` (inclusive) and `until` (exclusive), in milliseconds.
    fn arrived(&self, from: u64, until: u64) -> usize {
        let within = |request: &&crate::fake::RecordedRequest| (ms(from)..ms(until)).contains(&request.at);
        self.stream.requests().iter().filter(within).map(|request| request.records.len()).sum()
    }
}

/// One task: 100/s from second 5 to 15, then 5,000/s to second 20.
fn schedule_document() -> ControlDocument {
    let segments = vec![segment("baseline", 5_000, 15_000, 100), segment("spike", 15_000, 20_000, 5_000)];
    ControlDocument { ends_by: T0 + ms(500_000), ..document(vec![Some(task_id())], segments) }
}

fn counters(line: &LedgerLine) -> BTreeMap<&str, Counters> {
    line.phases.iter().map(|(phase, ledger)| (phase.as_str(), ledger.counters.clone())).collect()
}

fn all_accepted(records: u64) -> Counters {
    Counters { offered: records, accepted: records, ..Counters::default() }
}

fn assert_sound(lines: &[LedgerLine]) {
    for (sequence, line) in (1..).zip(lines) {
        assert_eq!(line.sequence, sequence);
        for counters in line.phases.values().map(|phase| &phase.counters) {
            assert!(counters.offered >= counters.settled());
            assert!(!line.is_final || counters.offered == counters.settled());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn phases_start_on_time_and_send_at_their_rates() {
    let task = test_task(StreamBehavior { latency: ms(15), ..StreamBehavior::default() });
    task.put_document(&schedule_document());
    task.at(30_000).await;
    assert_eq!(task.arrived(0, 5_000), 0);
    for from in (5_000..15_000).step_by(500) {
        let arrived = task.arrived(from, from + 500);
        assert!((48..=52).contains(&arrived), "{arrived} within 500 ms from {from} ms");
    }
    let change: Vec<_> = (0..4).map(|n| task.arrived(15_000 + n * 100, 15_100 + n * 100)).collect();
    // A record waits up to 20 ms for the next tick and takes 15 ms: within 100 ms, everything due
    // in the first 65 ms must have arrived.
    assert!(
        change[0] >= 325 && change[1..].iter().all(|arrived| (350..=650).contains(arrived)),
        "{change:?}"
    );
    assert_eq!(task.arrived(20_100, 30_000), 0);

    let lines = task.ledger_writer.lines();
    assert_sound(&lines);
    let last = lines.last().unwrap();
    assert!(last.is_final && last.at < T0 + ms(20_300), "{last:?}");
    assert_eq!(counters(last), [("baseline", all_accepted(1_000)), ("spike", all_accepted(25_000))].into());
    let latency = &last.phases["spike"].latency;
    assert!(
        latency.max().unwrap() < ms(40) && latency.percentile(1.0).unwrap() >= ms(15),
        "{:?}",
        latency.max()
    );

    let (end, lines) = task.stop().await;
    assert_eq!(end, WorkerEnd::Stopped);
    assert_sound(&lines);
    assert!(lines.last().unwrap().is_final);
}

#[tokio::test(start_paused = true)]
async fn ticks_of_different_shares_are_spread_evenly() {
    let task = test_task(StreamBehavior::default());
    let others = [None, Some(TaskId::from_arn("deadbeef")), Some(task_id())];
    task.put_document(&ControlDocument {
        slots: others.into(),
        segments: vec![segment("peak", 0, 100_000, 10_000)],
        ..schedule_document()
    });
    task.at(10_000).await;
    // Requests at ticks only: after each read of the document the task also sends, at once, what is
    // due by then.
    let ticks: Vec<_> = (task.stream.requests().into_iter())
        .filter(|request| request.records.len() == 100)
        .map(|request| request.at.as_millis() % 20)
        .collect();
    assert!(ticks.len() > 100 && ticks.iter().all(|tick| *tick == 10), "{ticks:?}");
    let nth = |position| Some(Share { position, of: 4 });
    let now = Now { wall: T0 + ms(3), running: ms(3) };
    let until: Vec<_> = (0..4).map(|position| until_next_tick(now, nth(position)).as_millis()).collect();
    assert_eq!(until, [17, 2, 7, 12]);
}

#[tokio::test(start_paused = true)]
async fn ledger_lines_are_periodic_and_written_at_the_end_of_a_phase() {
    let task = test_task(StreamBehavior { latency: ms(15), ..StreamBehavior::default() });
    task.put_document(&schedule_document());
    task.at(40_000).await;
    let at: Vec<_> =
        task.ledger_writer.lines().iter().map(|line| line.at.since(T0).as_millis() / 100).collect();
    // From the first read: every 5 s, at the start of the traffic and of the spike, and when
    // everything is settled.
    let at_15 = at.iter().filter(|at| (150..152).contains(*at)).count();
    let at_20 = at.iter().filter(|at| (200..203).contains(*at)).count();
    assert!(at_15 >= 1 && at_20 >= 1 && at.len() <= 9, "{at:?}");
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] <= 51), "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_task_with_a_slot_writes_ledger_lines_though_nothing_is_due() {
    let task = test_task(StreamBehavior::default());
    let calm = vec![segment("calm", 0, 60_000, 0), segment("spike", 60_000, 61_000, 100)];
    let document = ControlDocument { segments: calm, valid_until: T0 + ms(600_000), ..schedule_document() };
    task.put_document(&document);
    task.at(60_000).await;
    let lines = task.ledger_writer.lines();
    assert!((12..=14).contains(&lines.len()), "one line every 5 s, not {}", lines.len());
    assert!(lines.iter().all(|line| !line.is_final && line.phases.is_empty()), "{lines:?}");
    assert!(lines.windows(2).all(|pair| pair[1].at.since(pair[0].at) <= ms(5_100)), "{lines:?}");
    // No line follows the final line while nothing more is due.
    task.at(200_000).await;
    let lines = task.ledger_writer.lines();
    assert_sound(&lines);
    assert!(lines.last().unwrap().is_final && lines.last().unwrap().at < T0 + ms(61_300), "{lines:?}");
    // Without a slot it writes no line.
    task.put_document(&ControlDocument { version: 2, slots: vec![None], ..document });
    task.at(300_000).await;
    assert_eq!(task.ledger_writer.lines().len(), lines.len());
}

#[tokio::test(start_paused = true)]
async fn a_document_beyond_the_plan_is_ignored_and_renews_no_lease() {
    let task = test_task(StreamBehavior::default());
    let plan = ControlDocument {
        segments: vec![segment("peak", 0, 400_000, 1_000)],
        valid_until: T0 + ms(600_000),
        ..schedule_document()
    };
    task.put_document(&plan);
    task.at(10_000).await;
    let forged = vec![segment("peak", 0, 400_000, 10_001)];
    task.put_document(&ControlDocument {
        epoch: 1_000_000_000,
        version: 2,
        segments: forged,
        ..plan.clone()
    });
    task.at(40_000).await;
    assert!(task.arrived(10_000, 25_000) <= 15_000, "sends at the plan's rate");
    assert_eq!(task.arrived(25_100, 40_000), 0, "stops when the read lease of 15 s expires");
    task.put_document(&plan);
    task.at(50_000).await;
    assert!(task.arrived(40_000, 50_000) > 8_000);
}

#[tokio::test(start_paused = true)]
async fn after_sigterm_the_final_line_settles_all_records() {
    let task =
        test_task(StreamBehavior { latency: ms(400), reject_records: 200, ..StreamBehavior::default() });
    task.put_document(&schedule_document());
    task.at(17_003).await;
    let (end, lines) = task.stop().await;
    assert_eq!(end, WorkerEnd::Stopped);
    assert_sound(&lines);
    let last = lines.last().unwrap();
    let spike = &counters(last)["spike"];
    assert!(last.is_final && last.at < T0 + ms(21_000), "{}", last.at);
    assert!((9_900..=10_015).contains(&spike.offered) && spike.offered == spike.settled(), "{spike:?}");
}

#[tokio::test(start_paused = true)]
async fn requests_without_response_count_as_unknown_after_the_drain() {
    let task = test_task(StreamBehavior::default());
    task.put_document(&schedule_document());
    task.at(16_000).await;
    task.stream.behavior.lock().unwrap().hangs = true;
    task.at(16_055).await;
    let (_, lines) = task.stop().await;
    assert_sound(&lines);
    let last = lines.last().unwrap();
    assert!(last.is_final && last.at.since(T0 + ms(16_055)) >= DRAIN_TIMEOUT);
    let spike = &counters(last)["spike"];
    assert!(spike.unknown > 0 && spike.accepted + spike.unknown == spike.offered, "{spike:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_document_ends_sending_but_not_the_process() {
    let task = test_task(StreamBehavior { latency: ms(15), ..StreamBehavior::default() });
    task.put_document(&schedule_document());
    task.at(8_000).await;
    task.put_document(&ControlDocument { version: 2, state: ControlState::Stop, ..schedule_document() });
    task.at(60_000).await;
    assert_eq!(task.arrived(9_200, 60_000), 0);
    let lines = task.ledger_writer.lines();
    assert_sound(&lines);
    assert!(lines.last().unwrap().is_final && lines.last().unwrap().at < T0 + ms(9_300));
    assert!(!task.work.is_finished());
}

#[tokio::test(start_paused = true)]
async fn each_loss_of_the_slot_gets_a_final_line() {
    let task = test_task(StreamBehavior { latency: ms(15), ..StreamBehavior::default() });
    let endless =
        ControlDocument { segments: vec![segment("peak", 0, 400_000, 1_000)], ..schedule_document() };
    task.put_document(&endless);
    task.at(4_000).await;
    task.put_document(&ControlDocument {
        version: 2,
        effective_at: T0 + ms(10_000),
        slots: vec![None],
        ..endless.clone()
    });
    task.at(20_000).await;
    let lines = task.ledger_writer.lines();
    let first_final = lines.last().unwrap().clone();
    assert!(first_final.is_final && first_final.at < T0 + ms(10_200), "{first_final:?}");
    assert_eq!(task.arrived(10_100, 20_000), 0);
    task.put_document(&ControlDocument { version: 3, effective_at: T0 + ms(25_000), ..endless.clone() });
    task.at(24_000).await;
    task.put_document(&ControlDocument {
        version: 4,
        effective_at: T0 + ms(30_000),
        slots: vec![None],
        ..endless
    });
    task.at(40_000).await;
    let lines = task.ledger_writer.lines();
    assert_sound(&lines);
    let second_final = lines.last().unwrap();
    assert!(second_final.is_final && second_final.sequence > first_final.sequence);
    let offered = |line: &LedgerLine| line.phases["peak"].counters.offered;
    assert_eq!(offered(second_final) - offered(&first_final), 5_000);
    assert_eq!(lines.iter().filter(|line| line.is_final).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_reads_sending_stops_and_missed_records_are_not_sent() {
    let task = test_task(StreamBehavior::default());
    let endless = ControlDocument {
        segments: vec![segment("peak", 0, 400_000, 1_000)],
        valid_until: T0 + ms(600_000),
        ..schedule_document()
    };
    task.put_document(&endless);
    task.at(10_000).await;
    task.parameter.set_broken(true);
    task.at(40_000).await;
    // The last successful read started within the second before; the read lease is 15 s.
    assert_eq!(task.arrived(25_100, 40_000), 0);
    assert!(!task.ledger_writer.lines().last().unwrap().is_final);
    task.parameter.set_broken(false);
    task.at(50_000).await;
    let resumed: usize = task.arrived(40_000, 50_000);
    assert!((8_900..=10_000).contains(&resumed), "{resumed}");
    let busiest = (400..500).map(|n| task.arrived(n * 100, n * 100 + 100)).max().unwrap();
    // The records due in 100 ms and in one more tick; the missed fifteen seconds would be 15,000
    // records.
    assert!(busiest <= 125, "{busiest} records within 100 ms");
}

#[tokio::test(start_paused = true)]
async fn the_worker_ends_at_the_deadline() {
    let task = test_task(StreamBehavior { latency: ms(15), ..StreamBehavior::default() });
    let endless = ControlDocument {
        segments: vec![segment("peak", 590_000, 900_000, 1_000)],
        valid_until: T0 + ms(900_000),
        ends_by: T0 + ms(900_000),
        ..schedule_document()
    };
    task.put_document(&endless);
    let TestTask { started, stream, ledger_writer, work, stop: _stop, .. } = task;
    assert_eq!(work.await.unwrap(), WorkerEnd::DeadlinePassed);
    assert!(started.elapsed() < ms(600_100), "{:?}", started.elapsed());
    assert!(stream.requests().iter().all(|request| request.at < ms(600_000)));
    let lines = ledger_writer.lines();
    assert_sound(&lines);
    let peak = &counters(lines.last().unwrap())["peak"];
    assert!(lines.last().unwrap().is_final && peak.accepted + peak.dropped == peak.offered, "{peak:?}");
    assert!(peak.dropped <= 40, "{peak:?}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_task_sleeps() {
    let task = test_task(StreamBehavior::default());
    task.put_document(&ControlDocument { slots: vec![None], read_every_seconds: 3, ..schedule_document() });
    task.at(2_000).await;
    let before = task.clock.calls.load(Ordering::Relaxed);
    task.at(62_000).await;
    let calls = task.clock.calls.load(Ordering::Relaxed) - before;
    // Each of the 20 to 25 reads reads the clock when it starts, when its document is applied and
    // in the iteration after it.
    assert!(calls <= 25 * 3 + 10, "the clock was read {calls} times within a minute");
    let (_, lines) = task.stop().await;
    assert_eq!(lines.len(), 1);
    assert!(lines[0].is_final && lines[0].phases.is_empty());
}
