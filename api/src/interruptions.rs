//! The stretches in which the schedule stood still. In: those known, a new one. Out: all of them, in order, without overlap,
//! as few as possible. Pure.

use crate::MicroTime;
use crate::status::Interruption;

/// How many stops the status holds (its schema's bound).
pub const MAX_INTERRUPTIONS: usize = 64;

/// One more stop than the status holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "note that traffic stopped from {from} until {until}: {MAX_INTERRUPTIONS} other interruptions are noted, more than a run may have; end the run, the schedule cannot be followed any longer"
)]
pub struct TooManyInterruptions {
    from: MicroTime,
    until: MicroTime,
}

/// `stops` and `stop`. Those that touch or overlap become one: a stop that is prolonged again and again stays one.
pub fn with_interruption(
    interruptions: &[Interruption],
    stop: Interruption,
) -> Result<Vec<Interruption>, TooManyInterruptions> {
    let mut ordered: Vec<Interruption> =
        interruptions.iter().copied().chain([stop]).filter(|stop| stop.from < stop.until).collect();
    ordered.sort_by_key(|stop| stop.from);
    let mut joined: Vec<Interruption> = Vec::with_capacity(ordered.len());
    for next in ordered {
        match joined.last_mut().filter(|last| next.from <= last.until) {
            Some(last) => last.until = last.until.max(next.until),
            None => joined.push(next),
        }
    }
    if joined.len() > MAX_INTERRUPTIONS {
        return Err(TooManyInterruptions { from: stop.from, until: stop.until });
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn stop(from: u64, until: u64) -> Interruption {
        let at = |second| MicroTime::from_micros(1_700_000_000_000_000) + Duration::from_secs(second);
        Interruption { from: at(from), until: at(until) }
    }

    #[test]
    fn stops_that_touch_or_overlap_are_one() {
        let held = [stop(10, 20), stop(40, 50)];
        for (new, expected) in [
            (stop(20, 30), vec![stop(10, 30), stop(40, 50)]),
            (stop(15, 45), vec![stop(10, 50)]),
            (stop(50, 70), vec![stop(10, 20), stop(40, 70)]),
            (stop(12, 13), held.to_vec()),
            (stop(25, 30), vec![stop(10, 20), stop(25, 30), stop(40, 50)]),
            (stop(0, 5), vec![stop(0, 5), stop(10, 20), stop(40, 50)]),
            (stop(30, 30), held.to_vec()),
            (stop(35, 30), held.to_vec()),
        ] {
            assert_eq!(with_interruption(&held, new).unwrap(), expected, "{new:?}");
        }
    }

    #[test]
    fn a_stop_may_be_prolonged_for_ever_and_a_sixty_fifth_is_refused() {
        let mut interruptions = Vec::new();
        for n in 0..500 {
            interruptions = with_interruption(&interruptions, stop(100 + n * 3, 103 + n * 3)).unwrap();
        }
        assert_eq!(interruptions, [stop(100, 1_600)]);
        for n in 1..64 {
            interruptions = with_interruption(&interruptions, stop(2_000 + n * 10, 2_001 + n * 10)).unwrap();
        }
        assert_eq!(interruptions.len(), MAX_INTERRUPTIONS);
        let error = with_interruption(&interruptions, stop(9_000, 9_001)).unwrap_err().to_string();
        assert!(error.contains("64 other interruptions") && error.contains("end the run"), "{error}");
        assert_eq!(with_interruption(&interruptions, stop(2_631, 9_000)).unwrap().len(), MAX_INTERRUPTIONS);
    }

    proptest! {
        #[test]
        fn stops_stay_in_order_apart_and_cover_what_was_added(
            added in prop::collection::vec((0_u64..200, 0_u64..20), 0..60),
        ) {
            let mut interruptions = Vec::new();
            for (from, length) in &added {
                interruptions = with_interruption(&interruptions, stop(*from, from + length)).unwrap();
            }
            for pair in interruptions.windows(2) {
                prop_assert!(pair[0].until < pair[1].from);
            }
            for second in 0..220 {
                let moment = stop(second, second + 1);
                let stopped = added.iter().any(|(from, length)| (*from..from + length).contains(&second));
                let noted = interruptions.iter().any(|held| held.from <= moment.from && moment.until <= held.until);
                prop_assert_eq!(stopped, noted, "second {}", second);
            }
        }
    }
}
