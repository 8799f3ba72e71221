//! Finds what a run left in the sandbox: resources in its state at the end that were not there at
//! the start. In: both states, and what the manifest retains. Out: one line per resource. Pure. It
//! knows no AWS service, so resources of a new kind are found too.

use serde_json::Value;

/// The members that identify a resource, also for people.
const NAMES: [&str; 8] = ["arn", "StreamARN", "resource", "name", "Name", "logGroupName", "id", "key"];

/// Members that are not resources: account settings, which the sandbox lists for a region once the
/// region is used; and metrics, which cannot be deleted and which AWS expires (CloudWatch user
/// guide, Metrics retention).
const NOT_RESOURCES: [&str; 2] = ["minimumThroughputBillingCommitment", "metrics"];

/// What may remain at the end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed<'a> {
    /// ARNs and names of resources that the manifest retains.
    pub retained: &'a [String],
    /// The ECS cluster that the sandbox was started with. The sandbox lists it for a region once
    /// the region is used.
    pub cluster: &'a str,
}

/// The resources in `after` that are not in `before`.
#[must_use]
pub fn leaked_resources(before: &Value, after: &Value, allowed: Allowed<'_>) -> Vec<String> {
    let mut found = Vec::new();
    compare(Some(before), after, &mut Vec::new(), &mut found);
    let own_cluster = format!(".clusters: {}", allowed.cluster);
    let is_retained =
        |line: &String| allowed.retained.iter().any(|name| !name.is_empty() && line.contains(name.as_str()));
    found.retain(|line| !is_retained(line) && !line.ends_with(&own_cluster));
    found
}

