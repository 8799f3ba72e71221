//! The plan placed on the clock. In: the phases, the instant at which traffic starts, the
//! interruptions. Out: schedule segments and phase windows in absolute time. Pure.
//!
//! An interruption moves everything after it by its length. A segment that it cuts stays one
//! segment in pieces. So the schedule always has exactly as many records as the plan, however often
//! it is interrupted.

use std::time::Duration;

use crate::MicroTime;
use crate::control::{Content, Segment};
use crate::demo::status::Interruption;
use crate::plan::PlannedPhase;
use crate::schedule::{Part, ScheduleSegment};

/// A segment and its phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedSegment {
    /// The phase's index, from zero.
    pub phase: usize,
    /// The segment's interval and rate.
    pub segment: ScheduleSegment,
}

/// The interval of a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseWindow {
    /// The phase's name.
    pub name: String,
    /// The phase's rate, after its ramp.
    pub rate: u32,
    /// The kind of posts.
    pub content: Content,
    /// The number of tasks that it needs.
    pub tasks: u32,
    /// Its first instant.
    pub starts_at: MicroTime,
    /// The first instant after it.
    pub ends_at: MicroTime,
}

/// The whole schedule in absolute time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The segments, in order, without overlap. Gaps are interruptions.
    pub segments: Vec<PlacedSegment>,
    /// The phases, in order.
    pub phases: Vec<PhaseWindow>,
}

impl Timeline {
    /// Places `phases` from `starts_at` on, around `interruptions` (in order, without overlap).
    pub fn new(phases: &[PlannedPhase], starts_at: MicroTime, interruptions: &[Interruption]) -> Self {
        let mut cursor = Cursor { at: starts_at, interruptions };
        let mut segments = Vec::new();
        let mut windows = Vec::new();
        let mut rate_before = 0;
        for (index, phase) in phases.iter().enumerate() {
            let first = segments.len();
            for (rate, length) in [
                ([rate_before, phase.rate], phase.ramp),
                ([phase.rate; 2], phase.duration.saturating_sub(phase.ramp)),
            ] {
                cursor.place(rate, length, |segment| segments.push(PlacedSegment { phase: index, segment }));
            }
            rate_before = phase.rate;
            let placed = segments.get(first..).unwrap_or_default();
            windows.push(PhaseWindow {
                name: phase.name.clone(),
                rate: phase.rate,
                content: phase.content,
                tasks: phase.tasks,
                starts_at: placed.first().map_or(cursor.at, |placed| placed.segment.from),
                ends_at: placed.last().map_or(cursor.at, |placed| placed.segment.until),
            });
        }
        Self { segments, phases: windows }
    }

    /// When traffic starts.
    pub fn starts_at(&self) -> Option<MicroTime> {
        self.phases.first().map(|phase| phase.starts_at)
    }

    /// When traffic ends.
    pub fn ends_at(&self) -> Option<MicroTime> {
        self.phases.last().map(|phase| phase.ends_at)
    }

    /// The phase at `at`: the last one that has begun.
    pub fn phase_at(&self, at: MicroTime) -> Option<(usize, &PhaseWindow)> {
        self.phases.iter().enumerate().rev().find(|(_, phase)| phase.starts_at <= at)
    }

    /// The next instant after `at` at which a phase begins or the traffic ends.
    pub fn next_boundary(&self, at: MicroTime) -> Option<MicroTime> {
        self.phases
            .iter()
            .flat_map(|phase| [phase.starts_at, phase.ends_at])
            .filter(|boundary| *boundary > at)
            .min()
    }

    /// The number of tasks needed by the phases that overlap [`from`, `until`].
    pub fn tasks_needed(&self, from: MicroTime, until: MicroTime) -> u32 {
        self.phases
            .iter()
            .filter(|phase| phase.starts_at <= until && phase.ends_at > from)
            .map(|phase| phase.tasks)
            .max()
            .unwrap_or(0)
    }

    /// The scheduled records per second at `at`; zero before and after the traffic and during
    /// interruptions.
    pub fn rate_at(&self, at: MicroTime) -> u32 {
        let now = self.segments.iter().find(|placed| placed.segment.from <= at && at < placed.segment.until);
        now.map_or(0, |placed| placed.segment.rate_at(at))
    }

