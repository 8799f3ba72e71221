//! Kills the operator at random moments of a live run and restarts it each time; freezes the API
//! server until the operator has lost its Lease.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kinesis_demo_api::run_record::record_name;
use kinesis_demo_api::{KinesisDemo, KinesisDemoRun, Stage};
use kinesis_demo_local_cluster::programs::OPERATOR;
use kinesis_demo_testing::totals::assert_balanced;
use kube::Api;
use kube::api::DeleteParams;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::local_stack::{LocalStack, shared_permit};

const KILLS: usize = 10;

/// The approximate time from the apply until the end of the traffic.
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

/// Without the Lease, the next operator derives its epoch from the objects. A new Lease must not
/// make it start with an epoch that was already used.
async fn delete_lease(stack: &LocalStack) {
    let leases: Api<Lease> = Api::namespaced(stack.client(), "kinesis-demo-system");
    leases.delete(kinesis_demo_operator::kubernetes::lease::NAME, &DeleteParams::default()).await.unwrap();
}

/// The records of the plan.
const SCHEDULED: u64 = 8 * 100 + 10 * 1_500 + 12 * 4_000 + 10 * 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_at_random_instants_do_not_change_the_result() {
    let Some(_permit) = shared_permit().await else { return };
    let seed: u64 = match std::env::var("KINESISDEMO_SEED") {
        Ok(text) => text.parse().expect("KINESISDEMO_SEED must be a number"),
        Err(_) => rand::random(),
    };
    println!("seed {seed} (set KINESISDEMO_SEED to this value to repeat the run)");
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut instants: Vec<Duration> = (0..KILLS).map(|_| LIVE.mul_f64(dice.random_range(0.0..1.0))).collect();
    instants.sort();

    let stack = LocalStack::start().await;
    stack.demos.apply("killed", &manifest()).await.unwrap();
    let began = tokio::time::Instant::now();
    let mut most = std::collections::BTreeMap::new();
    for (number, instant) in instants.iter().enumerate() {
        tokio::time::sleep_until(began + *instant).await;
        let demo = stack.demos.fetch("killed").await.unwrap();
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
    assert_eq!(stack.leaked_resources().await, [] as [&str; 0]);

    stack.demos.delete("killed").await.unwrap();
    stack.wait_until_deleted("killed", Duration::from_secs(30)).await;
    let records: Api<KinesisDemoRun> = Api::namespaced(stack.client(), "demos");
    let name = record_name("killed", demo.metadata.uid.as_deref().unwrap(), 1);
    let record = records.get(&name).await.unwrap();
    let recorded = record.status.unwrap();
    assert!(recorded.finished_at.is_some(), "{recorded:#?}");
    let of_phases = recorded.phases.iter().map(|phase| phase.totals.accepted).sum::<u64>();
    let points = recorded.traffic.as_ref().unwrap().points();
    let of_points = points.map(|point| point.totals().accepted).sum::<u64>();
    assert_eq!((of_phases, of_points), (totals.accepted, totals.accepted), "{recorded:#?}");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_on_after_the_api_server_was_frozen() {
    let Some(_permit) = shared_permit().await else { return };
    let stack = LocalStack::start().await;
    stack.demos.apply("killed", &manifest()).await.unwrap();
    let is_running = |demo: &KinesisDemo| {
        demo.status.as_ref().and_then(|status| status.stage).is_some_and(|stage| stage == Stage::Running)
    };
    stack.wait("killed", Duration::from_secs(60), is_running).await;
    let operator = stack.supervisor.pid(OPERATOR);
    let api_server = Pid::from_raw(stack.supervisor.pid("kube-apiserver").unwrap());
    kill(api_server, Signal::SIGSTOP).unwrap();
    // A leader gives up 10 s after its last renewal, or when the request after that has timed out.
    tokio::time::sleep(Duration::from_secs(18)).await;
    kill(api_server, Signal::SIGCONT).unwrap();
    let demo = stack.wait_until_over("killed").await;
    let status = demo.status.unwrap();
    assert_eq!(status.stage, Some(Stage::Succeeded), "{:#?}\n{}", status.run, stack.operator_log());
    let totals = status.traffic.unwrap().totals;
    assert_balanced(&totals);
    assert_eq!((totals.scheduled, totals.accepted), (SCHEDULED, SCHEDULED), "{totals:?}");
    // In the same process, which therefore can still be stopped with the demo.
    assert_eq!(stack.supervisor.pid(OPERATOR), operator);
    let log = std::fs::read_to_string(stack.supervisor.log_path(OPERATOR)).unwrap();
    assert_eq!(log.matches("leadership was lost: beginning again").count(), 1, "{log}");
    assert_eq!(stack.leaked_resources().await, [] as [&str; 0]);
    stack.stop().await;
}

/// Records the largest number of resources of each kind, except tasks, that exist at once.
async fn note_kinds(stack: &LocalStack, most: &mut std::collections::BTreeMap<String, usize>) {
    let mut now = std::collections::BTreeMap::<String, usize>::new();
    for line in stack.leaked_resources().await {
        let kind = line.split(':').next().unwrap_or_default().to_owned();
        if !["tasks", "processes", "logStreams", "containers", "events"]
            .iter()
            .any(|part| kind.contains(part))
        {
            *now.entry(kind).or_default() += 1;
        }
    }
    for (kind, count) in now {
        let largest = most.entry(kind).or_default();
        *largest = count.max(*largest);
    }
}
