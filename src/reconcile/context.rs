//! What every reconcile needs, and what the operator remembers between reconciles.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::backoff::Backoffs;
use super::ledgers::LedgerStore;
use super::memory::Memory;
use super::queue::{Capacity, Next, Queue, RunLister};
use super::records::Recorder;
use crate::aws::Regions;
use crate::clock::Clock;
use crate::kubernetes::Cluster;
use crate::registry::Registry;
use crate::settings::Settings;

/// What every reconcile needs.
pub struct Context {
    pub settings: Settings,
    pub regions: Arc<dyn Regions>,
    pub cluster: Arc<dyn Cluster>,
    pub clock: Arc<dyn Clock>,
    /// The current epoch (leadership term), under which we write.
    pub epoch: Arc<AtomicU64>,
    /// Lists all objects, because runs wait for each other.
    pub run_lister: Arc<dyn RunLister>,
    /// The registry that has the generator's image.
    pub registry: Arc<dyn Registry>,
    pub ledgers: LedgerStore,
    pub backoffs: Backoffs,
    pub memory: Memory,
    pub recorder: Recorder,
    pub(super) queue: Queue,
}

impl Context {
    /// A context without any state from earlier reconciles.
    pub fn new(
        settings: Settings,
        regions: Arc<dyn Regions>,
        cluster: Arc<dyn Cluster>,
        clock: Arc<dyn Clock>,
        epoch: Arc<AtomicU64>,
        run_lister: Arc<dyn RunLister>,
        registry: Arc<dyn Registry>,
    ) -> Self {
        Self {
            recorder: Recorder::new(settings.retention),
            settings,
            regions,
            cluster,
            clock,
            epoch,
            run_lister,
            registry,
            ledgers: LedgerStore::default(),
            backoffs: Backoffs::default(),
            memory: Memory::default(),
            queue: Queue::default(),
        }
    }

    /// The limits on active runs in total, and on active runs and their tasks per Region.
    pub fn capacity(&self) -> Capacity {
        Capacity::new(self.settings.max_runs, &self.settings.timings)
    }

    /// The queued objects that may start now.
    pub fn next_in_turn(&self) -> Vec<Next> {
        let entries = self.run_lister.entries();
        entries.map(|entries| self.queue.next_in_turn(&entries, self.capacity())).unwrap_or_default()
    }

    /// Writes the records of runs that are due, and deletes those that have expired.
    pub async fn write_records(&self, namespaces: &[String]) {
        let (records, now) = (self.cluster.as_ref(), self.clock.now());
        self.recorder.write_due(records, &|uid, run| self.ledgers.cells(uid, run), now).await;
        self.recorder.expire(records, namespaces, now).await;
    }

    /// Drops the state of all objects except these uids: the others were deleted.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.queue.keep_only(uids);
        self.ledgers.keep_only(uids);
        self.backoffs.keep_only(uids);
        self.memory.keep_only(uids);
        self.recorder.keep_only(uids);
    }
}
