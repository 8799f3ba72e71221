//! What exists, as far as it matters: the tags of resources, learned from the calls that made them. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::call::Call;
use crate::needs::Names;

/// Tags by ARN.
#[derive(Clone, Debug, Default)]
pub struct ResourceTags {
    tags: BTreeMap<String, BTreeMap<String, String>>,
    /// By cluster, the tags that services hand to their tasks.
    of_tasks: BTreeMap<String, BTreeMap<String, String>>,
}

impl ResourceTags {
    /// What `calls` made, whoever made it. What was deleted meanwhile stays known: only its tags matter, and names are not used twice.
    pub fn made_by(calls: &[Call], account: &str) -> Self {
        let mut world = Self::default();
        for call in calls {
            world.learn(call, account);
        }
        world
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
            // An overwrite carries no tags and changes none.
            ("ssm", "PutParameter") if call.input.get("Overwrite") != Some(&Value::Bool(true)) => {
                call.text("Name").map(|name| names.parameter(name))
            }
            ("logs", "CreateLogGroup") => call.text("logGroupName").map(|name| names.log_group(name)),
            _ => None,
        };
        if let Some(arn) = arn {
            // Of two that make the same thing the first did: the second was told that it exists.
            self.tags.entry(arn).or_insert_with(|| call.tags());
        }
    }

    /// The tags of a resource; of one that nobody made, none.
    pub fn tags(&self, arn: &str) -> BTreeMap<String, String> {
        if let Some(tags) = self.tags.get(arn) {
            return tags.clone();
        }
        // `…:task/cluster/id`
        let cluster = arn.split_once(":task/").and_then(|(_, rest)| rest.split('/').next());
        cluster.and_then(|cluster| self.of_tasks.get(cluster)).cloned().unwrap_or_default()
    }
}
