//! How many records are due, and whose they are. In: rates and instants. Out: counts. Pure, integers only.
//!
//! The schedule is a sequence of legs, each a straight line from one rate to another. The records of a leg are numbered
//! from zero; record k is due when the integral of the rate passes k + 1 and belongs to the filled slot at position
//! k mod n. So the shares of any number of tasks always add up to the whole, exactly, without a remainder to assign.

use serde::{Deserialize, Serialize};

use crate::MicroTime;

const MICROS_PER_SECOND: i128 = 1_000_000;

/// A stretch of the schedule over which the rate is constant or follows a straight line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// The first instant of the leg.
    pub from: MicroTime,
    /// The first instant after the leg.
    pub until: MicroTime,
    /// Records per second at `from` and at `until`.
    pub rate: [u32; 2],
}

impl Leg {
    /// The records due from the leg's start up to `at` (clamped to the leg), when at most `ceiling` records per second
    /// can be sent: what the rate asks for above the ceiling is never due to anybody.
    pub fn due(&self, at: MicroTime, ceiling: u64) -> u64 {
        let length = span(self.from, self.until);
        if length == 0 {
            return 0;
        }
        let elapsed = span(self.from, at.min(self.until));
        let [start, end] = self.rate.map(i128::from);
        let ceiling = i128::from(ceiling);

        // Twice the area under the line up to x, in record-microseconds per second, times the leg's length.
        let line = |x: i128| 2 * length * start * x + (end - start) * x * x;
        let flat = |x: i128| 2 * length * ceiling * x;
        let area = match (start > ceiling, end > ceiling) {
            (false, false) => line(elapsed),
            (true, true) => flat(elapsed),
            (false, true) => {
                let crossing = (ceiling - start) * length / (end - start);
                let under = elapsed.min(crossing);
                line(under) + flat(elapsed - under)
            }
            (true, false) => {
                let crossing = (start - ceiling) * length / (start - end);
                let above = elapsed.min(crossing);
                flat(above) + line(elapsed) - line(above)
            }
        };
        u64::try_from(area / (2 * length * MICROS_PER_SECOND)).unwrap_or(0)
    }

    /// Every record the leg asks for up to `at`, whoever sends it.
    pub fn scheduled(&self, at: MicroTime) -> u64 {
        self.due(at, u64::MAX >> 1)
    }

    /// The rate at `at` (clamped to the leg), in records per second, rounded down.
    pub fn rate_at(&self, at: MicroTime) -> u32 {
        let length = span(self.from, self.until);
        if length == 0 {
            return self.rate[1];
        }
        let [start, end] = self.rate.map(i128::from);
        let elapsed = span(self.from, at.min(self.until));
        u32::try_from(start + (end - start) * elapsed / length).unwrap_or(0)
    }

    /// The highest rate within the leg.
    pub fn highest_rate(&self) -> u32 {
        self.rate[0].max(self.rate[1])
    }
}

fn span(from: MicroTime, until: MicroTime) -> i128 {
    i128::from(until.as_micros()).saturating_sub(i128::from(from.as_micros())).max(0)
}

/// A task's place among those that send: `position` of `of` filled slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The task's position among the filled slots, from zero.
    pub position: u32,
    /// How many slots are filled; at least one.
    pub of: u32,
}

impl Share {
    /// How many of the first `count` records are this share's own.
    pub fn owned(self, count: u64) -> u64 {
        let of = u64::from(self.of.max(1));
        count.saturating_add(of - 1).saturating_sub(u64::from(self.position)) / of
    }

