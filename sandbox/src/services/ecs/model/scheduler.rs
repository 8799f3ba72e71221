//! The decisions of the service scheduler: how many tasks to launch, which to stop, when to retry.
//! In: numbers and the tasks of one service. Out: a decision. Pure; `rollout` carries it out.

use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::state::later;

/// "Fargate: 100 burst, 20 sustained task launches per second" (ECS endpoints and quotas).
const LAUNCH_BURST: f64 = 100.0;
const LAUNCHES_PER_SECOND: f64 = 20.0;
/// "Tasks launched per service: 500 per minute" (ECS endpoints and quotas).
const SERVICE_LAUNCHES: usize = 500;
const SERVICE_WINDOW: SignedDuration = SignedDuration::from_mins(1);
/// "The maximum delay between retries is 27 minutes" (service throttle logic). The first delay is
/// our choice.
const LONGEST_BACKOFF: SignedDuration = SignedDuration::from_mins(27);
const FIRST_BACKOFF: SignedDuration = SignedDuration::from_secs(10);

/// The launch rate limit of one account and region: a token bucket.
#[derive(Debug)]
pub(super) struct Launches {
    tokens: f64,
    refilled_at: Option<Timestamp>,
}

impl Default for Launches {
    fn default() -> Self {
        Self { tokens: LAUNCH_BURST, refilled_at: None }
    }
}

impl Launches {
    /// How many tasks the rate limit allows to start now.
    pub fn available(&mut self, now: Timestamp) -> usize {
        if let Some(at) = self.refilled_at {
            let seconds = now.duration_since(at).as_secs_f64().max(0.0);
            self.tokens = (self.tokens + seconds * LAUNCHES_PER_SECOND).min(LAUNCH_BURST);
        }
        self.refilled_at = Some(now);
        self.tokens as usize
    }

    pub fn take(&mut self, launched: usize) {
        self.tokens -= launched as f64;
    }
}

/// When a service may launch again: its launch rate limit, and growing delays while its tasks fail
/// to start.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    launched: std::collections::VecDeque<Timestamp>,
    failed_rounds: u32,
    /// Failures of tasks launched before this instant belong to a round that was already counted.
    round_since: Option<Timestamp>,
    retry_at: Option<Timestamp>,
    /// Set while the account's vCPU quota is used up: when to try again.
    blocked_until: Option<Timestamp>,
}

impl Backoff {
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

/// One live task of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LiveTask {
    pub id: String,
    /// Whether it belongs to the primary deployment.
    pub primary: bool,
    pub running: bool,
    pub protected: bool,
}

/// The target of the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServiceTarget {
    pub desired: u32,
    pub maximum_percent: u32,
    pub minimum_healthy_percent: u32,
    /// How many launches the limits allow together.
    pub launches: usize,
}

/// The tasks to launch and to stop.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SchedulingDecision {
    pub launch: usize,
    pub stop: Vec<String>,
}

/// Decides what to launch and stop for one service.
pub(super) fn scheduling_decision(
    target: ServiceTarget,
    tasks: &[LiveTask],
    rng: &mut ChaCha8Rng,
) -> SchedulingDecision {
    let desired = target.desired as usize;
    let (primary, old): (Vec<&LiveTask>, Vec<&LiveTask>) = tasks.iter().partition(|task| task.primary);
    let missing = desired.saturating_sub(primary.len());
    let mut decision = SchedulingDecision::default();
    if old.is_empty() {
        decision.launch = missing.min(target.launches);
    } else {
        // "maximumPercent rounds down, minimumHealthyPercent rounds up" (DeploymentConfiguration).
        let maximum = desired * target.maximum_percent as usize / 100;
        let room = maximum.saturating_sub(tasks.len());
        decision.launch = missing.min(room).min(target.launches);

        let minimum = (desired * target.minimum_healthy_percent as usize).div_ceil(100);
        let running = tasks.iter().filter(|task| task.running).count();
        let mut spare = running.saturating_sub(minimum);
        for task in old.iter().filter(|task| !task.protected) {
            if !task.running {
                decision.stop.push(task.id.clone());
            } else if spare > 0 {
                spare -= 1;
                decision.stop.push(task.id.clone());
            }
        }
    }
    let surplus = primary.len().saturating_sub(desired);
    decision.stop.extend(scale_in_candidates(&primary, surplus, rng));
    decision
}

/// Scale-in stops unprotected tasks at random. If all are protected, it waits ("Task scale-in
/// protection").
fn scale_in_candidates(tasks: &[&LiveTask], count: usize, rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut eligible: Vec<&str> =
        tasks.iter().filter(|task| !task.protected).map(|task| task.id.as_str()).collect();
    let count = count.min(eligible.len());
    let (chosen, _) = eligible.partial_shuffle(rng, count);
    chosen.iter().map(|id| (*id).to_owned()).collect()
}

/// Draws the time from PROVISIONING to the image pull, and the time from PROVISIONING to RUNNING.
/// The latter is 20 to 40 s for a small image; the network interface takes about a third of it.
/// Fargate has no image cache ("Fargate start times"; others measured 53 to 62 s for a 413 MB
/// image).
pub(super) fn start_latency(rng: &mut ChaCha8Rng) -> (SignedDuration, SignedDuration) {
    let total = rng.random_range(20_000..=40_000_i64);
    let provisioning = total * rng.random_range(30..=45_i64) / 100;
    (SignedDuration::from_millis(provisioning), SignedDuration::from_millis(total))
}

