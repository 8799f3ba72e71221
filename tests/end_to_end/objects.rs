//! Someone changes, copies or replaces the objects themselves. The resources of their runs are
//! neither mistaken for those of another object nor forgotten.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::demo::FINALIZER;
use kinesis_demo_api::{KinesisDemo, Stage};
use kinesis_demo_testing::wait::wait_for;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Client, CustomResourceExt, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::faults::{ENDS_WITHIN, FaultyCluster, Run, condition};

const PHASES: [(u32, u32); 2] = [(15, 100), (15, 150)];
const SCHEDULED: u64 = 15 * 100 + 15 * 150;

const SOON: Duration = Duration::from_secs(20);

/// The polling interval of the API server.
const POLL: Duration = Duration::from_millis(200);

/// The JSON pointer to the schema of `content`, the kind of posts.
const CONTENT: &str =
    "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/phases/items/properties/content";

fn objects(on: &FaultyCluster, namespace: &str) -> Api<KinesisDemo> {
    Api::namespaced(on.stack.client(), namespace)
}

async fn wait_until_deleted<K>(api: &Api<K>, name: &str, limit: Duration)
where
    K: Clone + Debug + DeserializeOwned,
{
    let deleted =
        wait_for(limit, || async { api.get_opt(name).await.unwrap().is_none().then_some(()) }).await;
    assert!(deleted.is_some(), "{name} still exists after {limit:?}: {:?}", api.get_opt(name).await);
}

/// Applies a manifest that the current schema rejects. A wider schema, as of an older version, is
/// served while it is stored, and then the current one is restored.
pub async fn apply_under_a_wider_schema(client: &Client, name: &str, manifest: &Value) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition = KinesisDemo::crd_name();
    let narrow = definitions.get(definition).await.unwrap();
    let mut wider = serde_json::to_value(&narrow).unwrap();
    wider.pointer_mut(CONTENT).and_then(Value::as_object_mut).unwrap().remove("enum").unwrap();
    let wider: CustomResourceDefinition = serde_json::from_value(wider).unwrap();
    definitions.replace(definition, &PostParams::default(), &wider).await.unwrap();
    // The API server takes a moment to serve the wider schema.
    let (api, params) = (as_stored(client), PatchParams::apply("yesterday").force());
    let mut stored = api.patch(name, &params, &Patch::Apply(manifest)).await;
    for _ in 0..100 {
        if stored.is_ok() {
            break;
        }
        tokio::time::sleep(POLL).await;
        stored = api.patch(name, &params, &Patch::Apply(manifest)).await;
    }
    let mut restored = definitions.get(definition).await.unwrap();
    restored.spec = narrow.spec;
    definitions.replace(definition, &PostParams::default(), &restored).await.unwrap();
    stored.unwrap();
}

/// The stored objects as untyped data, whether or not they parse.
fn as_stored(client: &Client) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), "demos", &KinesisDemo::api_resource())
}

