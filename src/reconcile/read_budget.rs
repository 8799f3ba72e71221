//! How often the tasks of all runs may read their control parameters. In: the runs of a Region, with
//! their tasks. Out: an interval for each, or that there is no room. Pure.
//!
//! Systems Manager answers GetParameter, GetParameters and GetParametersByPath together 40 times a second
//! for everybody in an account's Region (AWS General Reference, Systems Manager quotas). Beyond that tasks
//! are refused, and one that is refused for its whole read lease stops sending. So their reads become rarer
//! as they become more, and a run for which there is no room waits.

use kinesis_demo_api::status::RunLoad;

use crate::settings::Timings;

/// All of a Region's reads in a second.
const READS_PER_SECOND: u32 = 40;
/// What is left to software that is not ours.
const LEFT_TO_OTHERS: u32 = 10;
/// What is kept for the operator at the least, however few runs it allows.
const KEPT_FOR_OPERATOR: u32 = 5;

/// What the tasks of a Region share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBudget {
    reads_per_second: u32,
    shortest_seconds: u32,
    longest_seconds: u32,
}

impl ReadBudget {
    /// The share of the tasks, where `max_runs` runs go on at once at the most: the operator reads the
    /// parameter of each with every look.
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

    /// The most tasks that a Region has room for, each reading as rarely as it may.
    pub fn most_tasks(self) -> u32 {
        self.reads_per_second.saturating_mul(self.longest_seconds)
    }

    /// The interval in seconds at which so many tasks read no more often than they may.
    pub fn interval(self, tasks: u32) -> u32 {
        let fits = tasks.div_ceil(self.reads_per_second.max(1));
        fits.clamp(self.shortest_seconds, self.longest_seconds)
    }

    /// The interval for a run of so many tasks beside those that go on, as often as these read now.
    /// `None` if there is no room, or not before they read less often.
    pub fn admit(self, tasks: u32, going_on: &[&RunLoad]) -> Option<u32> {
        let interval = self.interval(tasks.saturating_add(total(going_on)));
        let milli_reads = |tasks: u32, seconds: u32| u64::from(tasks) * 1_000 / u64::from(seconds.max(1));
        let held = going_on.iter().map(|load| milli_reads(load.tasks, load.read_every_seconds)).sum::<u64>();
        let all = held + milli_reads(tasks, interval);
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
    fn a_run_waits_until_the_others_read_less_often_and_while_there_is_no_room() {
        assert_eq!(aws().admit(75, &[]), Some(3));
        assert_eq!(aws().admit(50, &[&load(50, 3)]), None, "the first takes 17 of 25 reads, and needs 13");
        assert_eq!(aws().admit(50, &[&load(50, 4)]), Some(4));
        assert_eq!(aws().admit(100, &[&load(100, 10), &load(50, 10)]), Some(10));
        assert_eq!(aws().admit(101, &[&load(100, 10), &load(50, 10)]), None);
    }

    #[test]
    fn many_runs_leave_less_to_the_tasks() {
        let most = |runs| ReadBudget::new(runs, &Timings::aws()).most_tasks();
        assert_eq!((most(1), most(25), most(26), most(100), most(150)), (250, 250, 240, 100, 0));
        assert_eq!(most(1_000), 0);
    }

    proptest! {
        /// However runs come and go, all that were admitted together stay within the budget.
        #[test]
        fn what_is_admitted_fits(asked in prop::collection::vec(1..=100_u32, 1..30)) {
            let budget = aws();
            let mut going_on: Vec<RunLoad> = Vec::new();
            for tasks in asked {
                // Those that go on read less often as soon as somebody waits for it.
                let all = going_on.iter().map(|load| load.tasks).sum::<u32>() + tasks;
                if all <= budget.most_tasks() {
                    for load in &mut going_on {
                        load.read_every_seconds = load.read_every_seconds.max(budget.interval(all));
                    }
                }
                let held: Vec<&RunLoad> = going_on.iter().collect();
                let admitted = budget.admit(tasks, &held);
                prop_assert_eq!(admitted.is_some(), all <= budget.most_tasks());
                going_on.extend(admitted.map(|seconds| load(tasks, seconds)));
                let milli: u64 = going_on
                    .iter()
                    .map(|load| u64::from(load.tasks) * 1_000 / u64::from(load.read_every_seconds))
                    .sum();
                prop_assert!(milli <= 25_000);
            }
        }
    }
}
