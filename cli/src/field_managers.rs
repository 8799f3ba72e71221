//! Fields of other owners that an apply left in an object although the applied document does not
//! set them. In: the document, the current object. Out: the fields and their owners. Pure.

use kinesis_demo_api::KinesisDemo;
use serde_json::{Value, json};

use crate::manifest::without_nulls;

/// A field that another tool set to a value that the document alone would not produce.
#[derive(Debug, PartialEq, Eq)]
pub struct ManagedField {
    pub path: String,
    pub owners: Vec<String>,
}

/// The spec's fields that the object has and the document does not, and that `us` does not own
/// alone.
#[must_use]
pub fn fields_of_other_managers(document: &Value, demo: &KinesisDemo, us: &str) -> Vec<ManagedField> {
    // A document that does not parse cannot have been applied.
    let Ok(alone) = serde_json::from_value::<KinesisDemo>(without_nulls(document)) else {
        return Vec::new();
    };
    let managers = demo.metadata.managed_fields.iter().flatten();
    let owners = managers.filter_map(|entry| {
        let manager = entry.manager.as_deref().filter(|manager| *manager != us)?;
        Some((manager, entry.fields_v1.as_ref()?.0.get("f:spec")?))
    });
    let mut found = Vec::new();
    let spec = Field { path: "spec".into(), owners: owners.collect() };
    spec.list_managed(&json!(demo.spec), Some(&json!(alone.spec)), document.get("spec"), &mut found);
    found
}

/// A field, with its node in each manager's field set (the managers that own it or something below
/// it).
struct Field<'a> {
    path: String,
    owners: Vec<(&'a str, &'a Value)>,
}

impl Field<'_> {
    /// `current` is the object's value, `alone` the value that the document alone would produce,
    /// and `given` the value in the document.
    fn list_managed(
        &self,
        current: &Value,
        alone: Option<&Value>,
        given: Option<&Value>,
        found: &mut Vec<ManagedField>,
    ) {
        match (current, given) {
            // A null requests the default, or no value where the schema allows that.
            (_, Some(Value::Null)) => {}
            (Value::Object(members), _) => {
                for (name, member) in members {
                    let alone = alone.and_then(|alone| alone.get(name));
                    let given = given.and_then(|given| given.get(name));
                    let field = self.below(&format!(".{name}"), &format!("f:{name}"));
                    field.list_managed(member, alone, given, found);
                }
            }
            // In a set list each manager owns its own items; any other list has one owner.
            (Value::Array(items), Some(Value::Array(wanted))) => {
                for item in items.iter().filter(|item| !wanted.contains(item)) {
                    let shown = item.as_str().map_or_else(|| item.to_string(), ToOwned::to_owned);
                    self.below(&format!("[{shown}]"), &format!("v:{item}")).add_owned(found);
                }
            }
            (current, None) if Some(current) != alone => self.add_owned(found),
            _ => {}
        }
    }

    fn below(&self, step: &str, key: &str) -> Field<'_> {
        // A list item counts only if it is owned itself.
        let is_owned_whole =
            |node: &Value| key.starts_with("f:") && node.as_object().is_some_and(serde_json::Map::is_empty);
        let owners = self.owners.iter().filter_map(|(manager, node)| {
            let node = if is_owned_whole(node) { *node } else { node.get(key)? };
            Some((*manager, node))
        });
        Field { path: format!("{}{step}", self.path), owners: owners.collect() }
    }

    fn add_owned(&self, found: &mut Vec<ManagedField>) {
        let mut owners: Vec<String> = self.owners.iter().map(|(manager, _)| (*manager).to_owned()).collect();
        owners.sort_unstable();
        owners.dedup();
        if !owners.is_empty() {
            found.push(ManagedField { path: self.path.clone(), owners });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(spec: Value, managed: Value) -> KinesisDemo {
        serde_json::from_value(json!({
            "apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo",
            "metadata": {"name": "a", "managedFields": managed}, "spec": spec,
        }))
        .unwrap()
    }

    fn owner(manager: &str, spec: Value) -> Value {
        json!({"manager": manager, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": spec}})
    }

    fn managed(given: Value, demo: &KinesisDemo) -> Vec<(String, String)> {
        let document = json!({"apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo",
            "metadata": {"name": "a"}, "spec": given});
        let fields = fields_of_other_managers(&document, demo, "us").into_iter();
        fields.map(|field| (field.path, field.owners.join(", "))).collect()
    }

    fn one(path: &str, owners: &str) -> Vec<(String, String)> {
        vec![(path.into(), owners.into())]
    }

    #[test]
    fn another_owners_field_is_named_unless_the_document_sets_it() {
        // As in the API server: the creator of an object also owns its defaults.
        let fields = json!({".": {}, "f:limits": {".": {}, "f:maxDuration": {}}, "f:cleanup": {".": {}, "f:stream": {}},
            "f:generator": {"f:maxTasks": {}}, "f:region": {}});
        let spec = json!({"limits": {"maxDuration": "2h"}, "cleanup": {"stream": "Delete"},
            "generator": {"maxTasks": 50}, "region": "eu-west-1"});
        let demo = object(spec.clone(), json!([owner("kubectl-client-side-apply", fields.clone())]));
        let limit = one("spec.limits.maxDuration", "kubectl-client-side-apply");
        assert_eq!(managed(json!({"region": "eu-west-1"}), &demo), limit);
        assert_eq!(managed(json!({"region": "eu-west-1", "limits": {}}), &demo), limit);
        assert_eq!(managed(json!({"region": "eu-west-1", "limits": null}), &demo), Vec::new());
        assert_eq!(managed(spec.clone(), &demo), Vec::new());
        let both: Vec<String> = managed(json!({}), &demo).into_iter().map(|(path, _)| path).collect();
        assert_eq!(both, ["spec.region", "spec.limits.maxDuration"]);

        // A field with no other owner is removed by our own apply.
        assert_eq!(
            managed(json!({}), &object(spec.clone(), json!([owner("us", fields.clone())]))),
            Vec::new()
        );
        let shared =
            json!([owner("us", fields.clone()), owner("x", json!({"f:region": {}})), owner("y", fields)]);
        assert_eq!(
            managed(json!({"limits": {"maxDuration": "2h"}}), &object(spec, shared)),
            one("spec.region", "x, y")
        );
    }

    #[test]
    fn a_list_is_owned_as_a_whole_and_a_set_by_its_items() {
        let phases = json!([{"name": "a", "duration": "5s", "recordsPerSecond": 1}]);
        let nets = json!({"fargate": {"subnets": ["subnet-0a1b2c3d", "subnet-1a1b2c3d"]}});
        let fields = json!({"f:phases": {}, "f:generator": {"f:fargate": {"f:subnets":
            {".": {}, "v:\"subnet-1a1b2c3d\"": {}}}}});
        let demo = object(json!({"phases": phases, "generator": nets}), json!([owner("argocd", fields)]));
        let given = json!({"phases": phases, "generator": {"fargate": {"subnets": ["subnet-0a1b2c3d"]}}});
        assert_eq!(managed(given, &demo), one("spec.generator.fargate.subnets[subnet-1a1b2c3d]", "argocd"));
        assert_eq!(managed(json!({"generator": nets}), &demo), one("spec.phases", "argocd"));
    }
}
