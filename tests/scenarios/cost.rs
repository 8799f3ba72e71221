//! What runs cost: estimated from the first visit on, and metered until the end.

use std::collections::BTreeMap;

use kinesis_demo_api::demo::KinesisDemoSpec;
use kinesis_demo_api::status::{CostStatus, Outcome, Stage};
use kinesis_demo_cost::{PriceList, Usd};
use kinesis_demo_operator::settings::Settings;
use kinesis_demo_testing::settings::settings;

use crate::harness::{Harness, s, warm_spec};

fn cost(harness: &Harness) -> CostStatus {
    harness.status().cost.unwrap()
}

fn so_far(harness: &Harness) -> Usd {
    cost(harness).so_far_usd.unwrap().0.parse().unwrap()
}

#[tokio::test]
async fn a_run_is_estimated_at_the_first_visit_and_ends_within_the_estimate() {
    for (spec, minimum) in [(KinesisDemoSpec::default(), None), (warm_spec(), Some("101.25"))] {
        let mut harness = Harness::new(spec);
        harness.step().await;
        let estimate = cost(&harness).estimate.unwrap();
        assert_eq!(harness.status().stage, Some(Stage::Pending));
        assert_eq!(so_far(&harness), Usd::ZERO);
        let stated = estimate.advantage_minimum_usd.as_ref().map(|amount| amount.0.as_str());
        assert_eq!(stated, minimum);

        let mut last = Usd::ZERO;
        harness
            .run_until(s(7_200), |status| {
                let amount = status.cost.as_ref().unwrap().so_far_usd.as_ref().unwrap();
                let now: Usd = amount.0.parse().unwrap();
                assert!(now >= last, "the cost fell from {last} to {now}");
                last = now;
                status.stage.is_some_and(Stage::is_terminal)
            })
            .await;
        assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
        let [low, high] = [&estimate.low_usd, &estimate.high_usd].map(|amount| amount.0.parse().unwrap());
        assert!(low <= last && last <= high, "{last} is not within {estimate:?}");
        assert_eq!(cost(&harness).estimate, Some(estimate), "it stays what it was when the run began");
        let record = harness.cluster.records().remove(0).status.unwrap();
        assert_eq!(record.cost, Some(cost(&harness)));
        // Nothing is metered after the end.
        let ended = cost(&harness);
        harness.run_for(s(3_600)).await;
        assert_eq!(cost(&harness), ended);
    }
}

#[tokio::test]
async fn restarts_neither_lose_nor_add_cost() {
    let mut steady = Harness::new(warm_spec());
    steady.run_to_end().await;
    let mut restarted = Harness::new(warm_spec());
    while !restarted.status().stage.is_some_and(Stage::is_terminal) {
        restarted.run_for(s(30)).await;
        restarted.restart();
    }
    let cent: Usd = "0.01".parse().unwrap();
    let (steady, restarted) = (so_far(&steady), so_far(&restarted));
    assert!(restarted <= steady + cent && steady <= restarted + cent, "{steady} and {restarted}");
}

#[tokio::test]
async fn without_prices_of_the_region_the_cost_is_unknown_and_the_run_goes_on() {
    let settings = Settings { prices: PriceList { regions: BTreeMap::new() }, ..settings() };
    let mut harness = Harness::with(warm_spec(), settings);
    harness.run_to_end().await;
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
    let CostStatus { estimate, so_far_usd, unknown, .. } = cost(&harness);
    assert_eq!((estimate, so_far_usd), (None, None));
    assert_eq!(
        unknown.as_deref(),
        Some("the operator has no prices of us-east-1; give it some with --prices")
    );
}
