//! Sees batches through until every record is settled. In: batches. Out: requests, several at a time, and what became of
//! each record, in the recorder. Touches the outside through [`Sender`] only.
//!
//! Only refused records are sent again, with the same bytes, after a growing and jittered pause. Every record has an
//! absolute instant at which it is given up, which bounds how much waits here; how much may wait at all is bounded besides.
//! Sending again draws on a budget that grows with what is offered: a stream that refuses most records is not made to
//! refuse each of them many times.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kinesis_demo_api::MicroTime;
use tokio::sync::{Notify, Semaphore, watch};

use crate::batch::{Batch, Record};
use crate::clock::Clock;
use crate::recorder::{PhaseId, Recorder};
use crate::sender::{Answer, Outcome, Refusal, Sender};

/// The bounds of one task's sending.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests under way at once.
    pub requests: usize,
    /// Records that wait, are under way or will be sent again.
    pub records: usize,
    /// The bytes of their batches.
    pub bytes: usize,
    /// How long after it was due a record may still be sent.
    pub give_up_after: Duration,
    /// How often a record is sent at most.
    pub attempts: u32,
    /// How many records may be sent again before the budget depends on what is offered.
    pub retry_reserve: usize,
    /// One record may be sent again for so many that are offered.
    pub offered_per_retry: usize,
    /// The pause after the first refusal; it doubles from one to the next.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // At 15 ms a request, sixteen of them carry half a million records a second.
            requests: 16,
            // Ten seconds of the highest rate at which a task of the smallest size was seen to send.
            records: 100_000,
            // A quarter of the smallest task's memory: the same bytes are held once more while they are sent.
            bytes: 128 << 20,
            give_up_after: Duration::from_secs(3),
            attempts: 6,
            // A second of the usual rate of a task: short throttling costs nothing.
            retry_reserve: 5_000,
            // Half as much again as is offered: what lasting throttling may cost in requests and processor time.
            offered_per_retry: 2,
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(1),
        }
    }
}

/// What may still be done. Later ones include earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ShutdownLevel {
    /// Everything.
    Deliver,
    /// Nothing is sent any more; answers are waited for.
    SendNoMore,
    /// Nor is any answer.
    Abandon,
}

/// Sends batches; see the module's description.
pub struct Dispatcher {
    sender: Arc<dyn Sender>,
    recorder: Arc<Recorder>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    turns: Semaphore,
    records: AtomicUsize,
    bytes: AtomicUsize,
    retry_budget: AtomicUsize,
    orders: watch::Sender<ShutdownLevel>,
    idle: Notify,
}

