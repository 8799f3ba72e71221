//! Compares the tables with AWS's service models: `src/models` contains extracts of botocore's,
//! which `hack/service-members` writes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

mod constraints;

use super::*;
use crate::clock::ModelClock;
use crate::services::Service;
use crate::services::cloudwatch::CloudWatch;
use crate::services::ecs::{Ecs, EcsSettings, TaskRules};
use crate::services::logs::Logs;
use crate::services::scaling::Scaling;
use crate::services::ssm::Ssm;
use crate::services::sts::Sts;

/// A service's table and model.
struct ServiceTable {
    /// The signing name.
    service: &'static str,
    operations: &'static [Operation],
    model: Model,
    /// The folder of its source code.
    sources: PathBuf,
}

/// An extract of botocore's model. Parameters are named by path, with `[]` for list items and `{…}`
/// for maps.
#[derive(Deserialize)]
struct Model {
    operations: BTreeMap<String, BTreeMap<String, Member>>,
    /// The operations that the sandbox does not support.
    others: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Member {
    r#type: String,
    required: bool,
    min: Option<f64>,
    max: Option<f64>,
    pattern: Option<String>,
    r#enum: Option<Vec<String>>,
}

fn tables() -> Vec<ServiceTable> {
    let clock = ModelClock::manual(1);
    let logs = Arc::new(Logs::new(clock.clone()));
    let settings = EcsSettings {
        account: "000000000000".into(),
        clusters: Vec::new(),
        seed: 0,
        vcpu_quota: 1,
        is_fresh_account: false,
        rules: TaskRules::Pods,
    };
    let ecs = Ecs::new(clock.clone(), settings, logs.clone());
    let scaling = Scaling::new(clock.clone(), ecs.clone(), false);
    let table = |service, model: &str, folder: &str, implementation: &dyn Service| {
        let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(crate_root.join(format!("src/models/{model}.json"))).unwrap();
        ServiceTable {
            service,
            operations: implementation.operations().unwrap(),
            model: serde_json::from_str(&text).unwrap(),
            sources: crate_root.join("src/services").join(folder),
        }
    };
    vec![
        table("application-autoscaling", "application-autoscaling", "scaling", scaling.as_ref()),
        table("ecs", "ecs", "ecs", ecs.as_ref()),
        table("logs", "logs", "logs", logs.as_ref()),
        table("monitoring", "cloudwatch", "cloudwatch", &CloudWatch::new(clock.clone())),
        table("ssm", "ssm", "ssm", &Ssm::new(clock)),
        table("sts", "sts", "sts.rs", &Sts),
    ]
}

/// A path in the form of the tables.
fn plain(path: &str) -> String {
    path.replace("[]", "")
}

impl ServiceTable {
    /// Each operation with the parameters of its input, by path. The last part lists the paths of
    /// structure members.
    fn members(&self) -> Vec<(&Operation, &BTreeMap<String, Member>, Vec<&str>)> {
        let is_member = |path: &&str| !path.ends_with("[]") && !path.contains('{');
        self.operations
            .iter()
            .map(|operation| {
                let members = &self.model.operations[operation.name];
                (operation, members, members.keys().map(String::as_str).filter(is_member).collect())
            })
            .collect()
    }
}

/// A value at `path` that is not empty.
fn sample(members: &BTreeMap<String, Member>, path: &str) -> Value {
    match members[path].r#type.as_str() {
        "string" => json!("x"),
        "boolean" => json!(true),
        "integer" | "long" | "timestamp" => json!(7),
        "double" => json!(1.5),
        "map" => json!({"k": "v"}),
        "list" => json!([sample(members, &format!("{path}[]"))]),
        "structure" => {
            let child = members.keys().find_map(|other| {
                let name = other.strip_prefix(path)?.strip_prefix('.')?;
                (!name.contains(['.', '[', '{'])).then_some((name, other))
            });
            match child {
                Some((name, child)) => json!({ name: sample(members, child) }),
                None => json!({"any": "x"}),
            }
        }
        other => panic!("{path} is a {other}"),
    }
}

