//! A run in one sentence, and two runs in one sentence. In: outcome, totals and phases, or two
//! records. Out: plain English without a capital and a full stop, and without control characters.
//! Pure.

use kinesis_demo_api::KinesisDemoRun;
use kinesis_demo_api::status::{Outcome, PhaseReport, TotalsStatus};

use crate::text::{clean, grouped, listed, percent};

/// How many phases a sentence names.
const MOST_NAMES: usize = 3;
/// The longest name that a sentence repeats.
const MOST_LETTERS: usize = 40;

/// The records that a share is of: those that were scheduled. While a run goes on, those that are
/// accounted for by now: what is still on its way, or in a report that is, is not lost.
#[must_use]
pub fn due(outcome: Option<Outcome>, totals: &TotalsStatus) -> u64 {
    let TotalsStatus { scheduled, offered, unoffered, unreported, .. } = totals;
    match outcome {
        Some(_) => *scheduled,
        None => offered.saturating_add(*unoffered).saturating_add(*unreported).min(*scheduled),
    }
}

/// What a run delivered, and why not more: `delivered 22 % of 872,000 records: throttled in spike
/// and peak, 679,113 failed; sufficient warm throughput prevents this`. Without an outcome: what it
/// delivered so far.
#[must_use]
pub fn verdict(outcome: Option<Outcome>, totals: &TotalsStatus, phases: &[PhaseReport]) -> String {
    let due = due(outcome, totals);
    if due == 0 && totals.accepted == 0 {
        return match outcome {
            None => "no traffic yet",
            Some(Outcome::Succeeded) => "no records were scheduled",
            Some(Outcome::Failed) => "failed before any traffic",
            Some(Outcome::Aborted) => "aborted before any traffic",
        }
        .to_owned();
    }
    let begin = match outcome {
        None => "so far ",
        Some(Outcome::Succeeded) => "",
        Some(Outcome::Failed) => "failed: ",
        Some(Outcome::Aborted) => "aborted: ",
    };
    let causes = causes(totals, phases);
    let all = totals.accepted >= due;
    let then = if all { "delivered all " } else { "delivered " };
    let whole = grouped(due);
    let share = match percent(totals.accepted, due) {
        Some(percent) if !all => format!("{percent} of {whole} records"),
        _ => format!("{whole} records"),
    };
    let causes = match causes.as_slice() {
        [] => String::new(),
        causes => format!("{} {}", if all { "," } else { ":" }, causes.join(", ")),
    };
    let lost = totals.failed > 0 || totals.dropped > 0;
    let advice = match totals.throttled > 0 && lost && !all && outcome.is_some() {
        true => "; sufficient warm throughput prevents this",
        false => "",
    };
    format!("{begin}{then}{share}{causes}{advice}")
}

/// Why records were not delivered, or were delivered late.
fn causes(totals: &TotalsStatus, phases: &[PhaseReport]) -> Vec<String> {
    let mut causes = Vec::new();
    if totals.throttled > 0 {
        let throttled = throttled_phases(phases);
        causes.push(match (throttled.is_empty(), totals.failed > 0 || totals.dropped > 0) {
            (false, true) => format!("throttled in {}", listed(&throttled, MOST_NAMES)),
            (false, false) => format!("throttled at first in {}", listed(&throttled, MOST_NAMES)),
            (true, _) => "throttled".to_owned(),
        });
    }
    let counts = [
        (totals.failed, "failed"),
        (totals.dropped, "dropped"),
        (totals.unknown, "without a response"),
        (totals.unoffered, "unoffered"),
        (totals.unreported, "unreported"),
        (totals.excess, "beyond the schedule"),
    ];
    let counted = counts.into_iter().filter(|(count, _)| *count > 0);
    causes.extend(counted.map(|(count, what)| format!("{} {what}", grouped(count))));
    causes
}

/// The names of the phases in which records were throttled.
fn throttled_phases(phases: &[PhaseReport]) -> Vec<String> {
    let throttled = phases.iter().filter(|phase| phase.totals.throttled > 0);
    throttled.map(|phase| clean(&phase.name, MOST_LETTERS)).collect()
}

/// Two runs, what differs first: `cold delivered 22 % of 872,000 records, throttled in spike and
/// peak; warm delivered all, none throttled`.
#[must_use]
pub fn verdict_between(a: &KinesisDemoRun, b: &KinesisDemoRun) -> String {
    let [first, second] = names(a, b);
    between(&Side::of(a, first), &Side::of(b, second))
}

/// One of two runs, and what it is called in their comparison.
#[derive(Clone, Debug)]
pub struct Side {
    pub name: String,
    pub outcome: Option<Outcome>,
    pub totals: TotalsStatus,
    pub phases: Vec<PhaseReport>,
}

