//! The service scheduler's judgement: how many tasks to launch, which to stop, when to try again. In: numbers and the tasks of
//! one service. Out: moves. Pure; `lifecycle` carries the moves out.

use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::world::later;

/// "Fargate: 100 burst, 20 sustained task launches per second" (ECS endpoints and quotas).
const LAUNCH_BURST: f64 = 100.0;
const LAUNCHES_PER_SECOND: f64 = 20.0;
/// "Tasks launched per service: 500 per minute" (ECS endpoints and quotas).
const SERVICE_LAUNCHES: usize = 500;
const SERVICE_WINDOW: SignedDuration = SignedDuration::from_mins(1);
/// "The maximum delay between retries is 27 minutes" (service throttle logic). The first delay is ours.
const LONGEST_BACKOFF: SignedDuration = SignedDuration::from_mins(27);
const FIRST_BACKOFF: SignedDuration = SignedDuration::from_secs(10);

/// The launch rate of one account and region.
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
    /// How many tasks may start now.
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

/// When a service may launch again: its own launch rate, and growing pauses while its tasks fail to start.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    launched: std::collections::VecDeque<Timestamp>,
    failed_rounds: u32,
    /// Failures of tasks launched before this instant belong to a round already counted.
    round_since: Option<Timestamp>,
    retry_at: Option<Timestamp>,
    /// The account has no room for more tasks; looked at again then.
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

    /// A task launched at `launched_at` failed to start. Returns whether this is the first failure of its round.
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

    /// A task runs: failures start over without pauses.
    pub fn succeeded(&mut self) {
        self.failed_rounds = 0;
        self.retry_at = None;
    }

    /// The service was changed: nothing is held against it.
    pub fn clear(&mut self) {
        self.succeeded();
        self.blocked_until = None;
    }

    /// No launch before `at`, for want of room.
    pub fn wait_until(&mut self, at: Timestamp) {
        self.blocked_until = Some(at);
    }

    pub fn failed_rounds(&self) -> u32 {
        self.failed_rounds
    }
}

/// What the scheduler knows of one live task of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub id: String,
    /// It belongs to the primary deployment.
    pub primary: bool,
    pub running: bool,
    pub protected: bool,
}

/// What the scheduler aims for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServiceTarget {
    pub desired: u32,
    pub maximum_percent: u32,
    pub minimum_healthy_percent: u32,
    /// How many launches all limits together allow.
    pub launches: usize,
}

/// What to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SchedulingDecision {
    pub launch: usize,
    pub stop: Vec<String>,
}

/// One look at one service.
pub(super) fn moves(target: ServiceTarget, members: &[Member], rng: &mut ChaCha8Rng) -> SchedulingDecision {
    let desired = target.desired as usize;
    let (primary, old): (Vec<&Member>, Vec<&Member>) = members.iter().partition(|member| member.primary);
    let missing = desired.saturating_sub(primary.len());
    let mut moves = SchedulingDecision::default();
    if old.is_empty() {
        moves.launch = missing.min(target.launches);
    } else {
        // "maximumPercent rounds down, minimumHealthyPercent rounds up" (DeploymentConfiguration).
        let ceiling = desired * target.maximum_percent as usize / 100;
        let room = ceiling.saturating_sub(members.len());
        moves.launch = missing.min(room).min(target.launches);

        let floor = (desired * target.minimum_healthy_percent as usize).div_ceil(100);
        let running = members.iter().filter(|member| member.running).count();
        let mut spare = running.saturating_sub(floor);
        for member in old.iter().filter(|member| !member.protected) {
            if !member.running {
                moves.stop.push(member.id.clone());
            } else if spare > 0 {
                spare -= 1;
                moves.stop.push(member.id.clone());
            }
        }
    }
    let surplus = primary.len().saturating_sub(desired);
    moves.stop.extend(scale_in_candidates(&primary, surplus, rng));
    moves
}

/// Scale-in takes unprotected tasks at random; where all are protected it waits ("Task scale-in protection").
fn scale_in_candidates(members: &[&Member], count: usize, rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut eligible: Vec<&str> =
        members.iter().filter(|member| !member.protected).map(|member| member.id.as_str()).collect();
    let count = count.min(eligible.len());
    let (chosen, _) = eligible.partial_shuffle(rng, count);
    chosen.iter().map(|id| (*id).to_owned()).collect()
}

