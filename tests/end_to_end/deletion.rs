//! The object is deleted in the middle of a live run: everything goes, traffic first.

use std::time::Duration;

use kinesis_demo_api::{KinesisDemo, Stage};
use kubectl_kinesisdemo::follow::wait_until_gone;
use serde_json::{Value, json};

use crate::local_cluster::{Laptop, place_beside_others};

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

/// Whether a run has come so far.
type Moment = fn(&KinesisDemo) -> bool;

fn stage(demo: &KinesisDemo) -> Option<Stage> {
    demo.status.as_ref().and_then(|status| status.stage)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_in_mid_run_leaves_nothing() {
    let Some(_place) = place_beside_others().await else { return };
    let laptop = Laptop::start().await;
    let moments: [(&str, Moment); 3] = [
        ("provisioning", |demo| stage(demo) >= Some(Stage::Provisioning)),
        ("starting", |demo| stage(demo) >= Some(Stage::Starting)),
        ("running", |demo| {
            demo.status
                .as_ref()
                .and_then(|status| status.traffic.as_ref())
                .is_some_and(|traffic| traffic.books.accepted > 0)
        }),
    ];
    for (name, moment) in moments {
        laptop.cluster.apply(name, &manifest(name)).await.unwrap();
        laptop.wait(name, Duration::from_secs(60), moment).await;
        laptop.cluster.delete(name).await.unwrap();
        if let Err(error) = wait_until_gone(&laptop.cluster, name, Duration::from_secs(90), &|_| {}).await {
            panic!("{name}: {error}\n{}", laptop.operator_log());
        }
        assert_eq!(laptop.leftovers().await, [] as [&str; 0], "deleted while {name}");
    }
    laptop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_aws_would_refuse_leaves_others_alone() {
    let Some(_place) = place_beside_others().await else { return };
    let laptop = Laptop::start().await;
    let mut refused = manifest("refused");
    refused["spec"]["stream"]["warmThroughput"]["mibPerSecond"] = json!(10_000);
    laptop.cluster.apply("refused", &refused).await.unwrap();
    let mut quick = manifest("quick");
    quick["spec"]["phases"][0]["duration"] = json!("3s");
    laptop.cluster.apply("quick", &quick).await.unwrap();
    let over = laptop.wait_until_over("quick").await;
    assert_eq!(stage(&over), Some(Stage::Succeeded));
    let refused = laptop.cluster.fetch("refused").await.unwrap();
    assert_eq!(stage(&refused), Some(Stage::Pending));
    laptop.cluster.delete("refused").await.unwrap();
    laptop.cluster.delete("quick").await.unwrap();
    wait_until_gone(&laptop.cluster, "refused", Duration::from_secs(30), &|_| {}).await.unwrap();
    wait_until_gone(&laptop.cluster, "quick", Duration::from_secs(30), &|_| {}).await.unwrap();
    laptop.stop().await;
}