/// The run continues with the spec that was pinned when it began, and its resources are removed.
pub async fn a_spec_stops_parsing_during_a_run(on: Arc<FaultyCluster>) {
    let run = Run::apply(&on, "unread", &PHASES).await;
    run.wait_for_traffic().await;
    let manifest = json!({
        "apiVersion": "kinesisdemo.io/v1alpha1",
        "kind": "KinesisDemo",
        "metadata": { "name": "unread" },
        "spec": { "phases": [{ "name": "first", "duration": "15s", "recordsPerSecond": 100, "content": "Rumour" }] },
    });
    apply_under_a_wider_schema(&on.stack.client(), "unread", &manifest).await;
    let api = as_stored(&on.stack.client());
    let over = wait_for(ENDS_WITHIN, || async {
        // The object does not parse, so it is read as untyped data.
        let stored = api.get("unread").await.unwrap().data;
        let stage = stored["status"]["stage"].as_str();
        matches!(stage, Some("Succeeded" | "Failed" | "Aborted")).then_some(stored)
    });
    let over = over.await.unwrap_or_else(|| panic!("the run did not end\n{}", on.stack.operator_log()));
    assert_eq!(over["status"]["stage"], "Succeeded", "{over:#}");
    assert_eq!(over["status"]["traffic"]["accepted"], SCHEDULED, "{over:#}");
    run.assert_nothing_left_in_sandbox().await;
    assert!(
        !on.stack.operator_log().contains(r#""kind":"KinesisDemo""#),
        "the log contains the whole object"
    );
    api.delete("unread", &Default::default()).await.unwrap();
    wait_until_deleted(&api, "unread", SOON).await;
}

/// `kubectl replace` with a manifest that has no finalizer.
pub async fn an_object_is_replaced(on: Arc<FaultyCluster>) {
    let run = Run::apply(&on, "replaced", &PHASES).await;
    run.wait_for_traffic().await;
    let patch = json!({ "metadata": { "finalizers": null } });
    let api = objects(&on, "demos");
    api.patch("replaced", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    let has_finalizer = |demo: &KinesisDemo| demo.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    on.stack.wait("replaced", SOON, has_finalizer).await;
    on.stack.demos.delete("replaced").await.unwrap();
    wait_until_deleted(&api, "replaced", ENDS_WITHIN).await;
    run.assert_nothing_left_in_sandbox().await;
}

/// A backup is restored while the original object still exists. The copy reports this and touches
/// nothing.
pub async fn an_object_is_restored_beside_its_original(on: Arc<FaultyCluster>) {
    let run = Run::apply(&on, "backup", &PHASES).await;
    run.wait_for_traffic().await;
    let original = objects(&on, "demos").get("backup").await.unwrap();
    let copies = objects(&on, "default");
    let mut copy = KinesisDemo::new("backup", original.spec.clone());
    copy.metadata.finalizers = original.metadata.finalizers.clone();
    copies.create(&PostParams::default(), &copy).await.unwrap();
    let patch = json!({ "status": original.status });
    copies.patch_status("backup", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    let reported = wait_for(SOON, || async {
        let status = copies.get("backup").await.unwrap().status.unwrap_or_default();
        let stalled = status.conditions.iter().find(|condition| condition.type_ == ConditionType::Stalled);
        stalled.is_some_and(|condition| condition.reason == Reason::StatusOfAnotherObject).then_some(())
    });
    reported.await.expect("the copy did not report that its status belongs to another object");
    copies.delete("backup", &Default::default()).await.unwrap();
    wait_until_deleted(&copies, "backup", SOON).await;
    run.wait_until_over(ENDS_WITHIN).await.assert_all_arrived(SCHEDULED);
    run.assert_nothing_left().await;
}

/// The second object waits until the first one no longer uses the name, and touches no resource of
/// it.
pub async fn two_objects_name_one_stream(on: Arc<FaultyCluster>) {
    let stream = json!({ "name": "kd-contested-stream" });
    let first = Run::apply_with(&on, "contested-a", &PHASES, stream.clone()).await;
    let arn = first.wait_for_traffic().await.stream.unwrap().arn;
    let second = Run::apply_with(&on, "contested-b", &PHASES, stream).await;
    let is_refused =
        |status: &_| condition(status, ConditionType::Stalled).reason == Reason::OwnershipConflict;
    let refused = second.wait(SOON, is_refused).await;
    let message = condition(&refused, ConditionType::Stalled).message;
    assert!(message.contains("kd-contested-stream"), "{message}");
    first.wait_until_over(ENDS_WITHIN).await.assert_all_arrived(SCHEDULED);
    first.assert_nothing_left().await;
    let ended = second.wait_until_over(ENDS_WITHIN).await;
    assert_eq!(ended.status.stage, Some(Stage::Succeeded), "{:#?}", ended.status.run);
    assert_eq!(
        ended.status.stream.as_ref().map(|stream| &stream.arn),
        Some(&arn),
        "the second run did not get the stream name"
    );
    assert_eq!(condition(&ended.status, ConditionType::TrafficDelivered).status, ConditionStatus::True);
    second.assert_nothing_left().await;
}
