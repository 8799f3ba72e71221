//! Delivers batches until every record is settled. In: batches. Out: requests, several at a time,
//! and the outcome of each record in the recorder. Touches the outside only through [`Sender`].
//!
//! Only rejected records are retried, with the same bytes, after an exponential pause with jitter.
//! Every record has an absolute instant after which it is given up, and the total waiting here is
//! limited, so memory stays bounded. Retries draw on a budget that grows with the offered records:
//! if a stream rejects most records, each of them is not rejected many times over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::backoff::{Backoff, Jitter};
use tokio::sync::{Notify, Semaphore, watch};

use crate::batch::{Batch, Record};
use crate::clock::Clock;
use crate::recorder::{PhaseId, Recorder};
use crate::sender::{RecordOutcome, Rejection, SendOutcome, Sender};

/// Limits on what one task sends.
#[derive(Clone, Copy, Debug)]
pub struct DispatchLimits {
    /// Concurrent requests.
    pub requests: usize,
    /// Records that are queued, in flight or waiting for a retry.
    pub records: usize,
    /// Total bytes of their batches.
    pub bytes: usize,
    /// How long after its due time a record may still be sent.
    pub give_up_after: Duration,
    /// The maximum number of attempts per record.
    pub attempts: u32,
    /// Retries available before the budget depends on the offered records.
    pub retry_reserve: usize,
    /// Offered records that earn one retry.
    pub offered_per_retry: usize,
    /// The pause between the attempts.
    pub backoff: Backoff,
}

impl Default for DispatchLimits {
    fn default() -> Self {
        Self {
            // At 15 ms per request, 16 concurrent requests carry half a million records per second.
            requests: 16,
            // Ten seconds at the highest rate measured for a task of the smallest size.
            records: 100_000,
            // A quarter of the smallest task's memory, since sending keeps a second copy of the
            // bytes.
            bytes: 128 << 20,
            give_up_after: Duration::from_secs(3),
            attempts: 6,
            // One second at a task's usual rate: short throttling costs nothing.
            retry_reserve: 5_000,
            // One retry per two offered records: the most that lasting throttling may cost in
            // requests and processor time.
            offered_per_retry: 2,
            backoff: Backoff {
                first: Duration::from_millis(50),
                factor: 2.0,
                longest: Duration::from_secs(1),
                // Tasks that were throttled together do not retry together.
                jitter: Jitter { from: 0.5, to: 1.0 },
            },
        }
    }
}

/// How far shutdown has progressed. Each level includes the previous ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ShutdownLevel {
    /// Batches are delivered normally.
    Running,
    /// Nothing more is sent; responses to requests in flight are awaited.
    StopSending,
    /// Responses are no longer awaited either.
    Abandon,
}

/// Delivers batches; see the module documentation.
pub struct Dispatcher {
    sender: Arc<dyn Sender>,
    recorder: Arc<Recorder>,
    clock: Arc<dyn Clock>,
    limits: DispatchLimits,
    request_permits: Semaphore,
    records: AtomicUsize,
    bytes: AtomicUsize,
    retry_budget: AtomicUsize,
    shutdown: watch::Sender<ShutdownLevel>,
    idle: Notify,
}

impl Dispatcher {
    /// Creates an idle dispatcher.
    pub fn new(
        sender: Arc<dyn Sender>,
        recorder: Arc<Recorder>,
        clock: Arc<dyn Clock>,
        limits: DispatchLimits,
    ) -> Arc<Self> {
        Arc::new(Self {
            sender,
            recorder,
            clock,
            limits,
            request_permits: Semaphore::new(limits.requests),
            records: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            retry_budget: AtomicUsize::new(limits.retry_reserve),
            shutdown: watch::Sender::new(ShutdownLevel::Running),
            idle: Notify::new(),
        })
    }

    /// How many more records can be accepted.
    pub fn room(&self) -> usize {
        if self.bytes.load(Ordering::Relaxed) >= self.limits.bytes {
            return 0;
        }
        self.limits.records.saturating_sub(self.records.load(Ordering::Relaxed))
    }

    /// Accepts a batch for delivery. Its records must already be counted as offered.
    pub fn dispatch(self: &Arc<Self>, batch: Batch) {
        let earned = batch.records().len() / self.limits.offered_per_retry.max(1);
        self.change_retry_budget(|budget| (budget + earned).min(self.limits.retry_reserve));
        self.records.fetch_add(batch.records().len(), Ordering::Relaxed);
        self.bytes.fetch_add(batch.bytes(), Ordering::Relaxed);
        tokio::spawn(Arc::clone(self).deliver(batch));
    }

    /// True if every accepted record is settled.
    pub fn is_idle(&self) -> bool {
        self.bytes.load(Ordering::Acquire) == 0
    }

    /// Returns when every accepted record is settled.
    pub async fn drained(&self) {
        loop {
            // Registered before the check, so that a batch that ends in between is noticed.
            let idle = self.idle.notified();
            if self.is_idle() {
                return;
            }
            idle.await;
        }
    }

    /// Stops sending. Waiting records are settled at once, those in flight when their response
    /// arrives.
    pub fn stop_sending(&self) {
        self.shutdown.send_if_modified(|shutdown| raise(shutdown, ShutdownLevel::StopSending));
    }

