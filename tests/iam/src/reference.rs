//! The Service Authorization Reference of an action: the resource types it accepts and the
//! condition keys that AWS offers for them. In: `reference.json`, written by
//! `hack/foundation/iam-reference`. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// A copy of the part of the reference that the policies use.
#[derive(Clone, Debug, Deserialize)]
pub struct Reference {
    pub source: String,
    pub actions: BTreeMap<String, Action>,
    pub resources: BTreeMap<String, ResourceType>,
}

/// An action.
#[derive(Clone, Debug, Deserialize)]
pub struct Action {
    /// The resource types, with the condition keys that the action has only on them. If empty, the
    /// action accepts only `*`.
    pub resources: BTreeMap<String, BTreeSet<String>>,
    /// The condition keys that the action always has.
    pub keys: BTreeSet<String>,
}

/// A resource type.
#[derive(Clone, Debug, Deserialize)]
pub struct ResourceType {
    /// The format of its ARNs.
    pub arn: String,
    /// The condition keys that every action on it has.
    pub keys: BTreeSet<String>,
}

/// Condition keys that AWS offers in every request (IAM user guide, "AWS global condition context
/// keys"), as far as the policies use them.
const ALWAYS: [&str; 2] = ["aws:RequestedRegion", "aws:PrincipalAccount"];

impl Reference {
    /// Loads the copy in this crate.
    pub fn load() -> Result<Self, String> {
        serde_json::from_str(include_str!("../reference.json")).map_err(|error| error.to_string())
    }

    /// The entry of `action` (`service:Name`, case-insensitive).
    pub fn action(&self, action: &str) -> Result<&Action, String> {
        self.actions.iter().find(|(name, _)| name.eq_ignore_ascii_case(action)).map(|(_, known)| known).ok_or_else(
            || format!("{action}: not in reference.json; add it to actions.txt and run hack/foundation/iam-reference"),
        )
    }

    /// The type of the resource `arn` (which may be a pattern), among the types that `action`
    /// accepts.
    pub fn type_of(&self, action: &str, arn: &str) -> Result<Option<String>, String> {
        let service = action.split(':').next().unwrap_or_default();
        let types = self.action(action)?.resources.keys();
        Ok(types
            .filter_map(|name| Some((name, self.resources.get(&format!("{service}:{name}"))?)))
            .find(|(_, known)| has_form(arn, &known.arn))
            .map(|(name, _)| name.clone()))
    }

    /// The condition keys that AWS offers for `action` on a resource of type `kind` (`None` means
    /// `*`).
    pub fn keys(&self, action: &str, kind: Option<&str>) -> Result<BTreeSet<String>, String> {
        let service = action.split(':').next().unwrap_or_default();
        let known = self.action(action)?;
        let mut keys: BTreeSet<String> = ALWAYS.iter().map(|key| (*key).to_owned()).collect();
        keys.extend(known.keys.iter().cloned());
        if let Some(kind) = kind {
            keys.extend(known.resources.get(kind).into_iter().flatten().cloned());
            keys.extend(
                self.resources
                    .get(&format!("{service}:{kind}"))
                    .into_iter()
                    .flat_map(|known| known.keys.clone()),
            );
        }
        Ok(keys)
    }
}

/// Whether `key` is in `keys`. `aws:RequestTag/${TagKey}` matches tags with any key.
pub fn offers(keys: &BTreeSet<String>, key: &str) -> bool {
    keys.iter().any(|known| match known.split_once("${") {
        Some((prefix, _)) => key.len() > prefix.len() && key.starts_with(prefix),
        None => known.eq_ignore_ascii_case(key),
    })
}

/// Whether `arn` has the prefix of ARNs of this `form`: the service, and the resource part up to
/// its first variable.
fn has_form(arn: &str, form: &str) -> bool {
    let mut given = arn.splitn(6, ':').skip(2);
    let mut wanted = form.splitn(6, ':').skip(2);
    let (service, wanted_service) = (given.next(), wanted.next());
    let (resource, wanted_resource) = (given.nth(2).unwrap_or_default(), wanted.nth(2).unwrap_or_default());
    let prefix = wanted_resource.split("${").next().unwrap_or_default();
    // A log stream's ARN starts like that of its group. Only the longer form contains
    // `:log-stream:`.
    let infix_matches = !wanted_resource.contains(":log-stream:")
        || resource.contains(":log-stream:")
        || resource.ends_with('*');
    service == wanted_service && resource.starts_with(prefix) && infix_matches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_recognized_by_the_arn_format() {
        let reference = Reference::load().unwrap();
        let kind = |action, arn| reference.type_of(action, arn).unwrap();
        assert_eq!(kind("ecs:TagResource", "arn:aws:ecs:r:1:service/c/s").as_deref(), Some("service"));
        assert_eq!(
            kind("ecs:TagResource", "arn:aws:ecs:r:1:task-definition/f:1").as_deref(),
            Some("task-definition")
        );
        assert_eq!(kind("ecs:TagResource", "arn:aws:ecs:r:1:task/c/1").as_deref(), Some("task"));
        assert_eq!(kind("ecs:CreateService", "arn:aws:ecs:r:1:task/c/1"), None);
        assert_eq!(
            kind("logs:PutLogEvents", "arn:aws:logs:r:1:log-group:/a:log-stream:b").as_deref(),
            Some("log-stream")
        );
        assert_eq!(kind("logs:PutLogEvents", "arn:aws:logs:r:1:log-group:/a"), None);
    }

    #[test]
    fn keys_depend_on_action_and_resource() {
        let reference = Reference::load().unwrap();
        let has = |action, kind, key| offers(&reference.keys(action, kind).unwrap(), key);
        assert!(has("kinesis:DeleteStream", Some("stream"), "aws:ResourceTag/kinesisdemo.io/owner"));
        assert!(!has("kinesis:DeleteStream", Some("stream"), "aws:RequestTag/kinesisdemo.io/owner"));
        assert!(!has("ecs:DeregisterTaskDefinition", None, "aws:ResourceTag/kinesisdemo.io/owner"));
        assert!(has("ecs:DeregisterTaskDefinition", None, "aws:RequestedRegion"));
    }
}
