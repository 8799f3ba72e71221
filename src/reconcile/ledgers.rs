//! The latest ledger lines of the tasks of active runs. In: pages of the log as they are read. Out:
//! the latest line of every task, once the whole log is read. A cache: after a restart it is filled
//! from the log again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::ledger::Ledgers;
use kinesis_demo_api::run_record::TrafficCells;
use kinesis_demo_api::status::PhaseReport;

use crate::aws::LedgerPage;

/// Lines reach the log late and out of order. So each reading starts before the end of the previous
/// one, by this many times the longest expected delay. Lines are cumulative, so reading one twice
/// does no harm.
const OVERLAP_DELAYS: u32 = 4;

/// Tasks start, and write lines, before the traffic starts.
const HEAD_START: Duration = Duration::from_secs(600);

/// The latest lines, by object and run.
#[derive(Debug, Default)]
pub struct LedgerStore(Mutex<HashMap<String, RunLedgers>>);

#[derive(Debug)]
struct RunLedgers {
    run: u32,
    /// When the last complete reading started.
    read_at: Option<MicroTime>,
    /// The reading that is not complete yet.
    open: Option<Reading>,
    ledgers: Arc<Ledgers>,
    /// The same lines over time.
    cells: TrafficCells,
}

/// The next page to read from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    started_at: MicroTime,
    /// The instant from which on lines must be read.
    pub since: MicroTime,
    /// The page token; `None` for the first page.
    pub page: Option<String>,
}

impl LedgerStore {
    /// The reading to continue, or a new one. The first reading of a run covers its whole log,
    /// later ones what is new.
    pub fn reading(
        &self,
        uid: &str,
        run: u32,
        traffic_starts_at: MicroTime,
        log_delay: Duration,
        now: MicroTime,
    ) -> Reading {
        let from_start = traffic_starts_at - HEAD_START;
        let store = self.lock();
        let ledgers = store.get(uid).filter(|ledgers| ledgers.run == run);
        if let Some(open) = ledgers.and_then(|ledgers| ledgers.open.clone()) {
            return open;
        }
        let overlap = log_delay * OVERLAP_DELAYS;
        let read_at = ledgers.and_then(|ledgers| ledgers.read_at);
        let since = read_at.map_or(from_start, |read_at| (read_at - overlap).max(from_start));
        Reading { started_at: now, since, page: None }
    }

    /// Stores a page of `reading`. Returns all known lines if it was the last page. `phases` are the
    /// phases as they are scheduled now.
    pub fn take(
        &self,
        uid: &str,
        run: u32,
        phases: &[PhaseReport],
        reading: Reading,
        page: LedgerPage,
    ) -> Option<Arc<Ledgers>> {
        let mut store = self.lock();
        let fresh = || RunLedgers {
            run,
            read_at: None,
            open: None,
            ledgers: Arc::default(),
            cells: TrafficCells::default(),
        };
        let run_ledgers = store.entry(uid.to_owned()).or_insert_with(fresh);
        if run_ledgers.run != run {
            *run_ledgers = fresh();
        }
        let ledgers = Arc::make_mut(&mut run_ledgers.ledgers);
        for line in page.lines.into_iter().filter(|line| line.run == run) {
            run_ledgers.cells.take(ledgers.of(&line.task), &line, phases);
            ledgers.take(line);
        }
        if page.next.is_some() {
            run_ledgers.open = Some(Reading { page: page.next, ..reading });
            return None;
        }
        run_ledgers.open = None;
        run_ledgers.read_at = Some(reading.started_at);
        Some(Arc::clone(&run_ledgers.ledgers))
    }

    /// When the last complete reading started; `None` before there was one.
    pub fn read_at(&self, uid: &str, run: u32) -> Option<MicroTime> {
        self.lock().get(uid).filter(|run_ledgers| run_ledgers.run == run)?.read_at
    }

