//! docs/reference/crd.md and runs.md. In: a CustomResourceDefinition. Out: every field with its type,
//! default, bounds and description. Pure.

use anyhow::Context;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinitionSpec, CustomResourceDefinitionVersion, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kinesis_demo_api::{KinesisDemo, KinesisDemoRun};
use kube::CustomResourceExt;
use serde_json::Value;

const HEAD: &str = "# The KinesisDemo resource

Generated from the types in `api/` by `make generate`; do not edit. `kubectl explain kinesisdemo.spec` shows part of it.
";

const RUN_HEAD: &str = "# The KinesisDemoRun resource

Generated from the types in `api/` by `make generate`; do not edit. `kubectl explain kinesisdemorun.status` shows part of it. The operator writes one
object for each run: `kubectl get kdr` lists them.
";

/// The page about KinesisDemo.
pub fn demo_page() -> anyhow::Result<String> {
    page(HEAD, KinesisDemo::crd().spec)
}

/// The page about KinesisDemoRun.
pub fn run_page() -> anyhow::Result<String> {
    page(RUN_HEAD, KinesisDemoRun::crd().spec)
}

fn page(head: &str, definition: CustomResourceDefinitionSpec) -> anyhow::Result<String> {
    let names = &definition.names;
    let all = |names: &Option<Vec<String>>| names.clone().unwrap_or_default().join("`, `");
    let mut lines = vec![
        head.to_owned(),
        "| | |".to_owned(),
        "|---|---|".to_owned(),
        format!("| Group | `{}` |", definition.group),
        format!("| Kind | `{}`, {} |", names.kind, definition.scope.to_lowercase()),
        format!(
            "| Names | `{}`, `{}`, `{}`; categories `{}` |",
            names.plural,
            names.singular.clone().unwrap_or_default(),
            all(&names.short_names),
            all(&names.categories)
        ),
        String::new(),
    ];
    for version in &definition.versions {
        lines.extend(version_section(version)?);
    }
    Ok(lines.join("\n"))
}

fn version_section(version: &CustomResourceDefinitionVersion) -> anyhow::Result<Vec<String>> {
    let mut state = vec![
        if version.served { "served" } else { "not served" },
        if version.storage { "stored" } else { "not stored" },
    ];
    state.extend((version.deprecated == Some(true)).then_some("deprecated"));
    let mut lines = vec![
        format!("## {} ({})", version.name, state.join(", ")),
        String::new(),
        "| Column of `kubectl get` | Field | Meaning |".to_owned(),
        "|---|---|---|".to_owned(),
    ];
    for column in version.additional_printer_columns.iter().flatten() {
        let wide = if column.priority.unwrap_or_default() == 0 { "" } else { " (with `-o wide`)" };
        let description = column.description.as_deref().unwrap_or_default();
        lines.push(format!("| {}{wide} | `{}` | {description} |", column.name, column.json_path));
    }
    let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    let schema = schema.context("the CustomResourceDefinition has no schema")?;
    lines.push(String::new());
    lines.extend(rules(schema, "The object"));
    let properties = schema.properties.as_ref().context("the schema has no properties")?;
    let spec = properties.get("spec").context("the schema has no spec")?;
    let status = properties.get("status").context("the schema has no status")?;
    lines.extend(section("spec", spec, spec));
    lines.extend(section("status", status, spec));
    Ok(lines)
}

/// The CEL rules of a field.
fn rules(schema: &JSONSchemaProps, whose: &str) -> Vec<String> {
    let Some(rules) = &schema.x_kubernetes_validations else { return Vec::new() };
    let intro = format!("{whose} must satisfy these CEL rules; otherwise it is rejected with the message:");
    let rule = rules.iter().map(|rule| {
        format!("- \"{}\": `{}`", rule.message.as_deref().unwrap_or_default(), one_line(&rule.rule))
    });
    [intro, String::new()].into_iter().chain(rule).chain([String::new()]).collect()
}

