//! What is known of a run besides its traffic: where it ran, when, with which settings and
//! versions, how it ended, what was left. In: a record. Out: names with values. Pure.

use kinesis_demo_api::KinesisDemoRun;
use kinesis_demo_api::conditions::Reason;
use kinesis_demo_api::run_record::{CapacityStep, MOST_STEPS};
use kinesis_demo_api::status::{CostStatus, TotalsStatus, UsdText};

use crate::text::{clean, grouped, instant, span};

/// The version of the program that describes the run.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A fact: what it is of, and its value.
pub type Fact = (&'static str, String);

/// Where and when a run was, and how it ended.
#[must_use]
pub fn facts(run: &KinesisDemoRun) -> Vec<Fact> {
    let spec = &run.spec;
    let status = run.status.clone().unwrap_or_default();
    let mut facts = vec![
        ("Demo", clean(&spec.demo, 63)),
        ("Run", spec.run.to_string()),
        ("Stream", clean(&spec.stream_name, 128)),
        ("Region", clean(&spec.region, 32)),
        ("Account", clean(&spec.account_id, 12)),
    ];
    facts.push(("Outcome", outcome(run)));
    if let Some(message) = status.message.filter(|message| !message.is_empty()) {
        facts.push(("Message", clean(&message, 2_048)));
    }
    if let Some(started_at) = status.started_at {
        facts.push(("Started", instant(started_at)));
    }
    if let (Some(from), Some(until)) = (status.traffic_starts_at, status.traffic_ends_at) {
        facts.push(("Traffic", format!("{}, for {}", instant(from), span(until.since(from)))));
    }
    if let Some(finished_at) = status.finished_at {
        facts.push(("Finished", instant(finished_at)));
    }
    if let Some(cost) = status.cost.as_ref().and_then(cost) {
        facts.push(("Cost on AWS", cost));
    }
    facts.push(("Operator", clean(&spec.operator_version, 64)));
    facts.push(("Report", VERSION.to_owned()));
    facts
}

/// What a run costs on AWS: `$0.21, expected about $0.63 ($0.13 to $0.76)`; before it has cost
/// anything, without the first.
#[must_use]
pub fn cost(cost: &CostStatus) -> Option<String> {
    let Some(estimate) = &cost.estimate else {
        return cost.unknown.as_ref().map(|why| format!("unknown: {}", clean(why, 512)));
    };
    let shown = |amount: &UsdText| format!("${}", clean(&amount.0, 20));
    let range = format!("{} to {}", shown(&estimate.low_usd), shown(&estimate.high_usd));
    let minimum = estimate.advantage_minimum_usd.as_ref().map(|minimum| {
        format!(", and at least {} for 24 hours of On-demand Advantage, used or not", shown(minimum))
    });
    let spent = cost.so_far_usd.as_ref().filter(|_| cost.meter.is_some());
    let spent = spent.map(|spent| format!("{}, expected ", shown(spent))).unwrap_or_default();
    let expected = shown(&estimate.expected_usd);
    Some(format!("{spent}about {expected} ({range}){}", minimum.unwrap_or_default()))
}

/// How a run ended, and why: `Failed (StreamDeleted)`; or its stage.
#[must_use]
pub fn outcome(run: &KinesisDemoRun) -> String {
    let Some(status) = &run.status else { return "not recorded yet".to_owned() };
    let ended = match (status.outcome, status.stage) {
        (Some(outcome), Some(stage)) if !stage.is_terminal() => format!("{outcome:?}, {stage}"),
        (Some(outcome), _) => format!("{outcome:?}"),
        (None, Some(stage)) => stage.to_string(),
        (None, None) => "unknown".to_owned(),
    };
    match status.reason {
        Some(reason) if reason != Reason::Completed && format!("{reason:?}") != ended => {
            format!("{ended} ({reason:?})")
        }
        _ => ended,
    }
}

/// What was left of the run, if it is over: nothing, or AWS resources that still existed.
#[must_use]
pub fn left(run: &KinesisDemoRun) -> Option<Vec<String>> {
    let status = run.status.as_ref()?;
    let over = status.left_count.is_some() || status.stage.is_some_and(|stage| stage.is_terminal());
    if !over && status.left.is_empty() {
        return None;
    }
    let mut left: Vec<String> = status.left.iter().take(16).map(|one| clean(one, 2_048)).collect();
    let more = (status.left_count.unwrap_or(0) as usize).saturating_sub(left.len());
    if more > 0 {
        left.push(format!("{more} more AWS resources"));
    }
    Some(left)
}

/// The settings as YAML. Text of others, which still has to be escaped.
#[must_use]
pub fn settings(run: &KinesisDemoRun) -> String {
    let text =
        serde_saphyr::to_string(&run.spec.settings).unwrap_or_else(|error| format!("# not shown: {error}\n"));
    let visible = |letter: char| letter == '\n' || !crate::text::is_harmful(letter);
    text.chars().map(|letter| if visible(letter) { letter } else { ' ' }).collect()
}

/// Every setting by its path, such as `stream.warmThroughput.mode`, in order. Lists are one value.
#[must_use]
pub fn settings_by_path(run: &KinesisDemoRun) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, value) in &run.spec.settings {
        flatten(&clean(name, 80), value, 0, &mut found);
    }
    found
}

