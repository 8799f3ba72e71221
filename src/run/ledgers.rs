//! What the tasks of the runs in hand said last. In: log lines as they are read. Out: every task's last word. A cache: after
//! a restart it is filled again from the log.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::ledger::{LedgerLine, Ledgers};

/// Lines reach the log late and out of order. Each read goes back this far behind the read before; lines are cumulative, so
/// reading one twice does no harm.
const OVERLAP: Duration = Duration::from_secs(120);

/// Tasks start, and speak, before the traffic does.
const HEAD_START: Duration = Duration::from_secs(600);

/// The last words, by object and run.
#[derive(Debug, Default)]
pub struct LedgerStore(Mutex<HashMap<String, Held>>);

#[derive(Debug)]
struct Held {
    run: u32,
    read_at: MicroTime,
    ledgers: Arc<Ledgers>,
}

impl LedgerStore {
    /// From when on lines must be read.
    pub fn since(&self, uid: &str, run: u32, started_at: MicroTime) -> MicroTime {
        let from_start = started_at - HEAD_START;
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match store.get(uid).filter(|held| held.run == run) {
            Some(held) => (held.read_at - OVERLAP).max(from_start),
            None => from_start,
        }
    }

    /// Takes in what was read at `now`, and gives everything known.
    pub fn take(&self, uid: &str, run: u32, lines: Vec<LedgerLine>, now: MicroTime) -> Arc<Ledgers> {
        let mut store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Held { run, read_at: now, ledgers: Arc::default() };
        let held = store.entry(uid.to_owned()).or_insert_with(fresh);
        if held.run != run {
            *held = fresh();
        }
        held.read_at = now;
        let ledgers = Arc::make_mut(&mut held.ledgers);
        lines.into_iter().filter(|line| line.run == run).for_each(|line| ledgers.take(line));
        Arc::clone(&held.ledgers)
    }

    /// Forgets all objects but those with these uids.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| uids.contains(uid));
    }
}
