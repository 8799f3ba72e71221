//! Watches an operation on a stack until it ends. In: the stack's ID, and the last event before the
//! operation. Out: its events, reported one by one, and the stack at the end. Polls CloudFormation;
//! changes nothing.

use std::time::Duration;

use tokio::time::Instant;

use super::context::StackContext;
use super::error::FoundationResult;
use super::stack::{Stack, StackEvent, StackStatus, before_last_operation, operation_state};

/// The poll interval: short after new events, then longer. A stack operation takes minutes, and its
/// events come every few seconds.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5);
/// CloudFormation's responses may lag behind. For this long, a stack that is not in progress is
/// polled again, in case that is not its final state.
const LAG: Duration = Duration::from_secs(30);

/// The result of an operation.
#[derive(Debug)]
pub(super) struct Followed {
    /// The stack at the end; None if it no longer exists.
    pub stack: Option<Stack>,
    /// The operation's events, oldest first.
    pub events: Vec<StackEvent>,
}

/// Watches the stack's last operation from its beginning, whether someone else started it or this
/// command did before it was interrupted.
pub(super) async fn follow_last_operation(
    context: &StackContext<'_>,
    stack_id: &str,
) -> FoundationResult<Followed> {
    let known = context.stacks.fetch_events(stack_id, None).await?;
    let before = before_last_operation(&known, stack_id).map(|event| event.id.clone());
    follow(context, stack_id, before).await
}

/// Watches the operation that started after the event `after`. Uses the stack's ID, since a failed
/// stack may delete itself.
pub(super) async fn follow(
    context: &StackContext<'_>,
    stack_id: &str,
    after: Option<String>,
) -> FoundationResult<Followed> {
    let mut last = after;
    let mut events: Vec<StackEvent> = Vec::new();
    let mut pause = SHORTEST;
    let mut settled_since = None;
    loop {
        // Fetch the stack before its events, so that the event of a final status is included.
        let stack = context.stacks.fetch(stack_id).await?;
        let fresh = context.stacks.fetch_events(stack_id, last.as_deref()).await?;
        for event in &fresh {
            (context.progress)(&event.line());
        }
        pause = if fresh.is_empty() { LONGEST.min(pause * 2) } else { SHORTEST };
        last = fresh.last().map(|event| event.id.clone()).or(last);
        events.extend(fresh);
        let Some(stack) = stack else { return Ok(Followed { stack: None, events }) };
        match operation_state(&stack.status) {
            StackStatus::Deleted => return Ok(Followed { stack: None, events }),
            StackStatus::InProgress => settled_since = None,
            StackStatus::Ready | StackStatus::Stuck(_) => {
                // Until the event of this status arrives, it may be the status from before the
                // operation. A failed creation is also followed by the stack's deletion
                // (OnFailure), which may start a moment later.
                let is_current =
                    |event: &StackEvent| event.is_of_stack(stack_id) && event.status == stack.status;
                let is_last = !matches!(stack.status.as_str(), "CREATE_FAILED" | "ROLLBACK_COMPLETE");
                let since = *settled_since.get_or_insert_with(Instant::now);
                if (is_last && events.iter().any(is_current)) || since.elapsed() >= LAG {
                    return Ok(Followed { stack: Some(stack), events });
                }
            }
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foundation::fake::{Cloud, STACK_ID, Step, event, stack_event};

    #[tokio::test(start_paused = true)]
    async fn each_event_is_reported_once_until_the_operation_ends() {
        let cloud = Cloud::with_stack("CREATE_COMPLETE");
        let known = cloud.add_event(stack_event("CREATE_COMPLETE", None));
        cloud.then(vec![
            // The response lags behind: the stack is as it was.
            Step::quiet(),
            Step::to("UPDATE_IN_PROGRESS", vec![stack_event("UPDATE_IN_PROGRESS", Some("User Initiated"))]),
            Step::quiet(),
            Step::of(vec![event("Vpc", "AWS::EC2::VPC", "UPDATE_COMPLETE", None)]),
            Step::to("UPDATE_COMPLETE", vec![stack_event("UPDATE_COMPLETE", None)]),
        ]);
        let followed =
            cloud.with_context(async |context| follow(context, STACK_ID, Some(known)).await).await.unwrap();
        assert_eq!(followed.stack.unwrap().status, "UPDATE_COMPLETE");
        let statuses: Vec<&str> = followed.events.iter().map(|event| event.status.as_str()).collect();
        assert_eq!(statuses, ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE", "UPDATE_COMPLETE"]);
        assert_eq!(cloud.progress().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_creation_ends_when_the_stack_is_deleted() {
        let cloud = Cloud::with_stack("CREATE_IN_PROGRESS");
        cloud.then(vec![
            Step::to("ROLLBACK_COMPLETE", vec![stack_event("ROLLBACK_COMPLETE", None)]),
            Step::to("DELETE_IN_PROGRESS", vec![stack_event("DELETE_IN_PROGRESS", None)]),
            Step::to("DELETE_COMPLETE", vec![stack_event("DELETE_COMPLETE", None)]),
        ]);
        let followed =
            cloud.with_context(async |context| follow(context, STACK_ID, None).await).await.unwrap();
        assert_eq!((followed.stack, followed.events.len()), (None, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn polling_slows_down_and_stops_waiting_for_a_missing_event() {
        let cloud = Cloud::with_stack("CREATE_COMPLETE");
        let began = Instant::now();
        let followed =
            cloud.with_context(async |context| follow(context, STACK_ID, None).await).await.unwrap();
        assert_eq!(followed.stack.unwrap().status, "CREATE_COMPLETE");
        // 2 s, 4 s, and then every 5 s.
        assert_eq!(began.elapsed(), Duration::from_secs(31));
        assert_eq!(cloud.calls("fetch"), 8);
    }
}