/// The section of an object, and the sections of the objects in it.
fn section(path: &str, schema: &JSONSchemaProps, spec: &JSONSchemaProps) -> Vec<String> {
    let mut lines = vec![format!("### {path}"), String::new()];
    if let Some(description) = &schema.description {
        lines.extend([one_line(description), String::new()]);
    }
    lines.extend(rules(schema, "It"));
    lines.push("| Field | Type | Default | Bounds | Description |".to_owned());
    lines.push("|---|---|---|---|---|".to_owned());
    let required = schema.required.as_deref().unwrap_or_default();
    let fields = || schema.properties.iter().flatten();
    lines.extend(fields().map(|(name, field)| row(name, field, required.contains(name))));
    lines.push(String::new());
    for (name, field) in fields().filter(|(_, field)| is_list(field)) {
        lines.extend(rules(field, &format!("`{name}`")));
    }
    for (name, field) in fields() {
        let (inner, suffix) = items(field).map_or((field, ""), |items| (items, "[]"));
        let inner_path = format!("{path}.{name}{suffix}");
        if inner.properties.is_none() {
            continue;
        }
        if has_same_fields(inner, spec) {
            let reference = "The fields of [spec](#spec).".to_owned();
            lines.extend([format!("### {inner_path}"), String::new(), reference, String::new()]);
        } else {
            lines.extend(section(&inner_path, inner, spec));
        }
    }
    lines
}

fn has_same_fields(one: &JSONSchemaProps, other: &JSONSchemaProps) -> bool {
    let names =
        |schema: &JSONSchemaProps| schema.properties.iter().flatten().map(|(name, _)| name.clone()).collect();
    let (one, other): (Vec<String>, Vec<String>) = (names(one), names(other));
    one == other
}

fn row(name: &str, field: &JSONSchemaProps, is_required: bool) -> String {
    let description = one_line(field.description.as_deref().unwrap_or_default()).replace('|', "\\|");
    let default = match &field.default {
        Some(default) => default_text(&default.0),
        None if is_required => "required".to_owned(),
        None => String::new(),
    };
    format!("| `{name}` | {} | {default} | {} | {description} |", kind(field), bounds(field))
}

/// A default; an object whose own fields have the defaults is shown as `{}`.
fn default_text(value: &Value) -> String {
    match value {
        Value::Object(_) => "`{}`".to_owned(),
        Value::Array(items) if items.is_empty() => "`[]`".to_owned(),
        Value::Array(items) => format!("{} items, see the description", items.len()),
        other => format!("`{}`", scalar(other)),
    }
}

fn kind(field: &JSONSchemaProps) -> String {
    let type_ = field.type_.as_deref();
    match (items(field), &field.enum_) {
        (Some(items), _) => format!("list of {}", kind(items)),
        (None, Some(values)) if type_ == Some("string") => {
            let values = values.iter().filter(|value| !value.0.is_null());
            let values: Vec<String> = values.map(|value| format!("`{}`", scalar(&value.0))).collect();
            format!("one of {}", values.join(", "))
        }
        _ if field.format.as_deref() == Some("date-time") => "instant".to_owned(),
        _ => type_.unwrap_or("any").to_owned(),
    }
}

