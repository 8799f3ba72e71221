//! Counts calls and errors by operation since the start, for `GET /_sandbox/calls`. No I/O.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

/// One operation's counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// All calls, including those that returned an error.
    pub calls: u64,
    /// Error responses by error code.
    pub refused: BTreeMap<String, u64>,
}

/// The counts of all operations.
pub struct Calls {
    since: Timestamp,
    counts: Mutex<BTreeMap<String, BTreeMap<String, Count>>>,
}

/// The response of `GET /_sandbox/calls`.
#[derive(Debug, Serialize)]
pub struct Report {
    /// When counting began (wall time).
    pub since: Timestamp,
    /// Counts by service and operation.
    pub services: BTreeMap<String, BTreeMap<String, Count>>,
}

impl Calls {
    /// Starts counting at `since`.
    pub fn new(since: Timestamp) -> Self {
        Self { since, counts: Mutex::default() }
    }

    /// Counts one call, and its error code if it returned an error.
    pub fn count(&self, service: &str, operation: &str, refused: Option<&str>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let operations = entry(&mut counts, service);
        let count = entry(operations, operation);
        count.calls += 1;
        if let Some(code) = refused {
            *entry(&mut count.refused, code) += 1;
        }
    }

    /// All counts.
    pub fn report(&self) -> Report {
        let services = self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Report { since: self.since, services }
    }
}

fn entry<'a, V: Default>(map: &'a mut BTreeMap<String, V>, key: &str) -> &'a mut V {
    map.entry(key.to_owned()).or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_errors_are_counted_by_operation_and_code() {
        let calls = Calls::new(Timestamp::UNIX_EPOCH);
        calls.count("kinesis", "CreateStream", None);
        calls.count("kinesis", "CreateStream", Some("LimitExceededException"));
        calls.count("ecs", "CreateService", None);
        let report = calls.report();
        assert_eq!(report.services.len(), 2);
        let create = &report.services["kinesis"]["CreateStream"];
        assert_eq!(create.calls, 2);
        assert_eq!(create.refused, BTreeMap::from([("LimitExceededException".to_owned(), 1)]));
    }
}
