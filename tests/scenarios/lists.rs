//! What `kubectl get` lists show of a run. A column reads a single status field, so each such field
//! must be readable as it is.

use std::time::Duration;

use kinesis_demo_api::KinesisDemoSpec;
use kinesis_demo_api::status::{Outcome, Stage};

use crate::harness::{Harness, warm_spec};

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