    /// The latest lines that were read so far.
    pub fn known(&self, uid: &str, run: u32) -> Arc<Ledgers> {
        let store = self.lock();
        let run_ledgers = store.get(uid).filter(|run_ledgers| run_ledgers.run == run);
        run_ledgers.map(|run_ledgers| Arc::clone(&run_ledgers.ledgers)).unwrap_or_default()
    }

    /// The traffic over time, as far as the lines were read.
    pub fn cells(&self, uid: &str, run: u32) -> TrafficCells {
        let store = self.lock();
        let run_ledgers = store.get(uid).filter(|run_ledgers| run_ledgers.run == run);
        run_ledgers.map(|run_ledgers| run_ledgers.cells.clone()).unwrap_or_default()
    }

    /// Restarts the reading, because its page token is no longer valid. The lines read so far are
    /// kept.
    pub fn restart_reading(&self, uid: &str) {
        if let Some(run_ledgers) = self.lock().get_mut(uid) {
            run_ledgers.open = None;
        }
    }

    /// Drops the state of all objects except these uids.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.lock().retain(|uid, _| uids.contains(uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, RunLedgers>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kinesis_demo_api::control::TaskId;
    use kinesis_demo_api::ledger::{LedgerLine, MARKER};

    use super::*;

    const T0: MicroTime = MicroTime::from_micros(1_800_000_000_000_000);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn a_page(run: u32, sequence: u64, next: Option<&str>) -> LedgerPage {
        let line = LedgerLine {
            kinesisdemo: MARKER.into(),
            run,
            task: TaskId::from_arn("a1b2c3d4"),
            sequence,
            at: T0,
            is_final: false,
            control: None,
            phases: BTreeMap::new(),
        };
        LedgerPage { lines: vec![line], next: next.map(str::to_owned) }
    }

    #[test]
    fn later_readings_overlap_the_earlier_by_the_log_delay() {
        let store = LedgerStore::default();
        let read = |now| store.reading("uid", 1, T0, s(30), now);
        let first = read(T0 + s(3_600));
        assert_eq!((first.since, &first.page), (T0 - s(600), &None));
        assert!(store.take("uid", 1, &[], first, a_page(1, 1, None)).is_some());
        let second = read(T0 + s(3_610));
        assert_eq!((second.since, &second.page), (T0 + s(3_480), &None));
        // Another run of the same object starts a new reading.
        assert_eq!(store.reading("uid", 2, T0 + s(9_000), s(30), T0 + s(9_100)).since, T0 + s(8_400));
    }

    #[test]
    fn a_reading_continues_and_counts_from_its_start() {
        let store = LedgerStore::default();
        let read = |now| store.reading("uid", 1, T0, s(30), now);
        assert_eq!(store.take("uid", 1, &[], read(T0 + s(1_000)), a_page(1, 7, Some("two"))), None);
        let second_page = read(T0 + s(1_005));
        assert_eq!((second_page.since, second_page.page.as_deref()), (T0 - s(600), Some("two")));
        let ledgers = store.take("uid", 1, &[], second_page, a_page(1, 6, None)).unwrap();
        assert_eq!(ledgers.iter().map(|line| line.sequence).collect::<Vec<_>>(), [7]);
        assert_eq!(read(T0 + s(1_010)).since, T0 + s(1_000 - 120));
    }

    #[test]
    fn an_expired_page_token_loses_no_lines() {
        let store = LedgerStore::default();
        let read = |now| store.reading("uid", 1, T0, s(30), now);
        assert_eq!(store.take("uid", 1, &[], read(T0 + s(1_000)), a_page(1, 7, Some("two"))), None);
        store.restart_reading("uid");
        let restarted = read(T0 + s(2_000));
        assert_eq!((restarted.since, &restarted.page), (T0 - s(600), &None));
        let ledgers = store.take("uid", 1, &[], restarted, LedgerPage::default()).unwrap();
        assert_eq!(ledgers.iter().count(), 1);
    }
}
