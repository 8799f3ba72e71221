//! The tables against AWS's service models: `tests/members` holds extracts of botocore's, which `hack/service-members` writes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

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
struct Offer {
    /// The signing name.
    service: &'static str,
    operations: &'static [Operation],
    model: Model,
    /// Where it is implemented.
    sources: PathBuf,
}

/// An extract of botocore's model. Members are named by their paths, with `[]` for what a list holds and `{…}` for a map.
#[derive(Deserialize)]
struct Model {
    operations: BTreeMap<String, BTreeMap<String, Member>>,
    /// Operations that are not offered.
    others: Vec<String>,
}

#[derive(Deserialize)]
struct Member {
    r#type: String,
}

fn offers() -> Vec<Offer> {
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
    let offer = |service, model: &str, folder: &str, held: &dyn Service| {
        let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(crate_root.join(format!("tests/members/{model}.json"))).unwrap();
        Offer {
            service,
            operations: held.operations().unwrap(),
            model: serde_json::from_str(&text).unwrap(),
            sources: crate_root.join("src").join(folder),
        }
    };
    vec![
        offer("application-autoscaling", "application-autoscaling", "scaling", scaling.as_ref()),
        offer("ecs", "ecs", "ecs", ecs.as_ref()),
        offer("logs", "logs", "logs", logs.as_ref()),
        offer("monitoring", "cloudwatch", "cloudwatch", &CloudWatch::new(clock.clone())),
        offer("ssm", "ssm", "ssm", &Ssm::new(clock)),
        offer("sts", "sts", "sts.rs", &Sts),
    ]
}

/// A path as tables have it.
fn plain(path: &str) -> String {
    path.replace("[]", "")
}

impl Offer {
    /// Each operation with the members that structures of its input have, by their paths.
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

/// Something that asks for what is at `path`.
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

/// A request with nothing but `value` at `path`.
fn request(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |inner, part| match part.strip_suffix("[]") {
        Some(name) => json!({ name: [inner] }),
        None => json!({ part: inner }),
    })
}

#[test]
fn the_tables_hold_the_operations_of_the_extracts() {
    for offer in offers() {
        let tables: BTreeSet<&str> = offer.operations.iter().map(|operation| operation.name).collect();
        assert_eq!(tables.len(), offer.operations.len(), "{}: an operation is listed twice", offer.service);
        let model: BTreeSet<&str> = offer.model.operations.keys().map(String::as_str).collect();
        assert_eq!(tables, model, "{}: run hack/service-members", offer.service);
    }
}

#[test]
fn every_member_of_every_operation_has_its_treatment() {
    let mut forgotten = Vec::new();
    for offer in offers() {
        for (operation, members, paths) in offer.members() {
            for path in paths {
                let is_structure =
                    members.keys().any(|other| plain(other).starts_with(&format!("{}.", plain(path))));
                let fits = match treatment_within(operation, &plain(path)) {
                    Treatment::Idle | Treatment::Refused => true,
                    Treatment::Parts => is_structure,
                    // Of a structure, each member is to be named.
                    Treatment::Honoured => !is_structure,
                    Treatment::Unknown => false,
                };
                if !fits {
                    forgotten.push(format!("{} {} {path}", offer.service, operation.name));
                }
            }
        }
    }
    assert_eq!(forgotten, Vec::<String>::new());
}

/// The treatment of a member by itself or by what holds it.
fn treatment_within(operation: &Operation, path: &str) -> Treatment {
    let ends = path.match_indices('.').map(|(end, _)| end).chain([path.len()]);
    ends.map(|end| operation.treatment(&path[..end]))
        .find(|treatment| *treatment != Treatment::Parts)
        .unwrap_or(Treatment::Parts)
}

#[test]
fn the_tables_name_only_members_that_there_are_once_and_with_a_reason() {
    for offer in offers() {
        for (operation, members, _) in offer.members() {
            let known: BTreeSet<String> = members.keys().map(|path| plain(path)).collect();
            let mut seen = BTreeSet::new();
            for (path, _) in operation.members() {
                assert!(known.contains(path), "{} has no member {path}", operation.name);
                assert!(seen.insert(path), "{} lists {path} twice", operation.name);
            }
            assert!(operation.idle.iter().all(|(_, why)| why.len() > 10), "{}", operation.name);
        }
    }
}

#[test]
fn what_is_refused_is_refused_by_name_and_only_if_something_is_asked_for() {
    let mut refused = 0;
    for offer in offers() {
        for (operation, members, paths) in offer.members() {
            for path in paths {
                let treatment = operation.treatment(&plain(path));
                let told = operation.check(&request(path, sample(members, path)));
                if treatment != Treatment::Refused {
                    continue;
                }
                refused += 1;
                let message = format!(
                    "{}: the member {} is not offered by this sandbox; docs/sandbox.md lists what is",
                    operation.name,
                    plain(path)
                );
                assert_eq!(told, Err(AwsError::client(operation.refusal, message)));
                for nothing in
                    [json!(null), json!(false), json!(""), json!([]), json!({}), json!({"a": [], "b": 0})]
                {
                    operation.check(&request(path, nothing)).unwrap();
                }
            }
        }
    }
    assert!(refused > 60, "{refused}");
}