fn bounds(field: &JSONSchemaProps) -> String {
    if let Some(values) = &field.enum_
        && field.type_.as_deref() != Some("string")
    {
        return values.iter().map(|value| scalar(&value.0)).collect::<Vec<_>>().join(", ");
    }
    let mut parts = Vec::new();
    match (field.minimum, field.maximum) {
        (Some(minimum), Some(maximum)) => parts.push(format!("{minimum} to {maximum}")),
        (Some(minimum), None) => parts.push(format!("at least {minimum}")),
        (None, Some(maximum)) => parts.push(format!("at most {maximum}")),
        (None, None) => {}
    }
    if let Some(longest) = field.max_length {
        parts.push(format!("{} to {longest} characters", field.min_length.unwrap_or_default()));
    }
    if let Some(most) = field.max_items {
        parts.push(format!("{} to {most} items", field.min_items.unwrap_or_default()));
    }
    if let Some(pattern) = &field.pattern {
        parts.push(format!("`{pattern}`").replace('|', "\\|"));
    }
    if let Some(items) = items(field) {
        let inner = bounds(items);
        parts.extend((!inner.is_empty()).then(|| format!("each {inner}")));
    }
    if field.x_kubernetes_list_type.as_deref() == Some("map") {
        let keys = field.x_kubernetes_list_map_keys.iter().flatten();
        parts.push(format!("by {}", keys.map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")));
    }
    parts.join("; ")
}

fn is_list(field: &JSONSchemaProps) -> bool {
    field.type_.as_deref() == Some("array")
}

/// The schema of a list's items.
fn items(field: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match &field.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) if is_list(field) => Some(items),
        _ => None,
    }
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row_of(schema: Value, is_required: bool) -> String {
        row("field", &serde_json::from_value(schema).unwrap(), is_required)
    }

    #[test]
    fn a_row_has_type_default_bounds_and_description() {
        let rows = [
            row_of(
                json!({"type": "integer", "minimum": 1.0, "maximum": 100.0, "default": 5, "description": "How\nmany."}),
                false,
            ),
            row_of(json!({"type": "integer", "minimum": 0.5}), true),
            row_of(json!({"type": "integer", "enum": [256, 512]}), true),
            row_of(json!({"type": "string", "enum": ["On", "Off", null], "default": "On"}), false),
            row_of(json!({"type": "string", "maxLength": 63, "pattern": "^(a|b)$"}), false),
            row_of(json!({"type": "string", "format": "date-time"}), false),
            row_of(json!({"type": "object", "default": {"mode": "None"}, "description": "a|b"}), false),
            row_of(json!({"default": false}), false),
        ];
        assert_eq!(
            rows,
            [
                "| `field` | integer | `5` | 1 to 100 | How many. |",
                "| `field` | integer | required | at least 0.5 |  |",
                "| `field` | integer | required | 256, 512 |  |",
                "| `field` | one of `On`, `Off` | `On` |  |  |",
                "| `field` | string |  | 0 to 63 characters; `^(a\\|b)$` |  |",
                "| `field` | instant |  |  |  |",
                "| `field` | object | `{}` |  | a\\|b |",
                "| `field` | any | `false` |  |  |",
            ]
        );
    }

    #[test]
    fn a_list_has_the_bounds_of_its_items_and_its_keys() {
        let list = json!({
            "type": "array", "minItems": 1, "maxItems": 8, "default": [1, 2],
            "items": {"type": "string", "maxLength": 9},
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        });
        assert_eq!(
            row_of(list, true),
            "| `field` | list of string | 2 items, see the description | 1 to 8 items; each 0 to 9 characters; by `name` |  |"
        );
    }

    #[test]
    fn an_object_with_the_fields_of_the_spec_refers_to_it() {
        let spec: JSONSchemaProps =
            serde_json::from_value(json!({"properties": {"a": {}, "b": {}}})).unwrap();
        let status: JSONSchemaProps = serde_json::from_value(json!({"properties": {
            "used": {"type": "object", "properties": {"a": {}, "b": {}}},
            "list": {"type": "array", "items": {"properties": {"c": {}}},
                     "x-kubernetes-validations": [{"rule": "size(self)\n > 0", "message": "too few"}]},
        }}))
        .unwrap();
        let text = section("status", &status, &spec).join("\n");
        assert_eq!(
            text,
            "### status

| Field | Type | Default | Bounds | Description |
|---|---|---|---|---|
| `list` | list of any |  |  |  |
| `used` | object |  |  |  |

`list` must satisfy these CEL rules; otherwise it is rejected with the message:

- \"too few\": `size(self) > 0`

### status.list[]

| Field | Type | Default | Bounds | Description |
|---|---|---|---|---|
| `c` | any |  |  |  |

### status.used

The fields of [spec](#spec).
"
        );
    }
}
