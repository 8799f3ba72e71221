//! `DescribeScalingActivities`. In: the state and a request. Out: the response. No I/O.

use serde_json::Value;

use crate::call::AwsError;
use crate::services::scaling::request::Request;
use crate::services::scaling::state::ScalingState;
use crate::services::scaling::view;

pub fn describe_scaling_activities(
    state: &mut ScalingState,
    request: Request<'_>,
) -> Result<Value, AwsError> {
    let resource = request.input.text("ResourceId")?;
    request.check_filters(resource.is_some())?;
    let activities = state
        .region(&request.caller.region)
        .activities
        .iter()
        .filter(|activity| resource.is_none_or(|resource| activity.resource == resource))
        .enumerate()
        .map(|(index, activity)| (format!("{index:06}"), view::activity(activity)));
    request.paged("ScalingActivities", activities)
}
