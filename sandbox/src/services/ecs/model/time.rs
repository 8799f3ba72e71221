//! Durations: how real time becomes model time, and how long things take. In: durations and a
//! random number generator. Out: durations and instants. Pure except for the generator.

use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The read-after-write lag, in real time ("the ECS API follows an eventual consistency model").
const READ_LAG: (SignedDuration, SignedDuration) =
    (SignedDuration::from_millis(100), SignedDuration::from_millis(900));

/// The speed of model time, to convert real durations.
#[derive(Clone, Copy, Debug)]
pub struct Speed(pub u32);

impl Speed {
    /// The model time that passes during `duration` of real time.
    pub fn model_time(self, duration: SignedDuration) -> SignedDuration {
        duration * i32::try_from(self.0).unwrap_or(i32::MAX)
    }
}

/// `at` plus `by`, limited to the largest timestamp.
pub fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// A random duration between `from` and `to`, uniformly distributed.
pub fn span(rng: &mut ChaCha8Rng, from: SignedDuration, to: SignedDuration) -> SignedDuration {
    let millis = rng.random_range(from.as_millis()..=to.as_millis());
    SignedDuration::from_millis(i64::try_from(millis).unwrap_or_default())
}

/// Draws a read-after-write lag, in real time.
pub fn read_lag(rng: &mut ChaCha8Rng) -> SignedDuration {
    span(rng, READ_LAG.0, READ_LAG.1)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn drawn_durations_lie_within_their_bounds() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let three = SignedDuration::from_secs(3);
        assert_eq!(span(&mut rng, three, three), three);
        let lags: Vec<SignedDuration> = (0..100).map(|_| read_lag(&mut rng)).collect();
        assert!(lags.iter().all(|lag| (READ_LAG.0..=READ_LAG.1).contains(lag)), "{lags:?}");
        assert_eq!(Speed(20).model_time(three), SignedDuration::from_mins(1));
    }
}
