//! The schedule of a run as a curve. In: the object. Out: the scheduled rate in any interval, from
//! the first phase to the last. Pure.

use std::time::Duration;

use kinesis_demo_api::demo::PhaseSpec;
use kinesis_demo_api::{KinesisDemo, MicroTime};

/// A phase on the time axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledPhase {
    pub name: String,
    pub from: MicroTime,
    pub until: MicroTime,
    rate: u64,
    /// The rate before it, and when its own rate is reached.
    rate_before: u64,
    reached_at: MicroTime,
}

/// The phases of a run. Before their instants are known, the first one begins at zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    pub phases: Vec<ScheduledPhase>,
    /// Whether the instants are those of the run.
    pub is_timed: bool,
}

impl Schedule {
    /// The schedule of the run's settings, or of the spec before they are fixed.
    #[must_use]
    pub fn of(demo: &KinesisDemo) -> Self {
        let status = demo.status.as_ref();
        let effective = status.and_then(|status| status.run.as_ref()?.effective.as_ref());
        let specs = &effective.map_or(&demo.spec, |effective| &effective.spec).phases;
        let reports = status.map(|status| status.phases.as_slice()).unwrap_or_default();
        if reports.is_empty() {
            let begins = specs.iter().scan(MicroTime::default(), |next, phase| {
                let from = *next;
                *next = from + phase.duration.value();
                Some((from, *next))
            });
            let phases = specs.iter().zip(begins).map(|(phase, (from, until))| {
                (phase.name.as_str(), from, until, u64::try_from(phase.records_per_second).unwrap_or(0))
            });
            return Self { phases: phases_of(phases, specs), is_timed: false };
        }
        let phases = reports.iter().map(|report| {
            (report.name.as_str(), report.starts_at, report.ends_at, report.records_per_second.into())
        });
        Self { phases: phases_of(phases, specs), is_timed: true }
    }

    /// The first and the last instant.
    #[must_use]
    pub fn span(&self) -> Option<(MicroTime, MicroTime)> {
        let (first, last) = (self.phases.first()?, self.phases.last()?);
        (last.until > first.from).then_some((first.from, last.until))
    }

    /// The highest scheduled rate in an interval. None outside of all phases.
    #[must_use]
    pub fn peak_in(&self, from: MicroTime, until: MicroTime) -> Option<u64> {
        let within = self.phases.iter().filter(|phase| phase.from < until && phase.until > from);
        // A rate changes in straight lines, so its highest value is at an end.
        within.map(|phase| phase.rate_at(from).max(phase.rate_at(until))).max()
    }

    /// The highest rate of all phases.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.phases.iter().map(|phase| phase.rate).max().unwrap_or(0)
    }
}

fn phases_of<'a>(
    phases: impl Iterator<Item = (&'a str, MicroTime, MicroTime, u64)>,
    specs: &[PhaseSpec],
) -> Vec<ScheduledPhase> {
    let mut rate_before = 0;
    let ramp = |index: usize, name: &str| {
        let spec = specs.get(index).filter(|spec| spec.name == name);
        spec.and_then(|spec| Some(spec.ramp.over.as_ref()?.value())).unwrap_or(Duration::ZERO)
    };
    let phase = |(index, (name, from, until, rate)): (usize, (&str, MicroTime, MicroTime, u64))| {
        let reached_at = from + ramp(index, name);
        let phase = ScheduledPhase { name: name.to_owned(), from, until, rate, rate_before, reached_at };
        rate_before = rate;
        phase
    };
    phases.enumerate().map(phase).collect()
}

impl ScheduledPhase {
    /// The rate at an instant, which is moved into the phase.
    fn rate_at(&self, at: MicroTime) -> u64 {
        let since = at.clamp(self.from, self.until).since(self.from).as_micros();
        let ramp = self.reached_at.since(self.from).as_micros();
        if since >= ramp {
            return self.rate;
        }
        let (before, rate) = (u128::from(self.rate_before), u128::from(self.rate));
        u64::try_from((before * (ramp - since) + rate * since) / ramp.max(1)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixture::{demo, peak};
    use serde_json::json;

    #[test]
    fn the_curve_follows_steps_and_ramps() {
        let mut ramped = peak();
        let ramp = json!({"shape": "Linear", "over": "10s"});
        ramped.spec.phases = serde_json::from_value(json!([
            {"name": "baseline", "duration": "10s", "recordsPerSecond": 100},
            {"name": "spike", "duration": "12s", "recordsPerSecond": 10_000, "ramp": ramp},
        ]))
        .unwrap();
        let schedule = Schedule::of(&ramped);
        let (from, until) = schedule.span().unwrap();
        let after = |seconds: u64| from + Duration::from_secs(seconds);
        let rate = |second| schedule.peak_in(after(second), after(second + 1));
        assert!(schedule.is_timed);
        assert_eq!(until, after(47));
        assert_eq!([rate(0), rate(9), rate(10), rate(14)], [100, 100, 1_090, 5_050].map(Some));
        assert_eq!([rate(20), rate(22), rate(40), rate(47)], [Some(10_000), Some(50_000), Some(100), None]);
        assert_eq!(schedule.peak_in(from, until), Some(50_000), "a short peak is in a wide column");
    }

    #[test]
    fn before_the_traffic_the_spec_gives_the_curve() {
        let mut waiting = demo(json!({"phases": [], "stage": "Provisioning"}));
        waiting.spec.phases.truncate(2);
        let schedule = Schedule::of(&waiting);
        let zero = MicroTime::default();
        assert!(!schedule.is_timed);
        assert_eq!(schedule.span(), Some((zero, zero + Duration::from_secs(240))));
        assert_eq!(schedule.peak(), 10_000);
    }
}
