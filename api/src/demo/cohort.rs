//! The cohort of a KinesisDemo: objects whose runs begin together. In: the spec. Pure.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Objects of one namespace whose runs are admitted together and whose traffic starts at the same
/// instant. If one of them fails before that, the others fail too.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CohortSpec {
    /// The cohort's name. All objects of the namespace with this name belong to the cohort.
    #[schemars(length(min = 1, max = 63), pattern(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The number of members. All members give the same number.
    #[schemars(range(min = 2, max = 15))]
    pub size: i32,
}