/// The number of failed starts after which the circuit breaker fails a deployment: half the desired
/// count, at least 3, at most 200 ("How the Amazon ECS deployment circuit breaker detects
/// failures").
pub(super) fn breaker_threshold(desired: u32) -> u32 {
    desired.div_ceil(2).clamp(3, 200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn seeded_rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(7)
    }

    fn target(desired: u32) -> ServiceTarget {
        ServiceTarget { desired, maximum_percent: 200, minimum_healthy_percent: 100, launches: 1000 }
    }

    fn task(id: usize, primary: bool, running: bool) -> LiveTask {
        LiveTask { id: format!("t{id}"), primary, running, protected: false }
    }

    fn running_tasks(count: usize) -> Vec<LiveTask> {
        (0..count).map(|id| task(id, true, true)).collect()
    }

    #[test]
    fn missing_tasks_are_launched_within_the_limits() {
        assert_eq!(
            scheduling_decision(target(5), &running_tasks(2), &mut seeded_rng()),
            SchedulingDecision { launch: 3, stop: vec![] }
        );
        let limited = ServiceTarget { launches: 2, ..target(5) };
        assert_eq!(scheduling_decision(limited, &running_tasks(2), &mut seeded_rng()).launch, 2);
        assert_eq!(
            scheduling_decision(target(2), &running_tasks(2), &mut seeded_rng()),
            SchedulingDecision::default()
        );
    }

    #[test]
    fn scale_in_waits_if_all_tasks_are_protected() {
        let mut tasks = running_tasks(4);
        tasks[1].protected = true;
        tasks[3].protected = true;
        let mut stopped = scheduling_decision(target(2), &tasks, &mut seeded_rng()).stop;
        stopped.sort();
        assert_eq!(stopped, ["t0", "t2"]);
        tasks.iter_mut().for_each(|task| task.protected = true);
        assert_eq!(scheduling_decision(target(0), &tasks, &mut seeded_rng()), SchedulingDecision::default());
    }

    #[test]
    fn scale_in_is_random_but_repeatable_by_seed() {
        let chosen = |seed| {
            scheduling_decision(target(7), &running_tasks(10), &mut ChaCha8Rng::seed_from_u64(seed)).stop
        };
        assert_eq!(chosen(1), chosen(1));
        assert!((2..20).any(|seed| chosen(seed) != chosen(1)));
        assert_eq!(chosen(1).len(), 3);
    }

    #[test]
    fn a_new_deployment_starts_tasks_before_stopping_old_ones() {
        let old: Vec<LiveTask> = (0..4).map(|id| task(id, false, true)).collect();
        assert_eq!(
            scheduling_decision(target(4), &old, &mut seeded_rng()),
            SchedulingDecision { launch: 4, stop: vec![] }
        );
        let partly_replaced =
            [old.clone(), vec![task(10, true, true), task(11, true, true), task(12, true, false)]].concat();
        let next = scheduling_decision(target(4), &partly_replaced, &mut seeded_rng());
        assert_eq!((next.launch, next.stop.len()), (1, 2));
        let tight = ServiceTarget { maximum_percent: 100, minimum_healthy_percent: 50, ..target(4) };
        let next = scheduling_decision(tight, &old, &mut seeded_rng());
        assert_eq!((next.launch, next.stop.len()), (0, 2));
    }

    #[test]
    fn failed_rounds_back_off_up_to_27_minutes() {
        let start = Timestamp::UNIX_EPOCH;
        let mut backoff = Backoff::default();
        assert!(backoff.failed(start, later(start, SignedDuration::from_secs(1))));
        assert!(!backoff.failed(start, later(start, SignedDuration::from_secs(2))), "the same round");
        assert_eq!(backoff.available(later(start, SignedDuration::from_secs(10))), 0);
        let mut now = later(start, SignedDuration::from_secs(11));
        assert_eq!(backoff.available(now), SERVICE_LAUNCHES);
        for _ in 0..20 {
            backoff.failed(now, now);
            now = later(now, LONGEST_BACKOFF);
            assert!(backoff.available(now) > 0);
        }
        backoff.failed(now, now);
        assert_eq!(backoff.available(later(now, SignedDuration::from_mins(26))), 0);
        backoff.clear();
        assert!(backoff.available(now) > 0);
    }

    #[test]
    fn launch_rates_are_limited_per_region_and_per_service() {
        let start = Timestamp::UNIX_EPOCH;
        let mut launches = Launches::default();
        assert_eq!(launches.available(start), 100);
        launches.take(100);
        assert_eq!(launches.available(later(start, SignedDuration::from_millis(500))), 10);
        let mut backoff = Backoff::default();
        backoff.launched(500, start);
        assert_eq!(backoff.available(later(start, SignedDuration::from_secs(59))), 0);
        assert_eq!(backoff.available(later(start, SignedDuration::from_secs(60))), 500);
    }

    #[test]
    fn start_latencies_spread_over_20_to_40_seconds() {
        let mut rng = seeded_rng();
        let drawn: Vec<_> = (0..200).map(|_| start_latency(&mut rng)).collect();
        assert!(drawn.iter().all(|(_, total)| (20..=40).contains(&total.as_secs())));
        assert!(drawn.iter().all(|(provisioning, total)| provisioning < total));
        assert!(drawn.iter().any(|(_, total)| total.as_secs() < 25));
        assert!(drawn.iter().any(|(_, total)| total.as_secs() > 35));
    }
}
