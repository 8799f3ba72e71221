//! What a task says it sent. In: cumulative counters and latencies per phase. Out: one JSON line for the task's log, and
//! back again. Pure.
//!
//! Lines are cumulative, so the last one wins: reading a line twice or losing one does no harm.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer as HistogramReader, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use crate::MicroTime;
use crate::control::{ControlDocument, TaskId};

/// The value of a line's `kinesisdemo` member, by which ledger lines are found among other log lines.
pub const MARKER: &str = "ledger/1";

/// Longer waits than this count as this: no request lives longer than its timeouts.
const LONGEST_LATENCY_MICROS: u64 = 300_000_000;

/// What became of the records of one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Records whose turn came while the task had the slot.
    pub offered: u64,
    /// Records that Kinesis confirmed.
    pub accepted: u64,
    /// Records given up after refusals.
    pub failed: u64,
    /// Records never sent, because the task had fallen behind.
    pub dropped: u64,
    /// Records sent in a request whose answer was lost.
    pub unknown: u64,
    /// Refusals for want of throughput, one per record and attempt. Not an outcome: most are sent again.
    pub throttled: u64,
    /// Attempts beyond a record's first, one per record and attempt.
    pub retried: u64,
}

impl Counters {
    /// Records whose outcome is known.
    pub fn settled(&self) -> u64 {
        self.accepted + self.failed + self.dropped + self.unknown
    }

    /// Adds another task's or another interval's counts.
    pub fn add(&mut self, other: &Self) {
        // Destructured without `..`: a counter that is forgotten here would vanish from the books.
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

/// How long records took from the instant they were due until Kinesis confirmed them.
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        // Two significant digits from 1 µs to five minutes: within the bounds hdrhistogram documents, so it cannot fail.
        #[allow(clippy::expect_used)]
        let histogram =
            Histogram::new_with_max(LONGEST_LATENCY_MICROS, 2).expect("constant bounds are valid");
        Self(histogram)
    }
}

impl Latencies {
    /// Counts `records` records that took `latency`.
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

    /// The longest latency seen.
    pub fn max(&self) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_micros(self.0.max()))
    }

    /// The different latencies and how many records took each, the shortest first; to two digits, rounded up as percentiles are.
    pub fn values(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.0
            .iter_recorded()
            .map(|value| (Duration::from_micros(value.value_iterated_to()), value.count_at_value()))
    }

    /// What was counted since `earlier`, which these latencies contain.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut rest = self.clone();
        // Both histograms have the same bounds, and no count of the earlier one is larger.
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

/// One phase's part of a ledger line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseLedger {
    /// What became of its records.
    #[serde(flatten)]
    pub counters: Counters,
    /// How long they took.
    pub latency: Latencies,
}

impl PhaseLedger {
    /// Adds another task's ledger of the same phase.
    pub fn add(&mut self, other: &Self) {
        self.counters.add(&other.counters);
        self.latency.add(&other.latency);
    }
}

/// Which version of the control document a task holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HeldVersion {
    /// The leadership under which the document was written.
    pub epoch: u64,
    /// Its version.
    pub version: u64,
}

impl From<&ControlDocument> for HeldVersion {
    fn from(document: &ControlDocument) -> Self {
        Self { epoch: document.epoch, version: document.version }
    }
}

/// One line of a task's ledger: everything it has done so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerLine {
    /// [`MARKER`].
    pub kinesisdemo: String,
    /// The run's number.
    pub run: u32,
    /// Who writes.
    pub task: TaskId,
    /// Counts the task's lines: of two, the one with the greater number wins.
    pub sequence: u64,
    /// When it was written, by the task's clock.
    pub at: MicroTime,
    /// True on the last word of a task that drained: every record it offered is settled.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// The newest control document that the task holds: what it was read from may hold another by now. Absent before the
    /// first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<HeldVersion>,
    /// By phase name.
    pub phases: BTreeMap<String, PhaseLedger>,
}

impl LedgerLine {
    /// Reads a line of a task's log; `None` if it is not a ledger line.
    pub fn parse(line: &str) -> Option<Self> {
        let line: Self = serde_json::from_str(line).ok()?;
        (line.kinesisdemo == MARKER).then_some(line)
    }

    /// The records that Kinesis confirmed, in all phases.
    pub fn accepted(&self) -> u64 {
        self.phases.values().map(|phase| phase.counters.accepted).sum()
    }

    /// The line's text, without a line end.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

/// The last word of each task so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledgers(BTreeMap<TaskId, TaskLedger>);

/// How many of a task's lines are remembered as marks: with a line each interval, enough for those that the log brings late
/// and for the window of a rate before them.
const MARKS: usize = 32;

/// What a task said last, and how far it was at its latest lines.
#[derive(Clone, Debug, PartialEq)]
struct TaskLedger {
    last: LedgerLine,
    /// In the order in which they were written; the last line's too.
    marks: VecDeque<Mark>,
}

/// How far a task was at one of its lines.
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
        let place = self.marks.partition_point(|mark| mark.sequence < line.sequence);
        if self.marks.get(place).is_none_or(|mark| mark.sequence != line.sequence) {
            self.marks.insert(place, Mark::of(&line));
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
    /// Takes a line in, unless later ones of the same task are held.
    pub fn take(&mut self, line: LedgerLine) {
        match self.0.get_mut(&line.task) {
            Some(held) => held.take(line),
            None => drop(self.0.insert(line.task.clone(), TaskLedger::new(line))),
        }
    }

    /// What `task` said last.
    pub fn of(&self, task: &TaskId) -> Option<&LedgerLine> {
        self.0.get(task).map(|held| &held.last)
    }

    /// Every task's last line.
    pub fn iter(&self) -> impl Iterator<Item = &LedgerLine> {
        self.0.values().map(|held| &held.last)
    }

    /// How far each task was at its latest lines, in the order in which they were written.
    pub(crate) fn marks(&self) -> impl Iterator<Item = (&TaskId, &VecDeque<Mark>)> {
        self.0.iter().map(|(task, held)| (task, &held.marks))
    }

    /// All tasks' ledgers of `phase` together.
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
            control: Some(HeldVersion { epoch: 2, version: 5 }),
            phases: BTreeMap::from([("peak".into(), PhaseLedger { counters, latency })]),
        }
    }

    #[test]
    fn a_line_keeps_counters_and_latencies() {
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
    fn latencies_are_told_one_by_one_and_from_an_earlier_count_on() {
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
    fn the_last_line_of_each_task_wins_in_any_order() {
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
    fn the_latest_lines_are_remembered_in_order_however_they_come() {
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
    fn a_full_line_stays_far_below_a_log_event() {
        let mut line = a_line("a1b2c3d4", 1, 1);
        let mut latency = Latencies::default();
        for step in 0..20_000_u64 {
            latency.record(Duration::from_micros(step * 97 + 1), 1 + step % 7);
        }
        let full = PhaseLedger { counters: line.phases["peak"].counters.clone(), latency };
        line.phases = (0..20).map(|n| (format!("phase-{n}"), full.clone())).collect();
        let length = line.to_text().unwrap().len();
        assert!(length < 100_000, "{length} bytes; CloudWatch Logs takes 256 KB per event");
    }
}
