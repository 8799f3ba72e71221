//! The stream that a run creates.

use kinesis_demo_api::plan::Plan;

use super::names::Names;
use crate::aws::{NewStream, Tags};

/// The stream, with its warm throughput from the start.
pub fn new_stream(names: &Names, plan: &Plan, tags: Tags) -> NewStream {
    NewStream { name: names.stream.clone(), warm_mib_per_second: plan.warm_mib_per_second, tags }
}
