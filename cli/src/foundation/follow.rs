//! Follows an operation on a stack to its end. In: the stack's ID, and the last event before the operation. Out: its events, told one by one,
//! and the stack as it was left. Asks CloudFormation again and again; changes nothing.

use std::time::Duration;

use tokio::time::Instant;

use super::stack::{Stack, StackEvent, StackStatus, before_last_operation, standing};
use super::{FoundationResult, Site};

/// How long to wait before asking again: short after news, then longer. A stack takes minutes, and its events come every few seconds.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5);
/// CloudFormation's answers may lag behind: how long a stack that stands still is asked again, in case that it is not the end.
const LAG: Duration = Duration::from_secs(30);

/// How an operation ended.
#[derive(Debug)]
pub(super) struct Followed {
    /// The stack as it was left; None if nothing of it is.
    pub stack: Option<Stack>,
    /// The operation's events, oldest first.
    pub events: Vec<StackEvent>,
}

/// Watches the stack's last operation from its beginning: what somebody else began, or this command before it was interrupted.
pub(super) async fn follow_last_operation(site: &Site<'_>, stack_id: &str) -> FoundationResult<Followed> {
    let known = site.stacks.fetch_events(stack_id, None).await?;
    let before = before_last_operation(&known, stack_id).map(|event| event.id.clone());
    follow(site, stack_id, before).await
}

/// Watches the operation that began after the event `after`. By the stack's ID, since a stack that failed may delete itself.
pub(super) async fn follow(
    site: &Site<'_>,
    stack_id: &str,
    after: Option<String>,
) -> FoundationResult<Followed> {
    let mut last = after;
    let mut events: Vec<StackEvent> = Vec::new();
    let mut pause = SHORTEST;
    let mut still_since = None;
    loop {
        // Asked before the events are read: the last one is there by then.
        let stack = site.stacks.fetch(stack_id).await?;
        let fresh = site.stacks.fetch_events(stack_id, last.as_deref()).await?;
        for event in &fresh {
            (site.tell)(&event.line());
        }
        pause = if fresh.is_empty() { LONGEST.min(pause * 2) } else { SHORTEST };
        last = fresh.last().map(|event| event.id.clone()).or(last);
        events.extend(fresh);
        let Some(stack) = stack else { return Ok(Followed { stack: None, events }) };
        match standing(&stack.status) {
            StackStatus::Gone => return Ok(Followed { stack: None, events }),
            StackStatus::Moving => still_since = None,
            StackStatus::Ready | StackStatus::Stuck(_) => {
                // Until its event is there, this may be how the stack was before the operation. And a creation that failed is followed
                // by the stack's deletion (OnFailure), which may begin a moment later.
                let told = |event: &StackEvent| event.is_of_stack(stack_id) && event.status == stack.status;
                let is_last = !matches!(stack.status.as_str(), "CREATE_FAILED" | "ROLLBACK_COMPLETE");
                let since = *still_since.get_or_insert_with(Instant::now);
                if (is_last && events.iter().any(told)) || since.elapsed() >= LAG {
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
    async fn each_event_is_told_once_and_the_end_is_the_operations_own() {
        let cloud = Cloud::with_stack("CREATE_COMPLETE");
        let known = cloud.happened(stack_event("CREATE_COMPLETE", None));
        cloud.will(vec![
            // The answer still lags behind: the stack is as it was.
            Step::quiet(),
            Step::to("UPDATE_IN_PROGRESS", vec![stack_event("UPDATE_IN_PROGRESS", Some("User Initiated"))]),
            Step::quiet(),
            Step::of(vec![event("Vpc", "AWS::EC2::VPC", "UPDATE_COMPLETE", None)]),
            Step::to("UPDATE_COMPLETE", vec![stack_event("UPDATE_COMPLETE", None)]),
        ]);
        let followed = cloud.visit(async |site| follow(site, STACK_ID, Some(known)).await).await.unwrap();
        assert_eq!(followed.stack.unwrap().status, "UPDATE_COMPLETE");
        let statuses: Vec<&str> = followed.events.iter().map(|event| event.status.as_str()).collect();
        assert_eq!(statuses, ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE", "UPDATE_COMPLETE"]);
        assert_eq!(cloud.told().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_creation_that_failed_is_not_over_before_the_stack_has_deleted_itself() {
        let cloud = Cloud::with_stack("CREATE_IN_PROGRESS");
        cloud.will(vec![
            Step::to("ROLLBACK_COMPLETE", vec![stack_event("ROLLBACK_COMPLETE", None)]),
            Step::to("DELETE_IN_PROGRESS", vec![stack_event("DELETE_IN_PROGRESS", None)]),
            Step::to("DELETE_COMPLETE", vec![stack_event("DELETE_COMPLETE", None)]),
        ]);
        let followed = cloud.visit(async |site| follow(site, STACK_ID, None).await).await.unwrap();
        assert_eq!((followed.stack, followed.events.len()), (None, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn it_asks_less_often_while_nothing_happens_and_gives_up_on_an_event_that_never_comes() {
        let cloud = Cloud::with_stack("CREATE_COMPLETE");
        let began = Instant::now();
        let followed = cloud.visit(async |site| follow(site, STACK_ID, None).await).await.unwrap();
        assert_eq!(followed.stack.unwrap().status, "CREATE_COMPLETE");
        // 2 s, 4 s, and then every 5 s.
        assert_eq!(began.elapsed(), Duration::from_secs(31));
        assert_eq!(cloud.calls("fetch"), 8);
    }
}