fn compare(before: Option<&Value>, after: &Value, path: &mut Vec<String>, found: &mut Vec<String>) {
    match after {
        Value::Object(members) => {
            if before.is_none() && is_resource(after) {
                if !has_ended(after) {
                    found.push(described(path, after));
                }
                return;
            }
            let collections = members
                .iter()
                .filter(|(key, member)| is_container(member) && !NOT_RESOURCES.contains(&key.as_str()));
            for (key, member) in collections {
                path.push(key.clone());
                compare(before.and_then(|before| before.get(key)), member, path, found);
                path.pop();
            }
        }
        Value::Array(items) => {
            let known = before.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for item in items {
                let same = known.iter().find(|candidate| is_same(candidate, item));
                match item {
                    Value::Object(_) => compare(same, item, path, found),
                    _ if same.is_none() => found.push(described(path, item)),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// A resource has scalar members; an object that contains only objects and lists is a collection.
fn is_resource(value: &Value) -> bool {
    value.as_object().is_some_and(|members| members.values().any(|member| !is_container(member)))
}

fn is_container(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// Resources that AWS keeps showing for a while after their end, and that cannot be removed at
/// once: ECS services and task definitions that are INACTIVE (shown as not active), and tasks that
/// are STOPPED (Amazon ECS API reference, DescribeServices, DeregisterTaskDefinition, ListTasks).
fn has_ended(resource: &Value) -> bool {
    let is_inactive = resource.get("active").and_then(Value::as_bool) == Some(false);
    let statuses =
        ["status", "lastStatus"].iter().filter_map(|member| resource.get(member).and_then(Value::as_str));
    is_inactive || statuses.into_iter().any(|status| matches!(status, "INACTIVE" | "STOPPED"))
}

fn names(resource: &Value) -> Vec<&str> {
    NAMES.iter().filter_map(|name| resource.get(name).and_then(Value::as_str)).collect()
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (names(one), names(other)) {
        (one_names, other_names) if one_names.is_empty() && other_names.is_empty() => one == other,
        (one_names, other_names) => one_names == other_names,
    }
}

fn described(path: &[String], resource: &Value) -> String {
    let names = names(resource);
    let text = match (resource.as_str(), names.is_empty()) {
        (Some(text), _) => text.to_owned(),
        (None, true) => resource.to_string(),
        (None, false) => names.join(" "),
    };
    format!("{}: {text}", path.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn retained(retained: &[String]) -> Allowed<'_> {
        Allowed { retained, ..Allowed::default() }
    }

    #[test]
    fn only_the_sandboxs_own_cluster_is_allowed() {
        let after = json!({"ecs": {"us-east-1": {"clusters": [{"name": "kinesis-demo", "services": []}]},
            "eu-west-1": {"clusters": ["kinesis-demo", "my-kinesis-demo"]}}});
        let allowed = Allowed { cluster: "kinesis-demo", ..Allowed::default() };
        assert_eq!(leaked_resources(&before(), &after, allowed), ["ecs.eu-west-1.clusters: my-kinesis-demo"]);
    }

    fn before() -> Value {
        json!({
            "ecs": {"us-east-1": {"clusters": [{"name": "kinesis-demo", "services": []}]}},
            "kinesis": {"streams": [], "minimumThroughputBillingCommitment": {}, "recordBytesHeld": 0},
            "logs": {"logGroups": {}},
        })
    }

    #[test]
    fn changed_counters_and_settings_are_not_leaks() {
        let mut after = before();
        after["ecs"]["us-east-1"]["clusters"][0]["runningTasks"] = json!(0);
        after["kinesis"]["recordBytesHeld"] = json!(42);
        after["kinesis"]["minimumThroughputBillingCommitment"]["us-east-1"] = json!({"Status": "ENABLED"});
        after["logs"]["logGroups"]["us-east-1"] = json!([]);
        assert_eq!(leaked_resources(&before(), &after, Allowed::default()), Vec::<String>::new());
    }

    #[test]
    fn every_new_resource_is_named_at_any_depth() {
        let mut after = before();
        after["kinesis"]["streams"] =
            json!([{"StreamName": "posts", "StreamARN": "arn:posts", "Shards": [{"id": "0"}]}]);
        after["scaling"] = json!({"regions": {"us-east-1": {"scheduledActions": [
            {"resource": "service/a", "name": "scale-to-zero"}, {"resource": "service/b", "name": "scale-to-zero"}]}}});
        after["ecs"]["us-east-1"]["clusters"][0]["services"] = json!([{"name": "svc", "status": "DRAINING"}]);
        after["logs"]["logGroups"]["us-east-1"] = json!([{"logGroupName": "/kinesis-demo/a", "events": 3}]);
        after["ssm"] = json!({"parameters": {"us-east-1": {"/kd/a": {"type": "String", "value": "x"}}}});
        let mut left = leaked_resources(&before(), &after, Allowed::default());
        left.sort();
        assert_eq!(
            left,
            [
                "ecs.us-east-1.clusters.services: svc",
                "kinesis.streams: arn:posts",
                "logs.logGroups.us-east-1: /kinesis-demo/a",
                "scaling.regions.us-east-1.scheduledActions: service/a scale-to-zero",
                "scaling.regions.us-east-1.scheduledActions: service/b scale-to-zero",
                "ssm.parameters.us-east-1./kd/a: {\"type\":\"String\",\"value\":\"x\"}",
            ]
        );
    }

    #[test]
    fn retained_and_ended_resources_are_not_leaks() {
        let mut after = before();
        after["kinesis"]["streams"] = json!([{"StreamARN": "arn:posts"}]);
        after["ecs"]["us-east-1"]["taskDefinitions"] = json!([{"arn": "arn:td:1", "active": false}]);
        after["ecs"]["us-east-1"]["clusters"][0]["services"] = json!([{"name": "svc", "status": "INACTIVE"}]);
        assert_eq!(
            leaked_resources(&before(), &after, retained(&["arn:posts".into()])),
            Vec::<String>::new()
        );
        assert_eq!(leaked_resources(&before(), &after, retained(&[String::new()])).len(), 1);
    }
}
