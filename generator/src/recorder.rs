//! What became of every record, by phase. In: events, as they happen. Out: ledger lines and windows for the metrics. Pure,
//! but shared: the pacer and every request under way write to it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::TaskId;
use kinesis_demo_api::ledger::{Counters, Latencies, LedgerLine, MARKER, PhaseLedger};

/// A phase as the recorder knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PhaseId(usize);

/// The task's books, behind a lock.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Books>);

impl Recorder {
    /// The books, for as long as the guard lives. Hold it briefly: everybody writes to them.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        // A panic elsewhere leaves counts that are still whole numbers of records.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that was counted so far.
#[derive(Debug, Default)]
pub struct Books {
    phases: Vec<PhaseBook>,
    changes: u64,
    lines: u64,
    changes_in_last_line: u64,
}

#[derive(Debug)]
struct PhaseBook {
    name: String,
    ledger: PhaseLedger,
    at_window_start: PhaseLedger,
    /// Requests since then.
    requests: u64,
}

/// What happened to a phase's records since the last window was taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// The counts of the window alone.
    pub counters: Counters,
    /// Requests sent.
    pub requests: u64,
    /// The latencies of the accepted records.
    pub latency: Latencies,
}

impl Books {
    /// The phase of that name, known or new.
    pub fn phase(&mut self, name: &str) -> PhaseId {
        if let Some(known) = self.phases.iter().position(|phase| phase.name == name) {
            return PhaseId(known);
        }
        self.phases.push(PhaseBook {
            name: name.to_owned(),
            ledger: PhaseLedger::default(),
            at_window_start: PhaseLedger::default(),
            requests: 0,
        });
        PhaseId(self.phases.len() - 1)
    }

    /// The turn of `records` records came.
    pub fn offered(&mut self, phase: PhaseId, records: u64) {
        self.counters(phase).offered += records;
    }

    /// Kinesis confirmed a record, that long after it was due.
    pub fn accepted(&mut self, phase: PhaseId, latency: Duration) {
        self.counters(phase).accepted += 1;
        self.phases[phase.0].ledger.latency.record(latency, 1);
    }

    /// Records were given up after refusals.
    pub fn failed(&mut self, phase: PhaseId, records: u64) {
        self.counters(phase).failed += records;
    }

    /// Records were never sent.
    pub fn dropped(&mut self, phase: PhaseId, records: u64) {
        self.counters(phase).dropped += records;
    }

    /// The answer to a request was lost.
    pub fn unknown(&mut self, phase: PhaseId, records: u64) {
        self.counters(phase).unknown += records;
    }

    /// Records were refused for want of throughput.
    pub fn throttled(&mut self, phase: PhaseId, records: u64) {
        self.counters(phase).throttled += records;
    }

    /// Records are sent once more.
    pub fn retried(&mut self, phase: PhaseId, records: u64) {
        self.counters(phase).retried += records;
    }

    /// A request goes out; it counts for the phase of its first record.
    pub fn requested(&mut self, phase: PhaseId) {
        self.phases[phase.0].requests += 1;
    }

    /// True if something was counted that no ledger line says.
    pub fn has_news(&self) -> bool {
        self.changes != self.changes_in_last_line
    }

    /// Records that were offered and are not settled.
    pub fn unsettled(&self) -> u64 {
        self.phases.iter().map(|phase| phase.ledger.counters.offered - phase.ledger.counters.settled()).sum()
    }

    /// The next line of the ledger. Turning it into text is left to the caller, outside the lock.
    pub fn next_line(&mut self, run: u32, task: &TaskId, at: MicroTime) -> LedgerLine {
        self.lines += 1;
        self.changes_in_last_line = self.changes;
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

    /// What happened in each phase since the last call; phases in which nothing did are left out.
    pub fn take_windows(&mut self) -> Vec<(String, Window)> {
        let mut windows = Vec::new();
        for phase in &mut self.phases {
            let counters = since(&phase.ledger.counters, &phase.at_window_start.counters);
            let requests = std::mem::take(&mut phase.requests);
            if requests == 0 && counters == Counters::default() {
                continue;
            }
            // The histogram is compared once in a window, so that a record is counted in one place only.
            let latency = phase.ledger.latency.since(&phase.at_window_start.latency);
            phase.at_window_start = phase.ledger.clone();
            windows.push((phase.name.clone(), Window { counters, requests, latency }));
        }
        windows
    }

    fn counters(&mut self, phase: PhaseId) -> &mut Counters {
        self.changes += 1;
        &mut self.phases[phase.0].ledger.counters
    }
}

fn since(now: &Counters, then: &Counters) -> Counters {
    // Destructured without `..`: a counter that is forgotten here would show its whole history in every window.
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
    fn lines_are_cumulative_and_count_up() {
        let mut books = Books::default();
        let (spike, peak) = (books.phase("spike"), books.phase("peak"));
        assert_eq!(books.phase("spike"), spike);
        assert!(!books.has_news());
        books.offered(spike, 5);
        books.accepted(spike, millis(20));
        books.failed(spike, 1);
        let task = TaskId::from_arn("a1b2c3d4");
        let first = books.next_line(3, &task, T0);
        assert!(!books.has_news());
        assert_eq!(books.unsettled(), 3);
        books.dropped(spike, 2);
        books.unknown(spike, 1);
        books.throttled(spike, 9);
        books.retried(spike, 8);
        books.offered(peak, 1);
        books.accepted(peak, millis(1));
        assert!(books.has_news());
        let second = books.next_line(3, &task, T0);
        assert_eq!((first.sequence, second.sequence), (1, 2));
        assert_eq!(first.phases["spike"].counters.settled(), 2);
        let expected =
            Counters { offered: 5, accepted: 1, failed: 1, dropped: 2, unknown: 1, throttled: 9, retried: 8 };
        assert_eq!(second.phases["spike"].counters, expected);
        assert_eq!(second.phases["peak"].counters.accepted, 1);
        assert_eq!(books.unsettled(), 0);
    }

    #[test]
    fn a_window_holds_what_happened_since_the_last_one_only() {
        let mut books = Books::default();
        let (spike, peak) = (books.phase("spike"), books.phase("peak"));
        books.offered(spike, 3);
        books.requested(spike);
        books.accepted(spike, millis(20));
        books.accepted(spike, millis(40));
        let mut latency = Latencies::default();
        latency.record(millis(20), 1);
        latency.record(millis(40), 1);
        let counters = Counters { offered: 3, accepted: 2, ..Counters::default() };
        let expected = Window { counters, requests: 1, latency };
        assert_eq!(books.take_windows(), [("spike".to_owned(), expected)]);
        assert_eq!(books.take_windows(), []);
        books.failed(spike, 1);
        books.offered(peak, 1);
        let seen = books.take_windows();
        assert_eq!(seen[0].1.counters, Counters { failed: 1, ..Counters::default() });
        assert_eq!(seen[0].1.latency.values().count(), 0);
        assert_eq!(seen[1].1.counters, Counters { offered: 1, ..Counters::default() });
    }
}
