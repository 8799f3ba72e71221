//! Injects every fault into every AWS operation, in every stage that calls it. In: one fault. Out:
//! how the run ended, how many records are missing, what is left. Writes docs/reference/faults.md.

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
use kinesis_demo_testing::totals::assert_balanced;

use crate::harness::{Harness, s, warm_spec};

/// The page that holds the table. With `UPDATE=1` it is written, otherwise compared.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/faults.md");

const STAGES: [Stage; 6] = [
    Stage::Provisioning,
    Stage::Warming,
    Stage::Starting,
    Stage::Running,
    Stage::Draining,
    Stage::CleaningUp,
];

/// Ownership depends on this operation: without it the operator changes nothing.
const PROVES_ACCOUNT: &str = "GetCallerIdentity";

#[derive(Clone, Copy, Debug)]
enum Fault {
    DeniedOnce,
    DeniedTwice,
    DeniedPermanently,
    Throttled30s,
    Failing60s,
    Slow20s,
    ResponsesLost,
}

const FAULTS: [Fault; 7] = [
    Fault::DeniedOnce,
    Fault::DeniedTwice,
    Fault::DeniedPermanently,
    Fault::Throttled30s,
    Fault::Failing60s,
    Fault::Slow20s,
    Fault::ResponsesLost,
];

impl Fault {
    fn inject(self, harness: &Harness, operation: &str) {
        let aws = &harness.aws;
        match self {
            Self::DeniedOnce => aws.fail(operation, AwsErrorClass::Denied, 1),
            Self::DeniedTwice => aws.fail(operation, AwsErrorClass::Denied, 2),
            Self::DeniedPermanently => aws.fail(operation, AwsErrorClass::Denied, u32::MAX),
            Self::Throttled30s => aws.fail_for(operation, AwsErrorClass::Throttled, s(30)),
            Self::Failing60s => aws.fail_for(operation, AwsErrorClass::Transient, s(60)),
            Self::Slow20s => aws.delay_for(operation, s(20), s(60)),
            Self::ResponsesLost => aws.lose_response(operation, 3),
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Self::DeniedOnce => "denied once",
            Self::DeniedTwice => "denied twice",
            Self::DeniedPermanently => "denied permanently",
            Self::Throttled30s => "throttled 30 s",
            Self::Failing60s => "5xx 60 s",
            Self::Slow20s => "20 s to respond, for 60 s",
            Self::ResponsesLost => "response lost 3 times",
        }
    }
}

/// The warm event with shorter phases. The length of a run does not change which calls it makes.
fn spec() -> KinesisDemoSpec {
    let mut spec = warm_spec();
    for phase in &mut spec.phases {
        phase.duration = DurationText::seconds(40);
    }
    spec.limits.max_duration = DurationText::seconds(1_200);
    spec
}

const SCHEDULED: u64 = 40 * 60_200;

/// The stages in which each operation is called during a run without faults.
fn calls_by_stage() -> BTreeSet<(&'static str, Stage)> {
    block_on_paused(async {
        let mut harness = Harness::new(spec());
        let mut calls = BTreeSet::new();
        let mut seen = 0;
        loop {
            let stage = harness.status().stage;
            let more_to_do = harness.step().await;
            let all = harness.aws.calls();
            let new = all.iter().skip(seen).map(|call| call.operation);
            if let Some(stage) = stage.filter(|stage| STAGES.contains(stage)) {
                calls.extend(new.map(|operation| (operation, stage)));
            }
            seen = all.len();
            if !more_to_do {
                return calls;
            }
        }
    })
}

fn block_on_paused<T>(scenario: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(scenario)
}

/// The result of one run with one fault.
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
        Stage::Running => harness.run_until_phase("spike").await,
        stage => harness.run_until_stage(stage).await,
    }
    let from = harness.clock.now();
    fault.inject(&harness, operation);
    let case = format!("{operation} {} in {stage}", fault.heading());
    let limit = harness.status().run.unwrap().deadline_at.unwrap() + harness.settings.timings.end_grace();
    let terminal = |harness: &Harness| harness.status().stage.is_some_and(Stage::is_terminal);
    while !terminal(&harness) {
        assert!(harness.clock.now() <= limit, "{case}: not finished at {limit}: {:#?}", harness.status());
        assert!(
            harness.step().await,
            "{case}: nothing left to do, but not finished: {:#?}",
            harness.status()
        );
    }
    let ended_at = harness.clock.now();
    let status = harness.status();
    let left = assert_leaked_resources_are_reported(&harness, operation, &case);
    if let Some(traffic) = &status.traffic {
        assert_balanced(&traffic.totals);
    }
    let calls =
        harness.aws.calls().iter().filter(|call| call.operation == operation && call.at >= from).count();
    // At most one call per poll, and fewer while the call is denied.
    let polls = ended_at.since(from).as_secs() / 4 + 30;
    assert!(calls as u64 <= 2 * polls, "{case}: {calls} calls in {} s", ended_at.since(from).as_secs());
    if matches!(fault, Fault::DeniedPermanently) {
        let bound = ended_at.since(from).as_secs() / 4 + 30;
        assert!(calls as u64 <= bound, "{case}: {calls} calls in {} s", ended_at.since(from).as_secs());
    }
    // Once the calls are allowed, everything is removed and the finalizer is dropped.
    harness.aws.clear_faults();
    let until = harness.clock.now() + s(1_200);
    while harness.step().await && harness.clock.now() < until {}
    harness.assert_nothing_left();
    Ending {
        outcome: status
            .run
            .as_ref()
            .and_then(|run| run.reason)
            .map_or_else(String::new, |reason| reason.to_string()),
        accepted: records_arrived(&harness, ended_at),
        interruptions: status.control.map_or(0, |control| control.interruptions.len()),
        left,
        calls,
    }
}

