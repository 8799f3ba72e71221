//! Writes to Kubernetes through kube. In: what a reconcile writes. Out: requests to the API server,
//! each with a timeout.

use async_trait::async_trait;
use k8s_openapi::api::coordination::v1::Lease;
use kinesis_demo_api::demo::FINALIZER;
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus};
use kube::api::{Patch, PatchParams, PostParams, Request};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::IgnoredAny;
use serde_json::json;

use super::{CALL_TIMEOUT, Cluster, ClusterError, within};
use crate::kubernetes::events::{RunEvent, Severity};
use crate::kubernetes::lease;
use crate::write_fence::WriteFence;

/// The field manager in managedFields, and the reporting controller of Events.
pub const MANAGER: &str = "kinesis-demo-operator";

/// The maximum length of an Event's note, and of its reason and action, in bytes (Kubernetes API,
/// events.k8s.io/v1, and its validation).
const MAX_NOTE_BYTES: usize = 1023;
const MAX_WORD_BYTES: usize = 128;

/// Cuts `text` to at most `longest` bytes, at the end of a character.
fn cut_bytes(text: &str, longest: usize) -> String {
    let mut end = longest.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// The cluster of a client.
pub struct KubeCluster {
    pub(super) client: Client,
    recorder: Recorder,
    instance: String,
    lease_namespace: String,
    write_fence: WriteFence,
}

impl KubeCluster {
    /// Writes through `client` until `write_fence` expires. `instance` is the holder of the Lease
    /// in `lease_namespace`, and the reporting instance of Events.
    pub fn new(client: Client, instance: String, lease_namespace: String, write_fence: WriteFence) -> Self {
        let reporter = Reporter { controller: MANAGER.into(), instance: Some(instance.clone()) };
        let recorder = Recorder::new(client.clone(), reporter);
        Self { client, recorder, instance, lease_namespace, write_fence }
    }
}

#[async_trait]
impl Cluster for KubeCluster {
    async fn replace_status(
        &self,
        object: &KinesisDemo,
        status: &KinesisDemoStatus,
    ) -> Result<(), ClusterError> {
        // A replacement, not a patch: this operator is the only writer, and removed fields must
        // vanish. With the resource version, only one of two operators can write.
        let mut replacement = object.clone();
        replacement.metadata.managed_fields = None;
        replacement.status = Some(status.clone());
        let parameters = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let url = KinesisDemo::url_path(&(), Some(&namespace));
        let send = async {
            let body = serde_json::to_vec(&replacement).map_err(kube::Error::SerdeError)?;
            let request = Request::new(url).replace_subresource("status", &name, &parameters, body);
            // The response is not parsed, because its spec may not parse (see
            // `controller::salvage`).
            self.client.request::<IgnoredAny>(request.map_err(kube::Error::BuildRequest)?).await
        };
        self.write("status", named(object), send).await.map(drop)
    }

    async fn put_finalizer(&self, object: &KinesisDemo, present: bool) -> Result<(), ClusterError> {
        let mut finalizers = object.finalizers().to_vec();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        if present {
            finalizers.push(FINALIZER.into());
        }
        let patch =
            json!({ "metadata": { "finalizers": finalizers, "resourceVersion": object.resource_version() } });
        let parameters = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        let api: Api<KinesisDemo> =
            Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        let name = object.name_any();
        let patch = Patch::Merge(&patch);
        let request = api.patch_metadata(&name, &parameters, &patch);
        self.write("finalizers", named(object), request).await.map(drop)
    }

    async fn still_leads(&self, epoch: u64) -> Result<bool, ClusterError> {
        let (what, object) = ("lease", lease::NAME.to_owned());
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.lease_namespace);
        let found = within(CALL_TIMEOUT, leases.get_opt(lease::NAME)).await;
        let found = found.map_err(|error| ClusterError::Other { what, object, source: error.into() })?;
        let spec = found.and_then(|lease| lease.spec);
        Ok(spec.is_some_and(|spec| {
            spec.holder_identity.as_deref() == Some(&self.instance)
                && spec.lease_transitions.and_then(|transitions| u64::try_from(transitions).ok())
                    == Some(epoch)
        }))
    }

    async fn publish(&self, object: &KinesisDemo, run_event: &RunEvent) {
        let event = Event {
            type_: match run_event.severity {
                Severity::Normal => EventType::Normal,
                Severity::Warning => EventType::Warning,
            },
            reason: cut_bytes(&run_event.reason, MAX_WORD_BYTES),
            action: cut_bytes(&run_event.action, MAX_WORD_BYTES),
            note: Some(cut_bytes(&run_event.note, MAX_NOTE_BYTES)),
            secondary: None,
        };
        let reference = object.object_ref(&());
        let publishing = within(CALL_TIMEOUT, self.recorder.publish(&event, &reference));
        match self.write_fence.guard(publishing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(reason = run_event.reason, error = %error, "could not publish an Event")
            }
            Err(expired) => {
                tracing::warn!(reason = run_event.reason, error = %expired, "could not publish an Event")
            }
        }
    }
}

impl KubeCluster {
    /// Sends a write within the time limit, while this operator leads.
    pub(super) async fn write<T>(
        &self,
        what: &'static str,
        object: String,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, ClusterError> {
        match self.write_fence.guard(within(CALL_TIMEOUT, request)).await {
            Ok(response) => response.map_err(|error| failure(what, object, error)),
            Err(expired) => Err(ClusterError::Other { what, object, source: expired.into() }),
        }
    }
}

/// The error of a request about an object.
pub(super) fn failure(what: &'static str, object: String, error: kube::Error) -> ClusterError {
    match error {
        kube::Error::Api(status) if status.code == 409 => ClusterError::Conflict { what, object },
        kube::Error::Api(status) if status.code == 404 => ClusterError::NotFound { what, object },
        error => ClusterError::Other { what, object, source: error.into() },
    }
}

/// An object's namespace and name, for people.
fn named(object: &KinesisDemo) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_to_bytes_at_a_character_boundary() {
        assert_eq!(cut_bytes("short", MAX_NOTE_BYTES), "short");
        let cut = cut_bytes(&"ü".repeat(600), MAX_NOTE_BYTES);
        assert_eq!((cut.len(), cut.chars().count()), (1022, 511));
        assert_eq!(cut_bytes("日本", 4), "日");
    }
}
