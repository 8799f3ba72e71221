//! The operator's settings in tests: one account, one Region, and AWS's timings.

use kinesis_demo_api::allow_list::AllowList;
use kinesis_demo_api::limits::Limits;
use kinesis_demo_api::plan::Defaults;
use kinesis_demo_operator::settings::{Retention, Settings, Timings};

/// The settings of an operator that has all defaults, and allows objects nothing else.
pub fn settings() -> Settings {
    let defaults = Defaults {
        region: "us-east-1".into(),
        image: Some("generator:1".into()),
        subnets: vec!["subnet-0a1b2c3d".into()],
        security_groups: vec![],
    };
    Settings {
        accounts: vec!["000000000000".into()],
        limits: Limits {
            regions: vec!["us-east-1".into()],
            allow_list: AllowList::default().and_defaults(&defaults),
            max_records_per_second: 200_000,
            max_tasks: 100,
            max_warm_mib_per_second: 200,
        },
        defaults,
        ecs_cluster: "default".into(),
        task_role_arn: Some("arn:aws:iam::000000000000:role/task".into()),
        execution_role_arn: Some("arn:aws:iam::000000000000:role/execution".into()),
        assign_public_ip: true,
        max_runs: 10,
        retention: Retention::default(),
        prices: kinesis_demo_cost::prices::built_in::price_list(),
        timings: Timings::aws(),
    }
}
