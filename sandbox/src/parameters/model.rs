//! AWS's lists of request members, for tests that walk them: extracts of botocore's service models
//! in `src/models`, which `hack/service-members` writes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::Usage;

/// An extract of a service's model.
#[derive(Deserialize)]
pub struct Model {
    /// The input members of the operations that the sandbox supports, by path (`Records[].Data`,
    /// `Tags{value}`).
    pub operations: BTreeMap<String, BTreeMap<String, Member>>,
    /// The operations of the service that the sandbox does not support.
    pub others: Vec<String>,
}

/// The model's description of a member.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Member {
    pub r#type: String,
    pub required: bool,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub pattern: Option<String>,
    pub r#enum: Option<BTreeSet<String>>,
}

impl Model {
    /// Reads an extract.
    pub fn read(extract: &str) -> Self {
        serde_json::from_str(extract).unwrap()
    }

    /// The members, as `operation path`, that have no `Usage`.
    pub fn unclassified(&self, usage: impl Fn(&str, &str) -> Option<Usage>) -> Vec<String> {
        let members = self.operations.iter().flat_map(|(operation, members)| {
            members.keys().map(move |path| (operation.as_str(), path.as_str()))
        });
        members
            .filter(|(operation, path)| usage(operation, path).is_none())
            .map(|(operation, path)| format!("{operation} {path}"))
            .collect()
    }
}
