//! How many records are due, and to which task. In: rates and instants. Out: counts. Pure, integers
//! only.
//!
//! The schedule is a sequence of segments. In each, the rate is a straight line from one value to
//! another. The records of a segment are numbered from zero. Record k is due when the integral of
//! the rate passes k + 1, and belongs to the filled slot at position k mod n. So the shares of any
//! number of tasks add up to the whole exactly, without a remainder to assign.
//!
//! An interruption cuts a segment into pieces. The records are numbered through the whole segment,
//! wherever it is cut. So the pieces add up to the whole exactly, and a piece that was sent before
//! the cut was known keeps the same records.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::MicroTime;

const MICROS_PER_SECOND: i128 = 1_000_000;

/// An interval of the schedule with a constant or linearly changing rate, or a piece of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleSegment {
    /// The first instant of the segment, or of the piece.
    pub from: MicroTime,
    /// The first instant after it.
    pub until: MicroTime,
    /// Records per second at the beginning and at the end of the whole segment.
    pub rate: [u32; 2],
    /// The position of this piece in the whole segment. Absent if this is the whole segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// The position of a piece in its whole segment. On the wire: two numbers of microseconds, to keep
/// the control document small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 2]", into = "[u64; 2]")]
pub struct Part {
    /// The length of the whole segment before the piece.
    pub after: Duration,
    /// The length of the whole segment.
    pub of: Duration,
}

impl From<[u64; 2]> for Part {
    fn from([after, of]: [u64; 2]) -> Self {
        Self { after: Duration::from_micros(after), of: Duration::from_micros(of) }
    }
}

impl From<Part> for [u64; 2] {
    fn from(part: Part) -> Self {
        [part.after, part.of].map(|length| u64::try_from(length.as_micros()).unwrap_or(u64::MAX))
    }
}

impl ScheduleSegment {
    /// Creates a whole segment.
    pub const fn whole(from: MicroTime, until: MicroTime, rate: [u32; 2]) -> Self {
        Self { from, until, rate, part: None }
    }

    /// The length of the whole segment, of which this may be a piece.
    pub fn whole_length(&self) -> Duration {
        self.part.map_or(self.until.since(self.from), |part| part.of)
    }

    /// The offset of `at` (clamped to the piece) in the whole segment, and the length of the whole
    /// segment, in microseconds.
    fn offset_of(&self, at: MicroTime) -> (i128, i128) {
        let into = span(self.from, at.min(self.until));
        let Some(part) = self.part else { return (into, span(self.from, self.until)) };
        let [after, length] = <[u64; 2]>::from(part).map(i128::from);
        ((after + into).min(length), length)
    }

    /// The records due from the piece's start up to `at` (clamped to the piece), if at most `limit`
    /// records per second can be sent. Records above the limit are never due.
    pub fn due(&self, at: MicroTime, limit: u64) -> u64 {
        self.numbered(at, limit).saturating_sub(self.numbered(self.from, limit))
    }

    /// The records due from the start of the whole segment up to `at` (clamped to the piece). This
    /// is also the number of the next record.
    fn numbered(&self, at: MicroTime, limit: u64) -> u64 {
        let (elapsed, length) = self.offset_of(at);
        if length == 0 {
            return 0;
        }
        let [start, end] = self.rate.map(i128::from);
        let limit = i128::from(limit);

        // Twice the area under the line up to x, in record-microseconds per second, times the
        // segment's length.
        let line = |x: i128| 2 * length * start * x + (end - start) * x * x;
        let flat = |x: i128| 2 * length * limit * x;
        let area = match (start > limit, end > limit) {
            (false, false) => line(elapsed),
            (true, true) => flat(elapsed),
            (false, true) => {
                let crossing = (limit - start) * length / (end - start);
                let under = elapsed.min(crossing);
                line(under) + flat(elapsed - under)
            }
            (true, false) => {
                let crossing = (start - limit) * length / (start - end);
                let above = elapsed.min(crossing);
                flat(above) + line(elapsed) - line(above)
            }
        };
        u64::try_from(area / (2 * length * MICROS_PER_SECOND)).unwrap_or(0)
    }

    /// The records that the piece schedules up to `at`, without a limit.
    pub fn scheduled(&self, at: MicroTime) -> u64 {
        self.due(at, u64::MAX >> 1)
    }

