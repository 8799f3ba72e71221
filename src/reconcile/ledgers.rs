//! What the tasks of the runs in hand said last. In: pages of the log as they are read. Out: every task's last word, once all
//! of the log is read. A cache: after a restart it is filled again from the log.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::ledger::Ledgers;

use crate::aws::LedgerPage;

/// Lines reach the log late and out of order: each reading goes back behind the one before by so many times the longest delay that
/// is expected. Lines are cumulative, so reading one twice does no harm.
const OVERLAP_DELAYS: u32 = 4;

/// Tasks start, and speak, before the traffic does.
const HEAD_START: Duration = Duration::from_secs(600);

/// The last words, by object and run.
#[derive(Debug, Default)]
pub struct LedgerStore(Mutex<HashMap<String, RunLedgers>>);

#[derive(Debug)]
struct RunLedgers {
    run: u32,
    /// When the last reading began that came to its end.
    read_at: Option<MicroTime>,
    /// The reading that is not at its end.
    open: Option<Reading>,
    ledgers: Arc<Ledgers>,
}

/// What to ask the log for next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    began_at: MicroTime,
    /// From when on lines must be read.
    pub since: MicroTime,
    /// The page; `None`: the first one.
    pub page: Option<String>,
}

impl LedgerStore {
    /// The reading to go on with, or a new one. The first of a run reads all of its log, later ones what is new.
    pub fn reading(
        &self,
        uid: &str,
        run: u32,
        started_at: MicroTime,
        log_delay: Duration,
        now: MicroTime,
    ) -> Reading {
        let from_start = started_at - HEAD_START;
        let store = self.lock();
        let held = store.get(uid).filter(|held| held.run == run);
        if let Some(open) = held.and_then(|held| held.open.clone()) {
            return open;
        }
        let overlap = log_delay * OVERLAP_DELAYS;
        let read_at = held.and_then(|held| held.read_at);
        let since = read_at.map_or(from_start, |read_at| (read_at - overlap).max(from_start));
        Reading { began_at: now, since, page: None }
    }

    /// Takes in what `reading` brought. At its end: everything known.
    pub fn take(&self, uid: &str, run: u32, reading: Reading, found: LedgerPage) -> Option<Arc<Ledgers>> {
        let mut store = self.lock();
        let fresh = || RunLedgers { run, read_at: None, open: None, ledgers: Arc::default() };
        let held = store.entry(uid.to_owned()).or_insert_with(fresh);
        if held.run != run {
            *held = fresh();
        }
        let ledgers = Arc::make_mut(&mut held.ledgers);
        found.lines.into_iter().filter(|line| line.run == run).for_each(|line| ledgers.take(line));
        if found.next.is_some() {
            held.open = Some(Reading { page: found.next, ..reading });
            return None;
        }
        held.open = None;
        held.read_at = Some(reading.began_at);
        Some(Arc::clone(&held.ledgers))
    }

    /// When the last reading began that came to the log's end; `None` before there was one.
    pub fn read_at(&self, uid: &str, run: u32) -> Option<MicroTime> {
        self.lock().get(uid).filter(|held| held.run == run)?.read_at
    }

    /// The last words that were read so far.
    pub fn known(&self, uid: &str, run: u32) -> Arc<Ledgers> {
        let store = self.lock();
        let held = store.get(uid).filter(|held| held.run == run);
        held.map(|held| Arc::clone(&held.ledgers)).unwrap_or_default()
    }

    /// The page that was to be read next is not known any more: the reading begins anew. What it brought is kept.
    pub fn begin_anew(&self, uid: &str) {
        if let Some(held) = self.lock().get_mut(uid) {
            held.open = None;
        }
    }

    /// Forgets all objects but those with these uids.
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
    fn a_log_is_read_from_before_the_traffic_and_then_from_what_may_have_come_late() {
        let store = LedgerStore::default();
        let read = |now| store.reading("uid", 1, T0, s(30), now);
        let first = read(T0 + s(3_600));
        assert_eq!((first.since, &first.page), (T0 - s(600), &None));
        assert!(store.take("uid", 1, first, a_page(1, 1, None)).is_some());
        let second = read(T0 + s(3_610));
        assert_eq!((second.since, &second.page), (T0 + s(3_480), &None));
        // Another run of the same object begins anew.
        assert_eq!(store.reading("uid", 2, T0 + s(9_000), s(30), T0 + s(9_100)).since, T0 + s(8_400));
    }

    #[test]
    fn a_reading_goes_on_where_it_was_and_counts_from_when_it_began() {
        let store = LedgerStore::default();
        let read = |now| store.reading("uid", 1, T0, s(30), now);
        assert_eq!(store.take("uid", 1, read(T0 + s(1_000)), a_page(1, 7, Some("two"))), None);
        let on = read(T0 + s(1_005));
        assert_eq!((on.since, on.page.as_deref()), (T0 - s(600), Some("two")));
        let ledgers = store.take("uid", 1, on, a_page(1, 6, None)).unwrap();
        assert_eq!(ledgers.iter().map(|line| line.sequence).collect::<Vec<_>>(), [7]);
        assert_eq!(read(T0 + s(1_010)).since, T0 + s(1_000 - 120));
    }

    #[test]
    fn a_page_that_is_gone_is_no_loss() {
        let store = LedgerStore::default();
        let read = |now| store.reading("uid", 1, T0, s(30), now);
        assert_eq!(store.take("uid", 1, read(T0 + s(1_000)), a_page(1, 7, Some("two"))), None);
        store.begin_anew("uid");
        let anew = read(T0 + s(2_000));
        assert_eq!((anew.since, &anew.page), (T0 - s(600), &None));
        let ledgers = store.take("uid", 1, anew, LedgerPage::default()).unwrap();
        assert_eq!(ledgers.iter().count(), 1);
    }
}
