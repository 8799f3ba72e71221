//! The constraints of AWS's service models on requests. In: extracts of botocore's models in
//! `models/`, which `hack/service-members` writes. Out: the rules of each supported operation's
//! input. No I/O: the extracts are compiled in.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::constraints::{Pattern, Rule, RuleKind};

/// By signing name. The rules of Kinesis are in `services/kinesis`, because the order of its
/// violations is known.
const EXTRACTS: [(&str, &str); 6] = [
    ("application-autoscaling", include_str!("models/application-autoscaling.json")),
    ("ecs", include_str!("models/ecs.json")),
    ("logs", include_str!("models/logs.json")),
    ("monitoring", include_str!("models/cloudwatch.json")),
    ("ssm", include_str!("models/ssm.json")),
    ("sts", include_str!("models/sts.json")),
];

/// By signing name and operation.
static RULES: LazyLock<HashMap<&str, HashMap<String, Rule>>> = LazyLock::new(|| {
    let rules = |extract: &str| {
        let extract: Value = serde_json::from_str(extract).unwrap_or_default();
        let operations = extract["operations"].as_object().into_iter().flatten();
        operations
            .filter_map(|(name, members)| Some((name.clone(), structure(members.as_object()?, ""))))
            .collect()
    };
    EXTRACTS.into_iter().map(|(service, extract)| (service, rules(extract))).collect()
});

/// The rules of an operation's input, which is a structure.
pub fn input(service: &str, operation: &str) -> Option<&'static Rule> {
    RULES.get(service)?.get(operation)
}

/// The structure at `path`, with the members directly below it.
fn structure(members: &Map<String, Value>, path: &str) -> Rule {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let name = |other: &str| {
        let name = if path.is_empty() { other } else { other.strip_prefix(path)?.strip_prefix('.')? };
        (!name.contains(['.', '[', '{'])).then(|| name.to_owned())
    };
    let names = members.keys().filter_map(|other| name(other));
    let members = names.map(|name| (name.clone(), rule(members, &below(&name)))).collect();
    Rule { kind: RuleKind::Structure(members), ..Rule::default() }
}

/// The extract's rule for the member at `path`.
fn rule(members: &Map<String, Value>, path: &str) -> Rule {
    let Some(description) = members.get(path) else { return Rule::default() };
    let part = |suffix: &str| Box::new(rule(members, &format!("{path}{suffix}")));
    let kind = match description["type"].as_str().unwrap_or_default() {
        "string" => RuleKind::Text,
        "integer" | "long" | "double" | "float" => RuleKind::Number,
        "blob" => RuleKind::Blob,
        "list" => RuleKind::List(part("[]")),
        "map" => RuleKind::Map(part("{key}"), part("{value}")),
        "structure" => structure(members, path).kind,
        _ => RuleKind::Plain,
    };
    let values = description["enum"]
        .as_array()
        .map(|values| values.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    Rule {
        kind,
        required: description["required"] == true,
        least: description["min"].as_f64(),
        most: description["max"].as_f64(),
        pattern: description["pattern"].as_str().and_then(Pattern::new),
        values,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_of_the_extracts_is_read() {
        for (service, extract) in EXTRACTS {
            let extract: Value = serde_json::from_str(extract).unwrap();
            for (operation, members) in extract["operations"].as_object().unwrap() {
                let members = members.as_object().unwrap();
                assert_eq!(count(input(service, operation).unwrap()), members.len(), "{service} {operation}");
                for (path, description) in members {
                    let pattern = description["pattern"].as_str();
                    assert!(
                        pattern.is_none_or(|pattern| Pattern::new(pattern).is_some()),
                        "{operation} {path}"
                    );
                }
            }
        }
    }

    /// The number of members below a rule.
    fn count(rule: &Rule) -> usize {
        match &rule.kind {
            RuleKind::Structure(members) => members.iter().map(|(_, member)| 1 + count(member)).sum(),
            RuleKind::List(item) => 1 + count(item),
            RuleKind::Map(key, value) => 2 + count(key) + count(value),
            RuleKind::Plain | RuleKind::Number | RuleKind::Text | RuleKind::Blob => 0,
        }
    }
}
