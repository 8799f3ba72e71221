//! The task definition of a run: one for the whole run, so that a change of rate never redeploys.
//! Settings that may change during a run are in the control document; fixed ones are in the
//! environment.

use std::collections::BTreeMap;
use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::plan::Plan;
use sha2::{Digest, Sha256};

use super::names::Names;
use crate::aws::{NewTaskDefinition, Tags};
use crate::settings::Timings;

/// From SIGTERM to SIGKILL: long enough to finish requests in flight and to write the final ledger
/// line.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// The roles under which tasks run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    pub task: String,
    pub execution: String,
}

/// The task definition of run number `run`, whose tasks send nothing after `scale_to_zero`.
pub fn new_task_definition(
    names: &Names,
    plan: &Plan,
    run: u32,
    scale_to_zero: MicroTime,
    roles: Roles,
    timings: &Timings,
    tags: Tags,
) -> NewTaskDefinition {
    let environment = [
        ("AWS_REGION", plan.region.clone()),
        ("KINESISDEMO_CONTROL_PARAMETER", names.parameter.clone()),
        ("KINESISDEMO_STREAM", names.stream.clone()),
        ("KINESISDEMO_RUN", run.to_string()),
        ("KINESISDEMO_RUN_NAME", names.service.clone()),
        ("KINESISDEMO_DEADLINE", scale_to_zero.to_string()),
        ("KINESISDEMO_MAX_RECORDS_PER_SECOND", plan.highest_rate().to_string()),
        ("KINESISDEMO_RECORD_SIZE", plan.record_size.to_string()),
        ("KINESISDEMO_SEED", seed(&names.service).to_string()),
        ("KINESISDEMO_LEDGER_EVERY_SECONDS", timings.ledger_every.as_secs().max(1).to_string()),
    ];
    NewTaskDefinition {
        family: names.family.clone(),
        image: plan.image.clone(),
        cpu: plan.fargate.cpu,
        memory_mib: plan.fargate.memory_mib,
        architecture: plan.fargate.architecture,
        task_role_arn: roles.task,
        execution_role_arn: roles.execution,
        environment: environment
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
        log_group: names.log_group.clone(),
        region: plan.region.clone(),
        stop_timeout: STOP_TIMEOUT,
        tags,
    }
}

/// The run's seed: the same run name gives the same records. Tasks mix in their own id.
fn seed(name: &str) -> u64 {
    let digest = Sha256::digest(name);
    digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}
