//! The ledger's way out. In: ledger lines. Out: one line of text each, on the standard output, which ECS hands to the log.
//! Touches the outside: the standard output, from a thread of its own, so that a reader that stalls does not stall the pace.

use std::io::Write as _;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use kinesis_demo_api::ledger::LedgerLine;
use tracing::warn;

use crate::error::chain;
use crate::worker::LedgerWriter;

/// Lines that wait while the standard output is not read. One that finds no room is left out: the next one says it all.
const WAITING_LINES: usize = 4;

/// How long the end waits for the last word to be taken.
const LONGEST_FLUSH: Duration = Duration::from_secs(3);

/// Writes ledger lines to the standard output.
pub struct StdoutJournal {
    lines: mpsc::SyncSender<LedgerLine>,
}

/// Ends the writing; see [`JournalEnd::flush`].
pub struct JournalEnd {
    writer: JoinHandle<()>,
}

impl StdoutJournal {
    /// Starts the writing thread.
    pub fn start() -> std::io::Result<(Self, JournalEnd)> {
        let (lines, waiting) = mpsc::sync_channel::<LedgerLine>(WAITING_LINES);
        let writer = std::thread::Builder::new().name("ledger_writer".into()).spawn(move || {
            for line in waiting {
                match line.to_text() {
                    // One write per line, so that lines of the log and the ledger do not mix. An output that is gone has
                    // nobody left to be told.
                    Ok(text) => drop(std::io::stdout().lock().write_all(format!("{text}\n").as_bytes())),
                    Err(error) => warn!(error = chain(&error), "put a ledger line into words"),
                }
            }
        })?;
        Ok((Self { lines }, JournalEnd { writer }))
    }
}

impl LedgerWriter for StdoutJournal {
    fn write_line(&mut self, line: &LedgerLine) {
        if line.is_final {
            // The last word waits for room: nothing comes after it that would say the same.
            let _ = self.lines.send(line.clone());
        } else {
            let _ = self.lines.try_send(line.clone());
        }
    }
}

impl JournalEnd {
    /// Waits, briefly, until every line is out. The journal must be gone by then.
    pub async fn flush(self) {
        let written = tokio::task::spawn_blocking(move || self.writer.join());
        let _ = tokio::time::timeout(LONGEST_FLUSH, written).await;
    }
}
