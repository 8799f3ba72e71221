//! A call of ECS, and what its operations read from it alike. In: a call. Out: references to
//! resources, ARNs, pages. No I/O.

use jiff::Timestamp;
use serde_json::Value;

use super::errors::{self, INVALID_REQUEST};
use super::state::{EcsCluster, Region};
use crate::arn::{Arn, PARTITION};
use crate::call::{AwsError, Call, Caller};
use crate::clock::ModelClock;
use crate::paging::page_response;
use crate::parameters::{Parameters, TAGS_PER_RESOURCE, Tags, epoch_seconds};

/// A request, and the clock that converts its instants.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub input: Parameters<'a>,
    pub raw: &'a Value,
    pub caller: &'a Caller,
    pub clock: &'a ModelClock,
    pub now: Timestamp,
}

impl<'a> Request<'a> {
    pub fn new(call: &Call<'a>, clock: &'a ModelClock) -> Self {
        let input = Parameters::new(call.input, INVALID_REQUEST);
        Self { input, raw: call.input, caller: call.caller, clock, now: call.now }
    }

    /// Rejects more tags than a resource may have.
    pub fn check_tag_count(&self, tags: &Tags) -> Result<(), AwsError> {
        if tags.len() > TAGS_PER_RESOURCE {
            return Err(self.input.invalid("The number of tags exceeds the limit of 50 tags per resource."));
        }
        Ok(())
    }

    /// Converts an instant of the model to the caller's clock.
    pub fn time(&self, at: Timestamp) -> Value {
        epoch_seconds(self.clock.wall_at(at))
    }

    pub fn arn(&self, resource: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{resource}", self.caller.region, self.caller.account)
    }

    /// The name of the requested cluster; `default` if the request names none.
    pub fn cluster_name(&self) -> Result<&'a str, AwsError> {
        self.name("cluster", self.input.text("cluster")?.unwrap_or("default"))
    }

    /// A resource's name, from its name or its ARN. An ARN must have the given kind and the
    /// caller's account and Region.
    pub fn name<'n>(&self, kind: &str, reference: &'n str) -> Result<&'n str, AwsError> {
        self.cluster_and_name(kind, reference).map(|(_, name)| name)
    }

    /// The name of a resource in this cluster.
    pub fn name_within<'n>(
        &self,
        cluster: &str,
        kind: &str,
        reference: &'n str,
    ) -> Result<&'n str, AwsError> {
        match self.cluster_and_name(kind, reference)? {
            (Some(other), _) if other != cluster => Err(self.input.invalid(format!(
                "Invalid identifier: Identifier is for cluster {other}. Your cluster is {cluster}"
            ))),
            (_, name) => Ok(name),
        }
    }

    /// The error texts are AWS's (aws/aws-cli, issue 3175; pulumi/pulumi-awsx, issue 406), except
    /// those about the account and the kind.
    fn cluster_and_name<'n>(
        &self,
        kind: &str,
        reference: &'n str,
    ) -> Result<(Option<&'n str>, &'n str), AwsError> {
        if !reference.starts_with("arn:") {
            return Ok((None, last_part(reference)));
        }
        let invalid = |why: &str| self.input.invalid(format!("Invalid identifier: {why}"));
        let arn = Arn::parse(reference).ok_or_else(|| invalid("Unexpected number of separators"))?;
        if (arn.partition, arn.service) != (PARTITION, "ecs") {
            return Err(invalid(&format!("Identifier is for service {}:{}", arn.partition, arn.service)));
        }
        if arn.region != self.caller.region {
            return Err(self.input.invalid("Invalid Region in ARN"));
        }
        let own = &self.caller.account;
        if arn.account != own {
            return Err(invalid(&format!(
                "Identifier is for account {}. Your account is {own}",
                arn.account
            )));
        }
        let parts: Vec<&str> = arn.resource.split('/').collect();
        let (found, cluster, name) = match (kind, parts.as_slice()) {
            // ARNs of services and tasks contain the cluster, except in the old format.
            ("service" | "task", [found, cluster, name]) => (found, Some(*cluster), *name),
            (_, [found, name]) => (found, None, *name),
            _ => return Err(invalid("Unexpected number of separators")),
        };
        if *found == kind {
            Ok((cluster, name))
        } else {
            Err(invalid(&format!("Identifier is for {found}, and a {kind} is expected")))
        }
    }

    /// The requested cluster, which must be active.
    pub fn cluster<'r>(&self, region: &'r Region) -> Result<(&'a str, &'r EcsCluster), AwsError> {
        let name = self.cluster_name()?;
        let cluster = region.clusters.get(name).filter(|cluster| cluster.active);
        cluster.map(|cluster| (name, cluster)).ok_or_else(errors::cluster_not_found)
    }

    /// Whether the member `include` contains `what`.
    pub fn includes(&self, what: &str) -> Result<bool, AwsError> {
        Ok(self.input.texts("include")?.contains(&what))
    }

    /// One page of items under `member`, with up to `largest` items.
    pub fn paged(
        &self,
        member: &str,
        largest: i64,
        default: i64,
        items: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Value, AwsError> {
        let size = self.input.bounded("maxResults", 1..=largest, default)? as usize;
        page_response(member, items, "nextToken", self.input.text("nextToken")?, size)
            .map_err(|_| self.input.invalid("Invalid token"))
    }
}

/// The part after the last slash.
fn last_part(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or(reference)
}

/// Whether `text` is a valid name of a cluster, service or family: up to 255 letters, digits,
/// hyphens and underscores (CreateCluster, CreateService, RegisterTaskDefinition references).
pub fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}
