//! The reads of control parameters that all tasks of a Region share. AWS allows 40 a second for the
//! whole account.

use std::time::Duration;

use aws_sdk_ssm::config::retry::RetryConfig;
use aws_sdk_ssm::types::ParameterType;
use kinesis_demo_api::{KinesisDemo, Stage};
use kinesis_demo_local_cluster::sandbox::address::SandboxAddress;
use kinesis_demo_testing::totals::assert_balanced;
use serde_json::json;
use tokio::time::MissedTickBehavior;

use crate::by_hand::sdk_config;
use crate::local_stack::{LocalStack, exclusive_permit};

const TASKS: u32 = 60;

/// Other software in the account reads its own parameter ten times a second, without retries.
/// Returns how many reads were made and how many of them failed.
async fn read_for(address: &SandboxAddress, length: Duration) -> (u32, u32) {
    let config = aws_sdk_ssm::config::Builder::from(&sdk_config(address).await)
        .retry_config(RetryConfig::disabled())
        .build();
    let ssm = aws_sdk_ssm::Client::from_conf(config);
    let put = ssm.put_parameter().name("/others/setting").value("on").r#type(ParameterType::String);
    put.send().await.unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (end, mut reads, mut failed) = (tokio::time::Instant::now() + length, 0, 0);
    while tokio::time::Instant::now() < end {
        ticks.tick().await;
        reads += 1;
        failed += u32::from(ssm.get_parameter().name("/others/setting").send().await.is_err());
    }
    ssm.delete_parameter().name("/others/setting").send().await.unwrap();
    (reads, failed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_tasks_leave_reads_to_others_and_control_never_lapses() {
    let Some(_permit) = exclusive_permit().await else { return };
    let stack = LocalStack::start().await;
    let manifest = json!({
        "apiVersion": "kinesisdemo.io/v1alpha1",
        "kind": "KinesisDemo",
        "metadata": { "name": "many" },
        "spec": {
            "phases": [{ "name": "steady", "duration": "40s", "recordsPerSecond": 60 }],
            "generator": { "ratePerTask": 1, "maxTasks": TASKS },
        },
    });
    stack.demos.apply("many", &manifest).await.unwrap();
    let all_run = |demo: &KinesisDemo| {
        let status = demo.status.as_ref();
        status.is_some_and(|status| status.stage == Some(Stage::Running) && status.phase.is_some())
    };
    let status = stack.wait("many", Duration::from_secs(120), all_run).await.status.unwrap();
    let load = status.run.unwrap().load.unwrap();
    assert_eq!(load.tasks, TASKS);
    assert!(load.read_every_seconds >= 3, "{load:?}");
    let (reads, failed) = read_for(stack.sandbox.address(), Duration::from_secs(30)).await;
    assert!(reads > 200, "{reads} reads in 30 s");
    assert_eq!(failed, 0, "of {reads} reads");

    let status = stack.wait_until_over("many").await.status.unwrap();
    assert_eq!(status.stage, Some(Stage::Succeeded), "{:#?}", status.run);
    let totals = status.traffic.unwrap().totals;
    assert_balanced(&totals);
    assert_eq!((totals.scheduled, totals.unoffered), (2_400, 0), "{totals:?}");
    assert_eq!(status.control.unwrap().interruptions, []);
    assert_eq!(stack.leaked_resources().await, [] as [&str; 0]);
    stack.stop().await;
}
