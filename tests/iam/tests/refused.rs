//! Calls that must be refused are refused, and for the intended reason.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use kinesis_demo_iam::call::parse;
use kinesis_demo_iam::policies::{DOCUMENTS, text_of};
use kinesis_demo_iam::{Call, Deployment, PolicyEvaluator, ResourceTags};
use serde_json::Value;

/// A table of calls: a title, the action that is refused, and the call.
const TABLE: &str = include_str!("../refused.txt");

/// Calls that are allowed although they should not be: foundation/README.md says why.
const GAPS: &str = include_str!("../gaps.txt");

struct Row {
    title: String,
    action: String,
    call: Call,
}

/// Three lines per row: the title, the refused action (or `-`), and the call with the tags of its
/// resource.
fn rows(table: &str) -> Vec<Row> {
    let lines: Vec<&str> = table.lines().filter(|line| !line.is_empty() && !line.starts_with("//")).collect();
    assert_eq!(lines.len() % 3, 0, "each row must have three lines");
    let row = |lines: &[&str]| Row {
        title: lines[0].to_owned(),
        action: lines[1].to_owned(),
        call: parse(lines[2]).unwrap_or_else(|error| panic!("{}: {error}", lines[0])).remove(0),
    };
    lines.chunks(3).map(row).collect()
}

fn resource_tags() -> ResourceTags {
    ResourceTags::from_calls(&parse(include_str!("../calls.jsonl")).unwrap(), "000000000000")
}

fn refused_actions(evaluator: &PolicyEvaluator, call: &Call) -> Vec<String> {
    let refusals = evaluator.refusals(call, &resource_tags()).unwrap_or_else(|error| panic!("{error}"));
    refusals.into_iter().map(|refusal| refusal.action).collect()
}

#[test]
fn the_listed_calls_are_refused() {
    let evaluator = PolicyEvaluator::new(Deployment::sandbox()).unwrap();
    let rows = rows(TABLE);
    assert!(rows.len() >= 50, "{}", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .map(|row| (row, refused_actions(&evaluator, &row.call)))
        .filter(|(row, refused)| !refused.contains(&row.action))
        .map(|(row, refused)| format!("{}: refused {refused:?}, not {}", row.title, row.action))
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

/// All looser documents: a statement without one of its condition keys, or with one resource
/// widened to all resources of its kind.
fn looser_documents() -> Vec<(String, &'static str, String)> {
    let mut looser = Vec::new();
    for name in DOCUMENTS {
        let document: Value = serde_json::from_str(&text_of(name).unwrap()).unwrap();
        for (index, statement) in document["Statement"].as_array().unwrap().iter().enumerate() {
            let sid = statement["Sid"].as_str().unwrap();
            let mut keep = |what: String, changed: Value| {
                let mut document = document.clone();
                document["Statement"][index] = changed;
                looser.push((format!("{name}: {sid} without {what}"), name, document.to_string()));
            };
            for (operator, keys) in statement["Condition"].as_object().into_iter().flatten() {
                for key in keys.as_object().unwrap().keys() {
                    let mut changed = statement.clone();
                    changed["Condition"][operator].as_object_mut().unwrap().remove(key);
                    keep(key.clone(), changed);
                }
            }
            let resources = match &statement["Resource"] {
                Value::Array(several) => several.clone(),
                one => vec![one.clone()],
            };
            for (at, resource) in resources.iter().enumerate() {
                let resource = resource.as_str().unwrap();
                // A resource that already covers its whole kind cannot be widened further.
                if resource == "*"
                    || resource.ends_with("stream/*")
                    || resource.ends_with("scalable-target/*")
                {
                    continue;
                }
                // A resource that CloudFormation fills in has no ARN from which to read its kind.
                let wider = match resource.split(':').nth(2) {
                    Some(service) if resource.starts_with("arn:") => {
                        let service =
                            if service.is_empty() { resource.split(':').nth(4).unwrap() } else { service };
                        let kind = resource.rsplit(':').next().unwrap().split('/').next().unwrap();
                        match (service, kind) {
                            ("logs", _) | (_, "") => "arn:aws:logs:*:*:log-group:*".to_owned(),
                            (service, kind) => format!("arn:aws:{service}:*:*:{kind}/*"),
                        }
                    }
                    _ => "arn:aws:iam::*:role/*".to_owned(),
                };
                let mut changed = statement.clone();
                let mut wide = resources.clone();
                wide[at] = wider.into();
                changed["Resource"] = wide.into();
                keep(resource.to_owned(), changed);
            }
        }
    }
    looser
}

#[test]
fn the_table_detects_every_removed_condition_and_resource() {
    let rows = rows(TABLE);
    let mut undetected = Vec::new();
    let looser = looser_documents();
    assert!(looser.len() > 40, "{}", looser.len());
    for (what, changed, text) in looser {
        let documents = |name: &str| if name == changed { Ok(text.clone()) } else { text_of(name) };
        let evaluator = PolicyEvaluator::by(Deployment::sandbox(), &documents).unwrap();
        if rows.iter().all(|row| refused_actions(&evaluator, &row.call).contains(&row.action)) {
            undetected.push(what);
        }
    }
    assert_eq!(undetected, Vec::<String>::new());
}

#[test]
fn the_gaps_in_the_readme_are_really_allowed() {
    let evaluator = PolicyEvaluator::new(Deployment::sandbox()).unwrap();
    for row in rows(GAPS) {
        assert_eq!(refused_actions(&evaluator, &row.call), Vec::<String>::new(), "{}", row.title);
    }
}

#[test]
fn restricted_stream_names_prevent_takeover_of_other_streams() {
    let evaluator =
        PolicyEvaluator::new(Deployment { stream_names: "kd-*".to_owned(), ..Deployment::sandbox() })
            .unwrap();
    let calls = parse(include_str!("../calls.jsonl")).unwrap();
    let create = |name| {
        let mut creates = calls.iter().filter(|call| call.operation == "CreateStream");
        creates.find(|call| call.text("StreamName") == Some(name)).unwrap()
    };
    assert_eq!(refused_actions(&evaluator, create("kd-viral-event-5f3c2a1b-r3")), Vec::<String>::new());
    let refused = refused_actions(&evaluator, create("social-media-stream"));
    assert_eq!(refused, ["kinesis:CreateStream", "kinesis:AddTagsToStream"]);
    let takeover = rows(GAPS).into_iter().find(|row| row.call.operation == "AddTagsToStream").unwrap();
    assert_eq!(refused_actions(&evaluator, &takeover.call), ["kinesis:AddTagsToStream"]);
}