    /// The records of `phase` that are scheduled up to `at`.
    pub fn scheduled(&self, phase: usize, at: MicroTime) -> u64 {
        self.segments
            .iter()
            .filter(|placed| placed.phase == phase)
            .map(|placed| placed.segment.scheduled(at))
            .sum()
    }

    /// The records that are scheduled up to `at`, in all phases.
    pub fn scheduled_in_all(&self, at: MicroTime) -> u64 {
        self.segments.iter().map(|placed| placed.segment.scheduled(at)).sum()
    }

    /// The first instant between `from` and `until` by which `records` were due in all phases, or
    /// `until` if they are due later.
    pub fn due_at(&self, records: u64, from: MicroTime, until: MicroTime) -> MicroTime {
        let (mut low, mut high) = (from.as_micros(), until.as_micros());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.scheduled_in_all(MicroTime::from_micros(middle)) >= records {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        MicroTime::from_micros(low)
    }

    /// The segments that are not over at `at`, as segments of a control document.
    pub fn segments_from(&self, at: MicroTime, cap_per_task: u32) -> impl Iterator<Item = Segment> + '_ {
        self.segments.iter().filter(move |placed| placed.segment.until > at).filter_map(move |placed| {
            let window = self.phases.get(placed.phase)?;
            Some(Segment {
                phase: window.name.clone(),
                span: placed.segment,
                content: window.content,
                cap_per_task,
            })
        })
    }
}

struct Cursor<'a> {
    at: MicroTime,
    interruptions: &'a [Interruption],
}

