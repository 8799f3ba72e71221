//! Schedule expressions. In: `at(yyyy-mm-ddThh:mm:ss)` and a time zone. Out: the instant. Pure.
//!
//! `rate(…)` and `cron(…)` are not modelled and are rejected.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::operations::NOT_SUPPORTED;

/// When a one-time action is due. AWS's default time zone is UTC. Other time zones are not
/// supported, because they need a time zone database, which the sandbox does not include.
pub fn due_at(schedule: &str, timezone: Option<&str>) -> Result<Timestamp, String> {
    let inner = schedule.strip_prefix("at(").and_then(|rest| rest.strip_suffix(')'));
    let Some(text) = inner else {
        return Err(if schedule.starts_with("rate(") || schedule.starts_with("cron(") {
            format!("the schedule {schedule} {NOT_SUPPORTED}")
        } else {
            format!("Unable to parse schedule expression {schedule}")
        });
    };
    if let Some(other) = timezone.filter(|name| !matches!(*name, "UTC" | "Etc/UTC")) {
        return Err(format!("the timezone {other} {NOT_SUPPORTED}"));
    }
    // Accept only this form; `DateTime` itself would accept others.
    let exact = text.len() == 19 && text.as_bytes()[10] == b'T';
    exact
        .then(|| text.parse::<DateTime>().ok())
        .flatten()
        .and_then(|civil| civil.to_zoned(TimeZone::UTC).ok())
        .map(|zoned| zoned.timestamp())
        .ok_or_else(|| format!("Unable to parse schedule expression {schedule}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_time_schedules_are_in_utc() {
        for zone in [None, Some("UTC"), Some("Etc/UTC")] {
            let due = due_at("at(2026-11-22T10:00:00)", zone).unwrap();
            assert_eq!(due.to_string(), "2026-11-22T10:00:00Z");
        }
    }

    #[test]
    fn other_schedules_and_time_zones_are_rejected() {
        for schedule in [
            "at(2026-11-22)",
            "at(2026-11-22T10:00:00Z)",
            "at(2026-13-22T10:00:00)",
            "rate(1 hour)",
            "cron(0 10 * * ? *)",
            "at(2026-11-22T10:00:00",
            "soon",
        ] {
            assert!(due_at(schedule, None).is_err(), "{schedule}");
        }
        assert!(due_at("at(2026-11-22T10:00:00)", Some("Europe/Rome")).is_err());
    }
}
