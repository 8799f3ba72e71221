//! How long to wait before a retry. In: the number of failures in a row, and a source of random
//! numbers. Out: the pause. Pure: the caller waits, or stores when it may retry.

use std::time::Duration;

use rand::{Rng, RngExt};

/// Pauses that grow by a factor with every failure, up to a longest one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The pause after the first failure.
    pub first: Duration,
    /// What each further failure multiplies the pause by.
    pub factor: f64,
    /// The longest pause.
    pub longest: Duration,
    /// What makes the pauses of several callers differ.
    pub jitter: Jitter,
}

impl Backoff {
    /// The pause after `failures` failures in a row. No failure counts as one.
    pub fn pause(&self, failures: u32, random: &mut impl Rng) -> Duration {
        self.jitter.of(self.without_jitter(failures), random)
    }

    /// The pause before the jitter.
    fn without_jitter(&self, failures: u32) -> Duration {
        let further = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.first.as_secs_f64() * self.factor.powi(further);
        Duration::try_from_secs_f64(seconds).unwrap_or(self.longest).min(self.longest)
    }
}

/// A pause is multiplied by a random number between these two, so that callers that failed or
/// started together do not call again together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter {
    /// The smallest factor.
    pub from: f64,
    /// The largest factor; not below the smallest.
    pub to: f64,
}

impl Jitter {
    /// The pause stays as it is, because only one caller waits.
    pub const NONE: Self = Self { from: 1.0, to: 1.0 };

    /// The pause with jitter.
    pub fn of(self, pause: Duration, random: &mut impl Rng) -> Duration {
        pause.mul_f64(random.random_range(self.from..=self.to))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn backoff(factor: f64, jitter: Jitter) -> Backoff {
        Backoff { first: 50 * MS, factor, longest: 1_000 * MS, jitter }
    }

    #[test]
    fn pauses_grow_by_the_factor_up_to_the_longest() {
        let pauses = |factor: f64, failures: &[u32]| -> Vec<Duration> {
            let backoff = backoff(factor, Jitter::NONE);
            let random = &mut StdRng::seed_from_u64(0);
            failures.iter().map(|failures| backoff.pause(*failures, random)).collect()
        };
        assert_eq!(
            pauses(2.0, &[0, 1, 2, 3, 5, 6, u32::MAX]),
            [50, 50, 100, 200, 800, 1_000, 1_000].map(|pause| pause * MS)
        );
        assert_eq!(pauses(1.5, &[1, 2, 3]), [50_000, 75_000, 112_500].map(Duration::from_micros));
    }

    #[test]
    fn the_jitter_covers_its_whole_range_and_nothing_beyond() {
        let backoff = backoff(2.0, Jitter { from: 0.5, to: 1.0 });
        let mut random = StdRng::seed_from_u64(1);
        let pauses: Vec<Duration> = (0..1_000).map(|_| backoff.pause(9, &mut random)).collect();
        let (shortest, longest) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
        assert!((500 * MS..510 * MS).contains(shortest), "{shortest:?}");
        assert!((990 * MS..=1_000 * MS).contains(longest), "{longest:?}");
    }

    #[test]
    fn the_same_random_numbers_give_the_same_pauses() {
        let backoff = backoff(2.0, Jitter { from: 0.75, to: 1.0 });
        let pause = |seed| backoff.pause(3, &mut StdRng::seed_from_u64(seed));
        assert_eq!(pause(1), pause(1));
        assert_ne!(pause(1), pause(2));
    }
}
