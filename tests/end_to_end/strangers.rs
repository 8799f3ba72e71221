//! A stored object that no longer parses (from a schema that was wider once) does not stop the operator.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kinesis_demo_api::{KinesisDemo, Stage};
use kube::CustomResourceExt;
use kube::api::{Api, DynamicObject, PostParams};
use kubectl_kinesisdemo::demo::parts::OPERATOR;
use serde_json::{Value, json};

use crate::laptop::{Laptop, turn};

/// Where the schema speaks of the kinds of posts.
const CONTENT: &str =
    "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/phases/items/properties/content";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_does_not_parse_leaves_the_others_alone() {
    let Some(_turn) = turn().await else { return };
    let laptop = Laptop::start().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(laptop.client());
    let name = KinesisDemo::crd_name();
    let narrow = definitions.get(name).await.unwrap();
    let mut wider = serde_json::to_value(&narrow).unwrap();
    wider.pointer_mut(CONTENT).and_then(Value::as_object_mut).unwrap().remove("enum").unwrap();
    let wider: CustomResourceDefinition = serde_json::from_value(wider).unwrap();
    definitions.replace(name, &PostParams::default(), &wider).await.unwrap();

    let kind = KinesisDemo::api_resource();
    let objects: Api<DynamicObject> = Api::namespaced_with(laptop.client(), "demos", &kind);
    let stranger: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "kinesisdemo.io/v1alpha1",
        "kind": "KinesisDemo",
        "metadata": { "name": "stranger", "namespace": "demos" },
        "spec": { "phases": [{ "name": "a", "duration": "5s", "recordsPerSecond": 1, "content": "Rumour" }] },
    }))
    .unwrap();
    // The API server takes a moment to serve the wider schema.
    let mut stored = objects.create(&PostParams::default(), &stranger).await;
    for _ in 0..100 {
        if stored.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        stored = objects.create(&PostParams::default(), &stranger).await;
    }
    stored.unwrap();
    let mut restored = definitions.get(name).await.unwrap();
    restored.spec = narrow.spec;
    definitions.replace(name, &PostParams::default(), &restored).await.unwrap();

    laptop.kill_operator().await;
    let manifest = json!({
        "apiVersion": "kinesisdemo.io/v1alpha1",
        "kind": "KinesisDemo",
        "metadata": { "name": "sound" },
        "spec": { "phases": [{ "name": "a", "duration": "2s", "recordsPerSecond": 100 }] },
    });
    laptop.cluster.apply("sound", &manifest).await.unwrap();
    let over = laptop.wait_until_over("sound").await;
    assert_eq!(over.status.and_then(|status| status.stage), Some(Stage::Succeeded));
    assert!(laptop.supervisor.pid(OPERATOR).is_some(), "{}", laptop.operator_log());
    laptop.cluster.delete("sound").await.unwrap();
    laptop.stop().await;
}