/// No spec is deeper; a record may be.
const DEEPEST: usize = 8;
/// No spec has more settings; a record may have.
const MOST_SETTINGS: usize = 300;

fn flatten(path: &str, value: &serde_json::Value, depth: usize, found: &mut Vec<(String, String)>) {
    if found.len() >= MOST_SETTINGS {
        return;
    }
    match value.as_object() {
        Some(members) if depth < DEEPEST => {
            for (name, value) in members {
                flatten(&format!("{path}.{}", clean(name, 80)), value, depth + 1, found);
            }
        }
        _ => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            found.push((path.to_owned(), clean(&text, 400)));
        }
    }
}

/// How a value of the stream or the tasks changed: `4 to 16`, `4`. None if it is not known.
#[must_use]
pub fn change(run: &KinesisDemoRun, of: fn(&CapacityStep) -> Option<u32>) -> Option<String> {
    let mut steps: Vec<&CapacityStep> = run.status.as_ref()?.capacity.iter().take(MOST_STEPS).collect();
    steps.sort_by_key(|step| step.at);
    let mut values = steps.into_iter().filter_map(of).filter(|value| *value > 0);
    let first = values.next()?;
    let most = values.fold(first, u32::max);
    let shown = |value: u32| grouped(value.into());
    Some(if most == first { shown(first) } else { format!("{} to {}", shown(first), shown(most)) })
}

/// The totals by name, in the order in which they add up.
#[must_use]
pub fn totals(totals: &TotalsStatus) -> Vec<(&'static str, u64, &'static str)> {
    let TotalsStatus {
        scheduled,
        offered,
        accepted,
        throttled,
        failed,
        dropped,
        unknown,
        unoffered,
        unreported,
        excess,
    } = *totals;
    vec![
        ("Scheduled", scheduled, "by the plan"),
        ("Offered", offered, "due at a task: accepted + failed + dropped + unknown"),
        ("Accepted", accepted, "confirmed by Kinesis"),
        ("Failed", failed, "given up after Kinesis rejected them"),
        ("Dropped", dropped, "never sent, because a task had fallen behind"),
        ("Unknown", unknown, "sent, but the response was lost"),
        ("Unoffered", unoffered, "no task offered them"),
        ("Unreported", unreported, "after a task's last ledger line"),
        ("Excess", excess, "offered beyond the schedule"),
        ("Throttled", throttled, "counted once per record and attempt"),
    ]
}

/// Shards, warm throughput and tasks: how each changed.
#[must_use]
pub fn capacity(run: &KinesisDemoRun) -> Vec<(&'static str, String)> {
    let known = [
        ("Shards", change(run, |step| step.shards)),
        (
            "Warm MiB/s",
            change(run, |step| {
                step.warm_current.filter(|_| step.warm_target.is_some_and(|target| target > 0))
            }),
        ),
        ("Tasks", change(run, |step| step.tasks_running)),
    ];
    known.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
