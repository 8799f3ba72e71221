//! The API server's KinesisDemoRuns. In: records. Out: requests, each with a timeout; writes only
//! while this operator leads.

use async_trait::async_trait;
use kinesis_demo_api::run_record::DEMO_LABEL;
use kinesis_demo_api::{KinesisDemoRun, MicroTime};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::{Api, ResourceExt};

use super::writer::{KubeCluster, MANAGER, failure};
use super::{CALL_TIMEOUT, ClusterError, within};

/// The page size of a list.
const PAGE: u32 = 500;

/// A record as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRecord {
    pub namespace: String,
    pub name: String,
    /// When it was created: just after its run began.
    pub created_at: MicroTime,
}

/// The calls about records.
#[async_trait]
pub trait RunRecords: Send + Sync {
    /// The record with this name; `None` if there is none.
    async fn fetch_record(&self, namespace: &str, name: &str)
    -> Result<Option<KinesisDemoRun>, ClusterError>;
    /// Creates a record, without its status. Returns it with its resource version.
    async fn create_record(&self, record: &KinesisDemoRun) -> Result<KinesisDemoRun, ClusterError>;
    /// Replaces the status of a record if it has not changed since it was read. Returns it with its
    /// new resource version.
    async fn replace_record_status(&self, record: &KinesisDemoRun) -> Result<KinesisDemoRun, ClusterError>;
    /// The records of a KinesisDemo, or of all of them.
    async fn list_records(
        &self,
        namespace: Option<&str>,
        demo: Option<&str>,
    ) -> Result<Vec<ListedRecord>, ClusterError>;
    /// Deletes a record. A missing one is no error.
    async fn delete_record(&self, namespace: &str, name: &str) -> Result<(), ClusterError>;
}

impl KubeCluster {
    fn records(&self, namespace: &str) -> Api<KinesisDemoRun> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

#[async_trait]
impl RunRecords for KubeCluster {
    async fn fetch_record(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<KinesisDemoRun>, ClusterError> {
        let found = within(CALL_TIMEOUT, self.records(namespace).get_opt(name)).await;
        found.map_err(|error| failure("record", format!("{namespace}/{name}"), error))
    }

    async fn create_record(&self, record: &KinesisDemoRun) -> Result<KinesisDemoRun, ClusterError> {
        let (namespace, name) = (record.namespace().unwrap_or_default(), record.name_any());
        let parameters = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        let api = self.records(&namespace);
        self.write("record", format!("{namespace}/{name}"), api.create(&parameters, record)).await
    }

    async fn replace_record_status(&self, record: &KinesisDemoRun) -> Result<KinesisDemoRun, ClusterError> {
        let (namespace, name) = (record.namespace().unwrap_or_default(), record.name_any());
        let parameters = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        let api = self.records(&namespace);
        let request = api.replace_status(&name, &parameters, record);
        self.write("record", format!("{namespace}/{name}"), request).await
    }

    async fn list_records(
        &self,
        namespace: Option<&str>,
        demo: Option<&str>,
    ) -> Result<Vec<ListedRecord>, ClusterError> {
        let api: Api<KinesisDemoRun> = match namespace {
            Some(namespace) => self.records(namespace),
            None => Api::all(self.client.clone()),
        };
        let mut parameters = ListParams::default().limit(PAGE);
        if let Some(demo) = demo {
            parameters = parameters.labels(&format!("{DEMO_LABEL}={demo}"));
        }
        let mut listed = Vec::new();
        loop {
            let page = within(CALL_TIMEOUT, api.list_metadata(&parameters)).await;
            let page = page.map_err(|error| {
                failure("records", namespace.unwrap_or("all namespaces").to_owned(), error)
            })?;
            listed.extend(page.items.iter().filter_map(listed_record));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(listed),
            }
        }
    }

    async fn delete_record(&self, namespace: &str, name: &str) -> Result<(), ClusterError> {
        let api = self.records(namespace);
        let parameters = DeleteParams::default();
        let deletion = api.delete(name, &parameters);
        match self.write("record", format!("{namespace}/{name}"), deletion).await {
            Ok(_) | Err(ClusterError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn listed_record(meta: &PartialObjectMeta<KinesisDemoRun>) -> Option<ListedRecord> {
    Some(ListedRecord {
        namespace: meta.namespace()?,
        name: meta.name_any(),
        created_at: meta.creation_timestamp()?.0.into(),
    })
}
