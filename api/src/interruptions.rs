//! The intervals in which the schedule was paused. In: the known ones and a new one. Out: the
//! merged list, sorted and without overlap. Pure.

use crate::MicroTime;
use crate::demo::status::Interruption;

/// The maximum number of interruptions in status (its schema's limit).
pub const MAX_INTERRUPTIONS: usize = 64;

/// The error for more interruptions than the status can store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "traffic was interrupted from {from} until {until}; the run already has {MAX_INTERRUPTIONS} other interruptions, the maximum, so it cannot follow the schedule and ends"
)]
pub struct TooManyInterruptions {
    from: MicroTime,
    until: MicroTime,
}

/// Adds `interruption` to `interruptions`. Intervals that touch or overlap are merged, so an
/// interruption that is prolonged repeatedly stays one.
pub fn with_interruption(
    interruptions: &[Interruption],
    interruption: Interruption,
) -> Result<Vec<Interruption>, TooManyInterruptions> {
    let mut ordered: Vec<Interruption> = interruptions
        .iter()
        .copied()
        .chain([interruption])
        .filter(|interruption| interruption.from < interruption.until)
        .collect();
    ordered.sort_by_key(|interruption| interruption.from);
    let mut joined: Vec<Interruption> = Vec::with_capacity(ordered.len());
    for next in ordered {
        match joined.last_mut().filter(|last| next.from <= last.until) {
            Some(last) => last.until = last.until.max(next.until),
            None => joined.push(next),
        }
    }
    if joined.len() > MAX_INTERRUPTIONS {
        return Err(TooManyInterruptions { from: interruption.from, until: interruption.until });
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn interruption(from: u64, until: u64) -> Interruption {
        let at = |second| MicroTime::from_micros(1_700_000_000_000_000) + Duration::from_secs(second);
        Interruption { from: at(from), until: at(until) }
    }

    #[test]
    fn interruptions_that_touch_or_overlap_are_merged() {
        let known = [interruption(10, 20), interruption(40, 50)];
        for (new, expected) in [
            (interruption(20, 30), vec![interruption(10, 30), interruption(40, 50)]),
            (interruption(15, 45), vec![interruption(10, 50)]),
            (interruption(50, 70), vec![interruption(10, 20), interruption(40, 70)]),
            (interruption(12, 13), known.to_vec()),
            (interruption(25, 30), vec![interruption(10, 20), interruption(25, 30), interruption(40, 50)]),
            (interruption(0, 5), vec![interruption(0, 5), interruption(10, 20), interruption(40, 50)]),
            (interruption(30, 30), known.to_vec()),
            (interruption(35, 30), known.to_vec()),
        ] {
            assert_eq!(with_interruption(&known, new).unwrap(), expected, "{new:?}");
        }
    }

    #[test]
    fn prolonging_is_unlimited_and_a_65th_interruption_is_an_error() {
        let mut interruptions = Vec::new();
        for n in 0..500 {
            interruptions =
                with_interruption(&interruptions, interruption(100 + n * 3, 103 + n * 3)).unwrap();
        }
        assert_eq!(interruptions, [interruption(100, 1_600)]);
        for n in 1..64 {
            interruptions =
                with_interruption(&interruptions, interruption(2_000 + n * 10, 2_001 + n * 10)).unwrap();
        }
        assert_eq!(interruptions.len(), MAX_INTERRUPTIONS);
        let error = with_interruption(&interruptions, interruption(9_000, 9_001)).unwrap_err().to_string();
        assert!(error.contains("64 other interruptions") && error.contains("and ends"), "{error}");
        assert_eq!(
            with_interruption(&interruptions, interruption(2_631, 9_000)).unwrap().len(),
            MAX_INTERRUPTIONS
        );
    }

    proptest! {
        #[test]
        fn the_list_is_sorted_disjoint_and_covers_what_was_added(
            added in prop::collection::vec((0_u64..200, 0_u64..20), 0..60),
        ) {
            let mut interruptions = Vec::new();
            for (from, length) in &added {
                interruptions = with_interruption(&interruptions, interruption(*from, from + length)).unwrap();
            }
            for pair in interruptions.windows(2) {
                prop_assert!(pair[0].until < pair[1].from);
            }
            for second in 0..220 {
                let moment = interruption(second, second + 1);
                let stopped = added.iter().any(|(from, length)| (*from..from + length).contains(&second));
                let recorded = interruptions.iter().any(|known| known.from <= moment.from && moment.until <= known.until);
                prop_assert_eq!(stopped, recorded, "second {}", second);
            }
        }
    }
}