/// A request with only `value` at `path`.
fn request(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |inner, part| match part.strip_suffix("[]") {
        Some(name) => json!({ name: [inner] }),
        None => json!({ part: inner }),
    })
}

#[test]
fn tables_and_extracts_have_the_same_operations() {
    for table in tables() {
        let listed: BTreeSet<&str> = table.operations.iter().map(|operation| operation.name).collect();
        assert_eq!(listed.len(), table.operations.len(), "{}: an operation is listed twice", table.service);
        let model: BTreeSet<&str> = table.model.operations.keys().map(String::as_str).collect();
        assert_eq!(listed, model, "{}: run hack/service-members", table.service);
    }
}

#[test]
fn every_parameter_of_every_operation_has_a_treatment() {
    let mut forgotten = Vec::new();
    for table in tables() {
        for (operation, members, paths) in table.members() {
            for path in paths {
                let is_structure =
                    members.keys().any(|other| plain(other).starts_with(&format!("{}.", plain(path))));
                let fits = match treatment_within(operation, &plain(path)) {
                    Treatment::NoEffect | Treatment::Rejected => true,
                    Treatment::Structure => is_structure,
                    // A structure's members must be listed individually.
                    Treatment::Supported => !is_structure,
                    Treatment::Unknown => false,
                };
                if !fits {
                    forgotten.push(format!("{} {} {path}", table.service, operation.name));
                }
            }
        }
    }
    assert_eq!(forgotten, Vec::<String>::new());
}

/// The treatment of a parameter, or of the parameter that contains it.
fn treatment_within(operation: &Operation, path: &str) -> Treatment {
    let ends = path.match_indices('.').map(|(end, _)| end).chain([path.len()]);
    ends.map(|end| operation.treatment(&path[..end]))
        .find(|treatment| *treatment != Treatment::Structure)
        .unwrap_or(Treatment::Structure)
}

#[test]
fn tables_list_existing_parameters_once_and_with_a_reason() {
    for table in tables() {
        for (operation, members, _) in table.members() {
            let known: BTreeSet<String> = members.keys().map(|path| plain(path)).collect();
            let mut seen = BTreeSet::new();
            for (path, _) in operation.parameters() {
                assert!(known.contains(path), "{} has no parameter {path}", operation.name);
                assert!(seen.insert(path), "{} lists {path} twice", operation.name);
            }
            assert!(operation.ineffective_parameters().all(|(_, why)| why.len() > 10), "{}", operation.name);
        }
    }
}

#[test]
fn rejected_parameters_are_named_unless_empty() {
    let mut rejected = 0;
    for table in tables() {
        for (operation, members, paths) in table.members() {
            for path in paths {
                let treatment = operation.treatment(&plain(path));
                let result = operation.check(&request(path, sample(members, path)));
                if treatment != Treatment::Rejected {
                    continue;
                }
                rejected += 1;
                let message = format!(
                    "{}: the parameter {} is not supported by this sandbox; docs/sandbox.md lists what is supported",
                    operation.name,
                    plain(path)
                );
                assert_eq!(result, Err(AwsError::client(operation.error_code, message)));
                for nothing in
                    [json!(null), json!(false), json!(""), json!([]), json!({}), json!({"a": [], "b": 0})]
                {
                    operation.check(&request(path, nothing)).unwrap();
                }
            }
        }
    }
    assert!(rejected > 60, "{rejected}");
}

#[test]
fn supported_and_ineffective_parameters_are_accepted() {
    for table in tables() {
        for (operation, members, paths) in table.members() {
            for path in paths {
                let passes = matches!(
                    treatment_within(operation, &plain(path)),
                    Treatment::Supported | Treatment::NoEffect
                );
                if passes {
                    operation.check(&request(path, sample(members, path))).unwrap();
                }
            }
        }
    }
}

