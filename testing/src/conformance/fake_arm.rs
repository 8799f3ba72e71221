//! The arm of the fake AWS.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;
use kinesis_demo_operator::aws::{Advantage, Aws, Regions, RunMetric, TaskDescription};
use kinesis_demo_operator::clock::Clock;

use super::InjectedError;
use super::waiting::minute_of;
use super::{Arm, CalledMethods, TASK_CAPACITY};
use crate::aws::{FakeAws, FinalLine};
use crate::clock::ManualClock;

/// 2026-11-22T10:00:00.250Z: not a whole second.
const START: MicroTime = MicroTime::from_micros(1_795_341_600_250_000);

/// The fake AWS with a manual clock.
pub struct FakeArm {
    clock: ManualClock,
    aws: FakeAws,
    called_methods: CalledMethods,
}

impl FakeArm {
    /// A new account.
    #[expect(clippy::new_without_default, reason = "an account is not a value with a default")]
    pub fn new() -> Self {
        let clock = ManualClock::new(START);
        let aws = FakeAws::new(clock.clone());
        aws.set_capacity(TASK_CAPACITY);
        Self { clock, aws, called_methods: CalledMethods::default() }
    }
}

#[async_trait]
impl Arm for FakeArm {
    fn in_region(&self, region: &str) -> Aws {
        self.called_methods.record(self.aws.in_region(region))
    }

    fn now(&self) -> MicroTime {
        self.clock.now()
    }

    async fn let_time_pass(&self, duration: Duration) {
        self.clock.advance(duration);
    }

    async fn set_advantage(&self, advantage: Advantage) {
        self.aws.set_advantage(advantage);
    }

    async fn fail(&self, operation: &str, error: &InjectedError) {
        self.aws.fail_with(operation, error.code, error.message, u32::MAX);
    }

    async fn lose_responses(&self, operation: &str) {
        self.aws.lose_response(operation, u32::MAX);
    }

    async fn clear_faults(&self) {
        self.aws.clear_faults();
    }

    async fn kill_process(&self, task: &TaskDescription) {
        assert!(self.aws.kill_task(&task.id, FinalLine::Missing), "{task:?} does not run");
    }

    async fn values_by_minute(&self, run_name: &str, metric: RunMetric) -> Vec<(MicroTime, u32)> {
        let mut values: BTreeMap<MicroTime, u32> = BTreeMap::new();
        for published in self.aws.published_metrics() {
            if published.run_name == run_name && published.metric == metric {
                let value = values.entry(minute_of(published.at)).or_default();
                *value = published.value.max(*value);
            }
        }
        let (now, hour) = (self.clock.now(), Duration::from_secs(3_600));
        values.retain(|minute, _| *minute + hour > now && *minute <= now);
        values.into_iter().collect()
    }

    fn called_methods(&self) -> &CalledMethods {
        &self.called_methods
    }

    async fn called_operations(&self) -> BTreeSet<String> {
        self.aws.call_counts().into_keys().map(str::to_owned).collect()
    }
}
