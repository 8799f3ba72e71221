//! Turns what fell due into records that go. In: what the gate says is due. Out: batches to the dispatcher, counts to the recorder.
//! Makes posts; does not wait, nor keep anything back.
//!
//! What is late beyond a bound, or finds no room, is counted as dropped and never sent: a task that fell behind does not
//! catch up with a burst.

use std::sync::Arc;
use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::gate::DueRecords;

use crate::batch::BatchBuilder;
use crate::clock::Now;
use crate::dispatcher::Dispatcher;
use crate::payload::Posts;
use crate::recorder::Recorder;

/// What fell due longer ago than this, because the process did not run, is not sent any more.
const LATEST: Duration = Duration::from_secs(1);

/// Makes and hands over one task's records.
pub struct Pacer {
    posts: Posts,
    batch_builder: BatchBuilder,
    dispatcher: Arc<Dispatcher>,
    recorder: Arc<Recorder>,
}

impl Pacer {
    /// A pacer that has offered nothing yet.
    pub fn new(posts: Posts, dispatcher: Arc<Dispatcher>, recorder: Arc<Recorder>) -> Self {
        Self { posts, batch_builder: BatchBuilder::default(), dispatcher, recorder }
    }

    /// Offers what fell due, all of it.
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
            let mut books = self.recorder.books();
            let phase = books.phase(&due.segment.phase);
            books.offered(phase, due.count);
            phase
        };
        let earliest = now.wall - LATEST;
        let mut dropped = 0;
        for nth in 0..due.count {
            let due_at = due_at(due, nth);
            if due_at < earliest {
                dropped += 1;
                continue;
            }
            if self.dispatcher.room() <= self.batch_builder.loaded() {
                dropped += due.count - nth;
                break;
            }
            let post = |buffer: &mut Vec<u8>| self.posts.append(due.segment.content, due_at, buffer);
            if let Some(batch) = self.batch_builder.push(phase, due_at, post) {
                self.dispatcher.dispatch(batch);
            }
        }
        if dropped > 0 {
            self.recorder.books().dropped(phase, dropped);
        }
    }
}

/// When the `nth` record of a stretch fell due: they are spread evenly over its stretch, the last one at its end.
fn due_at(due: &DueRecords, nth: u64) -> MicroTime {
    let length = due.until.since(due.from).as_micros();
    let into = length * u128::from(nth + 1) / u128::from(due.count.max(1));
    due.from + Duration::from_micros(u64::try_from(into).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[path = "pacer_tests.rs"]
mod tests;
