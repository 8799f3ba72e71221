//! Every operation, refused in every way, in every stage that calls it. In: one fault. Out: how the
//! run ended, what was lost of the traffic, what is left. The table goes into docs/reference/faults.md.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType};
use kinesis_demo_api::demo::KinesisDemoSpec;
use kinesis_demo_api::duration::DurationText;
use kinesis_demo_api::status::{ResourceState, Stage};
use kinesis_demo_operator::aws::AwsErrorClass;
use kinesis_demo_operator::clock::Clock;

use crate::harness::{Harness, assert_balanced, s, warm_spec};

/// What the table is written to, and compared with.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/faults.md");

const STAGES: [Stage; 6] = [
    Stage::Provisioning,
    Stage::Warming,
    Stage::Starting,
    Stage::Running,
    Stage::Draining,
    Stage::CleaningUp,
];

/// Operations whose answers the account's ownership hangs on: without them nothing is touched.
const STOPS_EVERYTHING: &str = "GetCallerIdentity";

#[derive(Clone, Copy, Debug)]
enum Fault {
    DeniedOnce,
    DeniedTwice,
    DeniedForGood,
    Throttled30s,
    Failing60s,
    Slow20s,
    AnswersLost,
}

const FAULTS: [Fault; 7] = [
    Fault::DeniedOnce,
    Fault::DeniedTwice,
    Fault::DeniedForGood,
    Fault::Throttled30s,
    Fault::Failing60s,
    Fault::Slow20s,
    Fault::AnswersLost,
];

impl Fault {
    fn inject(self, harness: &Harness, operation: &str) {
        let aws = &harness.aws;
        match self {
            Self::DeniedOnce => aws.fail(operation, AwsErrorClass::Denied, 1),
            Self::DeniedTwice => aws.fail(operation, AwsErrorClass::Denied, 2),
            Self::DeniedForGood => aws.fail(operation, AwsErrorClass::Denied, u32::MAX),
            Self::Throttled30s => aws.fail_for(operation, AwsErrorClass::Throttled, s(30)),
            Self::Failing60s => aws.fail_for(operation, AwsErrorClass::Transient, s(60)),
            Self::Slow20s => aws.delay_for(operation, s(20), s(60)),
            Self::AnswersLost => aws.lose_response(operation, 3),
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Self::DeniedOnce => "denied once",
            Self::DeniedTwice => "denied twice",
            Self::DeniedForGood => "denied for good",
            Self::Throttled30s => "throttled 30 s",
            Self::Failing60s => "5xx 60 s",
            Self::Slow20s => "20 s to answer, 60 s long",
            Self::AnswersLost => "answer lost 3 times",
        }
    }
}

/// The warm event, shorter: a run of every length makes the same kinds of calls.
fn spec() -> KinesisDemoSpec {
    let mut spec = warm_spec();
    for phase in &mut spec.phases {
        phase.duration = DurationText::seconds(40);
    }
    spec.limits.max_duration = DurationText::seconds(1_200);
    spec
}

const SCHEDULED: u64 = 40 * 60_200;

/// In which stages each operation is called in a run in which nothing goes wrong.
fn calls_by_stage() -> BTreeSet<(&'static str, Stage)> {
    play(async {
        let mut harness = Harness::new(spec());
        let mut calls = BTreeSet::new();
        let mut seen = 0;
        loop {
            let stage = harness.status().stage;
            let goes_on = harness.pass().await;
            let all = harness.aws.calls();
            let new = all.iter().skip(seen).map(|call| call.operation);
            if let Some(stage) = stage.filter(|stage| STAGES.contains(stage)) {
                calls.extend(new.map(|operation| (operation, stage)));
            }
            seen = all.len();
            if !goes_on {
                return calls;
            }
        }
    })
}

fn play<T>(scenario: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(scenario)
}

