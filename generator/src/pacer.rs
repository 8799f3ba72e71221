//! Turns due counts into records. In: the counts that the gate releases. Out: batches to the
//! dispatcher, counts to the recorder. Creates the posts; never waits and never queues records.
//!
//! Records that are too late, or for which the dispatcher has no room, are counted as dropped and
//! never sent: a task that fell behind does not catch up with a burst.

use std::sync::Arc;
use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::gate::DueRecords;

use crate::batch::BatchBuilder;
use crate::clock::Now;
use crate::dispatcher::Dispatcher;
use crate::payload::Posts;
use crate::recorder::Recorder;

/// Records due longer ago than this, because the process did not run, are dropped.
const MAX_LATENESS: Duration = Duration::from_secs(1);

/// Creates one task's records and hands them to the dispatcher.
pub struct Pacer {
    posts: Posts,
    batch_builder: BatchBuilder,
    dispatcher: Arc<Dispatcher>,
    recorder: Arc<Recorder>,
}

impl Pacer {
    /// Creates a pacer.
    pub fn new(posts: Posts, dispatcher: Arc<Dispatcher>, recorder: Arc<Recorder>) -> Self {
        Self { posts, batch_builder: BatchBuilder::default(), dispatcher, recorder }
    }

    /// Offers all due records.
    pub fn offer(&mut self, all_due: &[DueRecords], now: Now) {
        for due in all_due {
            self.offer_one(due, now);
        }
        if let Some(batch) = self.batch_builder.take() {
            self.dispatcher.dispatch(batch);
        }
    }

    fn offer_one(&mut self, due: &DueRecords, now: Now) {
        let phase = {
            let mut totals = self.recorder.totals();
            let phase = totals.phase(&due.segment.phase);
            totals.offered(phase, due.count);
            phase
        };
        let earliest = now.wall - MAX_LATENESS;
        let mut dropped = 0;
        for nth in 0..due.count {
            let due_at = due_at(due, nth);
            if due_at < earliest {
                dropped += 1;
                continue;
            }
            if self.dispatcher.room() <= self.batch_builder.record_count() {
                dropped += due.count - nth;
                break;
            }
            let post = |buffer: &mut Vec<u8>| self.posts.append(due.segment.content, due_at, buffer);
            if let Some(batch) = self.batch_builder.push(phase, due_at, post) {
                self.dispatcher.dispatch(batch);
            }
        }
        if dropped > 0 {
            self.recorder.totals().dropped(phase, dropped);
        }
    }
}

/// Due time of the `nth` record: the records are spread evenly over the interval, the last one at
/// its end.
fn due_at(due: &DueRecords, nth: u64) -> MicroTime {
    let length = due.until.since(due.from).as_micros();
    let offset = length * u128::from(nth + 1) / u128::from(due.count.max(1));
    due.from + Duration::from_micros(u64::try_from(offset).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[path = "pacer_tests.rs"]
mod tests;