impl Dispatcher {
    /// A dispatcher with nothing to do.
    pub fn new(
        sender: Arc<dyn Sender>,
        recorder: Arc<Recorder>,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            sender,
            recorder,
            clock,
            limits,
            turns: Semaphore::new(limits.requests),
            records: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            retry_budget: AtomicUsize::new(limits.retry_reserve),
            orders: watch::Sender::new(ShutdownLevel::Deliver),
            idle: Notify::new(),
        })
    }

    /// How many more records may be handed over.
    pub fn room(&self) -> usize {
        if self.bytes.load(Ordering::Relaxed) >= self.limits.bytes {
            return 0;
        }
        self.limits.records.saturating_sub(self.records.load(Ordering::Relaxed))
    }

    /// Takes a batch over. Its records were counted as offered before.
    pub fn dispatch(self: &Arc<Self>, batch: Batch) {
        let earned = batch.records().len() / self.limits.offered_per_retry.max(1);
        self.change_retry_budget(|budget| (budget + earned).min(self.limits.retry_reserve));
        self.records.fetch_add(batch.records().len(), Ordering::Relaxed);
        self.bytes.fetch_add(batch.bytes(), Ordering::Relaxed);
        tokio::spawn(Arc::clone(self).deliver(batch));
    }

    /// True if every record that was handed over is settled.
    pub fn is_idle(&self) -> bool {
        self.bytes.load(Ordering::Acquire) == 0
    }

    /// Returns when every record that was handed over is settled.
    pub async fn drained(&self) {
        loop {
            // Registered before the check, so that a batch that ends in between is not missed.
            let idle = self.idle.notified();
            if self.is_idle() {
                return;
            }
            idle.await;
        }
    }

    /// From now on nothing is sent; what waits is settled at once, what is under way when its answer comes.
    pub fn send_no_more(&self) {
        self.orders.send_if_modified(|orders| advance(orders, ShutdownLevel::SendNoMore));
    }

    /// Gives up on answers as well.
    pub fn abandon(&self) {
        self.orders.send_if_modified(|orders| advance(orders, ShutdownLevel::Abandon));
    }

    async fn deliver(self: Arc<Self>, mut batch: Batch) {
        let mut orders = self.orders.subscribe();
        let mut attempts = 0;
        while !batch.is_empty() {
            let turn = tokio::select! {
                biased;
                _ = orders.wait_for(|orders| *orders >= ShutdownLevel::SendNoMore) => None,
                turn = self.turns.acquire() => turn.ok(),
            };
            let give_up_before = match turn {
                Some(_) => self.clock.now().wall - self.limits.give_up_after,
                None => MicroTime::from_micros(i64::MAX),
            };
            self.give_up(&mut batch, attempts, give_up_before);
            let Some(first) = batch.records().first() else { break };
            self.note_request(first.phase, &batch, attempts);
            let answer = tokio::select! {
                biased;
                _ = orders.wait_for(|orders| *orders >= ShutdownLevel::Abandon) => Answer::Lost,
                answer = self.sender.put(&batch) => answer,
            };
            drop(turn);
            attempts += 1;
            self.settle(&mut batch, answer);
            self.keep_affordable(&mut batch, attempts);
            if !batch.is_empty() {
                tokio::select! {
                    _ = orders.wait_for(|orders| *orders >= ShutdownLevel::SendNoMore) => {}
                    () = tokio::time::sleep(self.pause_after(attempts)) => {}
                }
            }
        }
        let bytes = batch.bytes();
        if self.bytes.fetch_sub(bytes, Ordering::AcqRel) == bytes {
            self.idle.notify_waiters();
        }
    }

    /// Settles the records that were due before an instant: they failed if they were refused before, else they were dropped.
    fn give_up(&self, batch: &mut Batch, attempts: u32, due_before: MicroTime) {
        self.settle_some(batch, |books, _, record| {
            if record.due_at >= due_before {
                return false;
            }
            if attempts > 0 {
                books.failed(record.phase, 1)
            } else {
                books.dropped(record.phase, 1)
            }
            true
        });
    }

    /// Gives up the records that may not be sent again, because each was sent often enough or the budget is spent.
    fn keep_affordable(&self, batch: &mut Batch, attempts: u32) {
        let refused = batch.records().len();
        let wanted = if attempts < self.limits.attempts { refused } else { 0 };
        let before = self.change_retry_budget(|budget| budget - budget.min(wanted));
        let affordable = before.min(wanted);
        if affordable < refused {
            self.settle_some(batch, |books, position, record| {
                let is_given_up = position >= affordable;
                if is_given_up {
                    books.failed(record.phase, 1);
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

    fn settle(&self, batch: &mut Batch, answer: Answer) {
        let confirmed_at = self.clock.now().wall;
        self.settle_some(batch, |books, position, record| {
            let outcome = match &answer {
                Answer::PerRecord(outcomes) => outcomes.get(position).copied(),
                Answer::Refused(refusal) => Some(Outcome::Refused(*refusal)),
                Answer::Lost => None,
            };
            match outcome {
                Some(Outcome::Accepted) => books.accepted(record.phase, confirmed_at.since(record.due_at)),
                None => books.unknown(record.phase, 1),
                Some(Outcome::Refused(refusal)) => {
                    if refusal == Refusal::Throughput {
                        books.throttled(record.phase, 1);
                    }
                    return false;
                }
            }
            true
        });
    }

    /// Takes the records that `is_settled` has settled out of the batch.
    fn settle_some(
        &self,
        batch: &mut Batch,
        mut is_settled: impl FnMut(&mut crate::recorder::Books, usize, &Record) -> bool,
    ) {
        let before = batch.records().len();
        let mut books = self.recorder.books();
        batch.retain(|position, record| !is_settled(&mut books, position, record));
        drop(books);
        self.records.fetch_sub(before - batch.records().len(), Ordering::Relaxed);
    }

    fn note_request(&self, first: PhaseId, batch: &Batch, attempts: u32) {
        let mut books = self.recorder.books();
        books.requested(first);
        if attempts > 0 {
            for record in batch.records() {
                books.retried(record.phase, 1);
            }
        }
    }

    /// Half of the pause is fixed, half is random: tasks that were refused together do not come back together.
    fn pause_after(&self, attempts: u32) -> Duration {
        let doubled = self.limits.first_pause.saturating_mul(1 << (attempts.saturating_sub(1)).min(16));
        doubled.min(self.limits.longest_pause).mul_f64(rand::random_range(0.5..=1.0))
    }
}

fn advance(orders: &mut ShutdownLevel, to: ShutdownLevel) -> bool {
    let advances = *orders < to;
    *orders = (*orders).max(to);
    advances
}

#[cfg(test)]
#[path = "dispatcher_tests.rs"]
mod tests;
