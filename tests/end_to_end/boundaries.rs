//! At every phase boundary the arrival rate changes from the old rate to the new one within 300 ms
//! of the plan.

use std::time::Duration;

use kinesis_demo_api::Stage;
use kinesis_demo_local_cluster::sandbox::boundaries::boundaries;
use serde_json::json;

use crate::local_stack::{LocalStack, exclusive_permit};

/// How long arrivals may lag behind the plan.
const TOLERANCE: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_arrive_at_the_new_rate_from_the_planned_instants() {
    let Some(_permit) = exclusive_permit().await else { return };
    let stack = LocalStack::start().await;
    let manifest = json!({
        "apiVersion": "kinesisdemo.io/v1alpha1",
        "kind": "KinesisDemo",
        "metadata": { "name": "steps" },
        "spec": {
            "stream": { "warmThroughput": { "mode": "Fixed", "mibPerSecond": 20 } },
            "phases": [
                { "name": "low", "duration": "5s", "recordsPerSecond": 200 },
                { "name": "high", "duration": "5s", "recordsPerSecond": 4000 },
                { "name": "low-again", "duration": "5s", "recordsPerSecond": 200 },
            ],
        },
    });
    stack.demos.apply("steps", &manifest).await.unwrap();
    let over = stack.wait_until_over("steps").await;
    let planned = boundaries(&over);
    let status = over.status.unwrap();
    assert_eq!(status.stage, Some(Stage::Succeeded));
    let arn = status.stream.unwrap().arn;
    let (_, ingest_statistics) =
        stack.sandbox.fetch_ingest_statistics(&arn).await.unwrap().expect("the stream received no records");

    let changed: Vec<_> =
        planned.iter().flatten().map(|boundary| ingest_statistics.changed_within_millis(*boundary)).collect();
    assert_eq!(changed.len(), 2, "{planned:?}");
    for within in changed {
        assert!(
            within.is_some_and(|millis| u128::from(millis) <= TOLERANCE.as_millis()),
            "{within:?} in {ingest_statistics:?}"
        );
    }
    // From there on the rate stays constant.
    for phase in &status.phases {
        let settled = (phase.starts_at + TOLERANCE).timestamp()..phase.ends_at.timestamp();
        // The buckets that lie entirely within the settled part of the phase. A single bucket holds
        // a few batches more or less than its share, so half a second of buckets is checked
        // together.
        let inside: Vec<u64> = ingest_statistics
            .buckets
            .iter()
            .filter(|bucket| {
                bucket.at >= settled.start && bucket.at + Duration::from_millis(100) <= settled.end
            })
            .map(|bucket| bucket.records)
            .collect();
        assert!(inside.len() >= 40, "{}: {} buckets", phase.name, inside.len());
        for (index, window) in inside.chunks_exact(5).enumerate() {
            let (arrived, planned) = (window.iter().sum::<u64>(), u64::from(phase.records_per_second) / 2);
            assert!(
                arrived.abs_diff(planned) * 2 <= planned,
                "{} half-second {index}: {arrived} arrived, {planned} planned; {inside:?}",
                phase.name
            );
        }
    }
    stack.demos.delete("steps").await.unwrap();
    stack.stop().await;
}
