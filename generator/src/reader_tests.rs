use kinesis_demo_api::control::{ControlState, SCHEMA};
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
async fn it_looks_until_there_is_a_document_and_then_reads_as_often_as_that_says() {
    let (parameter, clock) = (Arc::new(FakeParameter::default()), TokioClock::new());
    let (send, mut reads) = mpsc::channel(1);
    let began = Instant::now();
    tokio::spawn(keep_reading(Arc::clone(&parameter) as _, clock, send));
    sleep(Duration::from_secs(30)).await;
    let looking = pauses(&parameter, began);
    assert_within(&looking[..1], 800, 1_000);
    assert_within(&looking[5..], 3_200, 4_000);
    assert!(reads.try_recv().is_err());

    parameter.put(a_document(1).to_text().unwrap());
    let read = reads.recv().await.unwrap();
    assert_eq!(read.document, a_document(1));
    assert_eq!(read.began_at, *parameter.reads().last().unwrap() - began);
    let found = Instant::now();
    tokio::spawn(async move { while reads.recv().await.is_some() {} });
    sleep(Duration::from_secs(20)).await;
    assert_within(&pauses(&parameter, found), 2_400, 3_000);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_or_understood_is_no_reading_and_is_tried_again_sooner() {
    let (parameter, clock) = (Arc::new(FakeParameter::default()), TokioClock::new());
    let (send, mut reads) = mpsc::channel(1);
    parameter.put(a_document(1).to_text().unwrap());
    tokio::spawn(keep_reading(Arc::clone(&parameter) as _, clock, send));
    assert_eq!(reads.recv().await.unwrap().document.version, 1);
    parameter.put("{");
    // The pause after the last good reading is under way.
    let garbled = Instant::now() + Duration::from_millis(1);
    sleep(Duration::from_secs(10)).await;
    assert!(reads.try_recv().is_err());
    assert_within(&pauses(&parameter, garbled), 1_200, 1_500);
    parameter.set_broken(true);
    sleep(Duration::from_secs(10)).await;
    parameter.set_broken(false);
    parameter.put(a_document(2).to_text().unwrap());
    assert_eq!(reads.recv().await.unwrap().document.version, 2);
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_hangs_fails_in_time_for_another_within_the_lease() {
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
    let reading = tokio::spawn(keep_reading(Arc::clone(&source) as _, clock, send));
    sleep(Duration::from_secs(15)).await;
    assert!(source.0.load(std::sync::atomic::Ordering::Relaxed) >= 5);
    drop(reads);
    reading.await.unwrap();
}
