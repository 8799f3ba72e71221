//! How far a run is with starting together with the other members of its cohort. The members read
//! it in each other's status.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MicroTime;

/// A run as a member of its cohort.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CohortStatus {
    /// The cohort's name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// How far the run is.
    pub state: CohortState,
    /// When it reached this state. The instant at which all members start follows from this field
    /// of all members.
    pub since: MicroTime,
    /// The runs that start together, by name. Empty while members are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 15))]
    pub members: Vec<CohortMember>,
    /// When the traffic of all members starts, once that is agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<MicroTime>,
}

/// A run that belongs to a cohort.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CohortMember {
    /// The object's name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The object's uid.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// The run's number.
    pub run: u32,
}

/// How far a member is. Each member waits for the others before it goes on to the next state.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CohortState {
    /// It waits for other members to exist.
    Gathering,
    /// It was admitted together with the others, and has what it needs. Nothing was created yet.
    Checked,
    /// Its stream is ready.
    Warm,
    /// Its first tasks run.
    Ready,
    /// Its traffic starts at `startsAt`.
    Started,
}
