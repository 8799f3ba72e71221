//! Counts the outcome of every record, per phase. In: events as they happen. Out: ledger lines and
//! metric windows. Performs no I/O, but is shared: the pacer and every request in flight write to
//! it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::TaskId;
use kinesis_demo_api::ledger::{Counters, Latencies, LedgerLine, MARKER, PhaseLedger};

/// Index of a phase in the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PhaseId(usize);

/// The task's totals behind a lock.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Totals>);

impl Recorder {
    /// Locks the totals. Release the guard soon: the pacer and all requests need it.
    pub fn totals(&self) -> MutexGuard<'_, Totals> {
        // A poisoned lock is usable: a panic elsewhere leaves whole numbers of records.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All counts since the start of the task.
#[derive(Debug, Default)]
pub struct Totals {
    phases: Vec<PhaseTotals>,
    updates: u64,
    lines: u64,
    updates_in_last_line: u64,
}

#[derive(Debug)]
struct PhaseTotals {
    name: String,
    ledger: PhaseLedger,
    at_window_start: PhaseLedger,
    /// Requests since the window started.
    requests: u64,
}

/// What happened in a phase since the previous window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// Counts of this window only.
    pub counters: Counters,
    /// Requests sent.
    pub requests: u64,
    /// The latencies of the accepted records.
    pub latency: Latencies,
}

impl Totals {
    /// Returns the phase of that name; adds it if it is new.
    pub fn phase(&mut self, name: &str) -> PhaseId {
        if let Some(known) = self.phases.iter().position(|phase| phase.name == name) {
            return PhaseId(known);
        }
        self.phases.push(PhaseTotals {
            name: name.to_owned(),
            ledger: PhaseLedger::default(),
            at_window_start: PhaseLedger::default(),
            requests: 0,
        });
        PhaseId(self.phases.len() - 1)
    }

    /// `records` records fell due.
    pub fn offered(&mut self, phase: PhaseId, records: u64) {
        self.counters(phase).offered += records;
    }

    /// Kinesis confirmed a record, `latency` after it was due.
    pub fn accepted(&mut self, phase: PhaseId, latency: Duration) {
        self.counters(phase).accepted += 1;
        self.phases[phase.0].ledger.latency.record(latency, 1);
    }

    /// Records were given up after rejections.
    pub fn failed(&mut self, phase: PhaseId, records: u64) {
        self.counters(phase).failed += records;
    }

    /// Records were never sent.
    pub fn dropped(&mut self, phase: PhaseId, records: u64) {
        self.counters(phase).dropped += records;
    }

    /// Records were sent but no definite response arrived.
    pub fn unknown(&mut self, phase: PhaseId, records: u64) {
        self.counters(phase).unknown += records;
    }

    /// Records were rejected because throughput was exceeded.
    pub fn throttled(&mut self, phase: PhaseId, records: u64) {
        self.counters(phase).throttled += records;
    }

    /// Records are sent again.
    pub fn retried(&mut self, phase: PhaseId, records: u64) {
        self.counters(phase).retried += records;
    }

    /// A request is sent; it counts for the phase of its first record.
    pub fn requested(&mut self, phase: PhaseId) {
        self.phases[phase.0].requests += 1;
    }

    /// True if something was counted since the last ledger line.
    pub fn has_unreported_counts(&self) -> bool {
        self.updates != self.updates_in_last_line
    }

    /// Number of records offered but not yet settled.
    pub fn unsettled(&self) -> u64 {
        self.phases.iter().map(|phase| phase.ledger.counters.offered - phase.ledger.counters.settled()).sum()
    }

    /// Creates the next ledger line. The caller serialises it outside the lock.
    pub fn next_line(&mut self, run: u32, task: &TaskId, at: MicroTime) -> LedgerLine {
        self.lines += 1;
        self.updates_in_last_line = self.updates;
        let phases: BTreeMap<_, _> =
            self.phases.iter().map(|phase| (phase.name.clone(), phase.ledger.clone())).collect();
        LedgerLine {
            kinesisdemo: MARKER.to_owned(),
            run,
            task: task.clone(),
            sequence: self.lines,
            at,
            is_final: false,
            control: None,
            phases,
        }
    }