impl Side {
    /// A record, under that name.
    #[must_use]
    pub fn of(run: &KinesisDemoRun, name: String) -> Self {
        let status = run.status.as_ref();
        Self {
            name,
            outcome: status.and_then(|status| status.outcome),
            totals: status.and_then(|status| status.totals.clone()).unwrap_or_default(),
            phases: status.map(|status| status.phases.clone()).unwrap_or_default(),
        }
    }

    fn due(&self) -> u64 {
        due(self.outcome, &self.totals)
    }

    fn has_all(&self) -> bool {
        self.due() > 0 && self.totals.accepted >= self.due()
    }

    /// How it ended, unless well.
    fn ended(&self) -> &'static str {
        match self.outcome {
            Some(Outcome::Failed) => " failed:",
            Some(Outcome::Aborted) => " was aborted:",
            None if self.totals.scheduled > 0 => " so far",
            None | Some(Outcome::Succeeded) => "",
        }
    }

    /// What it delivered, with the number of records if `whole`.
    fn delivered(&self, whole: bool) -> String {
        let Some(share) = percent(self.totals.accepted, self.due()) else {
            return "delivered nothing yet".to_owned();
        };
        let scheduled = grouped(self.due());
        match (self.has_all(), whole) {
            (true, true) => format!("delivered all {scheduled} records"),
            (true, false) => "delivered all".to_owned(),
            (false, true) => format!("delivered {share} of {scheduled} records"),
            (false, false) => format!("delivered {share}"),
        }
    }

    fn throttled(&self) -> String {
        let phases = throttled_phases(&self.phases);
        match (self.totals.throttled, phases.as_slice()) {
            (0, _) => "none throttled".to_owned(),
            (_, []) => "throttled".to_owned(),
            (_, phases) => format!("throttled in {}", listed(phases, MOST_NAMES)),
        }
    }

    fn says(&self, whole: bool) -> String {
        format!("{}{} {}, {}", self.name, self.ended(), self.delivered(whole), self.throttled())
    }
}

/// Two runs, what differs first.
#[must_use]
pub fn between(a: &Side, b: &Side) -> String {
    let share = |side: &Side| percent(side.totals.accepted, side.due());
    let same_work = a.due() == b.due();
    let alike = same_work && share(a) == share(b) && a.outcome == b.outcome && a.throttled() == b.throttled();
    if alike {
        let ended = a.ended().trim_start().trim_start_matches("was ");
        let ended = if ended.is_empty() { String::new() } else { format!(" {ended}") };
        return format!("both{ended} {}, {}", a.delivered(true), a.throttled());
    }
    // Records of the same number are counted once.
    format!("{}; {}", a.says(true), b.says(!same_work))
}

/// What two runs are called side by side: cold and warm if one event ran without and with warm
/// throughput, else the names of their demos, else the numbers of their runs.
#[must_use]
pub fn names(a: &KinesisDemoRun, b: &KinesisDemoRun) -> [String; 2] {
    let pair = [a, b];
    let [first_event, second_event] = pair.map(|run| run.spec.settings.get("phases"));
    let warm = pair.map(is_warm);
    if warm[0] != warm[1] && first_event == second_event {
        return warm.map(|warm| if warm { "warm" } else { "cold" }.to_owned());
    }
    if a.spec.demo != b.spec.demo {
        return pair.map(|run| clean(&run.spec.demo, MOST_LETTERS));
    }
    if a.spec.run != b.spec.run {
        return pair.map(|run| format!("run {}", run.spec.run));
    }
    ["the first", "the second"].map(Into::into)
}

