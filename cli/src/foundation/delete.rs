//! `foundation delete`. In: a stack; the active services and tasks of its cluster; the KinesisDemos
//! in Kubernetes. Out: success once nothing of the stack is left, or an error that says why
//! something remains. Deletes one stack of ours, and only while no run needs it.

use super::context::{Services, StackContext};
use super::error::{FoundationError, FoundationResult};
use super::follow::{Followed, follow, follow_last_operation};
use super::runs::{FetchedRuns, Runs, live_runs};
use super::stack::{Stack, StackStatus, described, operation_state, undeleted};

/// How many runs an error names.
const NAMED: usize = 10;

/// `runs` is None if Kubernetes is not to be checked.
pub(super) async fn delete(
    context: &StackContext<'_>,
    services: &dyn Services,
    runs: Option<&dyn Runs>,
) -> FoundationResult<()> {
    let Some(mut stack) = context.stacks.fetch(&context.stack_name).await? else {
        (context.progress)(&format!(
            "there is no stack {} in {}: nothing to delete",
            context.stack_name, context.region
        ));
        return Ok(());
    };
    context.claim(&stack)?;
    // Wait for an update to end first, so that the state of every resource is known. A creation can
    // be deleted at once.
    while operation_state(&stack.status) == StackStatus::InProgress
        && !matches!(stack.status.as_str(), "DELETE_IN_PROGRESS" | "CREATE_IN_PROGRESS")
    {
        (context.progress)(&format!("{} is {}: waiting until that operation ends", stack.name, stack.status));
        match follow_last_operation(context, &stack.id).await?.stack {
            Some(remaining) => stack = remaining,
            None => return report_deleted(context),
        }
    }
    let followed = if stack.status == "DELETE_IN_PROGRESS" {
        (context.progress)(&format!("{} is already being deleted: watching that deletion", stack.name));
        follow_last_operation(context, &stack.id).await?
    } else {
        refuse_while_runs_live(context, &stack, services, runs).await?;
        let known = context.stacks.fetch_events(&stack.id, None).await?;
        context.stacks.delete(&stack.id).await?;
        follow(context, &stack.id, known.last().map(|event| event.id.clone())).await?
    };
    match followed.stack {
        None => report_deleted(context),
        Some(_) => Err(deletion_failed(context, &stack, &followed)),
    }
}

fn report_deleted(context: &StackContext<'_>) -> FoundationResult<()> {
    (context.progress)(&format!(
        "the stack {} is completely deleted in {}",
        context.stack_name, context.region
    ));
    Ok(())
}

async fn refuse_while_runs_live(
    context: &StackContext<'_>,
    stack: &Stack,
    services: &dyn Services,
    runs: Option<&dyn Runs>,
) -> FoundationResult<()> {
    let again = context.command("delete");
    if let Some(cluster) = context.stacks.fetch_cluster(&stack.id).await? {
        let live = services.fetch_live(&cluster).await?;
        if !live.is_empty() {
            return Err(FoundationError::refused(
                format!("the ECS cluster {cluster} has active services or tasks: {}", named(&live)),
                format!(
                    "end a run with `kubectl kinesisdemo stop NAME`, all runs of a Kubernetes cluster with \
                     `kubectl kinesisdemo cleanup --all -A`, and services without a KinesisDemo with \
                     `aws ecs delete-service`; then run `{again}`"
                ),
            ));
        }
    }
    let objects = match runs {
        None => {
            (context.progress)("Kubernetes is not checked for active runs; AWS has none");
            return Ok(());
        }
        Some(runs) => match runs.fetch().await? {
            FetchedRuns::Objects(objects) => objects,
            FetchedRuns::Unavailable(why) => {
                (context.progress)(&format!("{why}: only AWS was checked for active runs; it has none"));
                return Ok(());
            }
        },
    };
    let live = live_runs(&objects, &context.account, &context.region);
    if live.is_empty() {
        return Ok(());
    }
    Err(FoundationError::refused(
        format!(
            "KinesisDemos of account {} and Region {} are not over: {}",
            context.account,
            context.region,
            named(&live)
        ),
        format!(
            "end a run with `kubectl kinesisdemo stop NAME --namespace NAMESPACE`, or delete its object with \
             `kubectl kinesisdemo cleanup NAME --namespace NAMESPACE`; then run `{again}`"
        ),
    ))
}

