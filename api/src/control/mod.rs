//! The control document: how the operator assigns work to a run's tasks, and how tasks apply it.
//! Pure.
//!
//! ```text
//! document    the document: which tasks send, when, how much
//! gate        which version applies, and which records are due to a task
//! ```

mod document;
pub mod gate;

pub use document::{
    Content, ControlDocument, ControlError, ControlState, MAX_BYTES, SCHEMA, Segment, TaskId,
};
pub use gate::Gate;
