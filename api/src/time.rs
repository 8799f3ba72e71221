//! Instants as the Kubernetes API stores them. In: any timestamp. Out: the same, truncated to whole
//! microseconds. Pure.
//!
//! Status must equal what the API server returns, or every reconcile would patch it again. So the
//! fraction below a microsecond is dropped when the value is created, not when it is written.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant in whole microseconds, `2026-11-22T10:00:00.000000Z` on the wire (Kubernetes'
/// MicroTime).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MicroTime(i64);

impl MicroTime {
    /// The instant that is `micros` microseconds after 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The same instant as a timestamp. Values outside the calendar (years -9999 to 9999) are
    /// clamped to its limits.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        })
    }

    /// The time from `earlier` to this instant; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The first whole second that is not before this instant.
    pub fn next_whole_second(self) -> Timestamp {
        Self(self.0.saturating_add(999_999)).whole_second()
    }

    /// The same instant truncated to whole seconds, for conditions (Kubernetes' Time has no
    /// fraction).
    pub fn whole_second(self) -> Timestamp {
        Self(self.0 - self.0.rem_euclid(1_000_000)).timestamp()
    }
}

/// One instant on both clocks of a process. The schedule and its deadlines are instants of the wall
/// clock. Elapsed time is measured by the monotonic clock, which no correction of the wall clock
/// affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The wall clock.
    pub wall: MicroTime,
    /// The time since the process started, by the monotonic clock.
    pub running: Duration,
}

impl From<Timestamp> for MicroTime {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp.as_microsecond())
    }
}

impl Add<Duration> for MicroTime {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(micros(later)))
    }
}

impl Sub<Duration> for MicroTime {
    type Output = Self;

    fn sub(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(micros(earlier)))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Display for MicroTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.timestamp())
    }
}

impl fmt::Debug for MicroTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for MicroTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MicroTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Timestamp::deserialize(deserializer).map(Self::from)
    }
}

impl JsonSchema for MicroTime {
    fn schema_name() -> Cow<'static, str> {
        "MicroTime".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "maxLength": 64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_serialized_to_the_microsecond() {
        let exact: Timestamp = "2026-11-22T10:00:00.123456789Z".parse().unwrap();
        let stored = MicroTime::from(exact);
        assert_eq!(serde_json::to_string(&stored).unwrap(), "\"2026-11-22T10:00:00.123456Z\"");
        assert_eq!(serde_json::from_str::<MicroTime>("\"2026-11-22T10:00:00.123456Z\"").unwrap(), stored);
        let whole: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        assert_eq!(
            serde_json::to_string(&MicroTime::from(whole)).unwrap(),
            "\"2026-11-22T10:00:00.000000Z\""
        );
        assert_eq!(stored.whole_second(), whole);
        assert_eq!(stored.next_whole_second(), "2026-11-22T10:00:01Z".parse().unwrap());
        assert_eq!(MicroTime::from(whole).next_whole_second(), whole);
    }

    #[test]
    fn durations_are_never_negative() {
        let early = MicroTime::from_micros(5);
        let late = early + Duration::from_secs(2);
        assert_eq!(late.since(early), Duration::from_secs(2));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(late - Duration::from_secs(2), early);
    }
}
