//! What the commands work on: one stack in one account and Region, behind the calls that they need.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::error::{FoundationError, FoundationResult};
use super::stack::{Stack, StackEvent};

/// The CloudFormation calls.
#[async_trait]
pub(super) trait Stacks: Send + Sync {
    /// The stack with that name or ID. A deleted stack can be found only by its ID.
    async fn fetch(&self, name_or_id: &str) -> FoundationResult<Option<Stack>>;
    /// The stack's events after the one with that ID, oldest first; all events if `after` is None.
    async fn fetch_events(&self, stack_id: &str, after: Option<&str>) -> FoundationResult<Vec<StackEvent>>;
    /// The errors that the last operation's validation found before it created anything: each with
    /// its resource and reason.
    async fn fetch_invalid(&self, stack_id: &str) -> FoundationResult<Vec<String>>;
    /// The ECS cluster that the stack created, if it still exists.
    async fn fetch_cluster(&self, stack_id: &str) -> FoundationResult<Option<String>>;
    /// Starts the creation of a stack that deletes itself if it fails. Returns its ID.
    async fn create(&self, name: &str, desired: &DesiredStack) -> FoundationResult<String>;
    async fn update(&self, stack_id: &str, desired: &DesiredStack) -> FoundationResult<Update>;
    /// Starts the deletion.
    async fn delete(&self, stack_id: &str) -> FoundationResult<()>;
}

/// The ECS calls.
#[async_trait]
pub(super) trait Services: Send + Sync {
    /// Descriptions of the cluster's services and tasks that have not stopped.
    async fn fetch_live(&self, cluster: &str) -> FoundationResult<Vec<String>>;
}

/// The desired parameters and tags of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DesiredStack {
    /// None keeps the stack's current value.
    pub parameters: Vec<(String, Option<String>)>,
    pub tags: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Update {
    Started,
    NothingToChange,
}

/// The stack that a command works on, and where it is.
pub(super) struct StackContext<'a> {
    pub stacks: &'a dyn Stacks,
    pub account: String,
    pub region: String,
    pub stack_name: String,
    /// The flags that select this stack in another command, where they differ from the defaults.
    pub flags: String,
    /// Receives the progress lines.
    pub progress: &'a (dyn Fn(&str) + Sync),
}

impl StackContext<'_> {
    /// Another of our commands for the same stack.
    pub fn command(&self, verb: &str) -> String {
        format!("kubectl kinesisdemo foundation {verb}{}", self.flags)
    }

    /// Fails for a stack that is not ours: an update would replace its resources, and a deletion
    /// remove them.
    pub fn claim(&self, stack: &Stack) -> FoundationResult<()> {
        if stack.is_foundation() {
            return Ok(());
        }
        let why = format!("the stack {} is not a KinesisDemo foundation and was not changed", stack.name);
        Err(FoundationError::refused(why, "choose another --stack-name"))
    }
}
