use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_api::control::gate::LONGEST_READ_LEASE;
use kinesis_demo_api::ledger::Counters;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::*;
use crate::args::RecordSize;
use crate::dispatcher::Limits;
use crate::fake::{
    FakeParameter, FakeStream, MemoryLedgerWriter, Nature, T0, TokioClock, document, ms, segment,
};
use crate::payload::Posts;
use crate::reader::keep_reading;

struct TestTask {
    began: Instant,
    clock: Arc<TokioClock>,
    stream: Arc<FakeStream>,
    parameter: Arc<FakeParameter>,
    ledger_writer: MemoryLedgerWriter,
    stop: Option<oneshot::Sender<()>>,
    work: JoinHandle<End>,
}

fn a_task() -> TaskId {
    TaskId::from_arn("a1b2c3d4")
}

/// A worker whose deadline is ten minutes away, with real parts around a fake stream and a fake parameter.
fn a_world(nature: Nature) -> TestTask {
    let clock = TokioClock::new();
    let began = Instant::now();
    let stream = FakeStream::new(Arc::clone(&clock) as _, nature, 1);
    let recorder = Arc::new(Recorder::default());
    let dispatcher = Dispatcher::new(
        Arc::clone(&stream) as _,
        Arc::clone(&recorder),
        Arc::clone(&clock) as _,
        Limits::default(),
    );
    let posts = Posts::new(1, "kd-x-r1", &a_task(), RecordSize::Natural);
    let pacer = Pacer::new(posts, Arc::clone(&dispatcher), Arc::clone(&recorder));
    let (parameter, ledger_writer) = (Arc::new(FakeParameter::default()), MemoryLedgerWriter::default());
    let (send, reads) = mpsc::channel(1);
    tokio::spawn(keep_reading(Arc::clone(&parameter) as _, Arc::clone(&clock) as _, send));
    let worker = Worker {
        task: a_task(),
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
    TestTask { began, clock, stream, parameter, ledger_writer, stop: Some(stop), work }
}

impl TestTask {
    async fn at(&self, milliseconds: u64) {
        sleep_until(self.began + ms(milliseconds)).await;
    }

    fn put(&self, document: &ControlDocument) {
        self.parameter.put(document.to_text().unwrap());
    }

    async fn stop(mut self) -> (End, Vec<LedgerLine>) {
        self.stop.take().unwrap().send(()).unwrap();
        (self.work.await.unwrap(), self.ledger_writer.lines())
    }

    /// Records that arrived in [`from`, `until`) milliseconds.
    fn arrived(&self, from: u64, until: u64) -> usize {
        let within = |request: &&crate::fake::Arrived| (ms(from)..ms(until)).contains(&request.at);
        self.stream.requests().iter().filter(within).map(|request| request.records.len()).sum()
    }
}

/// This task alone: 100/s from second 5 to 15, then 5,000/s to second 20.
fn a_document() -> ControlDocument {
    let segments = vec![segment("baseline", 5_000, 15_000, 100), segment("spike", 15_000, 20_000, 5_000)];
    ControlDocument { ends_by: T0 + ms(500_000), ..document(vec![Some(a_task())], segments) }
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
async fn phases_are_sent_at_their_rates_and_change_at_their_instants() {
    let world = a_world(Nature { latency: ms(15), ..Nature::default() });
    world.put(&a_document());
    world.at(30_000).await;
    assert_eq!(world.arrived(0, 5_000), 0);
    for from in (5_000..15_000).step_by(500) {
        let arrived = world.arrived(from, from + 500);
        assert!((48..=52).contains(&arrived), "{arrived} within 500 ms from {from} ms");
    }
    let change: Vec<_> = (0..4).map(|n| world.arrived(15_000 + n * 100, 15_100 + n * 100)).collect();
    // A record waits up to 20 ms for others and takes 15 ms: after 100 ms, what was due in the first 65 ms must be there.
    assert!(
        change[0] >= 325 && change[1..].iter().all(|arrived| (350..=650).contains(arrived)),
        "{change:?}"
    );
    assert_eq!(world.arrived(20_100, 30_000), 0);

    let lines = world.ledger_writer.lines();
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

    let (end, lines) = world.stop().await;
    assert_eq!(end, End::Stopped);
    assert_sound(&lines);
    assert!(lines.last().unwrap().is_final);
}

#[tokio::test(start_paused = true)]
async fn each_share_sends_at_its_own_instants() {
    let world = a_world(Nature::default());
    let others = [None, Some(TaskId::from_arn("deadbeef")), Some(a_task())];
    world.put(&ControlDocument {
        slots: others.into(),
        segments: vec![segment("peak", 0, 100_000, 10_000)],
        ..a_document()
    });
    world.at(10_000).await;
    // Between two readings of the document, which make it send at once what is due by then.
    let ticks: Vec<_> = (world.stream.requests().into_iter())
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
async fn the_ledger_is_written_every_few_seconds_and_at_the_end_of_a_phase() {
    let world = a_world(Nature { latency: ms(15), ..Nature::default() });
    world.put(&a_document());
    world.at(40_000).await;
    let at: Vec<_> =
        world.ledger_writer.lines().iter().map(|line| line.at.since(T0).as_millis() / 100).collect();
    // From the first read on: every 5 s, at the beginning of the traffic and of the spike, and when all is settled.
    let at_15 = at.iter().filter(|at| (150..152).contains(*at)).count();
    let at_20 = at.iter().filter(|at| (200..203).contains(*at)).count();
    assert!(at_15 >= 1 && at_20 >= 1 && at.len() <= 9, "{at:?}");
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] <= 51), "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_task_with_a_slot_is_heard_of_though_nothing_is_due() {
    let world = a_world(Nature::default());
    let calm = vec![segment("calm", 0, 60_000, 0), segment("spike", 60_000, 61_000, 100)];
    let document = ControlDocument { segments: calm, valid_until: T0 + ms(600_000), ..a_document() };
    world.put(&document);
    world.at(60_000).await;
    let lines = world.ledger_writer.lines();
    assert!((12..=14).contains(&lines.len()), "every 5 s: {}", lines.len());
    assert!(lines.iter().all(|line| !line.is_final && line.phases.is_empty()), "{lines:?}");
    assert!(lines.windows(2).all(|pair| pair[1].at.since(pair[0].at) <= ms(5_100)), "{lines:?}");
    // Its last word stays the last: nothing follows while nothing more is due.
    world.at(200_000).await;
    let lines = world.ledger_writer.lines();
    assert_sound(&lines);
    assert!(lines.last().unwrap().is_final && lines.last().unwrap().at < T0 + ms(61_300), "{lines:?}");
    // Without a slot it has nothing to say.
    world.put(&ControlDocument { version: 2, slots: vec![None], ..document });
    world.at(300_000).await;
    assert_eq!(world.ledger_writer.lines().len(), lines.len());
}

#[tokio::test(start_paused = true)]
async fn a_document_beyond_the_plan_sends_nothing_and_does_not_prolong_what_is_sent() {
    let world = a_world(Nature::default());
    let plan = ControlDocument {
        segments: vec![segment("peak", 0, 400_000, 1_000)],
        valid_until: T0 + ms(600_000),
        ..a_document()
    };
    world.put(&plan);
    world.at(10_000).await;
    let forged = vec![segment("peak", 0, 400_000, 10_001)];
    world.put(&ControlDocument { epoch: 1_000_000_000, version: 2, segments: forged, ..plan.clone() });
    world.at(40_000).await;
    assert!(world.arrived(10_000, 25_000) <= 15_000, "at the plan's rate");
    assert_eq!(world.arrived(25_100, 40_000), 0, "the read lease of 15 s is over");
    world.put(&plan);
    world.at(50_000).await;
    assert!(world.arrived(40_000, 50_000) > 8_000);
}

#[tokio::test(start_paused = true)]
async fn sigterm_stops_offering_at_once_and_every_record_is_settled_in_the_last_word() {
    let world = a_world(Nature { latency: ms(400), refuse_records: 200, ..Nature::default() });
    world.put(&a_document());
    world.at(17_003).await;
    let (end, lines) = world.stop().await;
    assert_eq!(end, End::Stopped);
    assert_sound(&lines);
    let last = lines.last().unwrap();
    let spike = &counters(last)["spike"];
    assert!(last.is_final && last.at < T0 + ms(21_000), "{}", last.at);
    assert!((9_900..=10_015).contains(&spike.offered) && spike.offered == spike.settled(), "{spike:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_takes_too_long_leaves_its_requests_unknown() {
    let world = a_world(Nature::default());
    world.put(&a_document());
    world.at(16_000).await;
    world.stream.nature.lock().unwrap().hangs = true;
    world.at(16_055).await;
    let (_, lines) = world.stop().await;
    assert_sound(&lines);
    let last = lines.last().unwrap();
    assert!(last.is_final && last.at.since(T0 + ms(16_055)) >= LONGEST_DRAIN);
    let spike = &counters(last)["spike"];
    assert!(spike.unknown > 0 && spike.accepted + spike.unknown == spike.offered, "{spike:?}");
}

#[tokio::test(start_paused = true)]
async fn stop_ends_the_sending_but_not_the_process() {
    let world = a_world(Nature { latency: ms(15), ..Nature::default() });
    world.put(&a_document());
    world.at(8_000).await;
    world.put(&ControlDocument { version: 2, state: ControlState::Stop, ..a_document() });
    world.at(60_000).await;
    assert_eq!(world.arrived(9_200, 60_000), 0);
    let lines = world.ledger_writer.lines();
    assert_sound(&lines);
    assert!(lines.last().unwrap().is_final && lines.last().unwrap().at < T0 + ms(9_300));
    assert!(!world.work.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_loses_its_slot_says_its_last_word_and_another_one_when_it_got_it_back() {
    let world = a_world(Nature { latency: ms(15), ..Nature::default() });
    let endless = ControlDocument { segments: vec![segment("peak", 0, 400_000, 1_000)], ..a_document() };
    world.put(&endless);
    world.at(4_000).await;
    world.put(&ControlDocument {
        version: 2,
        effective_at: T0 + ms(10_000),
        slots: vec![None],
        ..endless.clone()
    });
    world.at(20_000).await;
    let lines = world.ledger_writer.lines();
    let first_last = lines.last().unwrap().clone();
    assert!(first_last.is_final && first_last.at < T0 + ms(10_200), "{first_last:?}");
    assert_eq!(world.arrived(10_100, 20_000), 0);
    world.put(&ControlDocument { version: 3, effective_at: T0 + ms(25_000), ..endless.clone() });
    world.at(24_000).await;
    world.put(&ControlDocument { version: 4, effective_at: T0 + ms(30_000), slots: vec![None], ..endless });
    world.at(40_000).await;
    let lines = world.ledger_writer.lines();
    assert_sound(&lines);
    let second_last = lines.last().unwrap();
    assert!(second_last.is_final && second_last.sequence > first_last.sequence);
    let offered = |line: &LedgerLine| line.phases["peak"].counters.offered;
    assert_eq!(offered(second_last) - offered(&first_last), 5_000);
    assert_eq!(lines.iter().filter(|line| line.is_final).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_good_reads_nothing_is_sent_and_what_was_missed_is_not_made_up_for() {
    let world = a_world(Nature::default());
    let endless = ControlDocument {
        segments: vec![segment("peak", 0, 400_000, 1_000)],
        valid_until: T0 + ms(600_000),
        ..a_document()
    };
    world.put(&endless);
    world.at(10_000).await;
    world.parameter.set_broken(true);
    world.at(40_000).await;
    // The last good read began within the second before; the lease is 15 s.
    assert_eq!(world.arrived(25_100, 40_000), 0);
    assert!(!world.ledger_writer.lines().last().unwrap().is_final);
    world.parameter.set_broken(false);
    world.at(50_000).await;
    let resumed: usize = world.arrived(40_000, 50_000);
    assert!((8_900..=10_000).contains(&resumed), "{resumed}");
    let busiest = (400..500).map(|n| world.arrived(n * 100, n * 100 + 100)).max().unwrap();
    // What fell due in as long, and in a tick; the fifteen seconds that were missed would be 15,000 records.
    assert!(busiest <= 125, "{busiest} records within 100 ms");
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_the_work_ends_by_itself() {
    let world = a_world(Nature { latency: ms(15), ..Nature::default() });
    let endless = ControlDocument {
        segments: vec![segment("peak", 590_000, 900_000, 1_000)],
        valid_until: T0 + ms(900_000),
        ends_by: T0 + ms(900_000),
        ..a_document()
    };
    world.put(&endless);
    let TestTask { began, stream, ledger_writer, work, stop: _stop, .. } = world;
    assert_eq!(work.await.unwrap(), End::Ceiling);
    assert!(began.elapsed() < ms(600_100), "{:?}", began.elapsed());
    assert!(stream.requests().iter().all(|request| request.at < ms(600_000)));
    let lines = ledger_writer.lines();
    assert_sound(&lines);
    let peak = &counters(lines.last().unwrap())["peak"];
    assert!(lines.last().unwrap().is_final && peak.accepted + peak.dropped == peak.offered, "{peak:?}");
    assert!(peak.dropped <= 40, "{peak:?}");
}

#[tokio::test(start_paused = true)]
async fn a_task_with_nothing_to_send_sleeps() {
    let world = a_world(Nature::default());
    world.put(&ControlDocument { slots: vec![None], read_every_seconds: 3, ..a_document() });
    world.at(2_000).await;
    let before = world.clock.asked.load(Ordering::Relaxed);
    world.at(62_000).await;
    let asked = world.clock.asked.load(Ordering::Relaxed) - before;
    // Each of the 20 to 25 readings asks when it begins, when it is taken in and in the round after it.
    assert!(asked <= 25 * 3 + 10, "the clock was asked {asked} times within a minute");
    let (_, lines) = world.stop().await;
    assert_eq!(lines.len(), 1);
    assert!(lines[0].is_final && lines[0].phases.is_empty());
}
