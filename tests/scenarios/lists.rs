//! What `kubectl get` lists show of a run. A column reads a single status field, so each such field
//! must be readable as it is.

use std::time::Duration;

use kinesis_demo_api::KinesisDemoSpec;
use kinesis_demo_api::status::{Outcome, Stage};
use kinesis_demo_operator::clock::Clock;

use crate::harness::{Harness, s, warm_spec};

#[tokio::test]
async fn a_deleted_stream_shows_no_shards_and_no_warm_throughput() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("baseline").await;
    let stream = harness.status().stream.unwrap();
    assert_eq!((stream.status.as_str(), stream.warm.map(|warm| warm.current)), ("ACTIVE", Some(100)));
    harness.run_to_end().await;
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
    let stream = harness.status().stream.unwrap();
    assert_eq!((stream.status.as_str(), stream.shards, stream.warm), ("DELETED", 0, None));
}

/// The account gives every stream some warm throughput. The status shows it only if it was
/// requested.
#[tokio::test]
async fn a_cold_stream_shows_no_warm_throughput() {
    let mut harness = Harness::new(KinesisDemoSpec::default());
    harness.run_until_phase("baseline").await;
    let stream = harness.status().stream.unwrap();
    assert_eq!((stream.status.as_str(), stream.warm), ("ACTIVE", None));
    assert!(stream.shards > 0);
}

#[tokio::test]
async fn the_displayed_end_is_rounded_up_to_a_second() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_stage(Stage::Running).await;
    harness.run_until_phase("spike").await;
    let run = harness.status().run.unwrap();
    let (exact, rounded) = (run.ends_at.unwrap(), run.ends.unwrap());
    assert_eq!(rounded.0.subsec_nanosecond(), 0);
    let rounded_up = kinesis_demo_api::MicroTime::from(rounded.0);
    assert!(
        rounded_up >= exact && rounded_up.since(exact) < Duration::from_secs(1),
        "{exact} as {rounded:?}"
    );
}

/// The tasks send until they have read of the stop: then the traffic has ended, not with the
/// schedule.
#[tokio::test]
async fn the_end_of_a_run_that_was_stopped_is_when_its_traffic_ended() {
    for millis in [0, 700, 5_000, 29_000] {
        let mut harness = Harness::new(warm_spec());
        harness.run_until_phase("spike").await;
        harness.clock.advance(Duration::from_millis(millis));
        let planned = harness.status().run.unwrap().ends_at.unwrap();
        let asked_at = harness.clock.now();
        harness.request(r#"{"verb":"abort","run":1,"id":"stop"}"#);
        harness.run_to_end().await;
        let status = harness.status();
        let run = status.run.as_ref().unwrap();
        let (ends_at, shown) = (run.ends_at.unwrap(), run.ends.clone().unwrap());
        assert!(ends_at >= asked_at && ends_at <= asked_at + s(20), "{ends_at}, asked at {asked_at}");
        assert!(ends_at < planned && ends_at <= run.tasks_stopped_at.unwrap(), "{ends_at}");
        let late = kinesis_demo_api::MicroTime::from(shown.0);
        assert!(late >= ends_at && late.since(ends_at) < Duration::from_secs(1), "{ends_at} as {shown:?}");
        // Over the time in which it sent, the phase has the rate that it asked for.
        let spike = status.phases.iter().find(|report| report.name == "spike").unwrap();
        let sent_for = ends_at.since(spike.starts_at).as_micros();
        let asked_for = u128::from(spike.totals.accepted) * 1_000_000 / sent_for;
        assert!(asked_for <= u128::from(spike.records_per_second), "{asked_for} a second");
        assert!(spike.ends_at > ends_at, "the schedule stays as it was: {}", spike.ends_at);
    }
}