    /// Returns what happened in each phase since the last call, without phases in which nothing
    /// happened.
    pub fn take_windows(&mut self) -> Vec<(String, Window)> {
        let mut windows = Vec::new();
        for phase in &mut self.phases {
            let counters = since(&phase.ledger.counters, &phase.at_window_start.counters);
            let requests = std::mem::take(&mut phase.requests);
            if requests == 0 && counters == Counters::default() {
                continue;
            }
            // The window's histogram is the difference of two cumulative ones, computed once per
            // window, so that each latency is recorded only once.
            let latency = phase.ledger.latency.since(&phase.at_window_start.latency);
            phase.at_window_start = phase.ledger.clone();
            windows.push((phase.name.clone(), Window { counters, requests, latency }));
        }
        windows
    }

    fn counters(&mut self, phase: PhaseId) -> &mut Counters {
        self.updates += 1;
        &mut self.phases[phase.0].ledger.counters
    }
}

fn since(now: &Counters, then: &Counters) -> Counters {
    // Destructured without `..`: a counter missing here would report its running total in every
    // window.
    let Counters { offered, accepted, failed, dropped, unknown, throttled, retried } = now;
    Counters {
        offered: offered - then.offered,
        accepted: accepted - then.accepted,
        failed: failed - then.failed,
        dropped: dropped - then.dropped,
        unknown: unknown - then.unknown,
        throttled: throttled - then.throttled,
        retried: retried - then.retried,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: MicroTime = MicroTime::from_micros(1_700_000_000_000_000);

    fn millis(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn ledger_lines_are_cumulative_and_numbered() {
        let mut totals = Totals::default();
        let (spike, peak) = (totals.phase("spike"), totals.phase("peak"));
        assert_eq!(totals.phase("spike"), spike);
        assert!(!totals.has_unreported_counts());
        totals.offered(spike, 5);
        totals.accepted(spike, millis(20));
        totals.failed(spike, 1);
        let task = TaskId::from_arn("a1b2c3d4");
        let first = totals.next_line(3, &task, T0);
        assert!(!totals.has_unreported_counts());
        assert_eq!(totals.unsettled(), 3);
        totals.dropped(spike, 2);
        totals.unknown(spike, 1);
        totals.throttled(spike, 9);
        totals.retried(spike, 8);
        totals.offered(peak, 1);
        totals.accepted(peak, millis(1));
        assert!(totals.has_unreported_counts());
        let second = totals.next_line(3, &task, T0);
        assert_eq!((first.sequence, second.sequence), (1, 2));
        assert_eq!(first.phases["spike"].counters.settled(), 2);
        let expected =
            Counters { offered: 5, accepted: 1, failed: 1, dropped: 2, unknown: 1, throttled: 9, retried: 8 };
        assert_eq!(second.phases["spike"].counters, expected);
        assert_eq!(second.phases["peak"].counters.accepted, 1);
        assert_eq!(totals.unsettled(), 0);
    }

    #[test]
    fn a_window_counts_only_since_the_previous_window() {
        let mut totals = Totals::default();
        let (spike, peak) = (totals.phase("spike"), totals.phase("peak"));
        totals.offered(spike, 3);
        totals.requested(spike);
        totals.accepted(spike, millis(20));
        totals.accepted(spike, millis(40));
        let mut latency = Latencies::default();
        latency.record(millis(20), 1);
        latency.record(millis(40), 1);
        let counters = Counters { offered: 3, accepted: 2, ..Counters::default() };
        let expected = Window { counters, requests: 1, latency };
        assert_eq!(totals.take_windows(), [("spike".to_owned(), expected)]);
        assert_eq!(totals.take_windows(), []);
        totals.failed(spike, 1);
        totals.offered(peak, 1);
        let seen = totals.take_windows();
        assert_eq!(seen[0].1.counters, Counters { failed: 1, ..Counters::default() });
        assert_eq!(seen[0].1.latency.values().count(), 0);
        assert_eq!(seen[1].1.counters, Counters { offered: 1, ..Counters::default() });
    }
}
