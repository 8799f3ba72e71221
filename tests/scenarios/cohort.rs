//! Cohorts: runs that are admitted together and start at the same instant, or end.

use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason, find};
use kinesis_demo_api::demo::{CohortSpec, KinesisDemoSpec};
use kinesis_demo_api::duration::DurationText;
use kinesis_demo_api::status::{CohortState, Outcome, Stage};
use kinesis_demo_operator::clock::Clock;
use kinesis_demo_testing::totals::assert_balanced;

use crate::cohort_harness::CohortHarness;
use crate::harness::{s, settings, warm_spec};

/// A short event on a cold stream.
fn cold() -> KinesisDemoSpec {
    let mut spec = KinesisDemoSpec::default();
    spec.phases.truncate(2);
    for phase in &mut spec.phases {
        phase.duration = DurationText::seconds(10);
    }
    spec
}

/// The same on a warm stream.
fn warm() -> KinesisDemoSpec {
    let stream = warm_spec().stream;
    KinesisDemoSpec { stream, ..cold() }
}

fn stalled(harness: &CohortHarness, name: &str) -> (ConditionStatus, Reason, String) {
    let conditions = harness.status(name).conditions;
    let condition = find(&conditions, ConditionType::Stalled).unwrap();
    (condition.status, condition.reason, condition.message.clone())
}

fn waits_for_cohort(harness: &CohortHarness, name: &str) -> Option<String> {
    let conditions = harness.status(name).conditions;
    let condition = find(&conditions, ConditionType::Reconciling)?;
    (condition.reason == Reason::WaitingForCohort).then(|| condition.message.clone())
}

/// Both runs succeeded, and their traffic started at one instant.
fn assert_started_together(harness: &CohortHarness) {
    for name in ["a", "b"] {
        assert_eq!(harness.stage(name), Stage::Succeeded, "{name}: {:?}", harness.outcome(name));
        let totals = harness.status(name).traffic.unwrap().totals;
        assert_balanced(&totals);
        assert_eq!(totals.offered, totals.scheduled, "{name}");
        let cohort = harness.status(name).run.unwrap().cohort.unwrap();
        assert_eq!((cohort.state, cohort.starts_at), (CohortState::Started, harness.started_at(name)));
    }
    assert_eq!(harness.started_at("a"), harness.started_at("b"));
    let first: Vec<_> = harness.first_records().into_values().collect();
    let latest = first.iter().max().unwrap();
    let spread = latest.since(*first.iter().min().unwrap());
    assert!(spread <= Duration::from_millis(250), "the first records are {spread:?} apart: {first:?}");
    harness.assert_nothing_left();
}