#[test]
fn what_is_honoured_or_idle_passes() {
    for offer in offers() {
        for (operation, members, paths) in offer.members() {
            for path in paths {
                let passes = matches!(
                    treatment_within(operation, &plain(path)),
                    Treatment::Honoured | Treatment::Idle
                );
                if passes {
                    operation.check(&request(path, sample(members, path))).unwrap();
                }
            }
        }
    }
}

#[test]
fn members_that_nobody_knows_are_refused_at_every_depth() {
    for offer in offers() {
        for (operation, members, _) in offer.members() {
            let mut places = vec!["typo".to_owned()];
            for (path, member) in members {
                if member.r#type == "structure" && operation.treatment(&plain(path)) == Treatment::Parts {
                    places.push(format!("{path}.typo"));
                }
            }
            for place in places {
                let error = operation.check(&request(&place, json!("x"))).unwrap_err();
                assert_eq!(error.code, operation.refusal);
                assert!(
                    error.message.contains(&format!("the member {} is not offered", plain(&place))),
                    "{error}"
                );
            }
        }
    }
}

/// A table that claims to honour what no code reads would let it be ignored.
#[test]
fn what_is_honoured_is_read_by_the_service() {
    for offer in offers() {
        let mut sources = String::new();
        for file in rust_files(&offer.sources) {
            let name = file.file_name().unwrap();
            if name != "operations.rs" && !name.to_string_lossy().contains("tests") {
                let text = std::fs::read_to_string(&file).unwrap();
                sources.push_str(text.split("#[cfg(test)]").next().unwrap());
            }
        }
        for operation in offer.operations {
            for path in operation.honoured.split_ascii_whitespace() {
                let name = path.rsplit('.').next().unwrap();
                assert!(sources.contains(&format!("\"{name}\"")), "{} never reads {path}", operation.name);
            }
        }
    }
}

fn rust_files(place: &Path) -> Vec<PathBuf> {
    if place.is_file() {
        return vec![place.to_owned()];
    }
    let entries = std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn operations_that_are_not_offered_say_so() {
    for offer in offers() {
        assert!(!offer.model.others.is_empty());
        for operation in &offer.model.others {
            let error = admit(offer.operations, offer.service, operation, &json!({})).unwrap_err();
            let by_query = matches!(offer.service, "monitoring" | "sts");
            assert_eq!(error.code, if by_query { "InvalidAction" } else { "UnknownOperationException" });
            assert_eq!(
                error.message,
                format!(
                    "The operation {operation} of {} is not offered by this sandbox; docs/sandbox.md lists what is",
                    title(offer.service)
                )
            );
        }
    }
}

const PAGE_BEGINS: &str =
    "<!-- From the tables in sandbox/src: UPDATE=1 cargo test -p kinesis-demo-sandbox --lib the_page -->\n";
const PAGE_ENDS: &str = "<!-- end -->\n";

/// What the page says of a service: operations whose members are all honoured, then the others.
fn page_of(offer: &Offer) -> String {
    let (whole, parts): (Vec<&Operation>, Vec<&Operation>) = offer
        .operations
        .iter()
        .partition(|operation| operation.idle.is_empty() && operation.refused.is_empty());
    let names: Vec<&str> = whole.iter().map(|operation| operation.name).collect();
    let mut text = format!("**{}**, with every member: {}.\n\n", title(offer.service), names.join(", "));
    if parts.is_empty() {
        return text;
    }
    text.push_str("| Operation | Refused | Without effect, because |\n|---|---|---|\n");
    for operation in parts {
        let refused: Vec<String> =
            operation.refused.split_ascii_whitespace().map(|member| format!("`{member}`")).collect();
        let idle: Vec<String> =
            operation.idle.iter().map(|(member, why)| format!("`{member}`: {why}")).collect();
        text.push_str(&format!("| {} | {} | {} |\n", operation.name, refused.join(", "), idle.join("; ")));
    }
    text.push('\n');
    text
}

#[test]
fn the_page_lists_what_is_offered() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/sandbox.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(PAGE_BEGINS).unwrap();
    let (listed, after) = rest.split_once(PAGE_ENDS).unwrap();
    let right: String = offers().iter().map(page_of).collect();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(page, format!("{before}{PAGE_BEGINS}\n{right}{PAGE_ENDS}{after}")).unwrap();
    } else {
        assert_eq!(listed.trim_start(), right, "UPDATE=1 brings docs/sandbox.md up to the tables");
    }
}
