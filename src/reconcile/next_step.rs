//! What to do about a run that failed, for the end of its message.

use kinesis_demo_api::conditions::Reason;

/// How long a cause may be before what follows it: an Event holds 1,024 bytes in all, and the rest of a cause is in status.
const LONGEST_CAUSE: usize = 800;

/// The message of a failed run, with what to do next.
pub fn with_next_step(reason: Reason, message: &str) -> String {
    let Some(step) = next_step(reason) else { return message.to_owned() };
    let message = message.trim_end_matches('.');
    let mut end = LONGEST_CAUSE.min(message.len());
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let cut = if end < message.len() { "…" } else { "" };
    format!("{}{cut}. Next: {step}", message.get(..end).unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_step_is_never_cut_off() {
        let long = "ü".repeat(3_000) + ".";
        let told = with_next_step(Reason::StartTimeout, &long);
        assert!(told.ends_with(", then rerun") && told.contains("…. Next: mend what ECS names"), "{told}");
        assert!(told.len() < 1_000, "{} bytes: an Event holds 1,024, with more before it", told.len());
        assert_eq!(
            with_next_step(Reason::StreamGone, "it is gone."),
            "it is gone. Next: find out who may delete it, then rerun"
        );
        assert_eq!(with_next_step(Reason::Completed, "the schedule is complete"), "the schedule is complete");
    }
}
