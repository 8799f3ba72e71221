//! What lists show of a run: columns read single fields of the status, so that what is in them must be for people's eyes as it stands.

use std::time::Duration;

use kinesis_demo_api::KinesisDemoSpec;
use kinesis_demo_api::status::{Outcome, Stage};

use crate::harness::{Harness, warm_spec};

#[tokio::test]
async fn warm_throughput_is_there_where_it_was_asked_for_and_a_deleted_stream_takes_nothing() {
    let mut harness = Harness::new(warm_spec());
    harness.play_until_phase("baseline").await;
    let stream = harness.status().stream.unwrap();
    assert_eq!((stream.status.as_str(), stream.warm.map(|warm| warm.current)), ("ACTIVE", Some(100)));
    harness.play_out().await;
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
    let stream = harness.status().stream.unwrap();
    assert_eq!((stream.status.as_str(), stream.shards, stream.warm), ("DELETED", 0, None));
}

#[tokio::test]
async fn a_cold_stream_has_no_warm_throughput_though_the_account_gives_every_stream_some() {
    let mut harness = Harness::new(KinesisDemoSpec::default());
    harness.play_until_phase("baseline").await;
    let stream = harness.status().stream.unwrap();
    assert_eq!((stream.status.as_str(), stream.warm), ("ACTIVE", None));
    assert!(stream.shards > 0);
}

#[tokio::test]
async fn the_end_is_told_to_the_second_and_never_before_it_comes() {
    let mut harness = Harness::new(warm_spec());
    harness.play_until_stage(Stage::Running).await;
    harness.play_until_phase("spike").await;
    let run = harness.status().run.unwrap();
    let (exact, told) = (run.ends_at.unwrap(), run.ends.unwrap());
    assert_eq!(told.0.subsec_nanosecond(), 0);
    let late = kinesis_demo_api::MicroTime::from(told.0);
    assert!(late >= exact && late.since(exact) < Duration::from_secs(1), "{exact} as {told:?}");
}