    /// Stops sending and stops waiting for responses.
    pub fn abandon(&self) {
        self.shutdown.send_if_modified(|shutdown| raise(shutdown, ShutdownLevel::Abandon));
    }

    async fn deliver(self: Arc<Self>, mut batch: Batch) {
        let mut shutdown = self.shutdown.subscribe();
        let mut attempts = 0;
        while !batch.is_empty() {
            let permit = tokio::select! {
                biased;
                _ = shutdown.wait_for(|shutdown| *shutdown >= ShutdownLevel::StopSending) => None,
                permit = self.request_permits.acquire() => permit.ok(),
            };
            let give_up_before = match permit {
                Some(_) => self.clock.now().wall - self.limits.give_up_after,
                None => MicroTime::from_micros(i64::MAX),
            };
            self.give_up(&mut batch, attempts, give_up_before);
            let Some(first) = batch.records().first() else { break };
            self.count_request(first.phase, &batch, attempts);
            let send_outcome = tokio::select! {
                biased;
                _ = shutdown.wait_for(|shutdown| *shutdown >= ShutdownLevel::Abandon) => SendOutcome::Unknown,
                send_outcome = self.sender.put(&batch) => send_outcome,
            };
            drop(permit);
            attempts += 1;
            self.settle(&mut batch, send_outcome);
            self.charge_retries(&mut batch, attempts);
            if !batch.is_empty() {
                let pause = self.limits.backoff.pause(attempts, &mut rand::rng());
                tokio::select! {
                    _ = shutdown.wait_for(|shutdown| *shutdown >= ShutdownLevel::StopSending) => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
        let bytes = batch.bytes();
        if self.bytes.fetch_sub(bytes, Ordering::AcqRel) == bytes {
            self.idle.notify_waiters();
        }
    }

    /// Settles the records that were due before `due_before`: as failed if they were rejected at
    /// least once, otherwise as dropped.
    fn give_up(&self, batch: &mut Batch, attempts: u32, due_before: MicroTime) {
        self.settle_records(batch, |totals, _, record| {
            if record.due_at >= due_before {
                return false;
            }
            if attempts > 0 {
                totals.failed(record.phase, 1)
            } else {
                totals.dropped(record.phase, 1)
            }
            true
        });
    }

    /// Fails the rejected records that have no attempt left or that the retry budget does not
    /// cover.
    fn charge_retries(&self, batch: &mut Batch, attempts: u32) {
        let rejected = batch.records().len();
        let retryable = if attempts < self.limits.attempts { rejected } else { 0 };
        let before = self.change_retry_budget(|budget| budget - budget.min(retryable));
        let affordable = before.min(retryable);
        if affordable < rejected {
            self.settle_records(batch, |totals, position, record| {
                let is_given_up = position >= affordable;
                if is_given_up {
                    totals.failed(record.phase, 1);
                }
                is_given_up
            });
        }
    }

    /// Returns the budget before the change.
    fn change_retry_budget(&self, change: impl Fn(usize) -> usize) -> usize {
        let changed = self
            .retry_budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |budget| Some(change(budget)));
        changed.unwrap_or(0)
    }

    fn settle(&self, batch: &mut Batch, send_outcome: SendOutcome) {
        let confirmed_at = self.clock.now().wall;
        self.settle_records(batch, |totals, position, record| {
            let outcome = match &send_outcome {
                SendOutcome::PerRecord(outcomes) => outcomes.get(position).copied(),
                SendOutcome::Rejected(rejection) => Some(RecordOutcome::Rejected(*rejection)),
                SendOutcome::Unknown => None,
            };
            match outcome {
                Some(RecordOutcome::Accepted) => {
                    totals.accepted(record.phase, confirmed_at.since(record.due_at))
                }
                None => totals.unknown(record.phase, 1),
                Some(RecordOutcome::Rejected(rejection)) => {
                    if rejection == Rejection::Throughput {
                        totals.throttled(record.phase, 1);
                    }
                    return false;
                }
            }
            true
        });
    }

    /// Removes the records for which `settle` returns true; it must have counted them.
    fn settle_records(
        &self,
        batch: &mut Batch,
        mut settle: impl FnMut(&mut crate::recorder::Totals, usize, &Record) -> bool,
    ) {
        let before = batch.records().len();
        let mut totals = self.recorder.totals();
        batch.retain(|position, record| !settle(&mut totals, position, record));
        drop(totals);
        self.records.fetch_sub(before - batch.records().len(), Ordering::Relaxed);
    }

    fn count_request(&self, first: PhaseId, batch: &Batch, attempts: u32) {
        let mut totals = self.recorder.totals();
        totals.requested(first);
        if attempts > 0 {
            for record in batch.records() {
                totals.retried(record.phase, 1);
            }
        }
    }
}

fn raise(shutdown: &mut ShutdownLevel, to: ShutdownLevel) -> bool {
    let is_raised = *shutdown < to;
    *shutdown = (*shutdown).max(to);
    is_raised
}

#[cfg(test)]
#[path = "dispatcher_tests.rs"]
mod tests;
