//! The account: its billing commitment and its limits. In: the state and a request. Out: the
//! response. Pure.

use serde_json::{Value, json};

use crate::call::AwsError;
use crate::services::kinesis::model::commitment::DesiredState;
use crate::services::kinesis::request::Request;
use crate::services::kinesis::state::{KinesisState, MAX_ON_DEMAND_STREAMS, shard_quota};
use crate::services::kinesis::{errors, view};

pub fn describe_account_settings(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    let commitment = &state.region(request.caller).commitment;
    Ok(json!({ "MinimumThroughputBillingCommitment": view::commitment(commitment, request.clock) }))
}

pub fn update_account_settings(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    let region = state.region(request.caller);
    let status = request.input["MinimumThroughputBillingCommitment"]["Status"].as_str();
    let desired_state =
        if status == Some("ENABLED") { DesiredState::Enabled } else { DesiredState::Disabled };
    let warmed = region.streams.values().find(|stream| stream.spec.warm_mib > 0);
    if let (DesiredState::Disabled, Some(warmed)) = (desired_state, warmed) {
        // Developer guide, "Switch between modes": warm throughput must be removed first. The text
        // is ours.
        return Err(errors::validation(format!(
            "The minimum throughput billing commitment of account {} cannot be disabled while warm throughput is set on \
             stream {}",
            request.caller.account, warmed.spec.name
        )));
    }
    region.commitment.update(desired_state, request.now.model);
    describe_account_settings(state, request)
}

pub fn describe_limits(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    let region = state.region(request.caller);
    Ok(json!({
        "ShardLimit": shard_quota(&request.caller.region),
        "OpenShardCount": region.provisioned_shards(),
        "OnDemandStreamCount": region.on_demand_streams(),
        "OnDemandStreamCountLimit": MAX_ON_DEMAND_STREAMS,
    }))
}
