//! How often control parameters may be written in a Region. In: the timings. Out: the most active
//! runs in one Region. Pure.
//!
//! Systems Manager allows 3 PutParameter requests a second, for all callers in an account's Region
//! (AWS General Reference, Systems Manager quotas). A run stops sending if its document is not
//! renewed before it expires. So a run that could not be renewed in time waits.

use std::time::Duration;

use crate::settings::Timings;

/// All writes per second in a Region.
pub const WRITES_PER_SECOND: u32 = 3;
/// The writes left for other software.
const LEFT_TO_OTHERS: u32 = 1;
/// How many writes a run attempts in a burst: its renewal and a version of its own, as when many
/// runs start at once or another operator takes over, and each again after a refusal, because
/// requests of other runs may succeed first.
const WRITES_IN_A_BURST: u64 = 4;

/// The writes that the runs of a Region share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteBudget {
    most_runs: usize,
}

impl WriteBudget {
    /// The share for runs with these timings.
    pub fn new(timings: &Timings) -> Self {
        let Timings { renew_every, valid_for, .. } = timings;
        let writes =
            |span: Duration| span.as_secs().saturating_mul((WRITES_PER_SECOND - LEFT_TO_OTHERS).into());
        // Every run is renewed once per interval. And a burst ends before any document expires,
        // even one that is an interval old when the burst starts and is refused for another
        // interval before it is written.
        let renewed = writes(*renew_every);
        let in_a_burst = writes(valid_for.saturating_sub(*renew_every * 2)) / WRITES_IN_A_BURST;
        Self { most_runs: usize::try_from(renewed.min(in_a_burst)).unwrap_or(usize::MAX).max(1) }
    }

    /// The most active runs in one Region.
    pub fn most_runs(self) -> usize {
        self.most_runs
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reconcile::backoff::pause;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_run_limit_follows_from_the_renewal_interval() {
        let most = |timings: Timings| WriteBudget::new(&timings).most_runs();
        assert_eq!((most(Timings::aws()), most(Timings::local())), (15, 10));
        let table =
            [(15, 60, 15), (5, 60, 10), (15, 600, 30), (25, 60, 5), (15, 30, 1), (15, 15, 1), (0, 60, 1)];
        for (renew_every, valid_for, runs) in table {
            let timings = Timings { renew_every: s(renew_every), valid_for: s(valid_for), ..Timings::aws() };
            assert_eq!(most(timings), runs, "renewed every {renew_every} s, valid for {valid_for} s");
        }
    }

    const TICKS_PER_SECOND: u32 = 4;

    /// A document in Systems Manager. Times are in ticks.
    struct Renewed {
        valid_until: u32,
        due_at: u32,
        refusals: u32,
    }

    /// The longest time, in seconds, that any document went without a renewal. `runs` runs start at
    /// once and all publish another version in each second of `bursts`. Other software uses its
    /// whole share.
    fn longest_gap(runs: usize, bursts: &[u32], seed: usize, timings: &Timings) -> u64 {
        let ticks = |span: Duration| u32::try_from(span.as_millis()).unwrap() * TICKS_PER_SECOND / 1_000;
        let (valid_for, renew_every) = (ticks(timings.valid_for), ticks(timings.renew_every));
        let new = |now: u32, due_at: u32| Renewed { valid_until: now + valid_for, due_at, refusals: 0 };
        let mut documents: Vec<Renewed> = (0..runs).map(|_| new(0, 0)).collect();
        let (mut longest, mut left) = (0, 0);
        for now in 0..900 * TICKS_PER_SECOND {
            if now % TICKS_PER_SECOND == 0 {
                left = WRITES_PER_SECOND - LEFT_TO_OTHERS;
                if bursts.contains(&(now / TICKS_PER_SECOND)) {
                    documents.iter_mut().for_each(|document| document.due_at = now);
                }
            }
            let first = (usize::try_from(now).unwrap() * 7_919 + seed) % runs;
            for number in (first..runs).chain(0..first) {
                let document = &mut documents[number];
                longest = longest.max(now + valid_for - document.valid_until);
                if now < document.due_at {
                    continue;
                }
                if left > 0 {
                    left -= 1;
                    *document = new(now, now + renew_every);
                } else {
                    document.refusals += 1;
                    let wait = pause(document.refusals, timings.renew_every / 2, &format!("uid-{number}"));
                    document.due_at = now + ticks(wait).max(1);
                }
            }
        }
        (longest / TICKS_PER_SECOND).into()
    }

    #[test]
    fn documents_expire_with_more_runs_than_the_limit() {
        let timings = Timings::aws();
        assert!(longest_gap(100, &[], 0, &timings) > timings.valid_for.as_secs());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// However often all runs publish at once, every document is renewed while it is valid.
        #[test]
        fn every_document_is_renewed_in_time(
            mut bursts in prop::collection::vec(0..900_u32, 0..8),
            seed in 0..1_000_usize,
        ) {
            // A run publishes another version only after the last one is in effect.
            let apart = u32::try_from(Timings::aws().change_takes().as_secs()).unwrap();
            bursts.sort_unstable();
            bursts.dedup_by(|later, earlier| later.saturating_sub(*earlier) < apart);
            for timings in [Timings::aws(), Timings::local()] {
                let runs = WriteBudget::new(&timings).most_runs();
                let gap = longest_gap(runs, &bursts, seed, &timings);
                prop_assert!(gap < timings.valid_for.as_secs(), "{} runs: {} s, {:?}", runs, gap, bursts);
            }
        }
    }
}
