//! One conformance suite, two arms. Each body of `kinesis_demo_testing::conformance` becomes two
//! tests: `fake::…` against the fake AWS of the scenario tests, and `sandbox::…` against the
//! sandbox through the operator's real adapters. So the fake cannot be kinder than the sandbox.
//! Where the two differed, AWS's documentation decided; where it is silent, the stricter behaviour.
//!
//! Only the fake can show:
//! - that a stream with queues cannot be deleted: the sandbox has no CreateQueue;
//! - warm throughput that is granted in part, or a target that stays after its release: no
//!   documented call brings that about;
//! - a cluster that is deleted while in use: the operator's traits cannot delete one;
//! - tasks that send records by a control document: in the sandbox that takes the real generator
//!   and real time (`tests/end_to_end`);
//! - several pages of ledger lines: the sandbox returns up to 1 MiB per page, and tests its pages
//!   in `sandbox/src/services/logs/tests.rs`.
//!
//! Only the sandbox can show:
//! - limits of calls per second: between the calls of a reconcile, no time passes in the fake;
//! - wrong credentials, and the SDK's attempts and timeouts: the fake replaces the adapters, and
//!   the SDK is below them;
//! - log lines that are no ledger lines: the adapter drops them;
//! - the warnings about a dashboard and the errors in its widgets: the fake only looks for widgets;
//! - growing delays between launches of tasks that fail to start, the read-after-write lag of ECS,
//!   and a revision that is DELETE_IN_PROGRESS while a service uses it: the fake acts at once;
//! - a commitment that ends by itself after 24 hours: the fake is told the state of Advantage;
//! - the service-linked roles of a new account: the fake is told to fail the first calls
//!   (`tests/scenarios/new_account.rs`);
//! - the rules for names of parameters, and for characters and lengths of tags: the operator makes
//!   these names and tags itself (`src/reconcile/resources/`).
//!
//! The arms differ on purpose where AWS documents nothing, since the operator must cope with both:
//! - a scheduled action that has run is deleted in the fake, and stays in the sandbox;
//! - a stream that is created with warm throughput is CREATING and then UPDATING in the fake, and
//!   CREATING all the time in the sandbox.
//!
//! No arm can show tags together with an overwrite of a parameter: the operator's traits have no
//! such call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod sandbox_arm;

use std::collections::BTreeSet;

use kinesis_demo_testing::conformance::{Arm, BODIES, Body, FakeArm, METHODS};
use kinesis_demo_testing::for_each_conformance_body;

use sandbox_arm::SandboxArm;

async fn run_in_the_fake(name: &str) -> FakeArm {
    let arm = FakeArm::new();
    Body::named(name).run(&arm).await;
    arm
}

/// Runs the body in the sandbox, and compares the operations that it called with those that it
/// called in the fake.
async fn run_in_the_sandbox(name: &str) {
    let arm = SandboxArm::start().await;
    Body::named(name).run(&arm).await;
    let fake = run_in_the_fake(name).await;
    assert_eq!(arm.called_operations().await, fake.called_operations().await);
    arm.stop().await;
}

macro_rules! tests {
    ($($topic:ident { $($body:ident,)+ })+) => {
        mod fake {
            $(mod $topic {
                $(#[tokio::test]
                async fn $body() {
                    crate::run_in_the_fake(concat!(stringify!($topic), "::", stringify!($body))).await;
                })+
            })+
        }

        mod sandbox {
            $(mod $topic {
                $(#[tokio::test]
                async fn $body() {
                    crate::run_in_the_sandbox(concat!(stringify!($topic), "::", stringify!($body))).await;
                })+
            })+
        }
    };
}

for_each_conformance_body!(tests);

#[tokio::test]
async fn bodies_call_every_method_and_operation() {
    let (mut methods, mut operations) = (BTreeSet::new(), BTreeSet::new());
    for body in BODIES {
        let arm = run_in_the_fake(body.name).await;
        methods.extend(arm.called_methods().names());
        operations.extend(arm.called_operations().await);
    }
    assert_eq!(methods, METHODS.iter().copied().collect());
    let expected: BTreeSet<String> = OPERATIONS.split_ascii_whitespace().map(str::to_owned).collect();
    assert_eq!(operations, expected);
}

/// The operations that the operator calls. Some services have one of the same name.
const OPERATIONS: &str = "
    GetCallerIdentity
    CreateStream DeleteStream DescribeAccountSettings DescribeStreamSummary UpdateStreamWarmThroughput
    DeleteTaskDefinitions DeregisterTaskDefinition DescribeTaskDefinition ListTaskDefinitions RegisterTaskDefinition
    CreateService DeleteService DescribeClusters DescribeServices UpdateService
    DescribeTasks ListTasks UpdateTaskProtection
    DeleteScheduledAction DeregisterScalableTarget DescribeScalableTargets DescribeScheduledActions
    PutScheduledAction RegisterScalableTarget
    AddTagsToResource DeleteParameter GetParameter PutParameter
    CreateLogGroup DeleteLogGroup DescribeLogGroups FilterLogEvents GetLogEvents PutRetentionPolicy
    DeleteDashboards GetDashboard PutDashboard PutMetricData
    ListTagsForResource
";