fn records_arrived(harness: &Harness, until: MicroTime) -> u64 {
    harness.aws.records_arrived(until - s(7_200), until)
}

/// Every resource that is left is reported with its cause, and every other resource is deleted.
/// Returns the kinds of the resources that are left.
fn assert_leaked_resources_are_reported(harness: &Harness, operation: &str, case: &str) -> Vec<String> {
    let status = harness.status();
    let cleaned = harness.condition(ConditionType::CleanedUp);
    let left: Vec<_> =
        status.resources.iter().filter(|resource| resource.state == ResourceState::Present).collect();
    if left.is_empty() {
        assert!(harness.aws.snapshot().is_empty(), "{case}: {:#?}", harness.aws.snapshot());
        assert_eq!(cleaned.status, ConditionStatus::True, "{case}");
        return Vec::new();
    }
    assert_eq!(cleaned.status, ConditionStatus::False, "{case}");
    let names_operation = |resource: &&&kinesis_demo_api::status::ResourceStatus| {
        resource
            .problem
            .as_ref()
            .is_some_and(|problem| problem.contains(operation) || problem.contains("service is deleted"))
    };
    for resource in &left {
        assert!(names_operation(&resource), "{case}: {resource:?}");
        assert!(cleaned.message.contains(&resource.arn), "{case}: {}", cleaned.message);
    }
    // A service that is left keeps its scheduled scale-to-zero. The tags of stream, log group and
    // parameter are read by the same operation. No other resource keeps another one.
    let most = match operation {
        PROVES_ACCOUNT => usize::MAX,
        "ListTagsForResource" => 3,
        _ => 2,
    };
    assert!(left.len() <= most, "{case}: {left:#?}");
    left.iter().map(|resource| resource.type_.to_string()).collect()
}

#[test]
fn every_operation_may_fail_in_any_stage_and_in_any_way() {
    let calls = calls_by_stage();
    assert!(calls.len() > 40, "{} pairs are too few for a whole run", calls.len());
    let (mut page, mut wrong) = (String::from(HEAD), Vec::new());
    let only = std::env::var("ONLY").ok();
    let mut row_of = |stage: Stage, operation: &'static str| {
        if only.as_ref().is_some_and(|only| !format!("{stage}/{operation}").contains(only.as_str())) {
            return;
        }
        let endings = FAULTS.map(|fault| {
            let ending = std::panic::catch_unwind(|| block_on_paused(ending(operation, stage, fault)));
            let Ok(ending) = ending else {
                wrong.push(format!("{operation} {} in {stage}: see above", fault.heading()));
                return None;
            };
            let case = format!("{operation} {} in {stage}: {ending:?}", fault.heading());
            // Control lapses only if writing the parameter itself fails.
            if operation != "PutParameter" && ending.interruptions > 0 {
                wrong.push(format!("{case}: control lapsed"));
            }
            if ending.outcome == "Completed" && ending.accepted * 100 < SCHEDULED * 99 {
                wrong.push(format!("{case}: reported as Completed although records are missing"));
            }
            // A change of slots reads and writes the parameter, so tasks may be ready too late for
            // a phase.
            let waits = stage == Stage::Running && ["GetParameter", "PutParameter"].contains(&operation);
            if !matches!(fault, Fault::DeniedPermanently) && ending.outcome != "Completed" && !waits {
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
    assert!(
        written == page,
        "{PAGE} differs from the results of the scenarios. Run this test with UPDATE=1."
    );
}

const HEAD: &str = "\
# Effects of failing AWS calls

This page is generated by `tests/scenarios/fault_table.rs` (`UPDATE=1 cargo test --test scenarios fault_table`).

Each cell is a whole run of the warm event (four phases of 40 s, timings for AWS) against the fake AWS of the scenarios. From the
given stage on, one operation is denied, throttled, slow, or its response is lost. `Completed` means that the run succeeded and
every record was accepted. If a denial lasts, `status.resources` lists what is left with the error from AWS, the object keeps its
finalizer, and the operator keeps trying. When the denial ends, the operator removes the rest. Only the operator's calls fail:
tasks that cannot read the parameter for longer than the read lease stop sending, whatever the cause. In every cell the run was
finished within `maxDuration` and the stated grace.

| stage | operation | denied once | denied twice | denied permanently | throttled 30 s | 5xx 60 s | 20 s to respond, for 60 s | response lost 3 times |
|---|---|---|---|---|---|---|---|---|
";

/// Fails when the grace changes, because the docs state this number.
#[test]
fn the_grace_after_the_deadline_is_what_the_docs_say() {
    let settings = crate::harness::settings();
    assert_eq!(settings.timings.end_grace(), Duration::from_secs(1_775));
}
