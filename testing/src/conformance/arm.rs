//! What a body needs beside the AWS traits: time, and what happens in an account without a call of
//! the operator.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;
use kinesis_demo_operator::aws::{Advantage, Aws, RunMetric, TaskDescription};

use super::CalledMethods;

/// The account of every arm.
pub const ACCOUNT: &str = "000000000000";

/// The region of most bodies, with Kinesis's large quotas.
pub const REGION: &str = "eu-west-1";

/// A region with small quotas.
pub const OTHER_REGION: &str = "eu-central-1";

/// The image of tasks.
pub const IMAGE: &str = "registry.example/generator:1";

/// How many tasks of a quarter vCPU the account may run at once.
pub const TASK_CAPACITY: u32 = 4;

/// An AWS to test: a new account in which only the ECS cluster `default` exists and Advantage is
/// off. Time passes only when a body lets it pass.
#[async_trait]
pub trait Arm: Send + Sync {
    /// The clients of a region. They record the called methods.
    fn in_region(&self, region: &str) -> Aws;

    /// The current time in AWS.
    fn now(&self) -> MicroTime;

    /// Lets this much time pass in AWS.
    async fn let_time_pass(&self, duration: Duration);

    /// Sets the state of On-demand Advantage in [`REGION`] and [`OTHER_REGION`]. It can only change
    /// from `Disabled` to `Enabled` to `EnabledUntilEarliestAllowedEnd`.
    async fn set_advantage(&self, advantage: Advantage);

    /// Fails all calls of an operation without an effect, until [`Arm::clear_faults`].
    async fn fail(&self, operation: &str, error: &InjectedError);

    /// Performs all calls of an operation, but loses their responses, until [`Arm::clear_faults`].
    async fn lose_responses(&self, operation: &str);

    /// Ends all faults.
    async fn clear_faults(&self);

    /// Kills the process of a running task with SIGKILL.
    async fn kill_process(&self, task: &TaskDescription);

    /// A run's metric in [`REGION`], as a user reads it: the greatest value of each minute of the
    /// past hour, with the minute's beginning, oldest first.
    async fn values_by_minute(&self, run_name: &str, metric: RunMetric) -> Vec<(MicroTime, u32)>;

    /// The methods of the AWS traits that were called.
    fn called_methods(&self) -> &CalledMethods;

    /// The API operations that reached AWS through the operator's traits.
    async fn called_operations(&self) -> BTreeSet<String>;
}

/// An error response for [`Arm::fail`].
#[derive(Clone, Copy, Debug)]
pub struct InjectedError {
    /// The HTTP status.
    pub status: u16,
    /// The error code.
    pub code: &'static str,
    /// The error message.
    pub message: &'static str,
}
