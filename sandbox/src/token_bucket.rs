//! A token bucket, the form of all rate limits that AWS publishes. In: a rate, amounts and
//! instants. Out: whether an amount is allowed. Pure.

use jiff::Timestamp;

const NANOS: i64 = 1_000_000_000;

/// A bucket's size and refill rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The tokens of a full bucket.
    pub burst: i64,
    /// The tokens that are added per second.
    pub per_second: i64,
}

impl Rate {
    /// A bucket that holds one second's worth.
    pub const fn steady(per_second: i64) -> Self {
        Self { burst: per_second, per_second }
    }
}

/// A bucket, which is full at first. The rate is passed to each call, because it is a constant of
/// the caller and there are many buckets.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenBucket {
    /// What is missing to a full bucket, in billionths of a token, so that refilling by the
    /// nanosecond is exact. More than the bucket holds if there is a debt.
    missing: i64,
    /// When that was so, in nanoseconds since 1970.
    at: i64,
}

impl TokenBucket {
    /// Takes `amount` tokens if the bucket has them. An amount larger than the bucket is allowed if
    /// the bucket is full, and leaves a debt.
    pub fn try_take(&mut self, rate: Rate, amount: i64, now: Timestamp) -> bool {
        let has = self.has(rate, amount, now);
        if has {
            self.take(amount);
        }
        has
    }

    /// Whether the bucket has `amount` tokens, or is full.
    pub fn has(&mut self, rate: Rate, amount: i64, now: Timestamp) -> bool {
        self.refill(rate, now);
        let allowed = rate.burst.saturating_sub(amount.min(rate.burst));
        self.missing <= allowed.saturating_mul(NANOS)
    }

    /// The whole tokens in the bucket.
    pub fn available(&mut self, rate: Rate, now: Timestamp) -> i64 {
        self.refill(rate, now);
        rate.burst.saturating_mul(NANOS).saturating_sub(self.missing).max(0) / NANOS
    }

    /// Takes tokens whether or not the bucket has them. What it has not is a debt, which is paid
    /// first.
    pub fn take(&mut self, amount: i64) {
        self.missing = self.missing.saturating_add(amount.saturating_mul(NANOS));
    }

    /// Whether it has no debt: any token, even a part of one.
    pub fn has_any(&mut self, rate: Rate, now: Timestamp) -> bool {
        self.refill(rate, now);
        self.missing < rate.burst.saturating_mul(NANOS)
    }

    /// Whether nothing is missing. A full bucket is equivalent to a new one.
    pub fn is_full(&mut self, rate: Rate, now: Timestamp) -> bool {
        self.refill(rate, now);
        self.missing == 0
    }

    fn refill(&mut self, rate: Rate, now: Timestamp) {
        // Enough until 2262.
        let now = i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX);
        let elapsed = now.saturating_sub(self.at);
        if elapsed > 0 {
            self.missing = self.missing.saturating_sub(rate.per_second.saturating_mul(elapsed)).max(0);
            self.at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const T0: Timestamp = Timestamp::UNIX_EPOCH;

    fn after(millis: i64) -> Timestamp {
        T0 + SignedDuration::from_millis(millis)
    }

    #[test]
    fn a_burst_ends_at_the_bucket_and_refills_at_the_rate() {
        let rate = Rate { burst: 100, per_second: 20 };
        let mut bucket = TokenBucket::default();
        let mut taken = |now| (0..200).filter(|_| bucket.try_take(rate, 1, now)).count();
        assert_eq!((taken(T0), taken(after(49)), taken(after(50)), taken(after(550))), (100, 0, 1, 10));
        assert_eq!(taken(after(3_600_000)), 100);
    }

    #[test]
    fn refilling_is_exact_however_often_it_is_looked_at() {
        let rate = Rate::steady(3);
        let mut bucket = TokenBucket::default();
        bucket.take(3);
        for nanos in 1..1_000 {
            assert!(!bucket.has(rate, 1, T0 + SignedDuration::from_nanos(nanos * 333_333)));
        }
        assert!(bucket.has(rate, 1, T0 + SignedDuration::from_nanos(333_333_334)));
        assert_eq!(bucket.available(rate, after(700)), 2);
    }

    #[test]
    fn an_amount_beyond_the_bucket_needs_a_full_one_and_leaves_a_debt() {
        let rate = Rate::steady(10);
        let mut bucket = TokenBucket::default();
        assert!(bucket.try_take(rate, 1, T0));
        assert!(!bucket.try_take(rate, 30, T0));
        assert!(bucket.try_take(rate, 30, after(100)));
        assert!(!bucket.has_any(rate, after(2_100)));
        assert_eq!(bucket.available(rate, after(2_100)), 0);
        assert!(bucket.has_any(rate, after(2_101)) && !bucket.is_full(rate, after(3_099)));
        assert!(bucket.is_full(rate, after(3_100)));
    }

    #[test]
    fn a_clock_that_goes_back_refills_nothing() {
        let rate = Rate::steady(1);
        let mut bucket = TokenBucket::default();
        assert!(bucket.try_take(rate, 1, after(5_000)));
        assert!(!bucket.has(rate, 1, T0) && !bucket.has(rate, 1, after(5_999)));
        assert!(bucket.has(rate, 1, after(6_000)));
    }
}
