//! What a run costs on AWS, as stored in status. Amounts are US dollars as decimal text.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::MicroTime;

/// What the run costs on AWS. In the sandbox it would cost as much, and costs nothing.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CostStatus {
    /// What the run was expected to cost when it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<EstimateStatus>,
    /// What the run has cost so far, without the minimum of On-demand Advantage, in whole cents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub so_far_usd: Option<UsdText>,
    /// What has been metered for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter: Option<Meter>,
    /// Why the cost is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub unknown: Option<String>,
}

/// What of a run is metered by time.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meter {
    /// Up to when.
    pub until: MicroTime,
    /// The time of all tasks together, in milliseconds.
    pub task_millis: u64,
    /// The age of the stream, in milliseconds.
    pub stream_millis: u64,
}

/// What a run is expected to cost, without the minimum of On-demand Advantage, in whole cents.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EstimateStatus {
    /// If all goes as cheaply as it can.
    pub low_usd: UsdText,
    /// As a run usually goes.
    pub expected_usd: UsdText,
    /// If AWS takes as long as the operator waits.
    pub high_usd: UsdText,
    /// The minimum of On-demand Advantage for its shortest commitment, if the run needs it. It is
    /// charged once per account and Region, however many runs use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advantage_minimum_usd: Option<UsdText>,
    /// The day on which the prices were read.
    #[schemars(length(max = 32))]
    pub prices_as_of: String,
}

/// An amount of US dollars as decimal text, such as `0.63`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UsdText(pub String);

impl JsonSchema for UsdText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "UsdText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": 20, "pattern": r"^[0-9]{1,12}(\.[0-9]{1,6})?$"})
    }
}
