//! The resources that a run creates. In: the pinned settings and the plan. Out: requests to AWS.
//! Pure.

pub mod control;
pub mod dashboard;
pub mod log_group;
pub mod names;
pub mod parameter;
pub mod service;
pub mod stream;
pub mod tags;
pub mod task_definition;
