//! An Event, as a reconcile asks for it and [`super::Cluster`] publishes it.

/// Whether an Event reports progress or a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Normal,
    Warning,
}

/// An Event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEvent {
    pub severity: Severity,
    /// One word, PascalCase.
    pub reason: String,
    /// The action and what it applies to, in one word. The API counts Events with the same reason
    /// and action as one series and keeps the note of the first, so this differs per occasion.
    pub action: String,
    /// The text for users.
    pub note: String,
}
