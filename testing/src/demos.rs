//! The KinesisDemos of one namespace in a real cluster, for tests that wait for a run. In: a
//! client. Out: objects. Calls the API server.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use kinesis_demo_api::KinesisDemo;
use kinesis_demo_api::demo::REQUEST_ANNOTATION;
use kinesis_demo_api::request::{RunRequest, Verb};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};

const FIELD_MANAGER: &str = "kinesis-demo-tests";

/// The objects of one namespace.
#[derive(Clone)]
pub struct Demos(Api<KinesisDemo>);

impl Demos {
    #[must_use]
    pub fn new(client: kube::Client, namespace: &str) -> Self {
        Self(Api::namespaced(client, namespace))
    }

    /// Server-side apply. Fields that another manager owns are taken over.
    pub async fn apply(&self, name: &str, manifest: &Value) -> Result<KinesisDemo, kube::Error> {
        let params = PatchParams::apply(FIELD_MANAGER).validation_strict().force();
        self.0.patch(name, &params, &Patch::Apply(manifest)).await
    }

    pub async fn fetch(&self, name: &str) -> Result<KinesisDemo, kube::Error> {
        self.0.get(name).await
    }

    /// Starts the deletion.
    pub async fn delete(&self, name: &str) -> Result<(), kube::Error> {
        self.0.delete(name, &DeleteParams::default()).await.map(drop)
    }

    /// Writes a request to the object's annotation.
    pub async fn put_request(&self, name: &str, verb: Verb) -> Result<(), kube::Error> {
        let id = jiff::Timestamp::now().to_string();
        let request = json!(RunRequest { verb, run: None, id }).to_string();
        let patch = json!({"metadata": {"annotations": {REQUEST_ANNOTATION: request}}});
        self.0.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
    }

    /// Waits until the predicate holds for the object. None if it is deleted. A broken watch is
    /// retried, so the caller sets a time limit.
    pub async fn wait_until(
        &self,
        name: &str,
        mut predicate: impl FnMut(&KinesisDemo) -> bool,
    ) -> Option<KinesisDemo> {
        let mut changes = pin!(watcher::watch_object(self.0.clone(), name).default_backoff());
        while let Some(change) = changes.next().await {
            match change {
                Ok(Some(demo)) if predicate(&demo) => return Some(demo),
                Ok(None) => return None,
                Ok(Some(_)) | Err(_) => {}
            }
        }
        None
    }

    /// The same with a time limit. The error says what was there at the end.
    pub async fn wait_within(
        &self,
        name: &str,
        limit: Duration,
        predicate: impl FnMut(&KinesisDemo) -> bool,
    ) -> Result<KinesisDemo, String> {
        match tokio::time::timeout(limit, self.wait_until(name, predicate)).await {
            Ok(demo) => demo.ok_or_else(|| format!("{name} was deleted")),
            Err(_) => {
                let last = self.fetch(name).await;
                Err(format!("{name} did not reach the wanted state within {limit:?}: {last:#?}"))
            }
        }
    }

    /// Waits until the object is deleted.
    pub async fn wait_until_deleted(&self, name: &str) {
        self.wait_until(name, |_| false).await;
    }
}
