//! The published documents: their size, their contents, and that the template contains the same.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;

use kinesis_demo_iam::policies::{DOCUMENTS, text_of};
use kinesis_demo_iam::reference::{Reference, offers};
use kinesis_demo_iam::{Deployment, repository, template};
use serde_json::Value;

/// IAM user guide, "IAM and AWS STS quotas": a managed policy has at most 6,144 characters, white
/// space not counted.
const MOST_CHARACTERS: usize = 6_144;

/// The longest values that the template's parameters and AWS names allow.
fn longest() -> Deployment {
    let role = |name: &str| format!("arn:aws-us-gov:iam::111122223333:role/{}{name}", "x".repeat(50));
    Deployment {
        partition: "aws-us-gov".to_owned(),
        account: "111122223333".to_owned(),
        region: "ap-southeast-1".to_owned(),
        cluster: "c".repeat(64),
        stream_names: "s".repeat(128),
        task_role_arn: role("TaskRole"),
        execution_role_arn: role("ExecutionRole"),
    }
}

fn statements(name: &str, deployment: &Deployment) -> Vec<Value> {
    let filled = deployment.fill(&text_of(name).unwrap()).unwrap();
    let document: Value = serde_json::from_str(&filled).unwrap();
    assert_eq!(document["Version"], "2012-10-17");
    document["Statement"].as_array().unwrap().clone()
}

/// A string or a list of strings.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(|item| item.as_str().unwrap().to_owned()).collect(),
        one => vec![one.as_str().unwrap().to_owned()],
    }
}

fn condition_keys(statement: &Value) -> Vec<String> {
    let operators = statement["Condition"].as_object().into_iter().flatten();
    operators.flat_map(|(_, keys)| keys.as_object().unwrap().keys().cloned()).collect()
}

#[test]
fn every_document_fits_a_managed_policy_with_the_longest_names() {
    for name in DOCUMENTS {
        let filled = longest().fill(&text_of(name).unwrap()).unwrap();
        let characters = filled.chars().filter(|c| !c.is_whitespace()).count();
        assert!(characters <= MOST_CHARACTERS, "{name}: {characters}");
    }
}

#[test]
fn statements_have_a_sid_and_allow_only_named_actions() {
    let mut seen = BTreeSet::new();
    for name in DOCUMENTS {
        for statement in statements(name, &Deployment::sandbox()) {
            let sid = statement["Sid"].as_str().expect("every statement must have a Sid").to_owned();
            assert!(sid.chars().all(|c| c.is_ascii_alphanumeric()), "{name}: {sid}");
            assert!(seen.insert((name, sid.clone())), "{name}: {sid} twice");
            assert_eq!(statement["Effect"], "Allow", "{name}: {sid}");
            for action in texts(&statement["Action"]) {
                assert!(!action.contains('*'), "{name}: {sid}: {action}");
            }
            let members: BTreeSet<&str> = statement.as_object().unwrap().keys().map(String::as_str).collect();
            let known = BTreeSet::from(["Sid", "Effect", "Action", "Resource", "Condition"]);
            assert!(members.is_subset(&known), "{name}: {sid}: {members:?}");
        }
    }
}

#[test]
fn actions_use_only_resources_and_conditions_that_aws_supports() {
    let reference = Reference::load().unwrap();
    for name in DOCUMENTS {
        for statement in statements(name, &Deployment::sandbox()) {
            let sid = statement["Sid"].as_str().unwrap();
            let resources = texts(&statement["Resource"]);
            let mut used = BTreeSet::new();
            for action in texts(&statement["Action"]) {
                let mut kinds = BTreeSet::new();
                for resource in &resources {
                    if let Some(kind) = reference.type_of(&action, resource).unwrap() {
                        used.insert(resource.clone());
                        kinds.insert(kind);
                    }
                }
                // ListTasks' only resource type is container instances, which Fargate does not
                // have. PutMetricData's is optional.
                let may_name_none = ["ecs:ListTasks", "cloudwatch:PutMetricData"].contains(&action.as_str());
                if resources == ["*"] {
                    used.insert("*".to_owned());
                    let none = reference.action(&action).unwrap().resources.is_empty();
                    assert!(
                        none || may_name_none,
                        "{name}: {sid}: {action} could be restricted to a resource"
                    );
                    kinds.insert(String::new());
                }
                assert!(
                    !kinds.is_empty(),
                    "{name}: {sid}: {action} has no resource of a type that it accepts"
                );
                for kind in kinds {
                    let keys = reference.keys(&action, Some(&kind)).unwrap();
                    for key in condition_keys(&statement) {
                        assert!(offers(&keys, &key), "{name}: {sid}: {action} on {kind:?} has no {key}");
                    }
                }
            }
            assert_eq!(used.len(), resources.len(), "{name}: {sid}: a resource that no action uses");
        }
    }
}

#[test]
fn statements_on_all_resources_have_a_condition() {
    for name in DOCUMENTS {
        for statement in statements(name, &Deployment::sandbox()) {
            if texts(&statement["Resource"]) == ["*"] {
                assert!(!condition_keys(&statement).is_empty(), "{name}: {}", statement["Sid"]);
            }
        }
    }
}

#[test]
fn the_advantage_commitment_is_in_a_document_of_its_own() {
    let actions = |name| -> Vec<String> {
        statements(name, &Deployment::sandbox())
            .iter()
            .flat_map(|statement| texts(&statement["Action"]))
            .collect()
    };
    assert_eq!(actions("operator-advantage"), ["kinesis:UpdateAccountSettings"]);
    for other in ["operator", "task", "execution"] {
        assert!(!actions(other).iter().any(|action| action.ends_with(":UpdateAccountSettings")), "{other}");
    }
}

#[test]
fn the_template_contains_the_published_documents() {
    let path = repository().join("foundation/template.yaml");
    let template = fs::read_to_string(&path).unwrap();
    let mut wanted = template.clone();
    for name in DOCUMENTS {
        wanted = template::embed(&wanted, name, &text_of(name).unwrap()).unwrap();
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &wanted).unwrap();
    } else {
        assert!(
            template == wanted,
            "foundation/template.yaml differs: run UPDATE=1 cargo test -p kinesis-demo-iam"
        );
    }
}
