//! The position up to which a container's log has been read, so that a broken stream can be
//! resumed. In: lines with the node's timestamps. Out: which of them are new. Pure.
//!
//! The API server truncates `sinceTime` to whole seconds, and the two outputs of a container may be
//! slightly out of order. A resumed stream therefore starts a little before the newest line.
//! Repeated lines are recognized by timestamp and text, and each is skipped as often as it was
//! already read.

use std::collections::VecDeque;
use std::collections::hash_map::{DefaultHasher, HashMap};
use std::hash::{Hash, Hasher};

use jiff::{SignedDuration, Timestamp};

/// The maximum disorder between the outputs of a container. They are stamped when read,
/// microseconds before they are written.
const MAX_DISORDER: SignedDuration = SignedDuration::from_secs(1);

/// Identifies a line: its timestamp and the hash of its text.
type Key = (Timestamp, u64);

/// The position in a log.
#[derive(Debug, Default)]
pub(super) struct LogCursor {
    newest: Option<Timestamp>,
    /// The lines that a resumed stream will repeat.
    recent: VecDeque<Key>,
}

/// The lines that a resumed stream has not repeated yet.
#[derive(Debug)]
pub(super) struct Replay(HashMap<Key, usize>);

impl LogCursor {
    /// The whole second from which to resume.
    pub fn since(&self) -> Option<Timestamp> {
        let from = self.newest?.saturating_sub(MAX_DISORDER).ok()?;
        Timestamp::from_second(from.as_second()).ok()
    }

    /// The lines that a stream from [`LogCursor::since`] repeats.
    pub fn replay(&self) -> Replay {
        let mut lines = HashMap::new();
        for key in &self.recent {
            *lines.entry(*key).or_default() += 1;
        }
        Replay(lines)
    }

    /// Records a line. Returns whether it is new.
    pub fn take(&mut self, replay: &mut Replay, written: Timestamp, text: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let key = (written, hasher.finish());
        if let Some(remaining) = replay.0.get_mut(&key).filter(|remaining| **remaining > 0) {
            *remaining -= 1;
            return false;
        }
        self.recent.push_back(key);
        if self.newest.is_none_or(|newest| written > newest) {
            self.newest = Some(written);
            let since = self.since();
            while self.recent.front().is_some_and(|(at, _)| since.is_some_and(|since| *at < since)) {
                self.recent.pop_front();
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_000_000_000_000 + millis).unwrap()
    }

    /// Reads `log` in pieces. Each piece starts where the API server would start it, and ends at
    /// the given line.
    fn read(log: &[(i64, &str)], breaks: &[usize]) -> Vec<String> {
        let mut cursor = LogCursor::default();
        let mut taken = Vec::new();
        for until in breaks {
            let mut replay = cursor.replay();
            let since = cursor.since();
            let sent =
                log[..*until].iter().filter(|(millis, _)| since.is_none_or(|since| at(*millis) >= since));
            for (millis, text) in sent {
                if cursor.take(&mut replay, at(*millis), text) {
                    taken.push((*text).to_owned());
                }
            }
        }
        taken
    }

    #[test]
    fn a_resumed_log_has_every_line_once_wherever_it_broke() {
        // Equal lines at one instant, equal lines at different instants, and two outputs out of
        // order.
        let log = [
            (0, "a"),
            (0, "a"),
            (1, "a"),
            (900, "b"),
            (2_500, "c"),
            (2_499, "late"),
            (2_500, "c"),
            (3_000, "d"),
            (9_000, "e"),
            (9_001, "e"),
            (30_000, "f"),
        ];
        let all: Vec<String> = log.iter().map(|(_, text)| (*text).to_owned()).collect();
        for first in 0..=log.len() {
            for second in first..=log.len() {
                assert_eq!(read(&log, &[first, second, log.len()]), all, "broken at {first} and {second}");
            }
        }
    }

    #[test]
    fn only_lines_that_can_repeat_are_remembered() {
        let mut cursor = LogCursor::default();
        let mut replay = cursor.replay();
        for second in 0..1_000 {
            assert!(cursor.take(&mut replay, at(second * 1_000), "line"));
        }
        assert_eq!(cursor.since(), Some(at(998_000)));
        assert_eq!(cursor.recent.len(), 2);
    }
}