/// How long a task takes from PROVISIONING to RUNNING, and the part of it before the image is pulled. 20 to 40 s for a small
/// image, of which the network interface takes a third or so: no image cache on Fargate ("Fargate start times", measured by
/// others as 53 to 62 s for a 413 MB image).
pub(super) fn start_latency(rng: &mut ChaCha8Rng) -> (SignedDuration, SignedDuration) {
    let total = rng.random_range(20_000..=40_000_i64);
    let provisioning = total * rng.random_range(30..=45_i64) / 100;
    (SignedDuration::from_millis(provisioning), SignedDuration::from_millis(total))
}

/// Failed starts after which the circuit breaker ends a deployment: half the desired count, at least 3, at most 200
/// ("How the Amazon ECS deployment circuit breaker detects failures").
pub(super) fn breaker_threshold(desired: u32) -> u32 {
    desired.div_ceil(2).clamp(3, 200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(7)
    }

    fn target(desired: u32) -> ServiceTarget {
        ServiceTarget { desired, maximum_percent: 200, minimum_healthy_percent: 100, launches: 1000 }
    }

    fn member(id: usize, primary: bool, running: bool) -> Member {
        Member { id: format!("t{id}"), primary, running, protected: false }
    }

    fn fleet(count: usize) -> Vec<Member> {
        (0..count).map(|id| member(id, true, true)).collect()
    }

    #[test]
    fn a_service_below_its_count_launches_what_is_missing_within_its_limits() {
        assert_eq!(moves(target(5), &fleet(2), &mut rng()), SchedulingDecision { launch: 3, stop: vec![] });
        let limited = ServiceTarget { launches: 2, ..target(5) };
        assert_eq!(moves(limited, &fleet(2), &mut rng()).launch, 2);
        assert_eq!(moves(target(2), &fleet(2), &mut rng()), SchedulingDecision::default());
    }

    #[test]
    fn scale_in_spares_the_protected_and_waits_when_all_are() {
        let mut members = fleet(4);
        members[1].protected = true;
        members[3].protected = true;
        let mut stopped = moves(target(2), &members, &mut rng()).stop;
        stopped.sort();
        assert_eq!(stopped, ["t0", "t2"]);
        members.iter_mut().for_each(|member| member.protected = true);
        assert_eq!(moves(target(0), &members, &mut rng()), SchedulingDecision::default());
    }

    #[test]
    fn victims_are_random_but_the_seed_repeats_them() {
        let chosen = |seed| moves(target(7), &fleet(10), &mut ChaCha8Rng::seed_from_u64(seed)).stop;
        assert_eq!(chosen(1), chosen(1));
        assert!((2..20).any(|seed| chosen(seed) != chosen(1)));
        assert_eq!(chosen(1).len(), 3);
    }

    #[test]
    fn a_new_deployment_first_grows_then_takes_the_old_ones_place() {
        let old: Vec<Member> = (0..4).map(|id| member(id, false, true)).collect();
        assert_eq!(moves(target(4), &old, &mut rng()), SchedulingDecision { launch: 4, stop: vec![] });
        let half =
            [old.clone(), vec![member(10, true, true), member(11, true, true), member(12, true, false)]]
                .concat();
        let next = moves(target(4), &half, &mut rng());
        assert_eq!((next.launch, next.stop.len()), (1, 2));
        let tight = ServiceTarget { maximum_percent: 100, minimum_healthy_percent: 50, ..target(4) };
        let next = moves(tight, &old, &mut rng());
        assert_eq!((next.launch, next.stop.len()), (0, 2));
    }

    #[test]
    fn failing_rounds_pause_longer_and_longer_up_to_27_minutes() {
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
    fn launches_burst_to_a_hundred_and_then_twenty_a_second_and_500_a_minute_per_service() {
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
    fn starts_take_twenty_to_forty_seconds_and_spread() {
        let mut rng = rng();
        let drawn: Vec<_> = (0..200).map(|_| start_latency(&mut rng)).collect();
        assert!(drawn.iter().all(|(_, total)| (20..=40).contains(&total.as_secs())));
        assert!(drawn.iter().all(|(provisioning, total)| provisioning < total));
        assert!(drawn.iter().any(|(_, total)| total.as_secs() < 25));
        assert!(drawn.iter().any(|(_, total)| total.as_secs() > 35));
    }
}