/// What became of one run with one fault.
#[derive(Debug, PartialEq)]
struct Ending {
    outcome: String,
    accepted: u64,
    interruptions: usize,
    left: Vec<String>,
    calls: usize,
}

impl Ending {
    fn describe(&self) -> String {
        let Self { outcome, accepted, interruptions, left, .. } = self;
        let mut text = outcome.clone();
        if *accepted < SCHEDULED && *accepted > 0 {
            let missing = SCHEDULED - accepted;
            let _ = write!(text, ", {missing} records missing");
        }
        if *interruptions > 0 {
            text.push_str(", schedule moved");
        }
        if !left.is_empty() {
            let _ = write!(text, ", left: {}", left.join(", "));
        }
        text
    }
}

async fn ending(operation: &'static str, stage: Stage, fault: Fault) -> Ending {
    let mut harness = Harness::new(spec());
    match stage {
        Stage::Running => harness.play_until_phase("spike").await,
        stage => harness.play_until_stage(stage).await,
    }
    let from = harness.clock.now();
    fault.inject(&harness, operation);
    let case = format!("{operation} {} in {stage}", fault.heading());
    let limit = harness.status().run.unwrap().deadline_at.unwrap() + harness.settings.timings.end_grace();
    let terminal = |harness: &Harness| harness.status().stage.is_some_and(Stage::is_terminal);
    while !terminal(&harness) {
        assert!(harness.clock.now() <= limit, "{case}: not over at {limit}: {:#?}", harness.status());
        assert!(harness.pass().await, "{case}: nothing more to do: {:#?}", harness.status());
    }
    let ended_at = harness.clock.now();
    let status = harness.status();
    let left = assert_ended_rightly(&harness, operation, &case);
    if let Some(traffic) = &status.traffic {
        assert_balanced(&traffic.totals);
    }
    let calls =
        harness.aws.calls().iter().filter(|call| call.operation == operation && call.at >= from).count();
    // At the most one a poll, and less while it is refused.
    let polls = ended_at.since(from).as_secs() / 4 + 30;
    assert!(calls as u64 <= 2 * polls, "{case}: {calls} calls in {} s", ended_at.since(from).as_secs());
    if matches!(fault, Fault::DeniedForGood) {
        let bound = ended_at.since(from).as_secs() / 4 + 30;
        assert!(calls as u64 <= bound, "{case}: {calls} calls in {} s", ended_at.since(from).as_secs());
    }
    // What can be removed once it is allowed is removed, and the object is let go.
    harness.aws.clear_faults();
    let until = harness.clock.now() + s(1_200);
    while harness.pass().await && harness.clock.now() < until {}
    harness.assert_nothing_left();
    Ending {
        outcome: status
            .run
            .as_ref()
            .and_then(|run| run.reason)
            .map_or_else(String::new, |reason| reason.to_string()),
        accepted: arrivals(&harness, ended_at),
        interruptions: status.control.map_or(0, |control| control.interruptions.len()),
        left,
        calls,
    }
}

fn arrivals(harness: &Harness, until: MicroTime) -> u64 {
    harness.aws.arrivals(until - s(7_200), until)
}

/// What is left is named with its cause; what is not named is gone. Returns the kinds of what is left.
fn assert_ended_rightly(harness: &Harness, operation: &str, case: &str) -> Vec<String> {
    let status = harness.status();
    let cleaned = harness.condition(ConditionType::CleanedUp);
    let left: Vec<_> = status.resources.iter().filter(|held| held.state == ResourceState::Present).collect();
    if left.is_empty() {
        assert!(harness.aws.snapshot().is_empty(), "{case}: {:#?}", harness.aws.snapshot());
        assert_eq!(cleaned.status, ConditionStatus::True, "{case}");
        return Vec::new();
    }
    assert_eq!(cleaned.status, ConditionStatus::False, "{case}");
    let names_operation = |held: &&&kinesis_demo_api::status::ResourceStatus| {
        held.problem
            .as_ref()
            .is_some_and(|problem| problem.contains(operation) || problem.contains("service is gone"))
    };
    for held in &left {
        assert!(names_operation(&held), "{case}: {held:?}");
        assert!(cleaned.message.contains(&held.arn), "{case}: {}", cleaned.message);
    }
    // The service keeps its scheduled scale-to-zero. Stream, log group and parameter have their tags
    // by the same operation. Nothing else keeps anything.
    let most = match operation {
        STOPS_EVERYTHING => usize::MAX,
        "ListTagsForResource" => 3,
        _ => 2,
    };
    assert!(left.len() <= most, "{case}: {left:#?}");
    left.iter().map(|held| held.type_.to_string()).collect()
}

