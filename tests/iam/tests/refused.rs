//! What must be refused is refused, and for the reason that is meant.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use kinesis_demo_iam::call::parse;
use kinesis_demo_iam::policies::{DOCUMENTS, text_of};
use kinesis_demo_iam::{Call, Deployment, PolicyEvaluator, ResourceTags};
use serde_json::Value;

/// A table: what it is, who calls what with which input, and the action that is refused.
const TABLE: &str = include_str!("../refused.txt");

/// What is allowed though one might wish otherwise: foundation/README.md says why.
const GAPS: &str = include_str!("../gaps.txt");

struct Row {
    title: String,
    action: String,
    call: Call,
}

/// Three lines to a row: title, refused action (or `-`), call; tags of the resource within the call.
fn rows(table: &str) -> Vec<Row> {
    let lines: Vec<&str> = table.lines().filter(|line| !line.is_empty() && !line.starts_with("//")).collect();
    assert_eq!(lines.len() % 3, 0, "three lines to a row");
    let row = |lines: &[&str]| Row {
        title: lines[0].to_owned(),
        action: lines[1].to_owned(),
        call: parse(lines[2]).unwrap_or_else(|error| panic!("{}: {error}", lines[0])).remove(0),
    };
    lines.chunks(3).map(row).collect()
}

fn world() -> ResourceTags {
    ResourceTags::made_by(&parse(include_str!("../calls.jsonl")).unwrap(), "000000000000")
}

fn refused_actions(judge: &PolicyEvaluator, call: &Call) -> Vec<String> {
    let refusals = judge.refusals(call, &world()).unwrap_or_else(|error| panic!("{error}"));
    refusals.into_iter().map(|refusal| refusal.action).collect()
}

#[test]
fn calls_that_nobody_may_make_are_refused() {
    let judge = PolicyEvaluator::new(Deployment::sandbox()).unwrap();
    let rows = rows(TABLE);
    assert!(rows.len() >= 50, "{}", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .map(|row| (row, refused_actions(&judge, &row.call)))
        .filter(|(row, refused)| !refused.contains(&row.action))
        .map(|(row, refused)| format!("{}: refused {refused:?}, not {}", row.title, row.action))
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

/// Every document that says less: a statement without one of its condition keys, or one resource of it widened to all of its account.
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
                // What is all of its kind already can be widened no further.
                if resource == "*"
                    || resource.ends_with("stream/*")
                    || resource.ends_with("scalable-target/*")
                {
                    continue;
                }
                // A resource that CloudFormation fills in says its kind by nothing but its name.
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
fn the_table_would_notice_the_loss_of_any_condition_and_any_resource() {
    let rows = rows(TABLE);
    let mut unnoticed = Vec::new();
    let looser = looser_documents();
    assert!(looser.len() > 40, "{}", looser.len());
    for (what, changed, text) in looser {
        let documents = |name: &str| if name == changed { Ok(text.clone()) } else { text_of(name) };
        let judge = PolicyEvaluator::by(Deployment::sandbox(), &documents).unwrap();
        if rows.iter().all(|row| refused_actions(&judge, &row.call).contains(&row.action)) {
            unnoticed.push(what);
        }
    }
    assert_eq!(unnoticed, Vec::<String>::new());
}

#[test]
fn the_gaps_are_those_that_the_readme_tells() {
    let judge = PolicyEvaluator::new(Deployment::sandbox()).unwrap();
    for row in rows(GAPS) {
        assert_eq!(refused_actions(&judge, &row.call), Vec::<String>::new(), "{}", row.title);
    }
}

#[test]
fn with_stream_names_held_to_ours_no_other_stream_can_be_made_or_taken_over() {
    let judge = PolicyEvaluator::new(Deployment { stream_names: "kd-*".to_owned(), ..Deployment::sandbox() })
        .unwrap();
    let calls = parse(include_str!("../calls.jsonl")).unwrap();
    let create = |name| {
        let mut creates = calls.iter().filter(|call| call.operation == "CreateStream");
        creates.find(|call| call.text("StreamName") == Some(name)).unwrap()
    };
    assert_eq!(refused_actions(&judge, create("kd-viral-event-5f3c2a1b-r3")), Vec::<String>::new());
    let refused = refused_actions(&judge, create("social-media-stream"));
    assert_eq!(refused, ["kinesis:CreateStream", "kinesis:AddTagsToStream"]);
    let takeover = rows(GAPS).into_iter().find(|row| row.call.operation == "AddTagsToStream").unwrap();
    assert_eq!(refused_actions(&judge, &takeover.call), ["kinesis:AddTagsToStream"]);
}
