//! What a run is expected to cost, before it begins. In: the spec, the operator's settings. Out:
//! the cost for the status. Pure.

use kinesis_demo_api::demo::KinesisDemoSpec;
use kinesis_demo_api::plan::Plan;
use kinesis_demo_api::status::CostStatus;
use kinesis_demo_cost::estimate::estimate;

use crate::settings::Settings;

/// The cost of a run of `spec`; `None` if the spec cannot be planned.
pub fn expected_cost(spec: &KinesisDemoSpec, settings: &Settings) -> Option<CostStatus> {
    let plan = Plan::new(spec, &settings.defaults).ok()?;
    Some(match settings.prices.of(&plan.region) {
        Some(prices) => {
            let estimate = estimate(&plan, settings.assign_public_ip, prices).status(prices);
            CostStatus { estimate: Some(estimate), unknown: None }
        }
        None => CostStatus {
            estimate: None,
            unknown: Some(format!(
                "the operator has no prices of {}; give it some with --prices",
                plan.region
            )),
        },
    })
}
