//! How the operator tells a run's tasks what to send, and how a task obeys. Pure.
//!
//! ```text
//! document    what is written: who sends, when, how much        gate    which version counts, and what is due to a task
//! ```

mod document;
pub mod gate;

pub use document::{
    Content, ControlDocument, ControlError, ControlState, MAX_BYTES, SCHEMA, Segment, TaskId,
};
pub use gate::Gate;