impl Cursor<'_> {
    /// Places one segment of `length`, in as many pieces as the interruptions cut it into.
    fn place(&mut self, rate: [u32; 2], length: Duration, mut push: impl FnMut(ScheduleSegment)) {
        let mut done = Duration::ZERO;
        while done < length {
            while let Some(interruption) =
                self.interruptions.first().filter(|interruption| interruption.from <= self.at)
            {
                self.at = self.at.max(interruption.until);
                self.interruptions = self.interruptions.get(1..).unwrap_or_default();
            }
            let rest = length - done;
            let piece = self
                .interruptions
                .first()
                .map_or(rest, |interruption| interruption.from.since(self.at).min(rest));
            let until = self.at + piece;
            let part = (piece < length).then_some(Part { after: done, of: length });
            push(ScheduleSegment { from: self.at, until, rate, part });
            done += piece;
            self.at = until;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: MicroTime = MicroTime::from_micros(1_700_000_000_000_000);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn phase(name: &str, seconds: u64, rate: u32, ramp: u64) -> PlannedPhase {
        PlannedPhase {
            name: name.into(),
            duration: s(seconds),
            rate,
            ramp: s(ramp),
            content: Content::Baseline,
            tasks: rate.div_ceil(5_000).max(1),
        }
    }

    fn event() -> Vec<PlannedPhase> {
        vec![phase("baseline", 120, 100, 0), phase("spike", 120, 10_000, 20), phase("peak", 120, 50_000, 0)]
    }

    #[test]
    fn phases_follow_each_other_without_gaps() {
        let timeline = Timeline::new(&event(), T0, &[]);
        let windows: Vec<_> =
            timeline.phases.iter().map(|p| (p.name.as_str(), p.starts_at, p.ends_at)).collect();
        assert_eq!(
            windows,
            [
                ("baseline", T0, T0 + s(120)),
                ("spike", T0 + s(120), T0 + s(240)),
                ("peak", T0 + s(240), T0 + s(360))
            ]
        );
        assert_eq!(timeline.segments.len(), 4);
        assert_eq!(timeline.scheduled(0, T0 + s(999)), 12_000);
        assert_eq!(timeline.scheduled(1, T0 + s(999)), 20 * 5_050 + 100 * 10_000);
        assert_eq!(timeline.scheduled(2, T0 + s(241)), 50_000);
        assert_eq!(timeline.phase_at(T0 + s(240)).unwrap().1.name, "peak");
        assert_eq!(timeline.phase_at(T0 - s(1)), None);
        assert_eq!(timeline.next_boundary(T0), Some(T0 + s(120)));
        assert_eq!(timeline.next_boundary(T0 + s(360)), None);
    }

    #[test]
    fn an_interruption_leaves_a_gap_and_delays_what_follows() {
        let interruption = Interruption { from: T0 + s(60), until: T0 + s(90) };
        let timeline = Timeline::new(&event(), T0, &[interruption]);
        assert_eq!(timeline.phases[0].ends_at, T0 + s(150));
        assert_eq!(timeline.ends_at(), Some(T0 + s(390)));
        assert_eq!(timeline.scheduled(0, T0 + s(60)), 6_000);
        assert_eq!(timeline.scheduled(0, T0 + s(90)), 6_000);
        assert_eq!(timeline.scheduled(0, T0 + s(150)), 12_000);
    }

    #[test]
    fn the_rate_follows_the_segments_and_is_zero_elsewhere() {
        let interruption = Interruption { from: T0 + s(60), until: T0 + s(90) };
        let timeline = Timeline::new(&event(), T0, &[interruption]);
        let rates =
            [(0, 100), (59, 100), (60, 0), (90, 100), (150, 100), (160, 5_050), (170, 10_000), (390, 0)];
        for (second, rate) in rates {
            assert_eq!(timeline.rate_at(T0 + s(second)), rate, "second {second}");
        }
        assert_eq!(timeline.rate_at(T0 - s(1)), 0);
    }

    #[test]
    fn the_instant_at_which_records_are_due_is_within_bounds() {
        let interruption = Interruption { from: T0 + s(60), until: T0 + s(90) };
        let timeline = Timeline::new(&event(), T0, &[interruption]);
        let millis = |millis: u64| T0 + Duration::from_millis(millis);
        let [from, until] = [T0 + s(30), T0 + s(300)];
        let table = [
            (0, from),
            (3_000, from),
            (3_050, millis(30_500)),
            (6_000, T0 + s(60)),
            (6_100, T0 + s(91)),
            (12_000, T0 + s(150)),
            (u64::MAX, until),
        ];
        for (records, at) in table {
            assert_eq!(timeline.due_at(records, from, until), at, "{records} records");
        }
        assert_eq!(timeline.due_at(6_000, until, from), until, "reversed bounds");
        let ramped = timeline.due_at(20_000, from, until);
        assert!(timeline.scheduled_in_all(ramped) >= 20_000);
        assert!(timeline.scheduled_in_all(ramped - Duration::from_micros(1)) < 20_000);
    }

    #[test]
    fn an_interruption_at_a_boundary_delays_the_next_phase() {
        let interruption = Interruption { from: T0 + s(120), until: T0 + s(130) };
        let timeline = Timeline::new(&event(), T0, &[interruption]);
        assert_eq!(timeline.phases[0].ends_at, T0 + s(120));
        assert_eq!(timeline.phases[1].starts_at, T0 + s(130));
    }

    #[test]
    fn tasks_needed_is_that_of_the_largest_phase_in_the_interval() {
        let timeline = Timeline::new(&event(), T0, &[]);
        assert_eq!(timeline.tasks_needed(T0, T0 + s(30)), 1);
        assert_eq!(timeline.tasks_needed(T0 + s(100), T0 + s(130)), 2);
        assert_eq!(timeline.tasks_needed(T0 + s(230), T0 + s(240)), 10);
        assert_eq!(timeline.tasks_needed(T0 + s(360), T0 + s(400)), 0);
    }

    proptest! {
        #[test]
        fn interruptions_never_change_the_number_of_records(
            interruptions in prop::collection::vec((1_u64..300_000_000, 1_u64..60_000_000), 0..6),
        ) {
            let mut at = T0;
            let interruptions: Vec<_> = interruptions.into_iter().map(|(after, length)| {
                let from = at + Duration::from_micros(after);
                let interruption = Interruption { from, until: from + Duration::from_micros(length) };
                at = interruption.until;
                interruption
            }).collect();
            let far = T0 + s(100_000);
            let (plain, moved) = (Timeline::new(&event(), T0, &[]), Timeline::new(&event(), T0, &interruptions));
            for phase in 0..3 {
                prop_assert_eq!(plain.scheduled(phase, far), moved.scheduled(phase, far));
            }
            prop_assert_eq!(plain.scheduled_in_all(far), moved.scheduled_in_all(far));
            for pair in moved.segments.windows(2) {
                prop_assert!(pair[0].segment.until <= pair[1].segment.from);
            }
            for interruption in &interruptions {
                for placed in &moved.segments {
                    prop_assert!(placed.segment.until <= interruption.from || placed.segment.from >= interruption.until);
                }
            }
        }
    }
}
