//! The ledger: what a task reports that it sent. In: cumulative counters and latencies per phase.
//! Out: one JSON line for the task's log, and its parser. Pure.
//!
//! Lines are cumulative and the newest one counts, so reading a line twice or losing one does no
//! harm.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer as HistogramReader, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use crate::MicroTime;
use crate::control::{ControlDocument, TaskId};

/// The value of a line's `kinesisdemo` field, by which ledger lines are found among other log
/// lines.
pub const MARKER: &str = "ledger/1";

/// Longer latencies are counted as this. No request outlives its timeouts.
const LONGEST_LATENCY_MICROS: u64 = 300_000_000;

/// The outcomes of the records of one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Records that were due while the task had the slot.
    pub offered: u64,
    /// Records that Kinesis confirmed.
    pub accepted: u64,
    /// Records that the task gave up after Kinesis rejected them.
    pub failed: u64,
    /// Records that were never sent because the task had fallen behind.
    pub dropped: u64,
    /// Records sent in a request whose response was lost.
    pub unknown: u64,
    /// Throttled records, counted once per record and attempt. Not an outcome: most are sent again.
    pub throttled: u64,
    /// Retries, counted once per record and attempt.
    pub retried: u64,
}

impl Counters {
    /// Records whose outcome is known.
    pub fn settled(&self) -> u64 {
        self.accepted + self.failed + self.dropped + self.unknown
    }

    /// Adds the counts of another task or interval.
    pub fn add(&mut self, other: &Self) {
        // Destructured without `..`, so that a new counter cannot be forgotten in the sum.
        let Self { offered, accepted, failed, dropped, unknown, throttled, retried } = other;
        self.offered += offered;
        self.accepted += accepted;
        self.failed += failed;
        self.dropped += dropped;
        self.unknown += unknown;
        self.throttled += throttled;
        self.retried += retried;
    }
}

/// The times from when records were due until Kinesis confirmed them.
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        // Two significant digits from 1 µs to five minutes. This is within hdrhistogram's
        // documented limits, so it cannot fail.
        #[allow(clippy::expect_used)]
        let histogram =
            Histogram::new_with_max(LONGEST_LATENCY_MICROS, 2).expect("constant bounds are valid");
        Self(histogram)
    }
}

impl Latencies {
    /// Adds `records` records with this latency.
    pub fn record(&mut self, latency: Duration, records: u64) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).clamp(1, LONGEST_LATENCY_MICROS);
        self.0.saturating_record_n(micros, records);
    }

    /// Adds another task's latencies.
    pub fn add(&mut self, other: &Self) {
        // Both histograms have the same bounds, so nothing can be out of range.
        let _ = self.0.add(&other.0);
    }

    /// The latency that `percent` of the records did not exceed; `None` before the first record.
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_micros(self.0.value_at_percentile(percent)))
    }

    /// The longest latency.
    pub fn max(&self) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_micros(self.0.max()))
    }

    /// The distinct latencies with their record counts, shortest first. Values have two significant
    /// digits, rounded up like percentiles.
    pub fn values(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.0
            .iter_recorded()
            .map(|value| (Duration::from_micros(value.value_iterated_to()), value.count_at_value()))
    }

    /// The latencies added since `earlier`, a previous copy of these latencies.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut rest = self.clone();
        // Both histograms have the same bounds, and no earlier count is larger.
        let _ = rest.0.subtract(&earlier.0);
        rest
    }

    /// The mean latency.
    pub fn mean(&self) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_secs_f64(self.0.mean() / 1e6))
    }
}

impl Serialize for Latencies {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.0, &mut bytes).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&BASE64.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let bytes = BASE64.decode(text.as_bytes()).map_err(serde::de::Error::custom)?;
        let read: Histogram<u64> =
            HistogramReader::new().deserialize(&mut bytes.as_slice()).map_err(serde::de::Error::custom)?;
        let mut latencies = Self::default();
        latencies.0.add(&read).map_err(serde::de::Error::custom)?;
        Ok(latencies)
    }
}

/// One phase in a ledger line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseLedger {
    /// The outcomes of its records.
    #[serde(flatten)]
    pub counters: Counters,
    /// Their latencies.
    pub latency: Latencies,
}

impl PhaseLedger {
    /// Adds another task's ledger of the same phase.
    pub fn add(&mut self, other: &Self) {
        self.counters.add(&other.counters);
        self.latency.add(&other.latency);
    }
}

