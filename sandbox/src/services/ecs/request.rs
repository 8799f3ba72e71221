//! What every ECS operation starts from, and how it names things. In: a call. Out: its members, references resolved, answers'
//! instants. No I/O.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::world::{Cluster, EcsState, Region};
use crate::clock::ModelClock;
use crate::paging::page;
use crate::parameters::{Members, Tags, epoch_seconds};
use crate::services::{AwsError, Caller};

pub(super) const REFUSAL: &str = "InvalidParameterException";

#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub input: Members<'a>,
    pub raw: &'a Value,
    pub caller: &'a Caller,
    pub clock: &'a ModelClock,
    pub now: Timestamp,
}

impl<'a> Request<'a> {
    /// An instant of the model as the caller's clock shows it.
    pub fn time(&self, at: Timestamp) -> Value {
        epoch_seconds(self.clock.wall_at(at))
    }

    pub fn arn(&self, resource: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{resource}", self.caller.region, self.caller.account)
    }

    /// The name of the cluster that the request means; `default` where it names none.
    pub fn cluster_name(&self) -> Result<&'a str, AwsError> {
        Ok(last_part(self.input.text("cluster")?.unwrap_or("default")))
    }

    /// The active cluster that the request means.
    pub fn cluster<'r>(&self, region: &'r Region) -> Result<(&'a str, &'r Cluster), AwsError> {
        let name = self.cluster_name()?;
        let cluster = region.clusters.get(name).filter(|cluster| cluster.active);
        cluster.map(|cluster| (name, cluster)).ok_or_else(cluster_not_found)
    }

    /// Whether the member `include` asks for `what`.
    pub fn includes(&self, what: &str) -> Result<bool, AwsError> {
        Ok(self.input.texts("include")?.contains(&what))
    }

    /// One page under `member`, of up to `largest` items.
    pub fn paged(
        &self,
        member: &str,
        largest: i64,
        default: i64,
        items: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Value, AwsError> {
        let size = self.input.bounded("maxResults", 1..=largest, default)? as usize;
        let (items, next) = page(items, self.input.text("nextToken")?, size)
            .map_err(|_| self.input.refusal("Invalid token"))?;
        let mut output = json!({ member: items });
        if let Some(next) = next {
            output["nextToken"] = Value::from(next);
        }
        Ok(output)
    }
}

pub(super) fn cluster_not_found() -> AwsError {
    AwsError::client("ClusterNotFoundException", "Cluster not found.")
}

/// Refuses the first call of a new account that needs the service-linked role, which that call has
/// made: "the service-linked role is automatically created when you create a cluster, or create or
/// update a service" (ECS developer guide, "Using service-linked roles").
pub(super) fn assume_linked_role(world: &mut EcsState) -> Result<(), AwsError> {
    if std::mem::replace(&mut world.has_linked_role, true) {
        return Ok(());
    }
    Err(AwsError::client(
        REFUSAL,
        "Unable to assume the service linked role. Please verify that the ECS service linked role exists.",
    ))
}

pub(super) fn client(message: impl Into<String>) -> AwsError {
    AwsError::client("ClientException", message)
}

/// A resource's own name from its name or ARN.
pub(super) fn last_part(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or(reference)
}

pub(super) fn failure(arn: String, reason: &str) -> Value {
    json!({"arn": arn, "reason": reason})
}

/// Tags in ECS's lower-case form.
pub(super) fn tags_view(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
}

/// Names of clusters, services and families: up to 255 letters, digits, hyphens and underscores (CreateCluster, CreateService,
/// RegisterTaskDefinition references).
pub(super) fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}
