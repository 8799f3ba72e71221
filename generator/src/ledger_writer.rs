//! Writes the ledger. In: ledger lines. Out: one line of text each on standard output, which ECS
//! forwards to CloudWatch Logs. Touches the outside: standard output, from its own thread, so that
//! a stalled reader does not stall the pacer.

use std::io::Write as _;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use kinesis_demo_api::error_chain::error_chain;
use kinesis_demo_api::ledger::LedgerLine;
use tracing::warn;

use crate::worker::LedgerWriter;

/// Capacity of the queue of lines. A line that finds it full is dropped, because the next line
/// repeats its cumulative counts.
const QUEUE_CAPACITY: usize = 4;

/// How long shutdown waits until the final line is written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Writes ledger lines to standard output.
pub struct StdoutLedgerWriter {
    lines: mpsc::SyncSender<LedgerLine>,
}

/// Waits for the writing thread; see [`LedgerThread::flush`].
pub struct LedgerThread {
    thread: JoinHandle<()>,
}

impl StdoutLedgerWriter {
    /// Starts the writing thread.
    pub fn start() -> std::io::Result<(Self, LedgerThread)> {
        let (lines, queue) = mpsc::sync_channel::<LedgerLine>(QUEUE_CAPACITY);
        let thread = std::thread::Builder::new().name("ledger_writer".into()).spawn(move || {
            for line in queue {
                match line.to_text() {
                    // One write per line, so that lines of the log and the ledger do not
                    // interleave. A write error is ignored: there is no other output to report it
                    // on.
                    Ok(text) => drop(std::io::stdout().lock().write_all(format!("{text}\n").as_bytes())),
                    Err(error) => warn!(error = error_chain(&error), "could not serialise a ledger line"),
                }
            }
        })?;
        Ok((Self { lines }, LedgerThread { thread }))
    }
}

impl LedgerWriter for StdoutLedgerWriter {
    fn write_line(&mut self, line: &LedgerLine) {
        if line.is_final {
            // The final line waits for space in the queue: no later line would repeat its counts.
            let _ = self.lines.send(line.clone());
        } else {
            let _ = self.lines.try_send(line.clone());
        }
    }
}

impl LedgerThread {
    /// Waits until every line is written, at most `FLUSH_TIMEOUT`. Drop the writer first, or the
    /// thread does not end.
    pub async fn flush(self) {
        let written = tokio::task::spawn_blocking(move || self.thread.join());
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, written).await;
    }
}
