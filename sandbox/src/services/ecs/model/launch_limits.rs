//! How fast tasks may be launched: the account's rate, a service's rate, and growing pauses while a
//! service's tasks fail to start. In: instants and counts. Out: how many tasks may be launched.
//! Pure.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::time::later;
use crate::token_bucket::{Rate, TokenBucket};

/// "Fargate: 100 burst, 20 sustained task launches per second" (ECS endpoints and quotas).
const LAUNCH_RATE: Rate = Rate { burst: 100, per_second: 20 };
/// "Tasks launched per service: 500 per minute" (ECS endpoints and quotas).
const SERVICE_LAUNCHES: usize = 500;

const SERVICE_WINDOW: SignedDuration = SignedDuration::from_mins(1);
/// "The maximum delay between retries is 27 minutes" (service throttle logic). The first delay is
/// our choice.
const LONGEST_BACKOFF: SignedDuration = SignedDuration::from_mins(27);

const FIRST_BACKOFF: SignedDuration = SignedDuration::from_secs(10);

/// The launch rate limit of one account and region.
#[derive(Debug, Default)]
pub struct LaunchRate(TokenBucket);

impl LaunchRate {
    /// How many tasks the rate limit allows to start now.
    pub fn available(&mut self, now: Timestamp) -> usize {
        usize::try_from(self.0.available(LAUNCH_RATE, now)).unwrap_or(0)
    }

    /// Takes the launches that have been made.
    pub fn take(&mut self, launched: usize) {
        self.0.take(i64::try_from(launched).unwrap_or(i64::MAX));
    }
}

/// When a service may launch again: its launch rate limit, and growing delays while its tasks fail
/// to start.
#[derive(Debug, Default)]
pub struct ServiceThrottle {
    launched: VecDeque<Timestamp>,
    failed_rounds: u32,
    /// Failures of tasks launched before this instant belong to a round that was already counted.
    round_since: Option<Timestamp>,
    retry_at: Option<Timestamp>,
    /// Set while the account's vCPU quota is used up: when to try again.
    blocked_until: Option<Timestamp>,
}

impl ServiceThrottle {
    /// How many tasks this service may launch now.
    pub fn available(&mut self, now: Timestamp) -> usize {
        if self.retry_at.max(self.blocked_until).is_some_and(|at| at > now) {
            return 0;
        }
        while self.launched.front().is_some_and(|at| now.duration_since(*at) >= SERVICE_WINDOW) {
            self.launched.pop_front();
        }
        SERVICE_LAUNCHES.saturating_sub(self.launched.len())
    }

    pub fn launched(&mut self, count: usize, now: Timestamp) {
        self.launched.extend(std::iter::repeat_n(now, count));
    }

    /// Records that a task launched at `launched_at` failed to start. Returns whether this is the
    /// first failure of its round.
    pub fn failed(&mut self, launched_at: Timestamp, now: Timestamp) -> bool {
        if self.round_since.is_some_and(|since| launched_at < since) {
            return false;
        }
        let doublings = self.failed_rounds.min(16);
        let pause = (FIRST_BACKOFF * (1_i32 << doublings)).min(LONGEST_BACKOFF);
        self.failed_rounds += 1;
        self.round_since = Some(now);
        self.retry_at = Some(later(now, pause));
        true
    }

    /// Records that a task is running: resets the failure count and its delay.
    pub fn succeeded(&mut self) {
        self.failed_rounds = 0;
        self.retry_at = None;
    }

    /// Records that the service was updated: resets all delays.
    pub fn clear(&mut self) {
        self.succeeded();
        self.blocked_until = None;
    }

    /// Allows no launch before `at`, because the quota is used up.
    pub fn wait_until(&mut self, at: Timestamp) {
        self.blocked_until = Some(at);
    }

    pub fn failed_rounds(&self) -> u32 {
        self.failed_rounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_rounds_back_off_up_to_27_minutes() {
        let start = Timestamp::UNIX_EPOCH;
        let mut throttle = ServiceThrottle::default();
        assert!(throttle.failed(start, later(start, SignedDuration::from_secs(1))));
        assert!(!throttle.failed(start, later(start, SignedDuration::from_secs(2))), "the same round");
        assert_eq!(throttle.available(later(start, SignedDuration::from_secs(10))), 0);
        let mut now = later(start, SignedDuration::from_secs(11));
        assert_eq!(throttle.available(now), SERVICE_LAUNCHES);
        for _ in 0..20 {
            throttle.failed(now, now);
            now = later(now, LONGEST_BACKOFF);
            assert!(throttle.available(now) > 0);
        }
        throttle.failed(now, now);
        assert_eq!(throttle.available(later(now, SignedDuration::from_mins(26))), 0);
        throttle.clear();
        assert!(throttle.available(now) > 0);
    }

    #[test]
    fn launch_rates_are_limited_per_region_and_per_service() {
        let start = Timestamp::UNIX_EPOCH;
        let mut launches = LaunchRate::default();
        assert_eq!(launches.available(start), 100);
        launches.take(100);
        assert_eq!(launches.available(later(start, SignedDuration::from_millis(500))), 10);
        let mut throttle = ServiceThrottle::default();
        throttle.launched(500, start);
        assert_eq!(throttle.available(later(start, SignedDuration::from_secs(59))), 0);
        assert_eq!(throttle.available(later(start, SignedDuration::from_secs(60))), 500);
    }
}
