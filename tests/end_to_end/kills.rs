//! The operator is killed at random instants of a live run, and started again each time.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kinesis_demo_api::Stage;
use kube::Api;
use kube::api::DeleteParams;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::local_cluster::{LocalStack, assert_balanced, place_beside_others};

const KILLS: usize = 10;

/// From the apply until the end of the traffic, roughly.
const LIVE: Duration = Duration::from_secs(50);

fn manifest() -> Value {
    json!({
        "apiVersion": "kinesisdemo.io/v1alpha1",
        "kind": "KinesisDemo",
        "metadata": { "name": "killed" },
        "spec": {
            "stream": { "warmThroughput": { "mode": "Fixed", "mibPerSecond": 20 } },
            "generator": { "ratePerTask": 1000 },
            "phases": [
                { "name": "baseline", "duration": "8s", "recordsPerSecond": 100 },
                { "name": "spike", "duration": "10s", "recordsPerSecond": 1500, "content": "BreakingNews" },
                { "name": "peak", "duration": "12s", "recordsPerSecond": 4000, "content": "Viral" },
                { "name": "decline", "duration": "10s", "recordsPerSecond": 100, "content": "Decline" },
            ],
        },
    })
}

/// The next operator counts its epochs from the objects then: a Lease that begins anew must not make it yield to the past.
async fn delete_lease(stack: &LocalStack) {
    let leases: Api<Lease> = Api::namespaced(stack.client(), "kinesis-demo-system");
    leases.delete(kinesis_demo_operator::kubernetes::lease::NAME, &DeleteParams::default()).await.unwrap();
}

/// What the plan asks for, added up by hand.
const SCHEDULED: u64 = 8 * 100 + 10 * 1_500 + 12 * 4_000 + 10 * 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_at_random_instants_change_nothing_in_the_end() {
    let Some(_place) = place_beside_others().await else { return };
    let seed: u64 = match std::env::var("KINESISDEMO_SEED") {
        Ok(text) => text.parse().expect("KINESISDEMO_SEED is a number"),
        Err(_) => rand::random(),
    };
    println!("seed {seed} (KINESISDEMO_SEED repeats it)");
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut instants: Vec<Duration> = (0..KILLS).map(|_| LIVE.mul_f64(dice.random_range(0.0..1.0))).collect();
    instants.sort();

    let stack = LocalStack::start().await;
    stack.cluster.apply("killed", &manifest()).await.unwrap();
    let began = tokio::time::Instant::now();
    let mut most = std::collections::BTreeMap::new();
    for (number, instant) in instants.iter().enumerate() {
        tokio::time::sleep_until(began + *instant).await;
        let demo = stack.cluster.fetch("killed").await.unwrap();
        println!(
            "kill {} at {instant:?} in stage {:?}",
            number + 1,
            demo.status.and_then(|status| status.stage)
        );
        note_kinds(&stack, &mut most).await;
        if number == KILLS / 2 {
            delete_lease(&stack).await;
        }
        stack.kill_operator().await;
    }
    let demo = stack.wait_until_over("killed").await;
    let status = demo.status.unwrap();
    assert_eq!(status.stage, Some(Stage::Succeeded), "{:#?}", status.run);
    let totals = status.traffic.unwrap().totals;
    assert_balanced(&totals);
    assert_eq!(totals.scheduled, SCHEDULED);
    assert!(totals.accepted * 100 >= SCHEDULED * 99, "{totals:?}");
    assert_eq!(demo.metadata.generation, Some(1));
    note_kinds(&stack, &mut most).await;
    assert!(most.values().all(|count| *count <= 1), "something existed twice: {most:?}");
    assert_eq!(stack.leftovers().await, [] as [&str; 0]);
    stack.stop().await;
}

/// Remembers the most things of each kind, tasks aside, that exist at once.
async fn note_kinds(stack: &LocalStack, most: &mut std::collections::BTreeMap<String, usize>) {
    let mut now = std::collections::BTreeMap::<String, usize>::new();
    for line in stack.leftovers().await {
        let kind = line.split(':').next().unwrap_or_default().to_owned();
        if !["tasks", "processes", "logStreams", "containers", "events"]
            .iter()
            .any(|part| kind.contains(part))
        {
            *now.entry(kind).or_default() += 1;
        }
    }
    for (kind, count) in now {
        let held = most.entry(kind).or_default();
        *held = count.max(*held);
    }
}
