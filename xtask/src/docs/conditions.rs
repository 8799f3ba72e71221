//! docs/reference/conditions.md. In: the enums of `api/src/conditions.rs` with their doc comments,
//! as their schemas have them, and the text about each reason. Out: a page, or what is missing.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use kinesis_demo_api::conditions::{ConditionType, Reason};
use schemars::{JsonSchema, SchemaGenerator};
use serde::Deserialize;
use serde_json::Value;

const HEAD: &str = "# Conditions and reasons

Generated from `api/src/conditions.rs` and `xtask/reasons.yaml` by `make generate`; do not edit. The operator sets all conditions in its first
reconcile of an object. A reason is one of the words below, and never changes its meaning within an API version. The message has the details: what was
attempted, on what, and what to do. [Troubleshooting](../troubleshooting.md) lists messages.

| Stage | Ready | Reconciling | Stalled | Finished | Succeeded |
|---|---|---|---|---|---|
| `Pending` to `Starting` | False | True | False | False | Unknown |
| any stage before `Running`, blocked | False | False | True | False | Unknown |
| `Running` | True | False | False | False | Unknown |
| `Draining`, `CleaningUp` | False | True | False | False | Unknown |
| `Succeeded` | True | False | False | True | True |
| `Failed` | False | False | True | True | False |
| `Aborted` | True | False | False | True | False |

`kubectl wait --for=condition=Finished` waits for the end, `--for=condition=Succeeded` for success. If an AWS call fails, `Ready` (in `Running`) or
`Reconciling` (in other stages) has the reason until a reconcile succeeds; the operator keeps trying.
";

const TEXT: &str = include_str!("../../reasons.yaml");

/// Reasons that the page shows together.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    title: String,
    reasons: Vec<Entry>,
}

/// The text about a reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    reason: String,
    #[serde(rename = "where")]
    place: String,
    means: String,
    /// What the user can do.
    #[serde(default, rename = "do")]
    remedy: String,
}

/// A variant of an enum, and its doc comment.
type Variant = (String, String);

/// The page.
pub fn page() -> anyhow::Result<String> {
    let groups: Vec<Group> = serde_saphyr::from_str(TEXT).context("read xtask/reasons.yaml")?;
    let reasons = variants::<Reason>();
    check(&groups, &reasons)?;
    let mut lines = vec![HEAD.to_owned(), "## Types\n\n| Type | True means |\n|---|---|".to_owned()];
    lines.extend(condition_types().iter().map(|(name, doc)| format!("| `{name}` | {doc} |")));
    lines.push("\n## Reasons\n".to_owned());
    for Group { title, reasons } in groups {
        lines.push(format!("### {title}\n\n| Reason | Where | Meaning | What to do |\n|---|---|---|---|"));
        let row = |Entry { reason, place, means, remedy }: Entry| {
            format!("| `{reason}` | {place} | {means} | {remedy} |")
        };
        lines.extend(reasons.into_iter().map(row));
        lines.push(String::new());
    }
    Ok(lines.join("\n"))
}

/// The condition types, with their doc comments.
pub fn condition_types() -> Vec<Variant> {
    variants::<ConditionType>()
}

/// Checks that every reason has exactly one entry, and every entry a reason.
fn check(groups: &[Group], reasons: &[Variant]) -> anyhow::Result<()> {
    let entries: Vec<&str> =
        groups.iter().flat_map(|group| &group.reasons).map(|entry| entry.reason.as_str()).collect();
    let described: BTreeSet<&str> = entries.iter().copied().collect();
    let known: BTreeSet<&str> = reasons.iter().map(|(name, _)| name.as_str()).collect();
    let missing: Vec<&&str> = known.difference(&described).collect();
    ensure!(
        missing.is_empty(),
        "xtask/reasons.yaml does not describe {missing:?}, which api/src/conditions.rs has: add an entry like `- {{reason: {}, where: …, means: …, do: …}}` to the group where the page should show it",
        missing.first().copied().copied().unwrap_or_default()
    );
    let extra: Vec<&&str> = described.difference(&known).collect();
    ensure!(
        extra.is_empty(),
        "xtask/reasons.yaml describes {extra:?}, which the enum Reason in api/src/conditions.rs does not have: remove these entries, or correct their names"
    );
    ensure!(
        entries.len() == described.len(),
        "xtask/reasons.yaml describes a reason twice: it has {} entries for {} reasons",
        entries.len(),
        described.len()
    );
    Ok(())
}

/// The variants of an enum without fields, in the order of its schema.
fn variants<T: JsonSchema>() -> Vec<Variant> {
    let schema = SchemaGenerator::default().into_root_schema_for::<T>();
    let mut found = Vec::new();
    collect(schema.as_value(), &mut found);
    found
}

/// A variant with a doc comment is an alternative of its own; the others form an `enum`.
fn collect(schema: &Value, found: &mut Vec<Variant>) {
    let description = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let doc = description.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(name) = schema.get("const").and_then(Value::as_str) {
        found.push((name.to_owned(), doc));
    }
    let names = schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    found.extend(names.map(|name| (name.to_owned(), String::new())));
    for alternative in schema.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
        collect(alternative, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(reasons: &[&str]) -> [Group; 1] {
        let entry = |reason: &&str| Entry {
            reason: (*reason).to_owned(),
            place: "Stalled".to_owned(),
            means: "…".to_owned(),
            remedy: String::new(),
        };
        [Group { title: "The stages".to_owned(), reasons: reasons.iter().map(entry).collect() }]
    }

    fn refused(described: &[&str]) -> String {
        let known = ["Pending", "Running"].map(|name| (name.to_owned(), String::new()));
        check(&group(described), &known).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn every_reason_needs_exactly_one_entry() {
        assert_eq!(refused(&["Running", "Pending"]), "");
        assert_eq!(
            refused(&["Pending"]),
            "xtask/reasons.yaml does not describe [\"Running\"], which api/src/conditions.rs has: add an entry like `- {reason: Running, where: …, means: …, do: …}` to the group where the page should show it"
        );
        assert_eq!(
            refused(&["Pending", "Running", "Resting"]),
            "xtask/reasons.yaml describes [\"Resting\"], which the enum Reason in api/src/conditions.rs does not have: remove these entries, or correct their names"
        );
        assert_eq!(
            refused(&["Pending", "Running", "Pending"]),
            "xtask/reasons.yaml describes a reason twice: it has 3 entries for 2 reasons"
        );
    }

    #[test]
    fn variants_have_their_doc_comments() {
        #[derive(JsonSchema)]
        #[expect(dead_code)]
        enum Light {
            /// Cars
            /// wait.
            Red,
            Amber,
            Green,
        }
        let mut found = variants::<Light>();
        found.sort();
        let pair = |name: &str, doc: &str| (name.to_owned(), doc.to_owned());
        assert_eq!(found, [pair("Amber", ""), pair("Green", ""), pair("Red", "Cars wait.")]);
    }

    #[test]
    fn condition_types_are_all_documented() {
        let undocumented: Vec<Variant> =
            condition_types().into_iter().filter(|(_, doc)| doc.is_empty()).collect();
        assert_eq!(undocumented, []);
        assert_eq!(condition_types()[0].0, "Ready");
    }
}
