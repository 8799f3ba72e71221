//! What a run left in the sandbox: what its state holds at the end and did not at the start. In: both states, and what the manifest
//! said to retain. Out: one line per thing. Pure; knows no service, so that a new kind of thing cannot hide.

use serde_json::Value;

/// By which members a thing is told from its neighbours, and named to people.
const NAMES: [&str; 8] = ["arn", "StreamARN", "resource", "name", "Name", "logGroupName", "id", "key"];

/// What is no thing to remove: settings of the account, which the sandbox shows for a region from its first use on; and metrics, which
/// nobody can delete, and which AWS forgets by itself (CloudWatch user guide, Metrics retention).
const NO_THINGS: [&str; 2] = ["minimumThroughputBillingCommitment", "metrics"];

/// What may be there at the end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed<'a> {
    /// ARNs and names that the manifest said to retain.
    pub retained: &'a [String],
    /// The ECS cluster that the sandbox was started with: it shows it for a region from that region's first use on.
    pub cluster: &'a str,
}

/// The things in `after` that are not in `before`.
#[must_use]
pub fn left_behind(before: &Value, after: &Value, allowed: Allowed<'_>) -> Vec<String> {
    let mut found = Vec::new();
    compare(Some(before), after, &mut Vec::new(), &mut found);
    let given = format!(".clusters: {}", allowed.cluster);
    let is_retained =
        |line: &String| allowed.retained.iter().any(|name| !name.is_empty() && line.contains(name.as_str()));
    found.retain(|line| !is_retained(line) && !line.ends_with(&given));
    found
}

fn compare(before: Option<&Value>, after: &Value, path: &mut Vec<String>, found: &mut Vec<String>) {
    match after {
        Value::Object(members) => {
            if before.is_none() && is_thing(after) {
                if !is_gone(after) {
                    found.push(described(path, after));
                }
                return;
            }
            let shelves = members
                .iter()
                .filter(|(key, member)| is_container(member) && !NO_THINGS.contains(&key.as_str()));
            for (key, member) in shelves {
                path.push(key.clone());
                compare(before.and_then(|before| before.get(key)), member, path, found);
                path.pop();
            }
        }
        Value::Array(items) => {
            let known = before.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for item in items {
                let twin = known.iter().find(|candidate| is_same(candidate, item));
                match item {
                    Value::Object(_) => compare(twin, item, path, found),
                    _ if twin.is_none() => found.push(described(path, item)),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// A thing has members of its own; an object of objects is a shelf for things.
fn is_thing(value: &Value) -> bool {
    value.as_object().is_some_and(|members| members.values().any(|member| !is_container(member)))
}

fn is_container(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// Things that AWS itself goes on showing for a while after their end, and that nobody can remove at once: ECS services and task
/// definitions that are INACTIVE (shown as not active), tasks that are STOPPED (Amazon ECS API reference, DescribeServices,
/// DeregisterTaskDefinition, ListTasks).
fn is_gone(thing: &Value) -> bool {
    let is_inactive = thing.get("active").and_then(Value::as_bool) == Some(false);
    let statuses =
        ["status", "lastStatus"].iter().filter_map(|member| thing.get(member).and_then(Value::as_str));
    is_inactive || statuses.into_iter().any(|status| matches!(status, "INACTIVE" | "STOPPED"))
}

fn names(thing: &Value) -> Vec<&str> {
    NAMES.iter().filter_map(|name| thing.get(name).and_then(Value::as_str)).collect()
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (names(one), names(other)) {
        (one_names, other_names) if one_names.is_empty() && other_names.is_empty() => one == other,
        (one_names, other_names) => one_names == other_names,
    }
}

fn described(path: &[String], thing: &Value) -> String {
    let names = names(thing);
    let text = match (thing.as_str(), names.is_empty()) {
        (Some(text), _) => text.to_owned(),
        (None, true) => thing.to_string(),
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
    fn the_cluster_that_was_given_is_no_leftover_but_any_other_is() {
        let after = json!({"ecs": {"us-east-1": {"clusters": [{"name": "kinesis-demo", "services": []}]},
            "eu-west-1": {"clusters": ["kinesis-demo", "my-kinesis-demo"]}}});
        let allowed = Allowed { cluster: "kinesis-demo", ..Allowed::default() };
        assert_eq!(left_behind(&before(), &after, allowed), ["ecs.eu-west-1.clusters: my-kinesis-demo"]);
    }

    fn before() -> Value {
        json!({
            "ecs": {"us-east-1": {"clusters": [{"name": "kinesis-demo", "services": []}]}},
            "kinesis": {"streams": [], "minimumThroughputBillingCommitment": {}, "recordBytesHeld": 0},
            "logs": {"logGroups": {}},
        })
    }

    #[test]
    fn the_same_state_leaves_nothing_whatever_its_counters_say() {
        let mut after = before();
        after["ecs"]["us-east-1"]["clusters"][0]["runningTasks"] = json!(0);
        after["kinesis"]["recordBytesHeld"] = json!(42);
        after["kinesis"]["minimumThroughputBillingCommitment"]["us-east-1"] = json!({"Status": "ENABLED"});
        after["logs"]["logGroups"]["us-east-1"] = json!([]);
        assert_eq!(left_behind(&before(), &after, Allowed::default()), Vec::<String>::new());
    }

    #[test]
    fn every_new_thing_is_named_wherever_it_is() {
        let mut after = before();
        after["kinesis"]["streams"] =
            json!([{"StreamName": "posts", "StreamARN": "arn:posts", "Shards": [{"id": "0"}]}]);
        after["scaling"] = json!({"regions": {"us-east-1": {"scheduledActions": [
            {"resource": "service/a", "name": "ceiling"}, {"resource": "service/b", "name": "ceiling"}]}}});
        after["ecs"]["us-east-1"]["clusters"][0]["services"] = json!([{"name": "svc", "status": "DRAINING"}]);
        after["logs"]["logGroups"]["us-east-1"] = json!([{"logGroupName": "/kinesis-demo/a", "events": 3}]);
        after["ssm"] = json!({"parameters": {"us-east-1": {"/kd/a": {"type": "String", "value": "x"}}}});
        let mut left = left_behind(&before(), &after, Allowed::default());
        left.sort();
        assert_eq!(
            left,
            [
                "ecs.us-east-1.clusters.services: svc",
                "kinesis.streams: arn:posts",
                "logs.logGroups.us-east-1: /kinesis-demo/a",
                "scaling.regions.us-east-1.scheduledActions: service/a ceiling",
                "scaling.regions.us-east-1.scheduledActions: service/b ceiling",
                "ssm.parameters.us-east-1./kd/a: {\"type\":\"String\",\"value\":\"x\"}",
            ]
        );
    }

    #[test]
    fn what_was_to_be_retained_and_what_aws_keeps_showing_is_not_left_behind() {
        let mut after = before();
        after["kinesis"]["streams"] = json!([{"StreamARN": "arn:posts"}]);
        after["ecs"]["us-east-1"]["taskDefinitions"] = json!([{"arn": "arn:td:1", "active": false}]);
        after["ecs"]["us-east-1"]["clusters"][0]["services"] = json!([{"name": "svc", "status": "INACTIVE"}]);
        assert_eq!(left_behind(&before(), &after, retained(&["arn:posts".into()])), Vec::<String>::new());
        assert_eq!(left_behind(&before(), &after, retained(&[String::new()])).len(), 1);
    }
}
