//! Invariants of a run under random faults: stages go forward, the books balance, nothing is left.

use std::time::Duration;

use kinesis_demo_api::status::Stage;
use kinesis_demo_operator::aws::AwsErrorClass;
use kinesis_demo_testing::aws::FinalLine;
use kinesis_demo_testing::totals::assert_balanced;
use proptest::prelude::*;

use crate::harness::{Harness, s, warm_spec};

#[derive(Clone, Debug)]
enum Fault {
    /// The operator is down for this many seconds, then another one takes over.
    Outage(u64),
    /// The n-th running task dies.
    Kill(usize, FinalLine),
    /// The next calls fail with this class, this many times.
    Errors(AwsErrorClass, u32),
    /// This many responses are lost.
    LostResponses(u32),
    /// At most this many tasks can run at once.
    Capacity(u32),
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        (1_u64..400).prop_map(Fault::Outage),
        (0_usize..10, prop_oneof![Just(FinalLine::Written), Just(FinalLine::Missing)])
            .prop_map(|(task, word)| Fault::Kill(task, word)),
        (
            prop_oneof![
                Just(AwsErrorClass::Throttled),
                Just(AwsErrorClass::Transient),
                Just(AwsErrorClass::Denied)
            ],
            1_u32..30
        )
            .prop_map(|(class, times)| Fault::Errors(class, times)),
        (1_u32..10).prop_map(Fault::LostResponses),
        (1_u32..12).prop_map(Fault::Capacity),
    ]
}

async fn run_with(faults: Vec<(u64, Fault)>) -> Harness {
    let mut harness = Harness::new(warm_spec());
    for (after, fault) in faults {
        harness.run_for(s(after)).await;
        match fault {
            Fault::Outage(seconds) => {
                harness.clock.advance(s(seconds));
                harness.restart();
            }
            Fault::Kill(index, word) => {
                if let Some(task) = harness.aws.running_tasks().get(index) {
                    harness.aws.kill_task(task, word);
                }
            }
            Fault::Errors(class, times) => harness.aws.fail("*", class, times),
            Fault::LostResponses(times) => harness.aws.lose_response("*", times),
            Fault::Capacity(tasks) => harness.aws.set_capacity(tasks),
        }
    }
    harness.run_to_end().await;
    harness
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_faults_leave_balanced_totals_and_no_resources(
        faults in prop::collection::vec((0_u64..200, fault()), 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let harness = runtime.block_on(run_with(faults));
        let status = harness.status();
        prop_assert!(status.stage.is_some_and(Stage::is_terminal), "{:?}", status.stage);
        harness.assert_nothing_left();
        let order: Vec<Stage> = harness.stages.clone();
        let mut sorted = order.clone();
        sorted.sort();
        prop_assert_eq!(&order, &sorted, "stages must go forward");
        if let Some(traffic) = &status.traffic {
            assert_balanced(&traffic.totals);
            let run = status.run.as_ref().unwrap();
            let control = status.control.as_ref().unwrap();
            prop_assert!(control.assignments.len() <= 1000);
            for phase in &status.phases {
                let planned: u64 = u64::from(phase.records_per_second) * 120;
                prop_assert!(phase.totals.scheduled <= planned + 5, "{phase:?}");
            }
            prop_assert!(traffic.totals.unreported <= 5_000 * 10 * Duration::from_secs(5).as_secs() * 2, "{:?}", traffic.totals);
            prop_assert!(run.finished_at.is_some());
        }
    }
}
