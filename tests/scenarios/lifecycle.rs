//! Runs without faults.

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::demo::{CleanupPolicy, KinesisDemoSpec, RampShape, RampSpec};
use kinesis_demo_api::duration::DurationText;
use kinesis_demo_api::request::RequestOutcome;
use kinesis_demo_api::status::{Outcome, ResourceState, ResourceType, Stage};
use kinesis_demo_operator::clock::Clock;
use kinesis_demo_testing::totals::assert_balanced;

use crate::harness::{Harness, s, warm_spec};

/// 100, 10,000, 50,000 and 100 records per second, two minutes each.
const SCHEDULED: u64 = 120 * (100 + 10_000 + 50_000 + 100);

#[tokio::test]
async fn a_warm_run_succeeds_with_every_record_accepted_and_leaves_nothing() {
    let mut harness = Harness::new(warm_spec());
    harness.run_to_end().await;

    use Stage::{CleaningUp, Draining, Pending, Provisioning, Running, Starting, Succeeded, Warming};
    assert_eq!(
        harness.stages,
        [Pending, Provisioning, Warming, Starting, Running, Draining, CleaningUp, Succeeded]
    );
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
    let totals = harness.totals();
    assert_balanced(&totals);
    assert_eq!((totals.scheduled, totals.accepted), (SCHEDULED, SCHEDULED), "{totals:?}");
    harness.assert_nothing_left();
    assert_eq!(harness.errors, [] as [&str; 0]);
    assert!(harness.status().resources.iter().all(|resource| resource.state == ResourceState::Deleted));
    assert_eq!(harness.status().stream.unwrap().status, "DELETED");
}

#[tokio::test]
async fn every_phase_arrives_at_its_rate_in_every_second() {
    let mut harness = Harness::new(warm_spec());
    harness.run_to_end().await;
    for phase in &harness.status().phases {
        let length = phase.ends_at.since(phase.starts_at).as_secs();
        for second in 0..length {
            let from = phase.starts_at + s(second);
            assert_eq!(
                harness.aws.records_arrived(from, from + s(1)),
                u64::from(phase.records_per_second),
                "{} second {second}",
                phase.name
            );
        }
        assert_eq!(phase.totals.accepted, u64::from(phase.records_per_second) * length);
    }
    let first = harness.status().phases[0].starts_at;
    assert_eq!(harness.aws.records_arrived(first - s(60), first), 0, "records arrived before the start");
}

#[tokio::test]
async fn the_status_shows_the_rate_of_the_phase_despite_late_ledgers() {
    let mut harness = Harness::new(warm_spec());
    let mut samples = std::collections::BTreeSet::new();
    harness
        .run_until(s(7200), |status| {
            if let (Some(phase), Some(traffic)) = (&status.phase, &status.traffic)
                && phase.name == "peak"
                && (phase.starts_at + s(45)..phase.ends_at).contains(&traffic.sampled_at)
            {
                assert!((49_500..=50_500).contains(&traffic.rate), "{traffic:?}");
                samples.insert(traffic.sampled_at);
            }
            status.stage == Some(Stage::Draining)
        })
        .await;
    assert!(samples.len() >= 5, "{samples:?}");
}

#[tokio::test]
async fn the_rate_in_status_is_what_arrived_during_a_ramp() {
    let mut spec = warm_spec();
    spec.phases[2].ramp = RampSpec { shape: RampShape::Linear, over: Some(DurationText::seconds(40)) };
    let mut harness = Harness::new(spec);
    let aws = harness.aws.clone();
    let mut samples = std::collections::BTreeSet::new();
    harness
        .run_until(s(7200), |status| {
            let traffic = status.traffic.as_ref();
            if let Some((traffic, (from, until))) =
                traffic.and_then(|traffic| Some((traffic, traffic.rate_from.zip(traffic.rate_until)?)))
                && samples.insert(traffic.sampled_at)
            {
                let micros = u64::try_from(until.since(from).as_micros()).unwrap();
                let arrived = aws.records_arrived(from, until) * 1_000_000 / micros;
                assert!(traffic.rate.abs_diff(arrived) <= 1, "{arrived} arrived per second: {traffic:?}");
                assert!(
                    traffic.target.unwrap().abs_diff(arrived) <= 1,
                    "{arrived} arrived per second: {traffic:?}"
                );
            }
            status.stage == Some(Stage::Draining)
        })
        .await;
    assert!(samples.len() >= 40, "{samples:?}");
}

#[tokio::test]
async fn the_task_count_follows_the_phases_up_and_down() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("peak").await;
    assert_eq!(harness.aws.running_tasks().len(), 10);
    harness
        .run_until(s(7200), |status| {
            status.phase.as_ref().is_some_and(|phase| phase.name == "decline")
                && status
                    .generators
                    .as_ref()
                    .is_some_and(|generators| generators.running == 1 && generators.desired == 1)
        })
        .await;
    let counts = harness.aws.call_counts();
    assert_eq!(
        counts.get("RegisterTaskDefinition"),
        Some(&1),
        "a rate change must not register a new task definition"
    );
    harness.run_to_end().await;
    assert_eq!(harness.totals().accepted, SCHEDULED, "scale-in stopped a task that was sending");
}

