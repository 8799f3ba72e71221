//! Copies one container's output from kubelet to CloudWatch Logs. In: a log stream that may break,
//! and a notice that the container ended. Out: each line once, with the node's timestamp. Reads
//! from the API server.
//!
//! While the container runs, its log is followed. After its end, the rest is read once without
//! `follow`. Only that read is known to reach the end of the log: a followed stream that closes may
//! have been cut off.

use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncBufReadExt, AsyncReadExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use tokio::sync::watch;
use tokio::time::Instant;

use super::calls::{CallError, FIRST_PAUSE, RETRY_FOR, call};
use super::log_cursor::LogCursor;
use crate::task_runner::{ContainerLogs, LogStream};

/// Longer lines are split, as the awslogs driver does at the maximum size of an event.
const LINE_BYTES: u64 = 256 * 1024;
/// A stream without data for this long is reopened, because a dead connection looks the same.
const SILENCE: Duration = Duration::from_secs(120);
/// How long a stream is still followed after its container has ended.
const LINGER: Duration = Duration::from_secs(2);
/// The longest pause between two streams.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Reads the output of one container.
pub(super) struct LogTailer {
    pub pods: Api<Pod>,
    pub pod: String,
    pub container: String,
    pub stream: LogStream,
    pub logs: Arc<dyn ContainerLogs>,
}

/// How one stream ended.
enum ReadResult {
    /// At the end of the log, as far as is known.
    Complete,
    /// Before the end.
    Broken(String),
    /// The log does not exist, or access is denied.
    Denied(String),
}

impl LogTailer {
    /// Copies the log until the container has ended and all its output is copied, or no more can be
    /// read.
    pub async fn run(self, mut ended: watch::Receiver<bool>) {
        let mut cursor = LogCursor::default();
        let mut pause = FIRST_PAUSE;
        let mut give_up_at = None;
        loop {
            let is_last = *ended.borrow_and_update();
            let before = cursor.since();
            let result = if is_last {
                self.read(&mut cursor, false).await
            } else {
                let mut known = ended.clone();
                tokio::select! {
                    result = self.read(&mut cursor, true) => result,
                    still_wanted = ended_for_a_while(&mut known) => {
                        if !still_wanted {
                            return;
                        }
                        continue;
                    }
                }
            };
            let (why, is_transient) = match result {
                ReadResult::Complete if is_last => return,
                ReadResult::Complete => (None, true),
                ReadResult::Broken(why) => (Some(why), true),
                ReadResult::Denied(why) => (Some(why), false),
            };
            let (pod, container) = (&self.pod, &self.container);
            if is_last {
                let give_up_at = *give_up_at.get_or_insert_with(|| Instant::now() + RETRY_FOR);
                if !is_transient || Instant::now() >= give_up_at {
                    tracing::warn!(
                        pod,
                        container,
                        why,
                        "could not read the end of a container's log; lines may be missing"
                    );
                    return;
                }
                tokio::time::sleep(pause).await;
            } else {
                if let Some(why) = why {
                    tracing::debug!(pod, container, why, "a container's log stream broke");
                }
                if cursor.since() > before {
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

    async fn read(&self, cursor: &mut LogCursor, follow: bool) -> ReadResult {
        let params = LogParams {
            container: Some(self.container.clone()),
            follow,
            timestamps: true,
            since_time: cursor.since(),
            ..LogParams::default()
        };
        let mut stream = match call(self.pods.log_stream(&self.pod, &params)).await {
            Ok(stream) => Box::pin(stream),
            Err(error) if error.is_transient() => return ReadResult::Broken(error_chain(&error)),
            Err(error) => return ReadResult::Denied(error_chain(&error)),
        };
        let mut replay = cursor.replay();
        let mut line = Vec::new();
        // `None` during a line that no container wrote: kubelet adds its own errors to the stream,
        // without a timestamp.
        let mut written = None;
        let mut begins = true;
        loop {
            line.clear();
            let mut limited = (&mut stream).take(LINE_BYTES);
            match tokio::time::timeout(SILENCE, limited.read_until(b'\n', &mut line)).await {
                Err(_) => return ReadResult::Broken("silence".to_owned()),
                Ok(Err(error)) => return ReadResult::Broken(error.to_string()),
                Ok(Ok(0)) => return ReadResult::Complete,
                Ok(Ok(_)) => {}
            }
            let ends = line.ends_with(b"\n");
            if !ends && follow && (line.len() as u64) < LINE_BYTES {
                // This may be half a line. The next stream has the whole line.
                return ReadResult::Complete;
            }
            let text = String::from_utf8_lossy(&line);
            let mut text = text.trim_end_matches(['\n', '\r']);
            if begins {
                (written, text) = match split_timestamp(text) {
                    Some((at, rest)) => (Some(at), rest),
                    None => (None, text),
                };
                if written.is_none() {
                    tracing::debug!(pod = self.pod, text, "a line of a container's log has no timestamp");
                }
            }
            begins = ends;
            // CloudWatch Logs rejects empty events, so the driver skips empty lines.
            if let Some(at) = written.filter(|_| !text.is_empty())
                && cursor.take(&mut replay, at, text)
            {
                self.logs.append(&self.stream, text.to_owned(), Some(at));
            }
        }
    }
}

/// Waits until a container has ended, and then for `LINGER`. Returns false if the lines are no
/// longer wanted.
async fn ended_for_a_while(ended: &mut watch::Receiver<bool>) -> bool {
    let wanted = ended.wait_for(|ended| *ended).await.is_ok();
    if wanted {
        tokio::time::sleep(LINGER).await;
    }
    wanted
}

/// Splits a line into kubelet's timestamp and the text.
fn split_timestamp(line: &str) -> Option<(Timestamp, &str)> {
    let (at, text) = line.split_once(' ').unwrap_or((line, ""));
    Some((at.parse().ok()?, text))
}

/// The error and its causes on one line.
pub(super) fn error_chain(error: &CallError) -> String {
    anyhow::Chain::new(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
#[path = "log_tailer_tests.rs"]
mod tests;
