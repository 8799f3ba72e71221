//! What a decision consists of: the types that `decide` builds, and that `act` and `status`
//! execute. Pure.

use std::collections::BTreeSet;

use kinesis_demo_api::status::ResourceType;
use kinesis_demo_api::{KinesisDemoStatus, MicroTime};

use super::effect::Effect;
use crate::kubernetes::events::RunEvent;

/// The result of one reconcile. Built by `decide`, executed by `act` and `status`.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub status: KinesisDemoStatus,
    pub effects: Vec<Effect>,
    pub run_events: Vec<RunEvent>,
    pub finalizer: FinalizerChange,
    pub wake: Wake,
    /// Resources that are removed although they could not be read: AWS's response to the removal
    /// says whether they still exist.
    pub unseen: BTreeSet<ResourceType>,
    /// The earlier run whose leaked resources are removed. `None`: the removals are about the
    /// current run.
    pub leaked_run: Option<u32>,
}

/// When to reconcile again. A watched change may always trigger a reconcile earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    At(MicroTime),
    OnChange,
}

/// The change to our finalizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FinalizerChange {
    #[default]
    Keep,
    Add,
    Remove,
}