#[test]
fn unknown_parameters_are_rejected_at_every_depth() {
    for table in tables() {
        for (operation, members, _) in table.members() {
            let mut paths = vec!["typo".to_owned()];
            for (path, member) in members {
                if member.r#type == "structure" && operation.treatment(&plain(path)) == Treatment::Structure {
                    paths.push(format!("{path}.typo"));
                }
            }
            for path in paths {
                let error = operation.check(&request(&path, json!("x"))).unwrap_err();
                assert_eq!(error.code, operation.error_code);
                assert!(
                    error.message.contains(&format!("the parameter {} is not supported", plain(&path))),
                    "{error}"
                );
            }
        }
    }
}

/// A table that lists a parameter as supported although no code reads it would let it be ignored.
#[test]
fn supported_parameters_are_read_by_the_service() {
    for table in tables() {
        let mut sources = String::new();
        for file in rust_files(&table.sources) {
            let is_table = file.ends_with("ops/mod.rs");
            if !is_table && !file.to_string_lossy().contains("tests") {
                let text = std::fs::read_to_string(&file).unwrap();
                sources.push_str(text.split("#[cfg(test)]").next().unwrap());
            }
        }
        for operation in table.operations {
            for path in operation.supported_parameters() {
                let name = path.rsplit('.').next().unwrap();
                assert!(sources.contains(&format!("\"{name}\"")), "{} never reads {path}", operation.name);
            }
        }
    }
}

fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn unsupported_operations_are_rejected() {
    for table in tables() {
        assert!(!table.model.others.is_empty());
        for operation in &table.model.others {
            let error = check_request(table.operations, table.service, operation, &json!({})).unwrap_err();
            let by_query = matches!(table.service, "monitoring" | "sts");
            assert_eq!(error.code, if by_query { "InvalidAction" } else { "UnknownOperationException" });
            assert_eq!(
                error.message,
                format!(
                    "The operation {operation} of {} is not supported by this sandbox; docs/sandbox.md lists what is supported",
                    title(table.service)
                )
            );
        }
    }
}

const PAGE_BEGINS: &str =
    "<!-- From the tables in sandbox/src: UPDATE=1 cargo test -p kinesis-demo-sandbox --lib the_page -->\n";
const PAGE_ENDS: &str = "<!-- end -->\n";

/// A service's section of the page: first the operations without restrictions, then the others.
fn page_of(table: &ServiceTable) -> String {
    let (whole, parts): (Vec<&Operation>, Vec<&Operation>) = table.operations.iter().partition(|operation| {
        operation
            .ineffective_parameters()
            .chain(operation.rejected_parameters().map(|path| (path, "")))
            .next()
            .is_none()
    });
    let names: Vec<&str> = whole.iter().map(|operation| operation.name).collect();
    let mut text =
        format!("**{}**, all parameters supported: {}.\n\n", title(table.service), names.join(", "));
    if parts.is_empty() {
        return text;
    }
    text.push_str(
        "| Operation | Rejected parameters | Parameters without effect, and why |\n|---|---|---|\n",
    );
    for operation in parts {
        let rejected: Vec<String> = operation.rejected_parameters().map(|path| format!("`{path}`")).collect();
        let without_effect: Vec<String> =
            operation.ineffective_parameters().map(|(path, why)| format!("`{path}`: {why}")).collect();
        text.push_str(&format!(
            "| {} | {} | {} |\n",
            operation.name,
            rejected.join(", "),
            without_effect.join("; ")
        ));
    }
    text.push('\n');
    text
}

#[test]
fn the_page_matches_the_tables() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/sandbox.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(PAGE_BEGINS).unwrap();
    let (listed, after) = rest.split_once(PAGE_ENDS).unwrap();
    let right: String = tables().iter().map(page_of).collect();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(page, format!("{before}{PAGE_BEGINS}\n{right}{PAGE_ENDS}{after}")).unwrap();
    } else {
        assert_eq!(listed.trim_start(), right, "run with UPDATE=1 to update docs/sandbox.md from the tables");
    }
}
