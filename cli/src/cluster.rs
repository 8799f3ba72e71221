//! The KinesisDemos of a cluster. In: a connection. Out: objects, and the writes that a person can ask for. Talks to the API server;
//! every single call has a timeout.

use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::events::v1::Event;
use kinesis_demo_api::KinesisDemo;
use kinesis_demo_api::demo::REQUEST_ANNOTATION;
use kinesis_demo_api::kubeconfig::{self, ConnectionError};
use kinesis_demo_api::request::{Request, Verb};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::Kubeconfig;
use kube::core::DeserializeGuard;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::args::Connection;
use crate::error::CliError;
use crate::manifest::complete_items;

/// Who owns the fields that we apply.
pub const FIELD_MANAGER: &str = "kubectl-kinesisdemo";
/// kube has no read timeout of its own; a person at a prompt should not wait longer for an answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A cluster, and the namespace that a name belongs to.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
}

impl Cluster {
    /// The cluster that the arguments, the environment and the kubeconfig name, as kubectl would choose it.
    pub async fn connect(connection: &Connection) -> Result<Self, CliError> {
        let Connection { kubeconfig: path, context, namespace } = connection;
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| CliError::Kubeconfig {
            context: context.clone(),
            source,
        };
        let file = match path {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        }
        .map_err(|error| failed(error.into()))?;
        let environment = |name: &str| std::env::var(name).ok();
        let config =
            kubeconfig::config(&file, context.as_deref(), environment).map_err(|error| match error {
                ConnectionError::Kubeconfig(error) => failed(error.into()),
                ConnectionError::Proxy(error) => CliError::Proxy(error),
            })?;
        let namespace = namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| failed(error.into()))?;
        Ok(Self { client, namespace })
    }

    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }

    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The same cluster, another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self { client: self.client.clone(), namespace: namespace.to_owned() }
    }

    fn demos(&self) -> Api<KinesisDemo> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn named(&self, name: &str) -> String {
        format!("KinesisDemo {}/{name}", self.namespace)
    }

    pub async fn fetch(&self, name: &str) -> Result<KinesisDemo, CliError> {
        let attempt = || format!("read {}", self.named(name));
        call(attempt, self.demos().get(name)).await
    }

    pub async fn fetch_if_present(&self, name: &str) -> Result<Option<KinesisDemo>, CliError> {
        let attempt = || format!("read {}", self.named(name));
        call(attempt, self.demos().get_opt(name)).await
    }

    /// All of the namespace, or of all namespaces. Those that no longer parse are not lost: they come as their error.
    pub async fn fetch_all(
        &self,
        all_namespaces: bool,
    ) -> Result<Vec<DeserializeGuard<KinesisDemo>>, CliError> {
        let api: Api<DeserializeGuard<KinesisDemo>> = match all_namespaces {
            true => Api::all(self.client.clone()),
            false => Api::namespaced(self.client.clone(), &self.namespace),
        };
        let place =
            if all_namespaces { "all namespaces".into() } else { format!("namespace {}", self.namespace) };
        let attempt = || format!("list the KinesisDemos of {place}");
        call(attempt, api.list(&ListParams::default())).await.map(|list| list.items)
    }

    /// Server-side apply of what the manifest says: defaults stay the schema's, but for those of items in lists (see
    /// [`complete_items`]).
    pub async fn apply(&self, name: &str, manifest: &Value) -> Result<KinesisDemo, CliError> {
        self.write(name, manifest, false).await
    }

    /// The same, and fields that another tool owns are taken over.
    pub async fn apply_and_take_over(&self, name: &str, manifest: &Value) -> Result<KinesisDemo, CliError> {
        self.write(name, manifest, true).await
    }

    async fn write(&self, name: &str, manifest: &Value, force: bool) -> Result<KinesisDemo, CliError> {
        let attempt = || format!("apply {}", self.named(name));
        let mut params = PatchParams::apply(FIELD_MANAGER).validation_strict();
        params.force = force;
        let document = complete_items(manifest);
        if self.holds(name, &document).await? {
            return self.fetch(name).await;
        }
        call(attempt, self.demos().patch(name, &params, &Patch::Apply(&document))).await
    }

    /// Whether the object is there already as the manifest would make it. Then it is not written: a second owner of its fields would
    /// be in the way of whoever applied it, when they apply it again.
    async fn holds(&self, name: &str, document: &Value) -> Result<bool, CliError> {
        let attempt = || format!("apply {}", self.named(name));
        // Not by its type: a stored object that no longer parses is to be mended by this apply.
        let resource = ApiResource::erase::<KinesisDemo>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let Some(held) = call(attempt, api.get_opt(name)).await? else { return Ok(false) };
        let params = PatchParams::apply(FIELD_MANAGER).validation_strict().dry_run().force();
        let made = call(attempt, api.patch(name, &params, &Patch::Apply(document))).await?;
        let same = |of: fn(&DynamicObject) -> Value| of(&held) == of(&made);
        Ok(same(|object| object.data["spec"].clone())
            && same(|object| json!(object.metadata.labels))
            && same(|object| json!(object.metadata.annotations)))
    }

    /// Whether the API server would take the manifest; nothing is stored. Its refusal is in the
    /// error, in its own words.
    pub async fn try_apply(&self, name: &str, manifest: &Value) -> Result<(), CliError> {
        let attempt = || format!("apply {}", self.named(name));
        let params = PatchParams::apply(FIELD_MANAGER).validation_strict().dry_run();
        let document = complete_items(manifest);
        call(attempt, self.demos().patch(name, &params, &Patch::Apply(&document))).await.map(drop)
    }

    /// Puts a request for that run into the annotation. Returns the request's id, by which `status.lastRequest` answers.
    pub async fn put_request(&self, name: &str, verb: Verb, run: Option<u32>) -> Result<String, CliError> {
        let id = uuid::Uuid::new_v4().to_string();
        let request = json!(Request { verb, run, id: id.clone() });
        let patch = json!({"metadata": {"annotations": {REQUEST_ANNOTATION: request.to_string()}}});
        let attempt = || format!("ask {} for {}", self.named(name), request["verb"]);
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        call(attempt, self.demos().patch(name, &params, &Patch::Merge(patch))).await?;
        Ok(id)
    }

    /// Asks for the object's deletion. An object that is gone already is fine.
    pub async fn delete(&self, name: &str) -> Result<(), CliError> {
        let attempt = || format!("delete {}", self.named(name));
        let params = DeleteParams::default();
        let deleting = async {
            match self.demos().delete(name, &params).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                outcome => outcome.map(drop),
            }
        };
        call(attempt, deleting).await
    }

    /// The object now and after every change; None when it is gone. A broken connection is mended and is not an end.
    pub fn watch(
        &self,
        name: &str,
    ) -> impl Stream<Item = Result<Option<KinesisDemo>, CliError>> + Send + use<> {
        let attempt = format!("watch {}", self.named(name));
        watcher::watch_object(self.demos(), name).default_backoff().map(move |seen| {
            seen.map_err(|source| CliError::Watch { attempt: attempt.clone(), source: Box::new(source) })
        })
    }

    /// The Events of one object, oldest first.
    pub async fn fetch_events(&self, demo: &KinesisDemo) -> Result<Vec<Event>, CliError> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = ListParams::default()
            .fields(&format!("regarding.kind=KinesisDemo,regarding.name={}", demo.name_any()));
        let attempt = || format!("list the Events of {}", self.named(&demo.name_any()));
        let mut events = call(attempt, api.list(&params)).await?.items;
        // A namesake before this one had another uid.
        events.retain(|event| {
            event.regarding.as_ref().is_none_or(|regarding| regarding.uid == demo.metadata.uid)
        });
        events.sort_by_key(last_seen);
        Ok(events)
    }
}

/// When an event last happened.
#[must_use]
pub fn last_seen(event: &Event) -> Option<jiff::Timestamp> {
    let series = event.series.as_ref().map(|series| series.last_observed_time.0);
    series.or_else(|| event.event_time.as_ref().map(|time| time.0))
}

/// One call, bounded in time, with what was attempted in its error.
async fn call<T>(
    attempt: impl Fn() -> String,
    calling: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, CliError> {
    match tokio::time::timeout(CALL_TIMEOUT, calling).await {
        Ok(outcome) => outcome.map_err(|error| CliError::kubernetes(attempt(), error)),
        Err(_) => Err(CliError::Refused(format!(
            "could not {}: the API server did not answer within {} s",
            attempt(),
            CALL_TIMEOUT.as_secs()
        ))),
    }
}