/// The version of the control document that a task has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ControlVersion {
    /// The leader epoch in which the document was written.
    pub epoch: u64,
    /// Its version.
    pub version: u64,
}

impl From<&ControlDocument> for ControlVersion {
    fn from(document: &ControlDocument) -> Self {
        Self { epoch: document.epoch, version: document.version }
    }
}

/// One line of a task's ledger: totals since the task started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerLine {
    /// [`MARKER`].
    pub kinesisdemo: String,
    /// The run's number.
    pub run: u32,
    /// The task that writes the line.
    pub task: TaskId,
    /// The line's number. Of two lines, the one with the greater number wins.
    pub sequence: u64,
    /// When it was written, by the task's clock.
    pub at: MicroTime,
    /// True on the final line of a task that drained: every record that it offered has an outcome.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// The newest control document that the task has read. The parameter may contain a newer one by
    /// now. Absent before the first read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<ControlVersion>,
    /// By phase name.
    pub phases: BTreeMap<String, PhaseLedger>,
}

impl LedgerLine {
    /// Parses a line of a task's log. `None` if it is not a ledger line.
    pub fn parse(line: &str) -> Option<Self> {
        let line: Self = serde_json::from_str(line).ok()?;
        (line.kinesisdemo == MARKER).then_some(line)
    }

    /// The records that Kinesis confirmed, in all phases.
    pub fn accepted(&self) -> u64 {
        self.phases.values().map(|phase| phase.counters.accepted).sum()
    }

    /// The line's text, without a newline.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

/// The latest ledger line of each task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledgers(BTreeMap<TaskId, TaskLedger>);

/// How many marks are kept per task. With one line per interval, this covers lines that the log
/// delivers late and the rate window before them.
const MARKS: usize = 32;

/// A task's latest line, and its progress at the most recent lines.
#[derive(Clone, Debug, PartialEq)]
struct TaskLedger {
    last: LedgerLine,
    /// In the order in which they were written, including the latest line.
    marks: VecDeque<Mark>,
}

/// A task's progress at one of its lines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mark {
    sequence: u64,
    pub(crate) at: MicroTime,
    pub(crate) accepted: u64,
}

impl Mark {
    fn of(line: &LedgerLine) -> Self {
        Self { sequence: line.sequence, at: line.at, accepted: line.accepted() }
    }
}

impl TaskLedger {
    fn new(line: LedgerLine) -> Self {
        Self { marks: VecDeque::from([Mark::of(&line)]), last: line }
    }

    fn take(&mut self, line: LedgerLine) {
        let index = self.marks.partition_point(|mark| mark.sequence < line.sequence);
        if self.marks.get(index).is_none_or(|mark| mark.sequence != line.sequence) {
            self.marks.insert(index, Mark::of(&line));
        }
        while self.marks.len() > MARKS {
            self.marks.pop_front();
        }
        if line.sequence > self.last.sequence {
            self.last = line;
        }
    }
}

impl Ledgers {
    /// Adds a line. An older line only adds its mark.
    pub fn take(&mut self, line: LedgerLine) {
        match self.0.get_mut(&line.task) {
            Some(ledger) => ledger.take(line),
            None => drop(self.0.insert(line.task.clone(), TaskLedger::new(line))),
        }
    }

    /// The latest line of `task`.
    pub fn of(&self, task: &TaskId) -> Option<&LedgerLine> {
        self.0.get(task).map(|ledger| &ledger.last)
    }

    /// The latest line of every task.
    pub fn iter(&self) -> impl Iterator<Item = &LedgerLine> {
        self.0.values().map(|ledger| &ledger.last)
    }

    /// The progress of each task at its most recent lines, in the order in which they were written.
    pub(crate) fn marks(&self) -> impl Iterator<Item = (&TaskId, &VecDeque<Mark>)> {
        self.0.iter().map(|(task, ledger)| (task, &ledger.marks))
    }

