//! What a run is expected to cost, and has cost so far. In: the object, the status that was
//! decided. Out: the cost for that status. Pure.

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::demo::KinesisDemoSpec;
use kinesis_demo_api::plan::Plan;
use kinesis_demo_api::status::{CostStatus, KinesisDemoStatus, Stage, UsdText};
use kinesis_demo_cost::Usd;
use kinesis_demo_cost::accrual::{metered, so_far};
use kinesis_demo_cost::estimate::estimate;

use super::ObjectContext;
use crate::settings::Settings;

/// The cost to store with `decided`. A run that goes on is metered whenever something else of its
/// status changes: the cost alone is no reason for a write.
pub fn cost_of(
    object: &ObjectContext<'_>,
    decided: &KinesisDemoStatus,
    now: MicroTime,
) -> Option<CostStatus> {
    let stored = object.status;
    match stored.stage.unwrap_or_default() {
        // The plan is pinned when the run leaves Pending, and its estimate with it.
        Stage::Pending if object.unreadable.is_some() => None,
        Stage::Pending => expected(object.spec, object.settings),
        stage if stage.is_terminal() || decided == stored => decided.cost.clone(),
        _ => accrued(object, decided, now).or_else(|| decided.cost.clone()),
    }
}

fn expected(spec: &KinesisDemoSpec, settings: &Settings) -> Option<CostStatus> {
    let plan = Plan::new(spec, &settings.defaults).ok()?;
    let Some(prices) = settings.prices.of(&plan.region) else {
        let why = format!("the operator has no prices of {}; give it some with --prices", plan.region);
        return Some(CostStatus { unknown: Some(why), ..CostStatus::default() });
    };
    let estimate = estimate(&plan, settings.assign_public_ip, prices).status(prices);
    Some(CostStatus {
        estimate: Some(estimate),
        so_far_usd: Some(UsdText(Usd::ZERO.cents_text())),
        ..CostStatus::default()
    })
}

fn accrued(object: &ObjectContext<'_>, decided: &KinesisDemoStatus, now: MicroTime) -> Option<CostStatus> {
    let settings = object.settings;
    let cost = decided.cost.clone()?;
    let effective = decided.run.as_ref()?.effective.as_ref()?;
    let plan = Plan::new(&effective.spec, &settings.defaults).ok()?;
    let meter = metered(object.status, decided, now);
    let spent = settings.prices.of(&effective.region).map(|prices| {
        let bill = so_far(&plan, decided, meter, settings.assign_public_ip, prices);
        UsdText(bill.total().cents_text())
    });
    Some(CostStatus { so_far_usd: spent, meter: Some(meter), ..cost })
}