#[tokio::test]
async fn a_cold_run_shows_throttling_and_still_balances() {
    let mut harness = Harness::new(KinesisDemoSpec::default());
    harness.aws.set_stream_capacity(Some(4_000));
    harness.run_to_end().await;
    let totals = harness.totals();
    assert_balanced(&totals);
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
    assert!(totals.throttled > 0 && totals.failed > 0 && totals.accepted > 0, "{totals:?}");
    assert_eq!(totals.scheduled, SCHEDULED);
    harness.assert_nothing_left();
}

#[tokio::test]
async fn the_first_reconcile_sets_all_conditions() {
    let mut harness = Harness::new(warm_spec());
    harness.step().await;
    assert_eq!(harness.status().conditions.len(), 12);
    assert_eq!(harness.condition(ConditionType::Ready).status, ConditionStatus::False);
    assert_eq!(harness.condition(ConditionType::Reconciling).status, ConditionStatus::True);
    assert_eq!(harness.condition(ConditionType::Succeeded).status, ConditionStatus::Unknown);
    harness.run_until_stage(Stage::Running).await;
    assert_eq!(harness.condition(ConditionType::Ready).status, ConditionStatus::True);
    assert_eq!(harness.condition(ConditionType::WarmThroughputReady).reason, Reason::Reached);
    harness.run_to_end().await;
    for (type_, status) in [
        (ConditionType::Ready, ConditionStatus::True),
        (ConditionType::Reconciling, ConditionStatus::False),
        (ConditionType::Stalled, ConditionStatus::False),
        (ConditionType::Finished, ConditionStatus::True),
        (ConditionType::Succeeded, ConditionStatus::True),
        (ConditionType::CleanedUp, ConditionStatus::True),
    ] {
        assert_eq!(harness.condition(type_).status, status, "{type_:?}");
    }
}

#[tokio::test]
async fn a_retained_stream_stays_and_its_warm_throughput_is_released() {
    let mut spec = warm_spec();
    spec.cleanup.stream = CleanupPolicy::Retain;
    let mut harness = Harness::new(spec);
    harness.run_to_end().await;
    let left = harness.aws.snapshot();
    assert_eq!(left.streams, ["us-east-1/kd-viral-event-5f3c2a1b-r1"]);
    assert_eq!(
        (left.services, left.tasks, left.parameters, left.log_groups),
        (vec![], vec![], vec![], vec![])
    );
    let status = harness.status();
    let stream = status.resources.iter().find(|resource| resource.type_ == ResourceType::Stream).unwrap();
    assert_eq!(stream.state, ResourceState::Retained);
    assert_eq!(status.stream.unwrap().warm.map(|warm| warm.target), Some(0));
}

#[tokio::test]
async fn a_finished_object_causes_no_calls_and_no_writes() {
    let mut harness = Harness::new(warm_spec());
    harness.run_to_end().await;
    let (finished, writes) = (harness.clock.now(), harness.cluster.writes());
    harness.restart();
    for _ in 0..10 {
        harness.clock.advance(s(60));
        harness.step().await;
    }
    assert_eq!((harness.aws.reads_since(finished), harness.aws.writes_since(finished)), (0, 0));
    assert_eq!(harness.cluster.writes(), writes);
    assert_eq!(harness.cluster.object().unwrap().metadata.generation, Some(1));
}

#[tokio::test]
async fn each_rerun_request_starts_one_run() {
    let mut harness = Harness::new(warm_spec());
    harness.run_to_end().await;
    harness.request(r#"{"verb":"rerun","run":1,"id":"again"}"#);
    harness.run_to_end().await;
    let status = harness.status();
    assert_eq!((status.run.as_ref().unwrap().number, status.stage), (2, Some(Stage::Succeeded)));
    assert_eq!(status.history.len(), 1);
    assert_eq!(
        (status.history[0].number, status.history[0].totals.as_ref().unwrap().accepted),
        (1, SCHEDULED)
    );
    assert_eq!(harness.totals().accepted, SCHEDULED);
    harness.assert_nothing_left();

    harness.request(r#"{"verb":"rerun","run":1,"id":"once more"}"#);
    harness.run_to_end().await;
    let refused = harness.status().last_request.unwrap();
    assert_eq!((refused.outcome, refused.id.as_str()), (RequestOutcome::Refused, "once more"));
    assert!(refused.message.contains("this is run 2"), "{}", refused.message);
}

#[tokio::test]
async fn unchanged_values_are_not_written_again() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_phase("spike").await;
    let (puts, started) = (harness.aws.call_counts()["PutParameter"], harness.clock.now());
    let end = started + s(45);
    while harness.clock.now() < end {
        harness.step().await;
    }
    let renewals = harness.aws.call_counts()["PutParameter"] - puts;
    assert!((2..=5).contains(&renewals), "{renewals} writes of the control document in 45 s");
}

#[tokio::test]
async fn status_writes_and_aws_calls_per_minute_are_bounded() {
    let mut harness = Harness::new(warm_spec());
    harness.run_until_stage(Stage::Running).await;
    let (started, writes, calls) = (harness.clock.now(), harness.cluster.writes(), harness.aws.calls().len());
    harness.run_until_stage(Stage::Succeeded).await;
    let minutes = harness.clock.now().since(started).as_secs() / 60 + 1;
    let (writes, calls) = (harness.cluster.writes() - writes, harness.aws.calls().len() - calls);
    assert!(writes <= 20 * minutes, "{writes} status writes in {minutes} minutes");
    assert!(calls as u64 <= 240 * minutes, "{calls} calls in {minutes} minutes");
}
