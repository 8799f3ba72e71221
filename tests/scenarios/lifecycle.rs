//! A run in which nothing goes wrong.

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::demo::{CleanupPolicy, KinesisDemoSpec, RampShape, RampSpec};
use kinesis_demo_api::duration::DurationText;
use kinesis_demo_api::request::RequestOutcome;
use kinesis_demo_api::status::{Outcome, ResourceState, ResourceType, Stage};
use kinesis_demo_operator::clock::Clock;

use crate::harness::{Harness, assert_balanced, s, warm_spec};

/// 100, 10,000, 50,000 and 100 records per second, two minutes each.
const SCHEDULED: u64 = 120 * (100 + 10_000 + 50_000 + 100);

#[tokio::test]
async fn a_warm_run_succeeds_with_every_record_accepted_and_leaves_nothing() {
    let mut harness = Harness::new(warm_spec());
    harness.play_out().await;

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
async fn every_phase_arrives_at_its_rate_from_its_first_second_to_its_last() {
    let mut harness = Harness::new(warm_spec());
    harness.play_out().await;
    for phase in &harness.status().phases {
        let length = phase.ends_at.since(phase.starts_at).as_secs();
        for second in 0..length {
            let from = phase.starts_at + s(second);
            assert_eq!(
                harness.aws.arrivals(from, from + s(1)),
                u64::from(phase.records_per_second),
                "{} second {second}",
                phase.name
            );
        }
        assert_eq!(phase.totals.accepted, u64::from(phase.records_per_second) * length);
    }
    let first = harness.status().phases[0].starts_at;
    assert_eq!(harness.aws.arrivals(first - s(60), first), 0, "nothing before the start");
}

#[tokio::test]
async fn the_rate_in_status_is_the_phases_at_every_look_though_ledgers_come_late() {
    let mut harness = Harness::new(warm_spec());
    let mut looks = std::collections::BTreeSet::new();
    harness
        .play_until(s(7200), |status| {
            if let (Some(phase), Some(traffic)) = (&status.phase, &status.traffic)
                && phase.name == "peak"
                && (phase.starts_at + s(45)..phase.ends_at).contains(&traffic.sampled_at)
            {
                assert!((49_500..=50_500).contains(&traffic.rate), "{traffic:?}");
                looks.insert(traffic.sampled_at);
            }
            status.stage == Some(Stage::Draining)
        })
        .await;
    assert!(looks.len() >= 5, "{looks:?}");
}

#[tokio::test]
async fn the_rate_in_status_is_what_arrived_in_its_window_at_every_look_however_the_fleet_grows() {
    let mut spec = warm_spec();
    spec.phases[2].ramp = RampSpec { shape: RampShape::Linear, over: Some(DurationText::seconds(40)) };
    let mut harness = Harness::new(spec);
    let aws = harness.aws.clone();
    let mut looks = std::collections::BTreeSet::new();
    harness
        .play_until(s(7200), |status| {
            let traffic = status.traffic.as_ref();
            if let Some((traffic, (from, until))) =
                traffic.and_then(|traffic| Some((traffic, traffic.rate_from.zip(traffic.rate_until)?)))
                && looks.insert(traffic.sampled_at)
            {
                let micros = u64::try_from(until.since(from).as_micros()).unwrap();
                let arrived = aws.arrivals(from, until) * 1_000_000 / micros;
                assert!(traffic.rate.abs_diff(arrived) <= 1, "{arrived} arrived per second: {traffic:?}");
                assert!(
                    traffic.target.unwrap().abs_diff(arrived) <= 1,
                    "{arrived} arrived per second: {traffic:?}"
                );
            }
            status.stage == Some(Stage::Draining)
        })
        .await;
    assert!(looks.len() >= 40, "{looks:?}");
}

#[tokio::test]
async fn the_fleet_is_as_large_as_the_phase_needs_and_shrinks_afterwards() {
    let mut harness = Harness::new(warm_spec());
    harness.play_until_phase("peak").await;
    assert_eq!(harness.aws.running_tasks().len(), 10);
    harness
        .play_until(s(7200), |status| {
            status.phase.as_ref().is_some_and(|phase| phase.name == "decline")
                && status
                    .generators
                    .as_ref()
                    .is_some_and(|generators| generators.running == 1 && generators.desired == 1)
        })
        .await;
    let counts = harness.aws.call_counts();
    assert_eq!(counts.get("RegisterTaskDefinition"), Some(&1), "a rate change never redeploys");
    harness.play_out().await;
    assert_eq!(harness.totals().accepted, SCHEDULED, "nobody who was sending was stopped");
}

#[tokio::test]
async fn a_cold_run_shows_throttling_and_still_balances() {
    let mut harness = Harness::new(KinesisDemoSpec::default());
    harness.aws.set_stream_capacity(Some(4_000));
    harness.play_out().await;
    let totals = harness.totals();
    assert_balanced(&totals);
    assert_eq!(harness.outcome(), Some(Outcome::Succeeded));
    assert!(totals.throttled > 0 && totals.failed > 0 && totals.accepted > 0, "{totals:?}");
    assert_eq!(totals.scheduled, SCHEDULED);
    harness.assert_nothing_left();
}

#[tokio::test]
async fn all_conditions_are_set_on_the_first_visit_and_agree_with_the_stage() {
    let mut harness = Harness::new(warm_spec());
    harness.pass().await;
    assert_eq!(harness.status().conditions.len(), 12);
    assert_eq!(harness.condition(ConditionType::Ready).status, ConditionStatus::False);
    assert_eq!(harness.condition(ConditionType::Reconciling).status, ConditionStatus::True);
    assert_eq!(harness.condition(ConditionType::Succeeded).status, ConditionStatus::Unknown);
    harness.play_until_stage(Stage::Running).await;
    assert_eq!(harness.condition(ConditionType::Ready).status, ConditionStatus::True);
    assert_eq!(harness.condition(ConditionType::WarmThroughputReady).reason, Reason::Reached);
    harness.play_out().await;
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
async fn a_retained_stream_stays_and_gives_its_warm_throughput_back() {
    let mut spec = warm_spec();
    spec.cleanup.stream = CleanupPolicy::Retain;
    let mut harness = Harness::new(spec);
    harness.play_out().await;
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
async fn a_finished_object_is_left_in_peace() {
    let mut harness = Harness::new(warm_spec());
    harness.play_out().await;
    let (finished, writes) = (harness.clock.now(), harness.cluster.writes());
    harness.restart();
    for _ in 0..10 {
        harness.clock.advance(s(60));
        harness.pass().await;
    }
    assert_eq!((harness.aws.reads_since(finished), harness.aws.writes_since(finished)), (0, 0));
    assert_eq!(harness.cluster.writes(), writes);
    assert_eq!(harness.cluster.object().unwrap().metadata.generation, Some(1));
}

#[tokio::test]
async fn rerun_begins_the_next_run_once_per_request() {
    let mut harness = Harness::new(warm_spec());
    harness.play_out().await;
    harness.request(r#"{"verb":"rerun","run":1,"id":"again"}"#);
    harness.play_out().await;
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
    harness.play_out().await;
    let refused = harness.status().last_request.unwrap();
    assert_eq!((refused.outcome, refused.id.as_str()), (RequestOutcome::Refused, "once more"));
    assert!(refused.message.contains("this is run 2"), "{}", refused.message);
}

#[tokio::test]
async fn no_pass_writes_what_is_stored_already() {
    let mut harness = Harness::new(warm_spec());
    harness.play_until_phase("spike").await;
    let (puts, started) = (harness.aws.call_counts()["PutParameter"], harness.clock.now());
    let end = started + s(45);
    while harness.clock.now() < end {
        harness.pass().await;
    }
    let renewals = harness.aws.call_counts()["PutParameter"] - puts;
    assert!((2..=5).contains(&renewals), "{renewals} writes of the control document in 45 s");
}

#[tokio::test]
async fn the_api_server_and_aws_are_asked_in_proportion_to_what_happens() {
    let mut harness = Harness::new(warm_spec());
    harness.play_until_stage(Stage::Running).await;
    let (started, writes, calls) = (harness.clock.now(), harness.cluster.writes(), harness.aws.calls().len());
    harness.play_until_stage(Stage::Succeeded).await;
    let minutes = harness.clock.now().since(started).as_secs() / 60 + 1;
    let (writes, calls) = (harness.cluster.writes() - writes, harness.aws.calls().len() - calls);
    assert!(writes <= 20 * minutes, "{writes} status writes in {minutes} minutes");
    assert!(calls as u64 <= 240 * minutes, "{calls} calls in {minutes} minutes");
}
