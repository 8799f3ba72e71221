//! Someone deletes, changes or forges anything by hand at any moment. The outcome and
//! `TrafficDelivered` still agree with what arrived, the totals balance exactly, and no resource of
//! another owner is touched.

use kinesis_demo_api::conditions::{ConditionStatus, ConditionType, Reason};
use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_api::demo::KinesisDemoSpec;
use kinesis_demo_api::duration::DurationText;
use kinesis_demo_api::status::{Outcome, ResourceState, Stage};
use kinesis_demo_operator::aws::{Aws, NewStream, Regions, Tags};
use kinesis_demo_operator::clock::Clock;
use kinesis_demo_testing::totals::assert_balanced;
use proptest::prelude::*;

use crate::harness::{Harness, s, warm_spec};

const NAME: &str = "kd-viral-event-5f3c2a1b-r1";
const PARAMETER: &str = "/kinesisdemo/kd-viral-event-5f3c2a1b-r1/control";
const LOG_GROUP: &str = "/kinesisdemo/kd-viral-event-5f3c2a1b-r1";

#[derive(Clone, Copy, Debug)]
enum Change {
    DeleteStream,
    DeleteService,
    DeleteParameter,
    DeleteLogGroup,
    DeleteScheduledScaleToZero,
    DeleteDashboard,
    ReleaseWarmThroughput,
    ResizeService(u32),
    UntagStream,
    /// A document with this epoch and this multiple of the rate.
    ForgeDocument(u64, u32),
    WriteNonsense,
    HangTask(usize),
    LoseFinalizer,
    Abort,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::DeleteStream),
        Just(Change::DeleteService),
        Just(Change::DeleteParameter),
        Just(Change::DeleteLogGroup),
        Just(Change::DeleteScheduledScaleToZero),
        Just(Change::DeleteDashboard),
        Just(Change::ReleaseWarmThroughput),
        (0_u32..20).prop_map(Change::ResizeService),
        Just(Change::UntagStream),
        (prop_oneof![Just(0_u64), Just(1), Just(1_000_000_000)], 1_u32..10)
            .prop_map(|(epoch, times)| Change::ForgeDocument(epoch, times)),
        Just(Change::WriteNonsense),
        (0_usize..10).prop_map(Change::HangTask),
        Just(Change::LoseFinalizer),
        Just(Change::Abort),
    ]
}

fn spec() -> KinesisDemoSpec {
    let mut spec = warm_spec();
    for phase in &mut spec.phases {
        phase.duration = DurationText::seconds(60);
    }
    spec
}

