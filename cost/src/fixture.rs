//! Plans for the tests of this crate.

use kinesis_demo_api::demo::KinesisDemoSpec;
use kinesis_demo_api::plan::{Defaults, Plan};

/// The plan of the default event, with this change.
pub fn plan(change: impl FnOnce(&mut KinesisDemoSpec)) -> Plan {
    let defaults = Defaults {
        region: "us-east-1".into(),
        image: Some("generator:1".into()),
        subnets: vec!["subnet-0a1b2c3d".into()],
        security_groups: vec![],
    };
    let mut spec = KinesisDemoSpec::default();
    change(&mut spec);
    Plan::new(&spec, &defaults).unwrap()
}