    /// The sum of all tasks' ledgers of `phase`.
    pub fn phase(&self, phase: &str) -> PhaseLedger {
        let mut sum = PhaseLedger::default();
        for ledger in self.iter().filter_map(|line| line.phases.get(phase)) {
            sum.add(ledger);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_line(task: &str, sequence: u64, accepted: u64) -> LedgerLine {
        let mut latency = Latencies::default();
        latency.record(Duration::from_millis(5), accepted);
        let counters = Counters {
            offered: accepted + 6,
            accepted,
            failed: 1,
            dropped: 2,
            unknown: 3,
            throttled: 40,
            retried: 39,
        };
        LedgerLine {
            kinesisdemo: MARKER.into(),
            run: 3,
            task: TaskId::from_arn(task),
            sequence,
            at: MicroTime::from_micros(1_700_000_000_000_000),
            is_final: false,
            control: Some(ControlVersion { epoch: 2, version: 5 }),
            phases: BTreeMap::from([("peak".into(), PhaseLedger { counters, latency })]),
        }
    }

    #[test]
    fn a_line_round_trips_counters_and_latencies() {
        let text = a_line("a1b2c3d4", 1, 1_000).to_text().unwrap();
        assert!(!text.contains('\n'));
        let read = LedgerLine::parse(&text).unwrap();
        assert_eq!(read, a_line("a1b2c3d4", 1, 1_000));
        let peak = &read.phases["peak"];
        assert_eq!(peak.counters.settled(), peak.counters.offered);
        let p99 = peak.latency.percentile(99.0).unwrap();
        assert!((4_950..=5_050).contains(&p99.as_micros()), "{p99:?}");
    }

    #[test]
    fn latencies_are_listed_and_can_be_subtracted() {
        let millis = Duration::from_millis;
        let mut latencies = Latencies::default();
        latencies.record(millis(5), 2);
        let earlier = latencies.clone();
        latencies.record(millis(5), 1);
        latencies.record(millis(20), 4);
        let rest: Vec<_> = latencies.since(&earlier).values().collect();
        assert_eq!(rest.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 4]);
        for ((value, _), exact) in rest.iter().zip([millis(5), millis(20)]) {
            assert!(*value >= exact && *value <= exact + exact / 100, "{value:?} for {exact:?}");
        }
        assert_eq!(earlier.since(&earlier).values().count(), 0);
    }

    #[test]
    fn other_log_lines_are_not_ledger_lines() {
        assert_eq!(LedgerLine::parse("starting"), None);
        assert_eq!(LedgerLine::parse(r#"{"level":"INFO","message":"sent"}"#), None);
        let foreign = a_line("a1b2c3d4", 1, 1).to_text().unwrap().replace(MARKER, "ledger/9");
        assert_eq!(LedgerLine::parse(&foreign), None);
    }

    #[test]
    fn the_latest_line_of_each_task_wins_in_any_order() {
        let mut ledgers = Ledgers::default();
        for line in
            [a_line("aaaa", 2, 20), a_line("bbbb", 1, 5), a_line("aaaa", 1, 10), a_line("aaaa", 2, 20)]
        {
            ledgers.take(line);
        }
        let peak = ledgers.phase("peak");
        assert_eq!(peak.counters.accepted, 25);
        assert_eq!(peak.counters.unknown, 6);
        assert_eq!(ledgers.phase("spike"), PhaseLedger::default());
    }

    #[test]
    fn the_most_recent_lines_are_kept_in_order_of_sequence() {
        let mut ledgers = Ledgers::default();
        for sequence in [40, 38, 39, 40].into_iter().chain(1..38) {
            ledgers.take(a_line("aaaa", sequence, sequence * 10));
        }
        let (_, marks) = ledgers.marks().next().unwrap();
        let accepted: Vec<_> = marks.iter().map(|mark| mark.accepted / 10).collect();
        assert_eq!(accepted, (9..=40).collect::<Vec<_>>());
        assert_eq!(ledgers.of(&TaskId::from_arn("aaaa")).unwrap().sequence, 40);
    }

    #[test]
    fn a_full_line_is_far_smaller_than_a_log_event_may_be() {
        let mut line = a_line("a1b2c3d4", 1, 1);
        let mut latency = Latencies::default();
        for step in 0..20_000_u64 {
            latency.record(Duration::from_micros(step * 97 + 1), 1 + step % 7);
        }
        let full = PhaseLedger { counters: line.phases["peak"].counters.clone(), latency };
        line.phases = (0..20).map(|n| (format!("phase-{n}"), full.clone())).collect();
        let length = line.to_text().unwrap().len();
        assert!(length < 100_000, "{length} bytes; CloudWatch Logs accepts 256 KB per event");
    }
}
