//! How often the tasks of all runs may read their control parameters. In: the runs of a Region,
//! with their tasks. Out: an interval for each, or that there is no room. Pure.
//!
//! Systems Manager allows 40 GetParameter, GetParameters and GetParametersByPath requests a second
//! together, for all callers in an account's Region (AWS General Reference, Systems Manager
//! quotas). Beyond that it throttles tasks, and a task that is throttled for its whole read lease
//! stops sending. So the tasks read less often the more of them there are, and a run without room
//! waits.

use kinesis_demo_api::status::RunLoad;

use crate::settings::Timings;

/// All reads per second in a Region.
pub const READS_PER_SECOND: u32 = 40;
/// The reads left for other software.
const LEFT_TO_OTHERS: u32 = 10;
/// The reads reserved for the operator at least, however few runs it allows.
const KEPT_FOR_OPERATOR: u32 = 5;

/// The reads that the tasks of a Region share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBudget {
    reads_per_second: u32,
    shortest_seconds: u32,
    longest_seconds: u32,
}

impl ReadBudget {
    /// The share of the tasks, with at most `max_runs` active runs in the Region. The operator
    /// reads the parameter of each run at every poll.
    pub fn new(max_runs: usize, timings: &Timings) -> Self {
        let seconds = |span: std::time::Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX).max(1);
        let runs = u32::try_from(max_runs).unwrap_or(u32::MAX);
        let operator = runs.div_ceil(seconds(timings.poll_every)).max(KEPT_FOR_OPERATOR);
        Self {
            reads_per_second: READS_PER_SECOND.saturating_sub(LEFT_TO_OTHERS).saturating_sub(operator),
            shortest_seconds: seconds(timings.read_every),
            longest_seconds: seconds(timings.longest_read_every),
        }
    }

    /// The most tasks that a Region has room for, if each reads at the longest interval.
    pub fn most_tasks(self) -> u32 {
        self.reads_per_second.saturating_mul(self.longest_seconds)
    }

    /// The interval in seconds at which this many tasks stay within the budget.
    pub fn interval(self, tasks: u32) -> u32 {
        let fits = tasks.div_ceil(self.reads_per_second.max(1));
        fits.clamp(self.shortest_seconds, self.longest_seconds)
    }

    /// The interval for a run of this many tasks beside the active runs, given how often these read
    /// now. `None` if there is no room, or none before they read less often.
    pub fn admit(self, tasks: u32, active: &[&RunLoad]) -> Option<u32> {
        let interval = self.interval(tasks.saturating_add(total(active)));
        let milli_reads = |tasks: u32, seconds: u32| u64::from(tasks) * 1_000 / u64::from(seconds.max(1));
        let active_reads =
            active.iter().map(|load| milli_reads(load.tasks, load.read_every_seconds)).sum::<u64>();
        let all = active_reads + milli_reads(tasks, interval);
        (all <= u64::from(self.reads_per_second) * 1_000).then_some(interval)
    }
}

/// The tasks of these runs.
fn total(loads: &[&RunLoad]) -> u32 {
    loads.iter().fold(0, |sum, load| sum.saturating_add(load.tasks))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn aws() -> ReadBudget {
        ReadBudget::new(10, &Timings::aws())
    }

    fn load(tasks: u32, read_every_seconds: u32) -> RunLoad {
        RunLoad { region: "eu-west-1".into(), tasks, read_every_seconds }
    }

    #[test]
    fn the_interval_grows_with_the_tasks() {
        let table = [(1, 3), (75, 3), (76, 4), (100, 4), (101, 5), (250, 10), (500, 10)];
        for (tasks, seconds) in table {
            assert_eq!(aws().interval(tasks), seconds, "{tasks} tasks");
        }
        assert_eq!(aws().most_tasks(), 250);
        assert_eq!(ReadBudget::new(10, &Timings::local()).most_tasks(), 100);
    }

    #[test]
    fn a_run_waits_until_the_read_budget_has_room() {
        assert_eq!(aws().admit(75, &[]), Some(3));
        assert_eq!(
            aws().admit(50, &[&load(50, 3)]),
            None,
            "the first uses 17 of 25 reads, but needs only 13"
        );
        assert_eq!(aws().admit(50, &[&load(50, 4)]), Some(4));
        assert_eq!(aws().admit(100, &[&load(100, 10), &load(50, 10)]), Some(10));
        assert_eq!(aws().admit(101, &[&load(100, 10), &load(50, 10)]), None);
    }

    #[test]
    fn more_runs_leave_fewer_reads_for_the_tasks() {
        let most = |runs| ReadBudget::new(runs, &Timings::aws()).most_tasks();
        assert_eq!((most(1), most(25), most(26), most(100), most(150)), (250, 250, 240, 100, 0));
        assert_eq!(most(1_000), 0);
    }

    proptest! {
        /// Whatever runs are requested, all admitted runs together stay within the budget.
        #[test]
        fn admitted_runs_fit_the_budget(requested in prop::collection::vec(1..=100_u32, 1..30)) {
            let budget = aws();
            let mut active: Vec<RunLoad> = Vec::new();
            for tasks in requested {
                // The active runs read less often as soon as another run waits for it.
                let all = active.iter().map(|load| load.tasks).sum::<u32>() + tasks;
                if all <= budget.most_tasks() {
                    for load in &mut active {
                        load.read_every_seconds = load.read_every_seconds.max(budget.interval(all));
                    }
                }
                let loads: Vec<&RunLoad> = active.iter().collect();
                let admitted = budget.admit(tasks, &loads);
                prop_assert_eq!(admitted.is_some(), all <= budget.most_tasks());
                active.extend(admitted.map(|seconds| load(tasks, seconds)));
                let milli: u64 = active
                    .iter()
                    .map(|load| u64::from(load.tasks) * 1_000 / u64::from(load.read_every_seconds))
                    .sum();
                prop_assert!(milli <= 25_000);
            }
        }
    }
}
