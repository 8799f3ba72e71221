//! A stored object that no longer parses (from a time with a wider schema) does not stop the
//! operator.

use kinesis_demo_api::Stage;
use kinesis_demo_local_cluster::programs::OPERATOR;
use serde_json::json;

use crate::local_stack::{LocalStack, shared_permit};
use crate::objects::apply_under_a_wider_schema;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unparseable_object_does_not_affect_others() {
    let Some(_permit) = shared_permit().await else { return };
    let stack = LocalStack::start().await;
    let unparseable = json!({
        "apiVersion": "kinesisdemo.io/v1alpha1",
        "kind": "KinesisDemo",
        "metadata": { "name": "unparseable" },
        "spec": { "phases": [{ "name": "a", "duration": "5s", "recordsPerSecond": 1, "content": "Rumour" }] },
    });
    apply_under_a_wider_schema(&stack.client(), "unparseable", &unparseable).await;

    stack.kill_operator().await;
    let manifest = json!({
        "apiVersion": "kinesisdemo.io/v1alpha1",
        "kind": "KinesisDemo",
        "metadata": { "name": "sound" },
        "spec": { "phases": [{ "name": "a", "duration": "2s", "recordsPerSecond": 100 }] },
    });
    stack.demos.apply("sound", &manifest).await.unwrap();
    let over = stack.wait_until_over("sound").await;
    assert_eq!(over.status.and_then(|status| status.stage), Some(Stage::Succeeded));
    assert!(stack.supervisor.pid(OPERATOR).is_some(), "{}", stack.operator_log());
    stack.demos.delete("sound").await.unwrap();
    stack.stop().await;
}
