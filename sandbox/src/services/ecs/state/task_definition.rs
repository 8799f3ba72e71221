//! Task definitions: families, revisions, containers. Data only.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::parameters::Tags;

#[derive(Debug, Default)]
pub struct Family {
    /// The highest revision ever used. Revisions are never reused, even after deletion.
    pub last_revision: u32,
    pub revisions: BTreeMap<u32, Definition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefinitionStatus {
    Active,
    Inactive,
    DeleteInProgress,
}

/// One revision of a task definition.
#[derive(Clone, Debug)]
pub struct Definition {
    pub body: Arc<DefinitionBody>,
    pub status: DefinitionStatus,
    pub registered_at: Timestamp,
    pub deregistered_at: Option<Timestamp>,
    pub delete_requested_at: Option<Timestamp>,
    pub tags: Tags,
}

/// The parts of a task definition that never change once it is registered.
#[derive(Debug)]
pub struct DefinitionBody {
    pub arn: String,
    pub family: String,
    pub revision: u32,
    /// The CPU units and MiB of the whole task.
    pub cpu: u32,
    pub memory: u32,
    pub containers: Vec<ContainerSpec>,
    /// The registered members as AWS returns them.
    pub echo: Map<String, Value>,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSpec {
    pub name: String,
    pub image: String,
    pub essential: bool,
    pub entry_point: Vec<String>,
    pub command: Vec<String>,
    pub working_directory: Option<String>,
    pub user: Option<String>,
    /// The container's own hard limit in MiB.
    pub memory: Option<u32>,
    pub environment: Vec<(String, String)>,
    pub stop_timeout: SignedDuration,
    pub logs: Option<AwsLogs>,
}

/// The options of the awslogs driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsLogs {
    pub region: String,
    pub group: String,
    pub prefix: String,
}

/// Splits a reference into its family and, if present, its revision.
pub fn family_and_revision(reference: &str) -> Option<(&str, Option<u32>)> {
    match reference.split_once(':') {
        None => Some((reference, None)),
        Some((family, revision)) => Some((family, Some(revision.parse().ok()?))),
    }
}
