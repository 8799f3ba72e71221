//! The decisions of the service scheduler: how many tasks to launch and which to stop. In: numbers
//! and the tasks of one service. Out: a decision. Pure; `state::rollout` carries it out.

use jiff::SignedDuration;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// One live task of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveTask {
    pub id: String,
    /// Whether it belongs to the primary deployment.
    pub primary: bool,
    pub running: bool,
    pub protected: bool,
}

/// The target of the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceTarget {
    pub desired: u32,
    pub maximum_percent: u32,
    pub minimum_healthy_percent: u32,
    /// How many launches the limits allow together.
    pub launches: usize,
}

/// The tasks to launch and to stop.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SchedulingDecision {
    pub launch: usize,
    pub stop: Vec<String>,
}

/// Decides what to launch and stop for one service.
pub fn scheduling_decision(
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
pub fn start_latency(rng: &mut ChaCha8Rng) -> (SignedDuration, SignedDuration) {
    let total = rng.random_range(20_000..=40_000_i64);
    let provisioning = total * rng.random_range(30..=45_i64) / 100;
    (SignedDuration::from_millis(provisioning), SignedDuration::from_millis(total))
}

/// The number of failed starts after which the circuit breaker fails a deployment: half the desired
/// count, at least 3, at most 200 ("How the Amazon ECS deployment circuit breaker detects
/// failures").
pub fn breaker_threshold(desired: u32) -> u32 {
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
    fn start_latencies_spread_over_20_to_40_seconds() {
        let mut rng = seeded_rng();
        let drawn: Vec<_> = (0..200).map(|_| start_latency(&mut rng)).collect();
        assert!(drawn.iter().all(|(_, total)| (20..=40).contains(&total.as_secs())));
        assert!(drawn.iter().all(|(provisioning, total)| provisioning < total));
        assert!(drawn.iter().any(|(_, total)| total.as_secs() < 25));
        assert!(drawn.iter().any(|(_, total)| total.as_secs() > 35));
    }
}
