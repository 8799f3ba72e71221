//! The KinesisDemos of a cluster. In: a connection. Out: objects, and the writes that a user can
//! request. Talks to the API server; every call has a timeout.

use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::events::v1::Event;
use kinesis_demo_api::demo::REQUEST_ANNOTATION;
use kinesis_demo_api::kubeconfig::{self, ConnectionError};
use kinesis_demo_api::request::{RunRequest, Verb};
use kinesis_demo_api::run_record::DEMO_LABEL;
use kinesis_demo_api::{KinesisDemo, KinesisDemoRun};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::Kubeconfig;
use kube::core::DeserializeGuard;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::args::Connection;
use crate::error::CliError;
use crate::manifest::complete_items;

/// The field manager of the fields that we apply.
pub const FIELD_MANAGER: &str = "kubectl-kinesisdemo";
/// kube has no read timeout of its own. A user at a prompt should not wait longer.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A cluster, and the namespace of the objects that are given by name.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
}

impl Cluster {
    /// Connects to the cluster that the arguments, the environment and the kubeconfig select, as
    /// kubectl does.
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

    /// The same cluster with another namespace.
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

    /// All objects of the namespace, or of all namespaces. Objects that cannot be parsed are
    /// returned as their errors.
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

    /// Server-side apply of the manifest's own fields. Defaults are left to the schema, except
    /// those of list items (see [`complete_items`]).
    pub async fn apply(&self, name: &str, manifest: &Value) -> Result<KinesisDemo, CliError> {
        self.write(name, manifest, false).await
    }

    /// Like [`Self::apply`], and also takes over fields that another tool owns.
    pub async fn apply_and_take_over(&self, name: &str, manifest: &Value) -> Result<KinesisDemo, CliError> {
        self.write(name, manifest, true).await
    }

    async fn write(&self, name: &str, manifest: &Value, force: bool) -> Result<KinesisDemo, CliError> {
        let attempt = || format!("apply {}", self.named(name));
        let mut params = PatchParams::apply(FIELD_MANAGER).validation_strict();
        params.force = force;
        let document = complete_items(manifest);
        if self.is_up_to_date(name, &document).await? {
            return self.fetch(name).await;
        }
        call(attempt, self.demos().patch(name, &params, &Patch::Apply(&document))).await
    }

    /// Whether the stored object already equals the result of applying the manifest. Then it is not
    /// written: a second owner of its fields would cause a conflict for the tool that applied it
    /// first, on its next apply.
    async fn is_up_to_date(&self, name: &str, document: &Value) -> Result<bool, CliError> {
        let attempt = || format!("apply {}", self.named(name));
        // Read it untyped: this apply may repair a stored object that cannot be parsed.
        let resource = ApiResource::erase::<KinesisDemo>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let Some(stored) = call(attempt, api.get_opt(name)).await? else { return Ok(false) };
        let params = PatchParams::apply(FIELD_MANAGER).validation_strict().dry_run().force();
        let applied = call(attempt, api.patch(name, &params, &Patch::Apply(document))).await?;
        let same = |of: fn(&DynamicObject) -> Value| of(&stored) == of(&applied);
        Ok(same(|object| object.data["spec"].clone())
            && same(|object| json!(object.metadata.labels))
            && same(|object| json!(object.metadata.annotations)))
    }

    /// Checks with a dry run whether the API server would accept the manifest; nothing is stored.
    /// The error contains the API server's message.
    pub async fn try_apply(&self, name: &str, manifest: &Value) -> Result<(), CliError> {
        let attempt = || format!("apply {}", self.named(name));
        let params = PatchParams::apply(FIELD_MANAGER).validation_strict().dry_run();
        let document = complete_items(manifest);
        call(attempt, self.demos().patch(name, &params, &Patch::Apply(&document))).await.map(drop)
    }

    /// Writes a request for that run to the annotation. Returns the request's id, which
    /// `status.lastRequest` repeats.
    pub async fn put_request(&self, name: &str, verb: Verb, run: Option<u32>) -> Result<String, CliError> {
        let id = uuid::Uuid::new_v4().to_string();
        let request = json!(RunRequest { verb, run, id: id.clone() });
        let patch = json!({"metadata": {"annotations": {REQUEST_ANNOTATION: request.to_string()}}});
        let attempt = || format!("put the request {} on {}", request["verb"], self.named(name));
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        call(attempt, self.demos().patch(name, &params, &Patch::Merge(patch))).await?;
        Ok(id)
    }

    /// Deletes the object. An object that does not exist is not an error.
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

    /// The object now and after every change; None when it is deleted. A broken connection is
    /// retried and does not end the stream.
    pub fn watch(
        &self,
        name: &str,
    ) -> impl Stream<Item = Result<Option<KinesisDemo>, CliError>> + Send + use<> {
        let attempt = format!("watch {}", self.named(name));
        watcher::watch_object(self.demos(), name).default_backoff().map(move |object| {
            object.map_err(|source| CliError::Watch { attempt: attempt.clone(), source: Box::new(source) })
        })
    }

    /// The records of the runs of that KinesisDemo, or of all of the namespace, in any order. Those
    /// that cannot be parsed are returned as their errors.
    pub async fn fetch_runs(
        &self,
        demo: Option<&str>,
    ) -> Result<Vec<DeserializeGuard<KinesisDemoRun>>, CliError> {
        let api: Api<DeserializeGuard<KinesisDemoRun>> =
            Api::namespaced(self.client.clone(), &self.namespace);
        let params = match demo {
            Some(demo) => ListParams::default().labels(&format!("{DEMO_LABEL}={demo}")),
            None => ListParams::default(),
        };
        let of = demo.map_or_else(|| "all KinesisDemos".to_owned(), |demo| self.named(demo));
        let attempt = || format!("list the KinesisDemoRuns of {of} in namespace {}", self.namespace);
        let listed = call(attempt, api.list(&params)).await;
        listed.map(|list| list.items).map_err(|error| match error {
            CliError::Kubernetes { attempt, error } => CliError::Records { attempt, error },
            other => other,
        })
    }

    /// The Events of one object, oldest first.
    pub async fn fetch_events(&self, demo: &KinesisDemo) -> Result<Vec<Event>, CliError> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = ListParams::default()
            .fields(&format!("regarding.kind=KinesisDemo,regarding.name={}", demo.name_any()));
        let attempt = || format!("list the Events of {}", self.named(&demo.name_any()));
        let mut events = call(attempt, api.list(&params)).await?.items;
        // An earlier object with the same name had another uid.
        events.retain(|event| {
            event.regarding.as_ref().is_none_or(|regarding| regarding.uid == demo.metadata.uid)
        });
        events.sort_by_key(last_seen);
        Ok(events)
    }
}

/// When an event last occurred.
#[must_use]
pub fn last_seen(event: &Event) -> Option<jiff::Timestamp> {
    let series = event.series.as_ref().map(|series| series.last_observed_time.0);
    series.or_else(|| event.event_time.as_ref().map(|time| time.0))
}

/// One call with a timeout. Its error says what was attempted.
async fn call<T>(
    attempt: impl Fn() -> String,
    calling: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, CliError> {
    match tokio::time::timeout(CALL_TIMEOUT, calling).await {
        Ok(outcome) => outcome.map_err(|error| CliError::kubernetes(attempt(), error)),
        Err(_) => Err(CliError::Refused(format!(
            "could not {}: the API server did not respond within {} s",
            attempt(),
            CALL_TIMEOUT.as_secs()
        ))),
    }
}