    /// The rate at `at` (clamped to the piece), in records per second, rounded down.
    pub fn rate_at(&self, at: MicroTime) -> u32 {
        let (elapsed, length) = self.offset_of(at);
        let [start, end] = self.rate.map(i128::from);
        if length == 0 {
            return self.highest_rate();
        }
        u32::try_from(start + (end - start) * elapsed / length).unwrap_or(0)
    }

    /// The highest rate in the whole segment.
    pub fn highest_rate(&self) -> u32 {
        self.rate[0].max(self.rate[1])
    }
}

fn span(from: MicroTime, until: MicroTime) -> i128 {
    i128::from(until.as_micros()).saturating_sub(i128::from(from.as_micros())).max(0)
}

/// A task's position among the tasks that send: `position` of `of` filled slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The task's position among the filled slots, from zero.
    pub position: u32,
    /// How many slots are filled; at least one.
    pub of: u32,
}

impl Share {
    /// How many of the first `count` records belong to this share.
    pub fn owned(self, count: u64) -> u64 {
        let of = u64::from(self.of.max(1));
        count.saturating_add(of - 1).saturating_sub(u64::from(self.position)) / of
    }

    /// How many records of `segment` become due to this share in [`from`, `until`), if each task
    /// sends at most `cap_per_task` records per second.
    pub fn due(self, segment: &ScheduleSegment, from: MicroTime, until: MicroTime, cap_per_task: u32) -> u64 {
        let limit = u64::from(cap_per_task) * u64::from(self.of.max(1));
        self.owned(segment.numbered(until, limit)) - self.owned(segment.numbered(from.min(until), limit))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: MicroTime = MicroTime::from_micros(1_700_000_000_000_000);

    fn segment(rate: [u32; 2], seconds: u64) -> ScheduleSegment {
        ScheduleSegment::whole(T0, T0 + Duration::from_secs(seconds), rate)
    }

    fn after(seconds: f64) -> MicroTime {
        T0 + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_constant_rate_is_due_in_proportion_to_time() {
        let step = segment([50_000, 50_000], 120);
        assert_eq!(step.scheduled(T0), 0);
        assert_eq!(step.scheduled(after(0.001)), 50);
        assert_eq!(step.scheduled(after(60.0)), 3_000_000);
        assert_eq!(step.scheduled(after(120.0)), 6_000_000);
        assert_eq!(step.scheduled(after(500.0)), 6_000_000);
        assert_eq!(step.scheduled(T0 - Duration::from_secs(5)), 0);
    }

    #[test]
    fn a_ramp_is_due_as_the_area_under_its_line() {
        let up = segment([100, 10_100], 20);
        assert_eq!(up.scheduled(after(20.0)), 102_000);
        assert_eq!(up.scheduled(after(10.0)), 26_000);
        assert_eq!(up.rate_at(after(10.0)), 5_100);
        let down = segment([10_000, 0], 10);
        assert_eq!(down.scheduled(after(5.0)), 37_500);
        assert_eq!(down.scheduled(after(10.0)), 50_000);
    }

    #[test]
    fn a_limit_caps_a_ramp_where_it_crosses() {
        let up = segment([0, 1_000], 10);
        assert_eq!(up.due(after(10.0), 500), 1_250 + 2_500);
        let down = segment([1_000, 0], 10);
        assert_eq!(down.due(after(5.0), 500), 2_500);
        assert_eq!(down.due(after(10.0), 500), 2_500 + 1_250);
        assert_eq!(segment([1_000, 2_000], 10).due(after(10.0), 500), 5_000);
    }

    #[test]
    fn an_empty_segment_schedules_nothing() {
        assert_eq!(segment([100, 100], 0).scheduled(after(1.0)), 0);
    }

    #[test]
    fn a_piece_follows_the_line_of_its_segment() {
        let whole = segment([0, 1_000], 10);
        // The last 4 s of the segment, an hour later.
        let part = Some(Part { after: Duration::from_secs(6), of: Duration::from_secs(10) });
        let (from, until) = (after(3_600.0), after(3_604.0));
        let piece = ScheduleSegment { from, until, part, ..whole };
        assert_eq!((piece.rate_at(from), piece.rate_at(until)), (600, 1_000));
        assert_eq!(piece.scheduled(until), whole.scheduled(after(10.0)) - whole.scheduled(after(6.0)));
        assert_eq!((piece.scheduled(from), piece.scheduled(T0)), (0, 0));
        assert_eq!(piece.due(until, 500), 2_000);
        let text = serde_json::to_string(&piece).unwrap();
        assert!(text.ends_with(r#""rate":[0,1000],"part":[6000000,10000000]}"#), "{text}");
        assert_eq!(serde_json::from_str::<ScheduleSegment>(&text).unwrap(), piece);
        assert!(!serde_json::to_string(&whole).unwrap().contains("part"));
    }

    #[test]
    fn a_piece_is_cut_off_at_the_end_of_its_segment() {
        let part = Some(Part { after: Duration::from_secs(8), of: Duration::from_secs(10) });
        let piece = ScheduleSegment { part, ..segment([100, 100], 60) };
        assert_eq!(piece.scheduled(after(60.0)), 200);
        let outside = Some(Part { after: Duration::from_secs(11), of: Duration::from_secs(10) });
        assert_eq!(ScheduleSegment { part: outside, ..segment([100, 100], 60) }.scheduled(after(60.0)), 0);
    }

    proptest! {
        #[test]
        fn pieces_add_up_to_their_segment_for_every_share(
            rates in [0_u32..200_000, 0_u32..200_000],
            length in 1_u64..600_000_000,
            cuts in prop::collection::vec((0_u64..600_000_000, 1_u64..90_000_000), 0..5),
            tasks in 1_u32..100, cap in 1_u32..20_000,
        ) {
            let whole = ScheduleSegment::whole(T0, T0 + Duration::from_micros(length), rates);
            let mut cuts: Vec<_> = cuts.into_iter().map(|(at, pause)| (at.min(length), pause)).collect();
            cuts.sort();
            cuts.push((length, 0));
            let (mut done, mut at) = (0, T0);
            let mut pieces = Vec::new();
            for (cut, pause) in cuts {
                let [after, of] = [done, length].map(Duration::from_micros);
                let until = at + Duration::from_micros(cut - done);
                pieces.push(ScheduleSegment { from: at, until, part: Some(Part { after, of }), ..whole });
                (done, at) = (cut, until + Duration::from_micros(pause));
            }
            let far = T0 + Duration::from_secs(100_000);
            let all: u64 = pieces.iter().map(|piece| piece.scheduled(far)).sum();
            prop_assert_eq!(all, whole.scheduled(far));
            for position in 0..tasks {
                let share = Share { position, of: tasks };
                let in_pieces: u64 = pieces.iter().map(|piece| share.due(piece, T0, far, cap)).sum();
                prop_assert_eq!(in_pieces, share.due(&whole, T0, far, cap));
            }
        }

        #[test]
        fn shares_add_up_exactly_at_every_instant(
            rates in [0_u32..200_000, 0_u32..200_000],
            length in 1_u64..600_000_000,
            tasks in 1_u32..100,
            cap in 1_u32..20_000,
            cuts in prop::collection::vec(0_u64..700_000_000, 1..6),
        ) {
            let segment = ScheduleSegment::whole(T0, T0 + Duration::from_micros(length), rates);
            let limit = u64::from(cap) * u64::from(tasks);
            let mut previous = T0;
            let mut instants: Vec<_> = cuts.into_iter().map(|us| T0 + Duration::from_micros(us)).collect();
            instants.sort();
            for at in instants {
                let whole = segment.due(at, limit) - segment.due(previous, limit);
                let parts: u64 =
                    (0..tasks).map(|position| Share { position, of: tasks }.due(&segment, previous, at, cap)).sum();
                prop_assert_eq!(whole, parts);
                previous = at;
            }
        }

        #[test]
        fn due_never_decreases_and_never_exceeds_the_limit(
            rates in [0_u32..200_000, 0_u32..200_000], length in 1_u64..600_000_000, limit in 1_u64..200_000,
            first in 0_u64..700_000_000, second in 0_u64..700_000_000,
        ) {
            let segment = ScheduleSegment::whole(T0, T0 + Duration::from_micros(length), rates);
            let (early, late) = (first.min(second), first.max(second));
            let (a, b) = (segment.due(T0 + Duration::from_micros(early), limit), segment.due(T0 + Duration::from_micros(late), limit));
            prop_assert!(a <= b);
            prop_assert!(u128::from(b - a) <= u128::from(limit) * u128::from(late - early) / 1_000_000 + 1);
            prop_assert!(b <= segment.scheduled(T0 + Duration::from_micros(late)));
        }
    }
}