/// Both runs failed in a cohort's way, and nothing is left.
fn assert_both_ended(harness: &CohortHarness) {
    for name in ["a", "b"] {
        let (outcome, reason, message) = harness.outcome(name);
        assert_eq!(outcome, Some(Outcome::Failed), "{name}: {message}");
        assert!(reason.starts_with("Cohort"), "{name}: {reason}: {message}");
    }
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_cold_and_a_warm_run_start_at_the_same_instant() {
    let mut harness = CohortHarness::new(settings());
    harness.create("a", &cold(), 2);
    harness.run_for(s(30)).await;
    let waits = waits_for_cohort(&harness, "a").unwrap();
    assert_eq!(waits, "cohort pair: 1 of 2 members are there (a)");
    assert_eq!(harness.aws.calls(), [], "a run that waits for members calls no AWS API");
    harness.create("b", &warm(), 2);
    harness.run_until(|harness| harness.stage("a") == Stage::Warming).await;
    harness
        .run_until(|harness| {
            let cohort = |name| harness.status(name).run.unwrap().cohort.unwrap();
            cohort("a").state == CohortState::Warm
        })
        .await;
    assert_eq!(harness.aws.running_tasks(), [], "no task runs before both streams are ready");
    harness.run_to_end().await;
    assert_started_together(&harness);
    // The warm-up took longer: the cold run has waited with a size of zero.
    assert!(harness.stages["a"].contains(&Stage::Warming));
}

#[tokio::test]
async fn a_run_whose_other_members_never_come_fails_for_free() {
    let mut harness = CohortHarness::new(settings());
    harness.create("a", &cold(), 2);
    let before = now(&harness);
    harness.run_to_end().await;
    let (outcome, reason, message) = harness.outcome("a");
    assert_eq!((outcome, reason.as_str()), (Some(Outcome::Failed), "CohortIncomplete"));
    assert_eq!(
        message,
        "not all members of the cohort were there within 600 s: cohort pair: 1 of 2 members are there (a). Next: create, rerun or correct the members that the message names, and rerun all others"
    );
    let took = now(&harness).since(before);
    assert!(took >= s(600) && took < s(620), "{took:?}");
    assert_eq!(harness.aws.calls(), []);
}

fn now(harness: &CohortHarness) -> MicroTime {
    harness.clock.now()
}

#[tokio::test]
async fn a_member_that_lacks_something_fails_the_others_for_free() {
    let mut harness = CohortHarness::new(settings());
    harness.aws.set_advantage(kinesis_demo_operator::aws::Advantage::Disabled);
    harness.create("a", &cold(), 2);
    harness.create("b", &warm(), 2);
    harness.run_until(|harness| harness.stage("a").is_terminal()).await;
    let (outcome, reason, message) = harness.outcome("a");
    assert_eq!((outcome, reason.as_str()), (Some(Outcome::Failed), "CohortIncomplete"));
    assert!(message.contains("b cannot begin: AdvantageRequired"), "{message}");
    assert_eq!(stalled(&harness, "b").1, Reason::AdvantageRequired);
    assert!(harness.aws.snapshot().is_empty());
}

#[tokio::test]
async fn members_that_contradict_each_other_are_refused() {
    let two = |first: (&KinesisDemoSpec, i32), second: (&KinesisDemoSpec, i32)| {
        let mut harness = CohortHarness::new(settings());
        harness.create("a", first.0, first.1);
        harness.create("b", second.0, second.1);
        harness
    };
    let mut same_stream = cold();
    same_stream.stream.name = Some("orders".into());
    let mut many_tasks = cold();
    many_tasks.phases[1].records_per_second = 200_000;
    many_tasks.generator.rate_per_task = 2_000;
    many_tasks.generator.max_tasks = 100;
    let mut third = two((&cold(), 2), (&cold(), 2));
    third.create("c", &cold(), 2);
    let mut large = two((&cold(), 11), (&cold(), 11));
    large.step().await;
    let mut too_many_tasks = CohortHarness::new(settings());
    for name in ["a", "b", "c"] {
        too_many_tasks.create(name, &many_tasks, 3);
    }
    for (mut harness, expected) in [
        (
            two((&cold(), 2), (&cold(), 3)),
            "cohort pair has 2 members according to a, but 3 according to b; give all members the same cohort.size",
        ),
        (
            two((&same_stream, 2), (&same_stream, 2)),
            "a and b of cohort pair name the same stream orders; each member needs a stream of its own",
        ),
        (
            third,
            "cohort pair has 2 members, but 3 objects name it: a, b, c; remove some, or raise cohort.size in all of them",
        ),
        (
            large,
            "cohort pair has 11 members, but this operator allows 10 active runs in a Region (--max-runs); make it smaller, or raise the limit",
        ),
        (too_many_tasks, "the members of cohort pair need 300 tasks together, but a Region has room for 250"),
    ] {
        harness.run_for(s(700)).await;
        for name in harness.cluster.names() {
            let (status, reason, message) = stalled(&harness, &name);
            assert_eq!((status, reason), (ConditionStatus::True, Reason::CohortRefused), "{message}");
            assert!(name != "a" || message.contains(expected), "{message} is not {expected}");
            assert_eq!(harness.stage(&name), Stage::Pending);
        }
        assert_eq!(harness.aws.calls(), []);
    }
}

#[tokio::test]
async fn a_refused_cohort_starts_once_it_is_corrected() {
    let mut harness = CohortHarness::new(settings());
    harness.create("a", &cold(), 2);
    harness.create("b", &cold(), 3);
    harness.run_for(s(60)).await;
    assert_eq!(stalled(&harness, "a").1, Reason::CohortRefused);
    harness.edit("b", |object| object.spec.cohort.as_mut().unwrap().size = 2);
    harness.run_to_end().await;
    assert_started_together(&harness);
}

#[tokio::test]
async fn each_way_to_end_before_the_start_ends_the_other_soon() {
    for stage in [Stage::Pending, Stage::Provisioning, Stage::Warming, Stage::Starting] {
        for how in ["abort", "delete", "fail"] {
            let mut harness = CohortHarness::pair(&warm());
            harness
                .run_until(|harness| {
                    let cohort = |name| harness.status(name).run.and_then(|run| run.cohort);
                    let checked = ["a", "b"]
                        .iter()
                        .all(|name| cohort(name).is_some_and(|cohort| cohort.state >= CohortState::Checked));
                    harness.stage("b") == stage && checked
                })
                .await;
            let at = now(&harness);
            match how {
                "abort" => harness.request("b", r#"{"id":"1","verb":"abort"}"#),
                "delete" => harness.delete("b"),
                // A stage that another failure ends.
                _ => harness.edit("b", |object| {
                    let run = object.status.as_mut().unwrap().run.as_mut().unwrap();
                    run.deadline_at = Some(at);
                }),
            }
            if how == "fail" && stage == Stage::Pending {
                continue;
            }
            harness.run_until(|harness| harness.outcome("a").0.is_some()).await;
            let took = now(&harness).since(at);
            let (outcome, reason, message) = harness.outcome("a");
            assert_eq!(
                (outcome, reason.as_str()),
                (Some(Outcome::Failed), "CohortMemberEnded"),
                "{stage} {how}"
            );
            assert!(message.contains("b ") && took <= s(10), "{stage} {how}: {took:?} {message}");
            harness.run_to_end().await;
            assert_eq!(harness.first_records().len(), 0, "{stage} {how}");
            harness.assert_nothing_left();
        }
    }
}

#[tokio::test]
async fn a_blocked_member_ends_the_others() {
    let mut harness = CohortHarness::new(settings());
    let mut taken = warm();
    taken.stream.name = Some("orders".into());
    let foreign = kinesis_demo_operator::aws::NewStream {
        name: "orders".into(),
        warm_mib_per_second: None,
        tags: kinesis_demo_operator::aws::Tags::from([("team".into(), "payments".into())]),
    };
    let region = kinesis_demo_operator::aws::Regions::in_region(&harness.aws, "us-east-1");
    region.streams.create_stream(&foreign).await.unwrap();
    harness.clock.advance(s(60));
    harness.create("a", &cold(), 2);
    harness.create("b", &taken, 2);
    harness.run_until(|harness| harness.stage("a").is_terminal()).await;
    let (_, reason, message) = harness.outcome("a");
    assert_eq!(reason, "CohortMemberEnded");
    assert!(message.contains("b cannot go on: OwnershipConflict"), "{message}");
}

#[tokio::test]
async fn what_a_member_does_after_the_start_is_its_own_affair() {
    let mut harness = CohortHarness::pair(&cold());
    harness
        .run_until(|harness| {
            let phase = |name| harness.status(name).phase.is_some();
            phase("a") && phase("b")
        })
        .await;
    harness.request("b", r#"{"id":"1","verb":"abort"}"#);
    harness.run_to_end().await;
    assert_eq!(harness.outcome("b").0, Some(Outcome::Aborted));
    assert_eq!(harness.stage("a"), Stage::Succeeded, "{:?}", harness.outcome("a"));
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_rerun_of_all_members_is_another_round() {
    let mut harness = CohortHarness::pair(&cold());
    harness.run_to_end().await;
    let first = harness.started_at("a");
    harness.request("a", r#"{"id":"1","verb":"rerun"}"#);
    harness.run_for(s(100)).await;
    let waits = waits_for_cohort(&harness, "a").unwrap();
    assert!(waits.contains("run 1 of b is over or ending (Succeeded): rerun it, too"), "{waits}");
    harness.request("b", r#"{"id":"2","verb":"rerun"}"#);
    harness.run_until(|harness| harness.stage("a") == Stage::Running).await;
    harness.run_to_end().await;
    assert_eq!((harness.status("a").run_number(), harness.status("b").run_number()), (2, 2));
    assert_eq!(harness.started_at("a"), harness.started_at("b"));
    assert_ne!(harness.started_at("a"), first);
    harness.assert_nothing_left();
}

#[tokio::test]
async fn an_object_of_the_same_name_does_not_join_a_round() {
    let mut harness = CohortHarness::pair(&warm());
    harness.run_until(|harness| harness.stage("a") == Stage::Warming).await;
    harness.delete("b");
    harness.run_until(|harness| harness.cluster.named("b").is_none()).await;
    harness.create("b", &warm(), 2);
    harness.run_to_end().await;
    assert_eq!(harness.outcome("a").1, "CohortMemberEnded");
    assert_eq!(harness.outcome("b").1, "CohortIncomplete");
    harness.assert_nothing_left();
}

#[tokio::test]
async fn half_admitted_cohorts_do_not_block_each_other() {
    let mut three = settings();
    three.max_runs = 3;
    let mut harness = CohortHarness::new(three);
    let of = |name: &str| Some(CohortSpec { name: name.into(), size: 2 });
    // The members come in turn, and a single run comes between.
    harness.create_in("a1", &cold(), of("one"));
    harness.create_in("b1", &cold(), of("two"));
    harness.create_in("single", &cold(), None);
    harness.create_in("b2", &cold(), of("two"));
    harness.create_in("a2", &cold(), of("one"));
    let mut most = 0;
    let mut crashes = 0;
    loop {
        let names = harness.cluster.names();
        let active = names.iter().filter(|name| harness.stage(name).is_active()).count();
        most = most.max(active);
        if names.iter().all(|name| harness.stage(name).is_terminal()) {
            break;
        }
        assert!(harness.step().await);
        // A new leader knows nothing of the slots that were given.
        if crashes < 40 {
            crashes += 1;
            harness.restart(s(0));
        }
    }
    assert!(most <= 3, "{most} active runs");
    for name in harness.cluster.names() {
        assert_eq!(harness.stage(&name), Stage::Succeeded, "{name}: {:?}", harness.outcome(&name));
    }
    assert_eq!(harness.started_at("a1"), harness.started_at("a2"));
    assert_eq!(harness.started_at("b1"), harness.started_at("b2"));
    harness.assert_nothing_left();
}

#[tokio::test]
async fn a_crash_after_any_call_does_not_change_the_result() {
    let mut harness = CohortHarness::pair(&warm());
    harness.run_to_end().await;
    let calls = harness.aws.calls().len() as u64;
    assert!(calls > 100, "{calls} calls are too few for two runs");
    for call in 1..=calls {
        let mut harness = CohortHarness::pair(&warm());
        harness.aws.crash_after_call(call);
        while !["a", "b"].iter().all(|name| harness.stage(name).is_terminal()) {
            assert!(harness.step().await);
            if harness.aws.crashed() {
                harness.restart(s(0));
            }
        }
        assert_started_together(&harness);
    }
}

/// The operator is killed after each single reconcile, and another takes over half a minute later,
/// after the agreed start. Either both runs start together, or neither is left running.
#[tokio::test]
async fn a_late_takeover_starts_both_or_ends_both() {
    let mut steps = 0;
    let mut harness = CohortHarness::pair(&warm());
    while !["a", "b"].iter().all(|name| harness.status(name).phase.is_some()) {
        assert!(harness.step().await);
        steps += 1;
    }
    let (mut started, mut ended) = (0, 0);
    for killed_after in 1..steps {
        for away in [s(5), s(11), s(16), s(30)] {
            let mut harness = CohortHarness::pair(&warm());
            for _ in 0..killed_after {
                assert!(harness.step().await);
            }
            harness.restart(away);
            harness.run_to_end().await;
            if harness.stage("a") == Stage::Succeeded {
                started += 1;
                assert_started_together(&harness);
            } else {
                ended += 1;
                assert_both_ended(&harness);
            }
        }
    }
    assert!(ended * 10 < started, "{ended} of {} kills ended the runs", started + ended);
}

#[tokio::test]
async fn members_agree_although_the_list_of_objects_is_late() {
    for lag in [s(1), s(3), s(6)] {
        let mut harness = CohortHarness::new(settings());
        harness.lag = lag;
        harness.create("a", &warm(), 2);
        harness.create("b", &cold(), 2);
        harness.restart(s(0));
        harness.run_to_end().await;
        if harness.stage("a") == Stage::Succeeded {
            assert_started_together(&harness);
        } else {
            assert_both_ended(&harness);
        }
    }
}
