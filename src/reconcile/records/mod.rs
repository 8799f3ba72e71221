//! Records the runs: one KinesisDemoRun for each. In: the status that each reconcile stored, the
//! Events, the tasks' ledgers. Out: writes to the API server, few and small while a run is not
//! over.
//!
//! ```text
//! mod    when to write, and what to do about a refusal   history  what is known of a run
//! build  history → KinesisDemoRun                         expire   which records to delete
//! ```
//!
//! Nothing waits for a record except the removal of the finalizer, for a few seconds. A refused
//! write is logged and tried again; the run does not notice.

mod build;
mod expire;
mod history;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kinesis_demo_api::error_chain::error_chain;
use kinesis_demo_api::run_record::{TrafficCells, record_name};
use kinesis_demo_api::{KinesisDemo, KinesisDemoRun, KinesisDemoStatus, MicroTime};
use kube::ResourceExt;

use super::backoff::pause;
use crate::kubernetes::ClusterError;
use crate::kubernetes::events::RunEvent;
use crate::kubernetes::run_records::RunRecords;
use crate::settings::Retention;
use expire::{delete_beyond_last, delete_expired};
use history::{RunHistory, WRITE_ANYWAY, WRITE_EVERY};

/// The longest pause between attempts to write a record.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// A run that was over for longer when this leader first saw it has its record already.
const RECENTLY_OVER: Duration = Duration::from_secs(15 * 60);

/// A record that cannot be written is given up this long after the end of its run.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3_600);

/// Where the traffic of a run comes from: its object's uid and its number.
pub type CellsOf<'a> = &'a (dyn Fn(&str, u32) -> TrafficCells + Sync);

/// The records of all active runs.
#[derive(Debug)]
pub struct Recorder {
    retention: Retention,
    runs: Mutex<HashMap<(String, u32), Recording>>,
    /// When expired records were last deleted.
    expired_at: Mutex<Option<MicroTime>>,
}

/// A run, and what the API server has of it.
#[derive(Debug)]
struct Recording {
    history: RunHistory,
    stored: Stored,
    /// When it was last written.
    written_at: Option<MicroTime>,
    /// Whether the history has changed since then.
    changed: bool,
    failures: u32,
    retry_at: Option<MicroTime>,
    /// Whether the final record is stored.
    done: bool,
}

/// What the API server has.
#[derive(Clone, Debug)]
enum Stored {
    /// It has to be read first.
    Unknown,
    Absent,
    /// The record with this resource version.
    Present(Option<String>),
}

impl Recording {
    fn is_due(&self, now: MicroTime) -> bool {
        if self.done || self.retry_at.is_some_and(|at| now < at) {
            return false;
        }
        let Some(written_at) = self.written_at else { return true };
        let waited = now.since(written_at);
        self.history.is_final() || (self.changed && waited >= WRITE_EVERY) || waited >= WRITE_ANYWAY
    }
}

impl Recorder {
    /// A recorder that keeps records as `retention` says.
    pub fn new(retention: Retention) -> Self {
        Self { retention, runs: Mutex::default(), expired_at: Mutex::default() }
    }

    /// Takes the status that was just stored for `demo`, and the Events that were published.
    pub fn observe(
        &self,
        demo: &KinesisDemo,
        status: KinesisDemoStatus,
        run_events: &[RunEvent],
        cells: CellsOf<'_>,
        now: MicroTime,
    ) {
        if self.retention.last == 0 {
            return;
        }
        let (Some(uid), Some(namespace)) = (demo.uid(), demo.namespace()) else { return };
        let Some(run) = status.run.as_ref().filter(|run| run.effective.is_some()) else { return };
        let number = run.number;
        let is_over = status.stage.is_some_and(kinesis_demo_api::Stage::is_terminal);
        let was_over = |recently: Duration| run.finished_at.is_some_and(|at| now.since(at) > recently);
        let mut runs = self.lock();
        let key = (uid.clone(), number);
        if !runs.contains_key(&key) && is_over && was_over(RECENTLY_OVER) {
            return;
        }
        let recording = runs.entry(key).or_insert_with(|| Recording {
            history: RunHistory::new(&namespace, &demo.name_any(), &uid, number, status.clone(), now),
            stored: Stored::Unknown,
            written_at: None,
            changed: true,
            failures: 0,
            retry_at: None,
            done: false,
        });
        // What was left may be removed later; then the final record is written again.
        let left_before = recording.done.then(|| recording.history.status.present_resources());
        recording.changed |= recording.history.status != status;
        recording.history.observe(status, run_events, now);
        if is_over {
            if left_before.is_some_and(|left| left != recording.history.status.present_resources()) {
                recording.done = false;
            }
            if recording.history.settled_cells.is_none() {
                recording.history.settled_cells = Some(cells(&uid, number));
            }
        }
    }

    /// Writes every record that is due, one after the other.
    pub async fn write_due(&self, records: &dyn RunRecords, cells: CellsOf<'_>, now: MicroTime) {
        let due: Vec<(String, u32)> = {
            let runs = self.lock();
            runs.iter().filter(|(_, recording)| recording.is_due(now)).map(|(key, _)| key.clone()).collect()
        };
        for key in due {
            self.write(&key, records, cells, now).await;
        }
        self.lock().retain(|_, recording| {
            let over = recording.history.status.run.as_ref().and_then(|run| run.finished_at);
            let gave_up = over.is_some_and(|at| now.since(at) > GIVEN_UP_AFTER);
            // Until then a final one stays, so that it is not read again at each reconcile.
            !gave_up
        });
    }