/// Whether the run's spec requests warm throughput, or its stream ever had it requested.
#[must_use]
pub fn is_warm(run: &KinesisDemoRun) -> bool {
    let warm = run.spec.settings.get("stream").and_then(|stream| stream.get("warmThroughput"));
    let by_spec = warm.and_then(|warm| warm.get("mode")).and_then(|mode| mode.as_str());
    match by_spec {
        Some(mode) => mode == "Fixed",
        None => run.status.as_ref().is_some_and(|status| {
            status.capacity.iter().any(|step| step.warm_target.is_some_and(|target| target > 0))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinesis_demo_api::MicroTime;

    fn totals(scheduled: u64, accepted: u64, throttled: u64, failed: u64, dropped: u64) -> TotalsStatus {
        let offered = accepted + failed + dropped;
        let unoffered = scheduled - offered;
        TotalsStatus {
            scheduled,
            offered,
            accepted,
            throttled,
            failed,
            dropped,
            unoffered,
            ..TotalsStatus::default()
        }
    }

    fn phase(name: &str, throttled: u64) -> PhaseReport {
        PhaseReport {
            name: name.into(),
            records_per_second: 1,
            tasks: 1,
            starts_at: MicroTime::default(),
            ends_at: MicroTime::default(),
            begun: true,
            tasks_were_missing: false,
            totals: TotalsStatus { throttled, ..TotalsStatus::default() },
            latency_ms: None,
        }
    }

    fn side(name: &str, totals: TotalsStatus, phases: Vec<PhaseReport>) -> Side {
        Side { name: name.into(), outcome: Some(Outcome::Succeeded), totals, phases }
    }

    #[test]
    fn a_verdict_says_what_was_delivered_and_why_not_more() {
        let throttled = [phase("baseline", 0), phase("spike", 7), phase("peak", 9)];
        let says = |outcome, totals: &TotalsStatus| verdict(outcome, totals, &throttled);
        let done = Some(Outcome::Succeeded);
        let cold = totals(872_000, 191_840, 5_000_000, 670_160, 10_000);
        let warm = totals(872_000, 872_000, 0, 0, 0);
        assert_eq!(verdict(done, &warm, &[phase("peak", 0)]), "delivered all 872,000 records");
        assert_eq!(
            says(done, &cold),
            "delivered 22 % of 872,000 records: throttled in spike and peak, 670,160 failed, 10,000 dropped; \
             sufficient warm throughput prevents this"
        );
        assert_eq!(
            says(Some(Outcome::Aborted), &totals(100, 90, 0, 0, 0)),
            "aborted: delivered 90 % of 100 records: 10 unoffered"
        );
        assert_eq!(
            says(None, &totals(100, 90, 5, 0, 0)),
            "so far delivered 90 % of 100 records: throttled at first in spike and peak, 10 unoffered"
        );
        assert_eq!(
            says(done, &totals(100, 100, 5, 0, 0)),
            "delivered all 100 records, throttled at first in spike and peak"
        );
        assert_eq!(says(None, &TotalsStatus::default()), "no traffic yet");
        assert_eq!(says(Some(Outcome::Failed), &TotalsStatus::default()), "failed before any traffic");
    }

    #[test]
    fn what_is_not_reported_yet_is_not_lost() {
        let running =
            TotalsStatus { scheduled: 1_000, offered: 900, accepted: 900, ..TotalsStatus::default() };
        assert_eq!(verdict(None, &running, &[]), "so far delivered all 900 records");
        let lost = TotalsStatus { accepted: 450, failed: 450, ..running.clone() };
        assert_eq!(verdict(None, &lost, &[]), "so far delivered 50 % of 900 records: 450 failed");
        let aborted = verdict(Some(Outcome::Aborted), &running, &[]);
        assert_eq!(aborted, "aborted: delivered 90 % of 1,000 records");
        let begun = TotalsStatus { scheduled: 100, ..TotalsStatus::default() };
        assert_eq!(verdict(None, &begun, &[]), "no traffic yet");
    }

    #[test]
    fn two_runs_are_compared_differences_first() {
        let cold =
            side("cold", totals(872_000, 191_840, 9, 680_160, 0), vec![phase("spike", 4), phase("peak", 5)]);
        let warm = side("warm", totals(872_000, 872_000, 0, 0, 0), vec![phase("peak", 0)]);
        assert_eq!(
            between(&cold, &warm),
            "cold delivered 22 % of 872,000 records, throttled in spike and peak; warm delivered all, none throttled"
        );
        assert_eq!(between(&warm, &warm), "both delivered all 872,000 records, none throttled");
        let mut stopped = warm.clone();
        stopped.outcome = Some(Outcome::Aborted);
        stopped.totals = totals(1_000, 1_000, 0, 0, 0);
        assert_eq!(
            between(&warm, &stopped),
            "warm delivered all 872,000 records, none throttled; warm was aborted: delivered all 1,000 records, \
             none throttled"
        );
    }

    #[test]
    fn only_two_runs_of_one_event_are_called_cold_and_warm() {
        let run = |demo: &str, mode: &str, rate: u32| {
            let spec = serde_json::json!({
                "demo": demo, "demoUid": "u", "run": 1, "accountId": "000000000000", "region": "us-east-1",
                "streamName": "s", "operatorVersion": "0.1.0",
                "settings": {
                    "stream": {"warmThroughput": {"mode": mode}},
                    "phases": [{"name": "peak", "recordsPerSecond": rate}],
                },
            });
            KinesisDemoRun::new(demo, serde_json::from_value(spec).unwrap())
        };
        let named = |a, b| names(&a, &b).join(" and ");
        assert_eq!(named(run("a", "Fixed", 9), run("b", "None", 9)), "warm and cold");
        assert_eq!(named(run("a", "Fixed", 9), run("b", "None", 7)), "a and b");
        assert_eq!(named(run("a", "Fixed", 9), run("b", "Fixed", 9)), "a and b");
    }

    #[test]
    fn names_of_others_stay_harmless() {
        let line = verdict(None, &totals(10, 1, 1, 9, 0), &[phase("\u{1b}[2J<script>", 1)]);
        assert_eq!(line, "so far delivered 10 % of 10 records: throttled in [2J<script>, 9 failed");
    }
}
