//! Tests of the CustomResourceDefinition as a document.

use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kinesis_demo_api::{KinesisDemo, KinesisDemoRun};
use kinesis_demo_operator::crd;
use kube::CustomResourceExt;
use serde_json::Value;

fn schema() -> Value {
    schema_of(&KinesisDemo::crd())
}

fn schema_of(crd: &CustomResourceDefinition) -> Value {
    let crd = serde_json::to_value(crd).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"].clone()
}

/// Spec and status of both kinds, with their names.
fn roots() -> Vec<(String, Value)> {
    let kinds = [("KinesisDemo", schema()), ("KinesisDemoRun", schema_of(&KinesisDemoRun::crd()))];
    let roots = |(kind, schema): (&str, Value)| {
        ["spec", "status"].map(|root| (format!("{kind}.{root}"), schema[root].clone()))
    };
    kinds.into_iter().flat_map(roots).collect()
}

/// Calls `visit` with every property below `schema`, and with its path.
fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, visit);
    }
    if schema.get("items").is_some() {
        walk(&format!("{path}[]"), &schema["items"], visit);
    }
    if schema["additionalProperties"].is_object() {
        walk(&format!("{path}{{}}"), &schema["additionalProperties"], visit);
    }
}

#[test]
fn the_committed_definitions_match_the_types() {
    for (name, generated) in [("kinesisdemos", crd::demo_yaml()), ("kinesisdemoruns", crd::run_yaml())] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("crds/{name}.kinesisdemo.io.yaml"));
        let generated = generated.unwrap();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &generated).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == generated, "crds/ differs from the types in api/: run `make generate`");
    }
}

#[test]
fn every_field_of_spec_and_status_is_described() {
    let mut undescribed = Vec::new();
    for (root, schema) in roots() {
        walk(&root, &schema, &mut |path, property| {
            let is_item = path.ends_with("[]");
            if !is_item && property["description"].as_str().is_none_or(str::is_empty) {
                undescribed.push(path.to_owned());
            }
        });
    }
    assert_eq!(undescribed, [] as [&str; 0], "`kubectl explain` has no description of these");
}

#[test]
fn every_list_map_and_string_is_bounded() {
    let mut unbounded = Vec::new();
    for (root, schema) in roots() {
        walk(&root, &schema, &mut |path, property| {
            let bounded = match property["type"].as_str() {
                Some("string") => property["maxLength"].is_number() || property["enum"].is_array(),
                Some("array") => property["maxItems"].is_number(),
                Some("object") => {
                    !property["additionalProperties"].is_object() || property["maxProperties"].is_number()
                }
                _ => true,
            };
            if !bounded {
                unbounded.push(path.to_owned());
            }
        });
    }
    assert_eq!(unbounded, [] as [&str; 0]);
}

#[test]
fn every_number_of_the_spec_is_bounded() {
    let mut unbounded = Vec::new();
    walk("spec", &schema()["spec"], &mut |path, property| {
        let is_number = matches!(property["type"].as_str(), Some("integer" | "number"));
        let bounded = property["enum"].is_array()
            || (property["minimum"].is_number() && property["maximum"].is_number());
        if is_number && !bounded {
            unbounded.push(path.to_owned());
        }
    });
    assert_eq!(unbounded, [] as [&str; 0]);
}

/// The Kubernetes API conventions allow only signed integers. With other numbers the API server
/// warns at every apply, and code generators for clients fail.
#[test]
fn every_number_is_a_bounded_signed_integer_within_its_format() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (root, schema) in roots() {
        walk(&root, &schema, &mut |path, property| {
            assert_ne!(property["type"], "number", "{path}: no fractions");
            if property["type"] != "integer" {
                return;
            }
            seen += 1;
            let (minimum, maximum) = (property["minimum"].as_f64(), property["maximum"].as_f64());
            let range = match property["format"].as_str() {
                Some("int32") => f64::from(i32::MIN)..=f64::from(i32::MAX),
                // The integers that every JSON parser represents exactly, JavaScript's included.
                Some("int64") => -9_007_199_254_740_991.0..=9_007_199_254_740_991.0,
                _ => return wrong.push(path.to_owned()),
            };
            let holds = |bound: Option<f64>| bound.is_some_and(|bound| range.contains(&bound));
            if !holds(minimum) || !holds(maximum) || minimum >= maximum {
                wrong.push(path.to_owned());
            }
        });
    }
    assert_eq!(wrong, [] as [&str; 0]);
    assert!(seen > 60, "only {seen} integers were checked");
}

#[test]
fn the_api_server_knows_every_format_and_no_enum_has_null() {
    let mut wrong = Vec::new();
    for (root, schema) in roots() {
        walk(&root, &schema, &mut |path, property| {
            let known = ["int32", "int64", "date-time"];
            let format = property["format"].as_str();
            let has_null =
                property["enum"].as_array().is_some_and(|values| values.iter().any(Value::is_null));
            let is_combined =
                ["oneOf", "anyOf", "allOf", "not"].iter().any(|word| property.get(word).is_some());
            if format.is_some_and(|format| !known.contains(&format)) || has_null || is_combined {
                wrong.push(path.to_owned());
            }
        });
    }
    assert_eq!(wrong, [] as [&str; 0]);
    let stage = &schema()["status"]["properties"]["stage"];
    assert_eq!((stage.get("nullable"), stage["enum"].as_array().map(Vec::len)), (None, Some(10)));
}

#[test]
fn no_empty_lists_that_gitops_tools_would_show_as_a_diff() {
    let crd = serde_json::to_value(KinesisDemo::crd()).unwrap();
    for field in ["categories", "shortNames"] {
        assert!(crd["spec"]["names"][field].as_array().is_some_and(|list| !list.is_empty()), "{field}");
    }
    let columns: Vec<_> = crd["spec"]["versions"][0]["additionalPrinterColumns"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|column| column["priority"].as_i64().unwrap_or(0) == 0)
        .map(|column| column["name"].as_str().unwrap().to_uppercase())
        .collect();
    assert_eq!(
        columns,
        ["RUN", "STAGE", "PHASE", "RATE", "TARGET", "TASKS", "WARM", "ENDS", "COST", "STALLED"]
    );
}
