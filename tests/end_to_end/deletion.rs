//! Deletes the object during a live run. Traffic stops first, then everything is removed.

use std::time::Duration;

use kinesis_demo_api::{KinesisDemo, Stage};
use serde_json::{Value, json};

use crate::local_stack::{LocalStack, shared_permit};

fn manifest(name: &str) -> Value {
    json!({
        "apiVersion": "kinesisdemo.io/v1alpha1",
        "kind": "KinesisDemo",
        "metadata": { "name": name },
        "spec": {
            "stream": { "warmThroughput": { "mode": "Fixed", "mibPerSecond": 10 } },
            "phases": [{ "name": "steady", "duration": "2m", "recordsPerSecond": 500 }],
        },
    })
}

/// Whether a run has reached this moment.
type Moment = fn(&KinesisDemo) -> bool;

fn stage(demo: &KinesisDemo) -> Option<Stage> {
    demo.status.as_ref().and_then(|status| status.stage)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_during_a_run_leaves_nothing() {
    let Some(_permit) = shared_permit().await else { return };
    let stack = LocalStack::start().await;
    let moments: [(&str, Moment); 3] = [
        ("provisioning", |demo| stage(demo) >= Some(Stage::Provisioning)),
        ("starting", |demo| stage(demo) >= Some(Stage::Starting)),
        ("running", |demo| {
            demo.status
                .as_ref()
                .and_then(|status| status.traffic.as_ref())
                .is_some_and(|traffic| traffic.totals.accepted > 0)
        }),
    ];
    for (name, moment) in moments {
        stack.demos.apply(name, &manifest(name)).await.unwrap();
        stack.wait(name, Duration::from_secs(60), moment).await;
        stack.demos.delete(name).await.unwrap();
        stack.wait_until_deleted(name, Duration::from_secs(90)).await;
        assert_eq!(stack.leaked_resources().await, [] as [&str; 0], "deleted while {name}");
    }
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_object_does_not_affect_others() {
    let Some(_permit) = shared_permit().await else { return };
    let stack = LocalStack::start().await;
    let mut refused = manifest("refused");
    refused["spec"]["stream"]["warmThroughput"]["mibPerSecond"] = json!(10_000);
    stack.demos.apply("refused", &refused).await.unwrap();
    let mut quick = manifest("quick");
    quick["spec"]["phases"][0]["duration"] = json!("3s");
    stack.demos.apply("quick", &quick).await.unwrap();
    let over = stack.wait_until_over("quick").await;
    assert_eq!(stage(&over), Some(Stage::Succeeded));
    let refused = stack.demos.fetch("refused").await.unwrap();
    assert_eq!(stage(&refused), Some(Stage::Pending));
    stack.demos.delete("refused").await.unwrap();
    stack.demos.delete("quick").await.unwrap();
    stack.wait_until_deleted("refused", Duration::from_secs(30)).await;
    stack.wait_until_deleted("quick", Duration::from_secs(30)).await;
    stack.stop().await;
}
