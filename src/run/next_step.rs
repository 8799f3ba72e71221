//! What to do about a run that failed, for the end of its message.

use kinesis_demo_api::conditions::Reason;

/// The message of a failed run, with what to do next.
pub fn with_next_step(reason: Reason, message: &str) -> String {
    match next_step(reason) {
        Some(step) => format!("{message}. Next: {step}"),
        None => message.to_owned(),
    }
}

/// What to do about a run that failed for this reason; `None` for reasons that fail no run.
fn next_step(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::SettingsMissing => {
            "start the operator with --task-role-arn and --execution-role-arn, then rerun"
        }
        Reason::RequestRefused => {
            "correct what AWS names (often a subnet, security group, role or image), then rerun"
        }
        Reason::DeadlineExceeded => {
            "raise limits.maxDuration, which holds provisioning and warming too, then rerun"
        }
        Reason::StreamTimeout => "look at the stream in AWS, then rerun",
        Reason::ProvisioningTimeout => "allow or provide what is missing, then rerun",
        Reason::WarmThroughputTimeout => "ask for less (stream.warmThroughput), or rerun",
        Reason::StartTimeout => {
            "mend what ECS names (image, subnets, roles, the account's quota of vCPUs), then rerun"
        }
        Reason::NothingDelivered => {
            "see what became of the records (status.phases) and of the tasks (status.generators), then rerun"
        }
        Reason::StreamGone | Reason::ServiceGone => "find out who may delete it, then rerun",
        Reason::ControlOverwritten => "find out who may write it (ssm:PutParameter), then rerun",
        Reason::ScheduleNotOffered => {
            "see which tasks stopped or were missing (status.phases, status.generators), then rerun"
        }
        Reason::TooManyInterruptions => "see what AWS refused before (Events), then rerun",
        _ => return None,
    })
}
