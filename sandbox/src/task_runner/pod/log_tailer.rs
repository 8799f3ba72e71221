//! One container's output, from kubelet into CloudWatch Logs. In: a log stream that may break, and word that the container ended. Out:
//! its lines, each once, with the node's timestamps. Reads from the API server.
//!
//! While the container runs its log is followed. Once it has ended, a last pass without following reads what is left: only
//! that one is known to reach the end, since a stream that closes may as well have been cut off on the way.

use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncBufReadExt, AsyncReadExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use tokio::sync::watch;
use tokio::time::Instant;

use super::calls::{CallError, FIRST_PAUSE, PATIENCE, call};
use super::log_cursor::LogCursor;
use crate::services::logs::Logs;
use crate::task_runner::LogStream;

/// Longer lines are split, as the awslogs driver does at the size of one event.
const LINE_BYTES: u64 = 256 * 1024;
/// A stream that is silent for so long is opened anew: a connection that died without a word looks the same.
const SILENCE: Duration = Duration::from_secs(120);
/// How long a followed stream may go on after its container has ended.
const LINGER: Duration = Duration::from_secs(2);
/// The longest pause between two streams.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Reads one container's output.
pub(super) struct LogTailer {
    pub pods: Api<Pod>,
    pub pod: String,
    pub container: String,
    pub stream: LogStream,
    pub logs: Arc<Logs>,
}

/// How one stream ended.
enum Pass {
    /// At the log's end, or so it seemed.
    Complete,
    /// Before it.
    Broken(String),
    /// There is no such log, or we may not read it.
    Refused(String),
}

impl LogTailer {
    /// Returns when the container has ended and what it wrote is in the log, or nothing more can be read.
    pub async fn run(self, mut ended: watch::Receiver<bool>) {
        let mut position = LogCursor::default();
        let mut pause = FIRST_PAUSE;
        let mut give_up_at = None;
        loop {
            let is_last = *ended.borrow_and_update();
            let before = position.since();
            let pass = if is_last {
                self.read(&mut position, false).await
            } else {
                let mut known = ended.clone();
                tokio::select! {
                    pass = self.read(&mut position, true) => pass,
                    still_wanted = overdue(&mut known) => {
                        if !still_wanted {
                            return;
                        }
                        continue;
                    }
                }
            };
            let (why, may_pass) = match pass {
                Pass::Complete if is_last => return,
                Pass::Complete => (None, true),
                Pass::Broken(why) => (Some(why), true),
                Pass::Refused(why) => (Some(why), false),
            };
            let (pod, container) = (&self.pod, &self.container);
            if is_last {
                let give_up_at = *give_up_at.get_or_insert_with(|| Instant::now() + PATIENCE);
                if !may_pass || Instant::now() >= give_up_at {
                    tracing::warn!(pod, container, why, "the last lines of a container may be missing");
                    return;
                }
                tokio::time::sleep(pause).await;
            } else {
                if let Some(why) = why {
                    tracing::debug!(pod, container, why, "a container's log stream broke");
                }
                if position.since() > before {
                    pause = FIRST_PAUSE;
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    known = ended.wait_for(|ended| *ended) => {
                        if known.is_err() {
                            return;
                        }
                    }
                }
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn read(&self, position: &mut LogCursor, follow: bool) -> Pass {
        let params = LogParams {
            container: Some(self.container.clone()),
            follow,
            timestamps: true,
            since_time: position.since(),
            ..LogParams::default()
        };
        let mut stream = match call(self.pods.log_stream(&self.pod, &params)).await {
            Ok(stream) => Box::pin(stream),
            Err(error) if error.may_pass() => return Pass::Broken(chain(&error)),
            Err(error) => return Pass::Refused(chain(&error)),
        };
        let mut replay = position.replay();
        let mut line = Vec::new();
        // None within something that no container wrote: kubelet puts its own complaints into the stream, without a timestamp.
        let mut written = None;
        let mut begins = true;
        loop {
            line.clear();
            let mut limited = (&mut stream).take(LINE_BYTES);
            match tokio::time::timeout(SILENCE, limited.read_until(b'\n', &mut line)).await {
                Err(_) => return Pass::Broken("silence".to_owned()),
                Ok(Err(error)) => return Pass::Broken(error.to_string()),
                Ok(Ok(0)) => return Pass::Complete,
                Ok(Ok(_)) => {}
            }
            let ends = line.ends_with(b"\n");
            if !ends && follow && (line.len() as u64) < LINE_BYTES {
                // Perhaps half a line: the next stream has it whole.
                return Pass::Complete;
            }
            let text = String::from_utf8_lossy(&line);
            let mut text = text.trim_end_matches(['\n', '\r']);
            if begins {
                (written, text) = match stamped(text) {
                    Some((at, rest)) => (Some(at), rest),
                    None => (None, text),
                };
                if written.is_none() {
                    tracing::debug!(pod = self.pod, text, "a line of a container's log has no timestamp");
                }
            }
            begins = ends;
            // CloudWatch Logs takes no empty events; the driver leaves such lines out.
            if let Some(at) = written.filter(|_| !text.is_empty())
                && position.take(&mut replay, at, text)
            {
                let LogStream { region, group, name } = &self.stream;
                self.logs.append_container_line(region, group, name, text.to_owned(), Some(at));
            }
        }
    }
}

/// Waits until a container has ended and its stream had its time to end, too. Returns false if nobody wants the lines any more.
async fn overdue(ended: &mut watch::Receiver<bool>) -> bool {
    let wanted = ended.wait_for(|ended| *ended).await.is_ok();
    if wanted {
        tokio::time::sleep(LINGER).await;
    }
    wanted
}

/// The timestamp that kubelet puts before a line, and the line.
fn stamped(line: &str) -> Option<(Timestamp, &str)> {
    let (at, text) = line.split_once(' ').unwrap_or((line, ""));
    Some((at.parse().ok()?, text))
}

/// An error with its causes.
pub(super) fn chain(error: &CallError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
#[path = "log_tailer_tests.rs"]
mod tests;
