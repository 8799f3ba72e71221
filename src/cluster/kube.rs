//! Kubernetes through kube. In: what a reconcile writes. Out: requests to the API server, each with a timeout.

use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::demo::FINALIZER;
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;

use super::{Cluster, ClusterError};
use crate::run::notices::{Notice, Severity};
use crate::tenure::Tenure;

/// Who writes, in managedFields and in Events.
pub const MANAGER: &str = "kinesis-demo-operator";

/// The API server answers within milliseconds or not at all.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest note that an Event may carry (Kubernetes API, events.k8s.io/v1, `note`: less than 1 kB).
const LONGEST_NOTE: usize = 1000;

/// The cluster that a client speaks to.
pub struct KubeCluster {
    client: Client,
    recorder: Recorder,
    tenure: Tenure,
}

impl KubeCluster {
    /// Writes through `client` while `tenure` lasts; Events name `instance` as their reporter.
    pub fn new(client: Client, instance: String, tenure: Tenure) -> Self {
        let reporter = Reporter { controller: MANAGER.into(), instance: Some(instance) };
        Self { recorder: Recorder::new(client.clone(), reporter), client, tenure }
    }

    fn api(&self, object: &KinesisDemo) -> Api<KinesisDemo> {
        Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default())
    }
}

#[async_trait]
impl Cluster for KubeCluster {
    async fn replace_status(
        &self,
        object: &KinesisDemo,
        status: &KinesisDemoStatus,
    ) -> Result<(), ClusterError> {
        // A replacement, not a patch: we are the only writer, fields that end must vanish, and the resource version makes
        // the write a claim that only one of two operators can win.
        let mut replacement = object.clone();
        replacement.metadata.managed_fields = None;
        replacement.status = Some(status.clone());
        let parameters = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        let api = self.api(object);
        let name = object.name_any();
        self.write("status", object, api.replace_status(&name, &parameters, &replacement)).await
    }

    async fn put_finalizer(&self, object: &KinesisDemo, present: bool) -> Result<(), ClusterError> {
        let mut finalizers = object.finalizers().to_vec();
        finalizers.retain(|held| held != FINALIZER);
        if present {
            finalizers.push(FINALIZER.into());
        }
        let patch =
            json!({ "metadata": { "finalizers": finalizers, "resourceVersion": object.resource_version() } });
        let parameters = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        let api = self.api(object);
        let name = object.name_any();
        self.write("finalizers", object, api.patch_metadata(&name, &parameters, &Patch::Merge(&patch))).await
    }

    async fn publish(&self, object: &KinesisDemo, notice: &Notice) {
        let event = Event {
            type_: match notice.severity {
                Severity::Normal => EventType::Normal,
                Severity::Warning => EventType::Warning,
            },
            reason: notice.reason.clone(),
            action: notice.action.clone(),
            note: Some(notice.note.chars().take(LONGEST_NOTE).collect()),
            secondary: None,
        };
        let reference = object.object_ref(&());
        let publishing = tokio::time::timeout(TIMEOUT, self.recorder.publish(&event, &reference));
        match self.tenure.guard(publishing).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => {
                tracing::warn!(reason = notice.reason, error = %error, "an event was not published")
            }
            Ok(Err(_)) => tracing::warn!(reason = notice.reason, "an event was not published in time"),
            Err(over) => tracing::warn!(reason = notice.reason, error = %over, "an event was not published"),
        }
    }
}

impl KubeCluster {
    async fn write<T>(
        &self,
        what: &'static str,
        object: &KinesisDemo,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<(), ClusterError> {
        let object = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
        let other = |source| ClusterError::Other { what, object: object.clone(), source };
        let answer = self.tenure.guard(tokio::time::timeout(TIMEOUT, request)).await;
        match answer.map_err(|over| other(over.into()))?.map_err(|elapsed| other(elapsed.into()))? {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(answer)) if answer.code == 409 => {
                Err(ClusterError::Conflict { what, object })
            }
            Err(kube::Error::Api(answer)) if answer.code == 404 => Err(ClusterError::Gone { what, object }),
            Err(error) => Err(other(error.into())),
        }
    }
}