    /// Writes the records of an object whose finalizer is about to be removed.
    pub async fn finish(&self, uid: &str, records: &dyn RunRecords, cells: CellsOf<'_>, now: MicroTime) {
        let open: Vec<(String, u32)> = {
            let runs = self.lock();
            runs.iter()
                .filter(|((of, _), recording)| of == uid && !recording.done)
                .map(|(key, _)| key.clone())
                .collect()
        };
        for key in open {
            self.write(&key, records, cells, now).await;
        }
    }

    async fn write(&self, key: &(String, u32), records: &dyn RunRecords, cells: CellsOf<'_>, now: MicroTime) {
        let result = self.try_to_write(key, records, cells, now).await;
        let mut runs = self.lock();
        let Some(recording) = runs.get_mut(key) else { return };
        let Err(error) = result else {
            recording.failures = 0;
            recording.retry_at = None;
            return;
        };
        // Read again: somebody else wrote or deleted it.
        recording.stored = Stored::Unknown;
        recording.failures = recording.failures.saturating_add(1);
        let pause = pause(recording.failures, LONGEST_PAUSE, &key.0);
        recording.retry_at = Some(now + pause);
        let RunHistory { namespace, demo, run, .. } = &recording.history;
        let (failures, error) = (recording.failures, error_chain(&error));
        tracing::warn!(
            namespace,
            demo,
            run,
            failures,
            retry_seconds = pause.as_secs(),
            error,
            "could not write the record of a run (KinesisDemoRun); the run continues, and the record is tried again"
        );
    }

    async fn try_to_write(
        &self,
        key: &(String, u32),
        records: &dyn RunRecords,
        cells: CellsOf<'_>,
        now: MicroTime,
    ) -> Result<(), ClusterError> {
        let Some((namespace, name, stored)) = self.read(key, |recording| {
            let RunHistory { namespace, demo, uid, run, .. } = &recording.history;
            (namespace.clone(), record_name(demo, uid, *run), recording.stored.clone())
        }) else {
            return Ok(());
        };
        let mut stored = stored;
        if matches!(stored, Stored::Unknown) {
            let found = records.fetch_record(&namespace, &name).await?;
            stored = match &found {
                Some(found) => Stored::Present(found.resource_version()),
                None => Stored::Absent,
            };
            self.take_over(key, found, stored.clone());
        }
        let Some(Some((record, is_final))) = self.read(key, |recording| {
            let history = &recording.history;
            let record = match &history.settled_cells {
                Some(settled) => build::build(history, settled, now),
                None => build::build(history, &cells(&key.0, key.1), now),
            };
            record.map(|record| (record, history.is_final()))
        }) else {
            return Ok(());
        };
        let version = match stored {
            Stored::Present(version) => version,
            _ => records.create_record(&record).await?.resource_version(),
        };
        let written = records.replace_record_status(&with_version(record, version)).await?;
        if let Some(recording) = self.lock().get_mut(key) {
            recording.stored = Stored::Present(written.resource_version());
            recording.written_at = Some(now);
            recording.changed = false;
            recording.done = is_final && recording.history.is_final();
        }
        if is_final {
            let Some(demo) = self.read(key, |recording| recording.history.demo.clone()) else {
                return Ok(());
            };
            delete_beyond_last(self.retention, records, &namespace, &demo).await?;
        }
        Ok(())
    }

    /// Continues the record of an earlier leader. One that is final already stays as it is.
    fn take_over(&self, key: &(String, u32), found: Option<KinesisDemoRun>, stored: Stored) {
        let mut runs = self.lock();
        let Some(recording) = runs.get_mut(key) else { return };
        recording.stored = stored;
        // A failed write is not another leader's: its steps and marks are known.
        let is_ours = recording.written_at.is_some();
        if let Some(recorded) = found.and_then(|found| found.status).filter(|_| !is_ours) {
            recording.history.continue_from(&recorded);
            let run = recording.history.status.run.as_ref();
            if recorded.finished_at.is_some() && recorded.finished_at == run.and_then(|run| run.finished_at) {
                recording.done = true;
            }
        }
    }

    /// Deletes the records that are too old, once an hour.
    pub async fn expire(&self, records: &dyn RunRecords, namespaces: &[String], now: MicroTime) {
        {
            let mut expired_at = self.expired_at.lock().unwrap_or_else(PoisonError::into_inner);
            if expired_at.is_some_and(|at| now.since(at) < expire::EVERY) {
                return;
            }
            *expired_at = Some(now);
        }
        if let Err(error) = delete_expired(self.retention, records, namespaces, now).await {
            let error = error_chain(&error);
            tracing::warn!(
                error,
                "could not delete old records of runs (KinesisDemoRun); tried again in an hour"
            );
        }
    }

    /// Drops the state of deleted objects whose records are written.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.lock().retain(|(uid, _), recording| uids.contains(uid) || !recording.done);
    }

    fn read<T>(&self, key: &(String, u32), read: impl FnOnce(&Recording) -> T) -> Option<T> {
        self.lock().get(key).map(read)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, u32), Recording>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn with_version(mut record: KinesisDemoRun, version: Option<String>) -> KinesisDemoRun {
    record.metadata.resource_version = version;
    record
}