#[test]
fn every_operation_may_be_refused_in_any_stage_and_in_any_way() {
    let calls = calls_by_stage();
    assert!(calls.len() > 40, "{} pairs are no whole run", calls.len());
    let (mut page, mut wrong) = (String::from(HEAD), Vec::new());
    let only = std::env::var("ONLY").ok();
    let mut row_of = |stage: Stage, operation: &'static str| {
        if only.as_ref().is_some_and(|only| !format!("{stage}/{operation}").contains(only.as_str())) {
            return;
        }
        let endings = FAULTS.map(|fault| {
            let ending = std::panic::catch_unwind(|| play(ending(operation, stage, fault)));
            let Ok(ending) = ending else {
                wrong.push(format!("{operation} {} in {stage}: see above", fault.heading()));
                return None;
            };
            let case = format!("{operation} {} in {stage}: {ending:?}", fault.heading());
            // Traffic lapses only where writing the parameter itself fails.
            if operation != "PutParameter" && ending.interruptions > 0 {
                wrong.push(format!("{case}: control lapsed"));
            }
            if ending.outcome == "Completed" && ending.accepted * 100 < SCHEDULED * 99 {
                wrong.push(format!("{case}: called complete"));
            }
            // A change of slots reads the parameter and writes it, so the fleet may be late for a phase.
            let waits = stage == Stage::Running && ["GetParameter", "PutParameter"].contains(&operation);
            if !matches!(fault, Fault::DeniedForGood) && ending.outcome != "Completed" && !waits {
                wrong.push(format!("{case}: it did not recover"));
            }
            Some(ending)
        });
        let cells: Vec<String> = endings.iter().flatten().map(Ending::describe).collect();
        let _ = writeln!(page, "| {stage} | {operation} | {} |", cells.join(" | "));
    };
    for stage in STAGES {
        for (operation, _) in calls.iter().filter(|(_, called_in)| *called_in == stage) {
            row_of(stage, operation);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(written == page, "{PAGE} is not what the scenarios give; run this test with UPDATE=1");
}

const HEAD: &str = "\
# What a refused call costs

This page is generated by `tests/scenarios/fault_table.rs` (`UPDATE=1 cargo test --test scenarios fault_table`).

Each cell is a whole run of the warm event (four phases of 40 s, AWS's timings) against the scenarios' AWS, in which one
operation is refused, throttled, slow, or its answer lost, from the given stage on. `Completed` is a run that succeeded with
every record accepted. What is left after a refusal that lasts is named in `status.resources` with AWS's words, the object stays
held, and the operator keeps trying; when the refusal ends, the rest is removed. The faults are of the operator's calls alone:
tasks that cannot read the parameter themselves for longer than the read lease stop sending, whoever is at fault. In every cell the run was over by `maxDuration`
and the stated grace.

| stage | operation | denied once | denied twice | denied for good | throttled 30 s | 5xx 60 s | 20 s to answer, 60 s long | answer lost 3 times |
|---|---|---|---|---|---|---|---|---|
";

/// Kept so that a change of the grace shows here, too.
#[test]
fn the_grace_after_the_deadline_is_what_the_docs_say() {
    let settings = crate::harness::settings();
    assert_eq!(settings.timings.end_grace(), Duration::from_secs(1_775));
}
