//! `DescribeParameters`. In: one region's parameters and a request. Out: the response. No I/O.

use serde_json::Value;

use super::filters::Filters;
use crate::call::AwsError;
use crate::services::ssm::request::Request;
use crate::services::ssm::state::ParameterStore;
use crate::services::ssm::view;

pub fn describe_parameters(store: &mut ParameterStore, request: Request<'_>) -> Result<Value, AwsError> {
    let filters = Filters::described(request.input)?;
    let matching = store.iter().filter(|(name, parameter)| filters.match_parameter(name, parameter));
    let views = matching.filter_map(|(name, parameter)| {
        let latest = parameter.latest()?;
        Some((name.clone(), view::metadata(request, name, parameter, latest)))
    });
    request.paged("Parameters", 50, views)
}
