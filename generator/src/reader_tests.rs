use kinesis_demo_api::control::{ControlState, SCHEMA};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep};

use super::*;
use crate::fake::{FakeParameter, T0, TokioClock};

fn a_document(version: u64) -> ControlDocument {
    ControlDocument {
        schema: SCHEMA,
        epoch: 1,
        version,
        run: 1,
        state: ControlState::Run,
        effective_at: T0,
        valid_until: T0,
        ends_by: T0,
        read_every_seconds: 3,
        read_lease_seconds: 15,
        slots: Vec::new(),
        segments: Vec::new(),
    }
}

fn pauses(parameter: &FakeParameter, since: Instant) -> Vec<Duration> {
    let at: Vec<_> = parameter.reads().into_iter().filter(|at| *at >= since).collect();
    at.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn assert_within(pauses: &[Duration], shortest: u64, longest: u64) {
    let within = Duration::from_millis(shortest)..=Duration::from_millis(longest + 1);
    assert!(!pauses.is_empty() && pauses.iter().all(|pause| within.contains(pause)), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn the_read_interval_is_the_documents_once_it_exists() {
    let (parameter, clock) = (Arc::new(FakeParameter::default()), TokioClock::new());
    let (send, mut reads) = mpsc::channel(1);
    let started = Instant::now();
    tokio::spawn(poll_control(Arc::clone(&parameter) as _, clock, send));
    sleep(Duration::from_secs(30)).await;
    let missing = pauses(&parameter, started);
    assert_within(&missing[..1], 900, 1_100);
    assert_within(&missing[5..], 3_600, 4_400);
    assert!(reads.try_recv().is_err());

    parameter.put(a_document(1).to_text().unwrap());
    let read = reads.recv().await.unwrap();
    assert_eq!(read.document, a_document(1));
    assert_eq!(read.began_at, *parameter.reads().last().unwrap() - started);
    let found_at = Instant::now();
    tokio::spawn(async move { while reads.recv().await.is_some() {} });
    sleep(Duration::from_secs(20)).await;
    assert_within(&pauses(&parameter, found_at), 2_700, 3_300);
}

#[tokio::test(start_paused = true)]
async fn failed_and_unparsable_reads_are_skipped_and_retried_sooner() {
    let (parameter, clock) = (Arc::new(FakeParameter::default()), TokioClock::new());
    let (send, mut reads) = mpsc::channel(1);
    parameter.put(a_document(1).to_text().unwrap());
    tokio::spawn(poll_control(Arc::clone(&parameter) as _, clock, send));
    assert_eq!(reads.recv().await.unwrap().document.version, 1);
    parameter.put("{");
    // The pause after the last successful read is still running.
    let garbled_at = Instant::now() + Duration::from_millis(1);
    sleep(Duration::from_secs(10)).await;
    assert!(reads.try_recv().is_err());
    assert_within(&pauses(&parameter, garbled_at), 1_350, 1_650);
    parameter.set_broken(true);
    sleep(Duration::from_secs(10)).await;
    parameter.set_broken(false);
    parameter.put(a_document(2).to_text().unwrap());
    assert_eq!(reads.recv().await.unwrap().document.version, 2);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_hangs_times_out_early_enough_to_retry() {
    struct Hanging(std::sync::atomic::AtomicU32);
    #[async_trait]
    impl ControlSource for Hanging {
        async fn fetch(&self) -> Result<Option<String>, ReadError> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            std::future::pending().await
        }
    }
    let (source, clock) = (Arc::new(Hanging(0.into())), TokioClock::new());
    let (send, reads) = mpsc::channel(1);
    let reading = tokio::spawn(poll_control(Arc::clone(&source) as _, clock, send));
    sleep(Duration::from_secs(15)).await;
    assert!(source.0.load(std::sync::atomic::Ordering::Relaxed) >= 5);
    drop(reads);
    reading.await.unwrap();
}

#[test]
fn a_throttled_task_backs_off_but_retries_within_its_lease() {
    let throttled = || Err(ReadError::Throttled("Rate exceeded".into()));
    let mut document = a_document(1);
    (document.read_every_seconds, document.read_lease_seconds) = (3, 9);
    let mut cadence = Cadence::default();
    cadence.note(&Ok(Some(document)));
    let random = &mut ChaCha8Rng::seed_from_u64(7);
    let mut pauses = vec![cadence.pause(random)];
    for _ in 0..6 {
        cadence.note(&throttled());
        pauses.push(cadence.pause(random));
    }
    let seconds = |seconds: f64| Duration::from_secs_f64(seconds);
    for (pause, planned) in pauses.iter().zip([3.0, 4.5, 6.75, 10.0, 10.0, 10.0, 10.0]) {
        assert!((seconds(planned * 0.9)..=seconds(planned * 1.1)).contains(pause), "{pauses:?}");
    }
    // Even the longest first two pauses leave time for another read within the lease.
    assert!(seconds((3.0 + 4.5) * 1.1) < Duration::from_secs(9));
}

/// A Region's token bucket: 40 reads per second for everyone (as in sandbox/src/limits.rs).
struct Bucket {
    tokens: f64,
    at: f64,
}

impl Bucket {
    fn take(&mut self, now: f64) -> bool {
        self.tokens = (self.tokens + (now - self.at) * 40.0).min(40.0);
        self.at = now;
        let has_token = self.tokens >= 1.0;
        self.tokens -= f64::from(u8::from(has_token));
        has_token
    }
}

/// Simulates half an hour in which `tasks` tasks read every `every` seconds with a read lease of
/// `lease` seconds, beside an operator with 5 reads per second and other readers with 10. Returns
/// how many tasks lapsed, and how many of 1,000 reads by the other readers were throttled.
fn simulate_region(tasks: usize, every: u32, lease: u32) -> (usize, usize) {
    const HORIZON: f64 = 1_800.0;
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut document = a_document(1);
    (document.read_every_seconds, document.read_lease_seconds) = (every, lease);
    let mut readers: Vec<(f64, Cadence, f64, bool)> = (0..tasks)
        .map(|_| {
            let mut cadence = Cadence::default();
            cadence.note(&Ok(Some(document.clone())));
            let first = random.random_range(0.0..f64::from(every));
            (first, cadence, 0.0, false)
        })
        .collect();
    let mut bucket = Bucket { tokens: 40.0, at: 0.0 };
    let (mut others, mut throttled, mut requests) = ([0.0_f64; 2], 0_usize, 0_usize);
    loop {
        let earliest = readers
            .iter()
            .enumerate()
            .min_by(|a, b| a.1.0.total_cmp(&b.1.0))
            .map(|(index, reader)| (reader.0, index));
        let Some((at, index)) = earliest else { break };
        for (next, per_second) in others.iter_mut().zip([5.0, 10.0]) {
            while *next <= at {
                let is_admitted = bucket.take(*next);
                if per_second > 5.0 {
                    requests += 1;
                    throttled += usize::from(!is_admitted);
                }
                *next += 1.0 / per_second;
            }
        }
        if at > HORIZON {
            break;
        }
        let (due, cadence, read_at, lapsed) = &mut readers[index];
        *lapsed |= at - *read_at > f64::from(lease);
        let outcome = match bucket.take(at) {
            true => {
                *read_at = at;
                Ok(Some(document.clone()))
            }
            false => Err(ReadError::Throttled("Rate exceeded".into())),
        };
        cadence.note(&outcome);
        *due = at + cadence.pause(&mut random).as_secs_f64();
    }
    (readers.iter().filter(|reader| reader.3).count(), throttled * 1_000 / requests.max(1))
}

/// The operator admits as many tasks as the quota allows, with these intervals and leases
/// (src/reconcile/read_budget.rs).
#[test]
fn admitted_tasks_never_lapse_and_never_throttle_others() {
    for (tasks, every, lease) in [(75, 3, 15), (100, 4, 15), (250, 10, 30)] {
        let (lapsed, throttled) = simulate_region(tasks, every, lease);
        assert_eq!((lapsed, throttled), (0, 0), "{tasks} tasks, each reading every {every} s");
    }
    // Without that admission: 500 tasks that read as often as a few do.
    let (lapsed, throttled) = simulate_region(500, 3, 15);
    assert!(
        lapsed > 100 && throttled > 100,
        "{lapsed} tasks lapsed, {throttled} of 1000 reads by others were throttled"
    );
}
