//! Every call of the project is allowed, and every allowed action is called.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;

use kinesis_demo_iam::call::parse;
use kinesis_demo_iam::needs::needs;
use kinesis_demo_iam::policies::text_of;
use kinesis_demo_iam::{Call, Deployment, PolicyEvaluator, Principal};
use serde_json::Value;

/// A file of calls, or a folder with several, that the end-to-end tests just recorded. They are
/// checked in addition to those in `recorded/`.
const RECORDED: &str = "KINESISDEMO_RECORDED_CALLS";

fn listed_calls() -> Vec<Call> {
    parse(include_str!("../calls.jsonl")).unwrap()
}

fn violations(calls: &[Call]) -> Vec<String> {
    PolicyEvaluator::new(Deployment::sandbox()).unwrap().violations(calls)
}

#[test]
fn every_call_of_a_run_is_allowed() {
    let calls = listed_calls();
    assert!(calls.len() > 40, "{}", calls.len());
    assert_eq!(violations(&calls), Vec::<String>::new());
}

#[test]
fn every_allowed_action_is_called() {
    let deployment = Deployment::sandbox();
    let mut called: BTreeMap<Principal, BTreeSet<String>> = BTreeMap::new();
    for call in listed_calls() {
        let actions = needs(&call, &deployment.account).unwrap().into_iter().map(|need| need.action);
        called.entry(call.principal).or_default().extend(actions);
    }
    let documents =
        [(Principal::Operator, "operator"), (Principal::Task, "task"), (Principal::Execution, "execution")];
    for (principal, document) in documents {
        let policy: Value = serde_json::from_str(&text_of(document).unwrap()).unwrap();
        let mut granted = BTreeSet::new();
        for statement in policy["Statement"].as_array().unwrap() {
            match &statement["Action"] {
                Value::Array(actions) => {
                    granted.extend(actions.iter().map(|action| action.as_str().unwrap().to_owned()))
                }
                one => granted.extend(one.as_str().map(str::to_owned)),
            }
        }
        assert_eq!(granted, called[&principal], "{document}: granted (left), called (right)");
    }
}

#[test]
fn every_recorded_call_is_allowed() {
    let mut files = recordings(&Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded"));
    match std::env::var_os(RECORDED) {
        Some(path) => {
            let fresh = recordings(Path::new(&path));
            assert!(!fresh.is_empty(), "{RECORDED}: no .jsonl in {}", path.display());
            files.extend(fresh);
        }
        // Written directly to stderr, because the test harness captures `println!`.
        None => {
            writeln!(
                std::io::stderr(),
                "skipped: no fresh recordings; set {RECORDED} to a file or folder of them"
            )
            .unwrap();
        }
    }
    assert!(!files.is_empty());
    for file in files {
        // Each recording has its own resources.
        let calls = parse(&fs::read_to_string(&file).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let by_operator = calls.iter().filter(|call| call.principal == Principal::Operator).count();
        assert!(by_operator > 0, "{}: none of the {} calls is the operator's", file.display(), calls.len());
        assert_eq!(violations(&calls), Vec::<String>::new(), "{}", file.display());
    }
}

fn recordings(path: &Path) -> Vec<std::path::PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut files: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    files
}