fn named(live: &[String]) -> String {
    let named = live.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match live.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn deletion_failed(context: &StackContext<'_>, stack: &Stack, followed: &Followed) -> FoundationError {
    let left: Vec<String> = undeleted(&followed.events, &stack.id).into_iter().map(described).collect();
    let status = followed.stack.as_ref().map_or("", |stack| &stack.status);
    let reason = followed.stack.as_ref().and_then(|stack| stack.reason.as_deref());
    let what = match (left.is_empty(), reason) {
        (false, _) => left.join("; "),
        (true, Some(reason)) => reason.to_owned(),
        (true, None) => "no reason given".into(),
    };
    FoundationError::refused(
        format!("the stack {} is {status}: {what}", stack.name),
        format!(
            "remove what blocks these resources, then run `{}` again; all other resources are deleted",
            context.command("delete")
        ),
    )
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use serde_json::json;

    use super::*;
    use crate::foundation::fake::{Cloud, STACK_ID, Step, event, stack_event};

    /// A Kubernetes cluster with one object of that stage, or no cluster.
    struct Objects(Option<&'static str>);

    #[async_trait]
    impl Runs for Objects {
        async fn fetch(&self) -> FoundationResult<FetchedRuns> {
            let Some(stage) = self.0 else {
                return Ok(FetchedRuns::Unavailable("there is no kubeconfig".into()));
            };
            let object = json!({"apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo",
                "metadata": {"name": "viral", "namespace": "demos"}, "spec": {}, "status": {"stage": stage}});
            Ok(FetchedRuns::Objects(vec![serde_json::from_value(object).unwrap()]))
        }
    }

    async fn deleting(cloud: &Cloud, runs: Option<&dyn Runs>) -> FoundationResult<()> {
        cloud.with_context(async |context| delete(context, cloud, runs).await).await
    }

    fn deletion() -> Vec<Step> {
        let started = stack_event("DELETE_IN_PROGRESS", Some("User Initiated"));
        vec![
            Step::to("DELETE_IN_PROGRESS", vec![started]),
            Step::to("DELETE_COMPLETE", vec![stack_event("DELETE_COMPLETE", None)]),
        ]
    }

    #[tokio::test(start_paused = true)]
    async fn a_stack_without_runs_is_deleted_completely() {
        let cloud = Cloud::with_stack("CREATE_COMPLETE");
        cloud.has_cluster(&[]);
        cloud.then(deletion());
        deleting(&cloud, Some(&Objects(Some("Succeeded")))).await.unwrap();
        let changes: Vec<String> = cloud.changes().into_iter().map(|(verb, _)| verb).collect();
        assert_eq!(changes, [format!("delete {STACK_ID}")]);
        let lines = cloud.progress();
        assert_eq!(lines.last().unwrap(), "the stack kinesis-demo is completely deleted in us-east-1");
        assert_eq!(lines.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stack_that_does_not_exist_is_a_success() {
        let cloud = Cloud::default();
        deleting(&cloud, Some(&Objects(Some("Running")))).await.unwrap();
        assert_eq!(cloud.progress(), ["there is no stack kinesis-demo in us-east-1: nothing to delete"]);
        assert_eq!(cloud.changes(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn active_services_and_tasks_block_the_deletion() {
        let cloud = Cloud::with_stack("UPDATE_COMPLETE");
        cloud.has_cluster(&["service kd-viral (ACTIVE)", "task 1 of service:kd-viral (RUNNING)"]);
        let error = deleting(&cloud, None).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the ECS cluster kinesis-demo has active services or tasks: service kd-viral (ACTIVE), task 1 of service:kd-viral (RUNNING)"
        );
        assert!(error.next_step().unwrap().contains("kubectl kinesisdemo stop NAME"));
        assert_eq!(cloud.changes(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_in_kubernetes_blocks_the_deletion() {
        let cloud = Cloud::with_stack("CREATE_COMPLETE");
        cloud.has_cluster(&[]);
        let error = deleting(&cloud, Some(&Objects(Some("Warming")))).await.unwrap_err();
        assert!(error.to_string().ends_with("are not over: demos/viral (Warming)"), "{error}");
        assert!(error.next_step().unwrap().contains("kubectl kinesisdemo cleanup NAME"));
        assert_eq!(cloud.changes(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_says_when_only_aws_was_checked() {
        for (runs, words) in [
            (Some(&Objects(None)), "there is no kubeconfig: only AWS was checked"),
            (None, "Kubernetes is not checked"),
        ] {
            let cloud = Cloud::with_stack("ROLLBACK_COMPLETE");
            cloud.then(deletion());
            deleting(&cloud, runs.map(|runs| runs as &dyn Runs)).await.unwrap();
            assert!(cloud.progress()[0].starts_with(words), "{:?}", cloud.progress());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_running_deletion_is_watched_and_not_repeated() {
        let cloud = Cloud::with_stack("DELETE_IN_PROGRESS");
        cloud.has_cluster(&["service kd-viral (DRAINING)"]);
        cloud.add_event(stack_event("DELETE_IN_PROGRESS", Some("User Initiated")));
        cloud.then(vec![Step::to("DELETE_COMPLETE", vec![stack_event("DELETE_COMPLETE", None)])]);
        deleting(&cloud, None).await.unwrap();
        assert_eq!(cloud.changes(), []);
        assert_eq!(cloud.progress().len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deletion_waits_for_a_running_update() {
        let cloud = Cloud::with_stack("UPDATE_ROLLBACK_IN_PROGRESS");
        cloud.then(vec![Step::to(
            "UPDATE_ROLLBACK_COMPLETE",
            vec![stack_event("UPDATE_ROLLBACK_COMPLETE", None)],
        )]);
        cloud.then(deletion());
        deleting(&cloud, None).await.unwrap();
        assert_eq!(cloud.changes().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn undeleted_resources_are_named_with_their_reason() {
        let cloud = Cloud::with_stack("DELETE_FAILED");
        cloud.add_event(event("Cluster", "AWS::ECS::Cluster", "DELETE_FAILED", Some("an older reason")));
        cloud.add_event(stack_event("DELETE_FAILED", None));
        let started = stack_event("DELETE_IN_PROGRESS", Some("User Initiated"));
        let cause = event("PublicSubnetA", "AWS::EC2::Subnet", "DELETE_FAILED", Some("has dependencies"));
        cloud.then(vec![
            Step::to("DELETE_IN_PROGRESS", vec![started]),
            Step::to("DELETE_FAILED", vec![cause, stack_event("DELETE_FAILED", Some("failed to delete"))]),
        ]);
        let error = deleting(&cloud, None).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the stack kinesis-demo is DELETE_FAILED: PublicSubnetA (AWS::EC2::Subnet) DELETE_FAILED: has dependencies"
        );
        assert!(error.next_step().unwrap().contains("`kubectl kinesisdemo foundation delete` again"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stack_that_is_not_ours_is_not_deleted() {
        let cloud = Cloud::with_stack("CREATE_COMPLETE");
        cloud.edit(|stack| stack.tags.clear());
        assert!(
            deleting(&cloud, None).await.unwrap_err().to_string().contains("not a KinesisDemo foundation")
        );
        assert_eq!(cloud.changes(), []);
    }

    #[test]
    fn an_error_names_ten_runs_and_counts_the_rest() {
        let live: Vec<String> = (1..=12).map(|number| format!("run-{number}")).collect();
        assert!(named(&live).ends_with("run-10 and 2 more"));
        assert_eq!(named(&live[..2]), "run-1, run-2");
    }
}
