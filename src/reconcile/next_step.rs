//! The next step for the user after a failed run, appended to its message.

use kinesis_demo_api::conditions::Reason;

/// The longest cause in a message. An Event note has at most 1,024 bytes, and status has the whole
/// cause.
const LONGEST_CAUSE: usize = 800;

/// The message of a failed run, with the next step.
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

/// The next step after a run failed for this reason; `None` for reasons that fail no run.
fn next_step(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::SettingsMissing => {
            "start the operator with --task-role-arn and --execution-role-arn, then rerun"
        }
        Reason::RequestRefused => {
            "correct what AWS reports (often a subnet, security group, role or image), then rerun"
        }
        Reason::DeadlineExceeded => {
            "raise limits.maxDuration (it includes provisioning and warming), then rerun"
        }
        Reason::StreamTimeout => "check the stream in AWS, then rerun",
        Reason::ProvisioningTimeout => "provide or allow what is missing, then rerun",
        Reason::WarmThroughputTimeout => "request less (stream.warmThroughput), or rerun",
        Reason::StartTimeout => {
            "fix what ECS reports (image, subnets, roles, the account's vCPU quota), then rerun"
        }
        Reason::CohortIncomplete => {
            "create, rerun or correct the members that the message names, and rerun all others"
        }
        Reason::CohortMemberEnded => "correct what ended the other member, then rerun all of them",
        Reason::CohortStartMissed => "check that the operator runs, then rerun all members",
        Reason::NothingDelivered => {
            "check the records (status.phases) and the tasks (status.generators), then rerun"
        }
        Reason::StreamDeleted | Reason::ServiceDeleted => "find out who is allowed to delete it, then rerun",
        Reason::ControlOverwritten => "find out who is allowed to write it (ssm:PutParameter), then rerun",
        Reason::ScheduleNotOffered => {
            "check which tasks stopped or were missing (status.phases, status.generators), then rerun"
        }
        Reason::TooManyInterruptions => "check the Events for calls that AWS refused, then rerun",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_step_is_never_cut_off() {
        let long = "ü".repeat(3_000) + ".";
        let message = with_next_step(Reason::StartTimeout, &long);
        assert!(
            message.ends_with(", then rerun") && message.contains("…. Next: fix what ECS reports"),
            "{message}"
        );
        assert!(
            message.len() < 1_000,
            "{} bytes: an Event note has at most 1,024 bytes, and more text precedes this",
            message.len()
        );
        assert_eq!(
            with_next_step(Reason::StreamDeleted, "it was deleted."),
            "it was deleted. Next: find out who is allowed to delete it, then rerun"
        );
        assert_eq!(with_next_step(Reason::Completed, "the schedule is complete"), "the schedule is complete");
    }
}