    /// How many records of `leg` fall due to this share in [`from`, `until`), each task sending at most `cap_per_task`
    /// records per second.
    pub fn due(self, leg: &Leg, from: MicroTime, until: MicroTime, cap_per_task: u32) -> u64 {
        let ceiling = u64::from(cap_per_task) * u64::from(self.of.max(1));
        self.owned(leg.due(until, ceiling)) - self.owned(leg.due(from.min(until), ceiling))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const T0: MicroTime = MicroTime::from_micros(1_700_000_000_000_000);

    fn leg(rate: [u32; 2], seconds: u64) -> Leg {
        Leg { from: T0, until: T0 + Duration::from_secs(seconds), rate }
    }

    fn after(seconds: f64) -> MicroTime {
        T0 + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_step_is_due_in_proportion_to_time() {
        let step = leg([50_000, 50_000], 120);
        assert_eq!(step.scheduled(T0), 0);
        assert_eq!(step.scheduled(after(0.001)), 50);
        assert_eq!(step.scheduled(after(60.0)), 3_000_000);
        assert_eq!(step.scheduled(after(120.0)), 6_000_000);
        assert_eq!(step.scheduled(after(500.0)), 6_000_000);
        assert_eq!(step.scheduled(T0 - Duration::from_secs(5)), 0);
    }

    #[test]
    fn a_ramp_is_due_as_the_area_under_its_line() {
        let up = leg([100, 10_100], 20);
        assert_eq!(up.scheduled(after(20.0)), 102_000);
        assert_eq!(up.scheduled(after(10.0)), 26_000);
        assert_eq!(up.rate_at(after(10.0)), 5_100);
        let down = leg([10_000, 0], 10);
        assert_eq!(down.scheduled(after(5.0)), 37_500);
        assert_eq!(down.scheduled(after(10.0)), 50_000);
    }

    #[test]
    fn a_ceiling_cuts_a_ramp_where_it_crosses() {
        let up = leg([0, 1_000], 10);
        assert_eq!(up.due(after(10.0), 500), 1_250 + 2_500);
        let down = leg([1_000, 0], 10);
        assert_eq!(down.due(after(5.0), 500), 2_500);
        assert_eq!(down.due(after(10.0), 500), 2_500 + 1_250);
        assert_eq!(leg([1_000, 2_000], 10).due(after(10.0), 500), 5_000);
    }

    #[test]
    fn an_empty_leg_asks_for_nothing() {
        assert_eq!(leg([100, 100], 0).scheduled(after(1.0)), 0);
    }

    proptest! {
        #[test]
        fn shares_add_up_exactly_at_every_instant(
            rates in [0_u32..200_000, 0_u32..200_000],
            length in 1_u64..600_000_000,
            tasks in 1_u32..100,
            cap in 1_u32..20_000,
            cuts in prop::collection::vec(0_u64..700_000_000, 1..6),
        ) {
            let leg = Leg { from: T0, until: T0 + Duration::from_micros(length), rate: rates };
            let ceiling = u64::from(cap) * u64::from(tasks);
            let mut previous = T0;
            let mut instants: Vec<_> = cuts.into_iter().map(|us| T0 + Duration::from_micros(us)).collect();
            instants.sort();
            for at in instants {
                let whole = leg.due(at, ceiling) - leg.due(previous, ceiling);
                let parts: u64 =
                    (0..tasks).map(|position| Share { position, of: tasks }.due(&leg, previous, at, cap)).sum();
                prop_assert_eq!(whole, parts);
                previous = at;
            }
        }

        #[test]
        fn due_never_decreases_and_never_passes_the_ceiling(
            rates in [0_u32..200_000, 0_u32..200_000], length in 1_u64..600_000_000, ceiling in 1_u64..200_000,
            first in 0_u64..700_000_000, second in 0_u64..700_000_000,
        ) {
            let leg = Leg { from: T0, until: T0 + Duration::from_micros(length), rate: rates };
            let (early, late) = (first.min(second), first.max(second));
            let (a, b) = (leg.due(T0 + Duration::from_micros(early), ceiling), leg.due(T0 + Duration::from_micros(late), ceiling));
            prop_assert!(a <= b);
            prop_assert!(u128::from(b - a) <= u128::from(ceiling) * u128::from(late - early) / 1_000_000 + 1);
            prop_assert!(b <= leg.scheduled(T0 + Duration::from_micros(late)));
        }
    }
}
