//! The tags of existing resources, collected from the calls that created them. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::call::Call;
use crate::needs::Names;

/// Tags by ARN.
#[derive(Clone, Debug, Default)]
pub struct ResourceTags {
    tags: BTreeMap<String, BTreeMap<String, String>>,
    /// By cluster, the tags that services propagate to their tasks.
    of_tasks: BTreeMap<String, BTreeMap<String, String>>,
}

impl ResourceTags {
    /// The resources that `calls` created, by any principal. Deleted resources are kept: only their
    /// tags matter, and names are not reused.
    pub fn from_calls(calls: &[Call], account: &str) -> Self {
        let mut resource_tags = Self::default();
        for call in calls {
            resource_tags.learn(call, account);
        }
        resource_tags
    }

    fn learn(&mut self, call: &Call, account: &str) {
        let names = Names::of(call, account);
        let arn = match (call.service.as_str(), call.operation.as_str()) {
            ("kinesis", "CreateStream") => call.text("StreamName").map(|name| names.stream(name)),
            ("ecs", "CreateService") => {
                if call.text("propagateTags") == Some("SERVICE") {
                    self.of_tasks.insert(names.cluster_name(), call.tags());
                }
                call.text("serviceName").map(|name| names.service(name))
            }
            ("ecs", "RegisterTaskDefinition") => call.text("family").map(|name| names.definition(name)),
            // An overwrite has no tags and changes none.
            ("ssm", "PutParameter") if call.input.get("Overwrite") != Some(&Value::Bool(true)) => {
                call.text("Name").map(|name| names.parameter(name))
            }
            ("logs", "CreateLogGroup") => call.text("logGroupName").map(|name| names.log_group(name)),
            _ => None,
        };
        if let Some(arn) = arn {
            // If two calls create the same resource, the first one did: the second got an "already
            // exists" error.
            self.tags.entry(arn).or_insert_with(|| call.tags());
        }
    }

    /// The tags of a resource. Empty if no call created it.
    pub fn tags(&self, arn: &str) -> BTreeMap<String, String> {
        if let Some(tags) = self.tags.get(arn) {
            return tags.clone();
        }
        // `…:task/cluster/id`
        let cluster = arn.split_once(":task/").and_then(|(_, rest)| rest.split('/').next());
        cluster.and_then(|cluster| self.of_tasks.get(cluster)).cloned().unwrap_or_default()
    }
}
