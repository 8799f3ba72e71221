//! Where a container's log has been read to, so that a broken stream can be resumed. In: lines with the node's timestamps. Out: which of
//! them are new. Pure.
//!
//! The API server cuts `sinceTime` to whole seconds, and a container's two outputs may be stamped slightly out of order. So a
//! resumed stream starts a little earlier than the newest line, and what comes again is told by its timestamp and text: as often
//! as it was taken, it is left out.

use std::collections::VecDeque;
use std::collections::hash_map::{DefaultHasher, HashMap};
use std::hash::{Hash, Hasher};

use jiff::{SignedDuration, Timestamp};

/// How far outputs of one container may be out of order in its log: they are stamped when read, microseconds before they are written.
const DISORDER: SignedDuration = SignedDuration::from_secs(1);

/// A line as it is told apart: its timestamp and its text's hash.
type Key = (Timestamp, u64);

/// How far a log has been read.
#[derive(Debug, Default)]
pub(super) struct LogCursor {
    newest: Option<Timestamp>,
    /// What a resumed stream will bring again.
    recent: VecDeque<Key>,
}

/// What a resumed stream has yet to bring again.
#[derive(Debug)]
pub(super) struct Replay(HashMap<Key, usize>);

impl LogCursor {
    /// From where to resume: a whole second.
    pub fn since(&self) -> Option<Timestamp> {
        let from = self.newest?.saturating_sub(DISORDER).ok()?;
        Timestamp::from_second(from.as_second()).ok()
    }

    /// What a stream that starts at [`LogCursor::since`] brings again.
    pub fn replay(&self) -> Replay {
        let mut lines = HashMap::new();
        for key in &self.recent {
            *lines.entry(*key).or_default() += 1;
        }
        Replay(lines)
    }

    /// Takes a line. Returns whether it is new.
    pub fn take(&mut self, replay: &mut Replay, written: Timestamp, text: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let key = (written, hasher.finish());
        if let Some(again) = replay.0.get_mut(&key).filter(|again| **again > 0) {
            *again -= 1;
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

    /// Reads `log` in pieces: each piece starts where the API server would start it and breaks off at the given line.
    fn read(log: &[(i64, &str)], breaks: &[usize]) -> Vec<String> {
        let mut position = LogCursor::default();
        let mut taken = Vec::new();
        for until in breaks {
            let mut replay = position.replay();
            let since = position.since();
            let sent =
                log[..*until].iter().filter(|(millis, _)| since.is_none_or(|since| at(*millis) >= since));
            for (millis, text) in sent {
                if position.take(&mut replay, at(*millis), text) {
                    taken.push((*text).to_owned());
                }
            }
        }
        taken
    }

    #[test]
    fn a_resumed_log_holds_every_line_once_wherever_it_broke() {
        // Equal lines at one instant, equal lines at different instants, and two outputs out of order.
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
    fn what_is_remembered_is_bounded_by_what_comes_again() {
        let mut position = LogCursor::default();
        let mut replay = position.replay();
        for second in 0..1_000 {
            assert!(position.take(&mut replay, at(second * 1_000), "line"));
        }
        assert_eq!(position.since(), Some(at(998_000)));
        assert_eq!(position.recent.len(), 2);
    }
}