async fn apply(harness: &Harness, change: Change) {
    let aws: Aws = harness.aws.in_region("us-east-1");
    // If the resource does not exist, the change has no effect.
    match change {
        Change::DeleteStream => {
            if let Ok(Some(stream)) = aws.streams.fetch_stream(NAME).await {
                let _ = aws.streams.delete_stream(&stream.arn).await;
            }
        }
        Change::DeleteService => drop(aws.services.delete_service("default", NAME).await),
        Change::DeleteParameter => drop(aws.parameters.delete_parameter(PARAMETER).await),
        Change::DeleteLogGroup => drop(aws.logs.delete_log_group(LOG_GROUP).await),
        Change::DeleteScheduledScaleToZero => {
            drop(aws.scaling.delete_scheduled_scale_to_zero("default", NAME).await)
        }
        Change::DeleteDashboard => {
            let _ = aws.dashboards.delete_dashboard(&format!("KinesisDemo-{NAME}")).await;
        }
        Change::ReleaseWarmThroughput => {
            if let Ok(Some(stream)) = aws.streams.fetch_stream(NAME).await {
                let _ = aws.streams.update_warm_throughput(&stream.arn, 0).await;
            }
        }
        Change::ResizeService(size) => drop(aws.services.resize_service("default", NAME, size).await),
        Change::UntagStream => harness.aws.untag_stream(NAME),
        Change::ForgeDocument(epoch, times) => {
            let Ok(Some(text)) = aws.parameters.fetch_parameter(PARAMETER).await else { return };
            let Ok(mut document) = ControlDocument::parse(&text) else { return };
            document.epoch = epoch;
            for segment in &mut document.segments {
                segment.span.rate = segment.span.rate.map(|rate| rate * times);
            }
            let _ = aws.parameters.overwrite_parameter(PARAMETER, &document.to_text().unwrap()).await;
        }
        Change::WriteNonsense => drop(aws.parameters.overwrite_parameter(PARAMETER, "{}").await),
        Change::HangTask(index) => {
            if let Some(task) = harness.aws.running_tasks().get(index) {
                harness.aws.hang_task(task);
            }
        }
        Change::LoseFinalizer => harness.cluster.edit(|object| object.metadata.finalizers = None),
        Change::Abort => harness.request(r#"{"verb":"abort","run":1,"id":"stop"}"#),
    }
}

async fn run_with(changes: &[(u64, Change)]) -> Harness {
    let mut harness = Harness::new(spec());
    let neighbour = NewStream {
        name: "neighbour".into(),
        warm_mib_per_second: None,
        tags: Tags::from([("kinesisdemo.io/owner".into(), "another-uid".into())]),
    };
    harness.aws.in_region("us-east-1").streams.create_stream(&neighbour).await.unwrap();
    for (after, change) in changes {
        harness.run_for(s(*after)).await;
        apply(&harness, *change).await;
    }
    let end = harness.clock.now() + s(7_200);
    while harness.clock.now() < end && harness.step().await {
        if harness.status().stage.is_some_and(Stage::is_terminal) {
            break;
        }
    }
    harness
}

fn check(harness: &Harness, changes: &[(u64, Change)]) -> Result<(), TestCaseError> {
    let status = harness.status();
    prop_assert!(status.stage.is_some_and(Stage::is_terminal), "{:?}", status.stage);
    prop_assert!(harness.aws.snapshot().streams.contains(&"us-east-1/neighbour".to_owned()));
    let any = |matches: fn(&Change) -> bool| changes.iter().any(|(_, change)| matches(change));
    let forged = any(|change| matches!(change, Change::ForgeDocument(..)));
    let delivered = harness.condition(ConditionType::TrafficDelivered);
    let arrived: u64 = harness.aws.records_by_second().values().sum();
    if let Some(traffic) = &status.traffic {
        let totals = &traffic.totals;
        assert_balanced(totals);
        if !forged {
            prop_assert!(totals.offered <= totals.scheduled, "{totals:?}");
        }
        match delivered.status {
            // The log is complete, so its totals are what the stream received.
            ConditionStatus::True | ConditionStatus::False if traffic.settled => {
                prop_assert!(totals.accepted <= arrived, "{totals:?}, {arrived} arrived");
                let uncertain = totals.unreported + totals.failed;
                prop_assert!(arrived - totals.accepted <= uncertain, "{totals:?}, {arrived} arrived");
            }
            _ => prop_assert!(
                delivered.reason == Reason::LogUnreadable
                    || delivered.reason == Reason::NotStarted
                    || !traffic.settled,
                "{delivered:?}"
            ),
        }
        let run = status.run.as_ref().unwrap();
        if run.outcome == Some(Outcome::Succeeded) && delivered.status != ConditionStatus::Unknown {
            prop_assert!(arrived * 100 >= totals.scheduled * 99, "{totals:?}, {arrived} arrived");
        }
    }
    // Resources that are left are reported, and only someone's change to their tags can be the
    // cause.
    let left = status.resources.iter().filter(|resource| resource.state == ResourceState::Present).count();
    prop_assert!(
        left == 0
            || any(|change| matches!(
                change,
                Change::UntagStream | Change::WriteNonsense | Change::ForgeDocument(..)
            )),
        "{:?}",
        status.resources
    );
    let snapshot = harness.aws.snapshot();
    prop_assert_eq!(
        snapshot.services.len() + snapshot.log_groups.len() + snapshot.scheduled_actions.len(),
        0
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_manual_changes_are_reported_truthfully(
        changes in prop::collection::vec((0_u64..150, change()), 1..4),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let harness = runtime.block_on(run_with(&changes));
        check(&harness, &changes)?;
    }
}
