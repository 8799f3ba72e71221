//! `foundation deploy`. In: parameters. Out: a stack that matches the template, and its Helm
//! values. Creates or updates one stack. An operation that is already in progress is watched to its
//! end first.

use std::collections::BTreeMap;

use super::context::{DesiredStack, StackContext, Update};
use super::error::{FoundationError, FoundationResult};
use super::follow::{Followed, follow, follow_last_operation};
use super::stack::{
    FOUNDATION_TAG, PART_OF_TAG, Stack, StackEvent, StackStatus, described, first_failure, is_deployed,
    lacks_service_linked_role, operation_state,
};
use super::template;

/// Returns the chart's values once the stack is up to date.
pub(super) async fn deploy(
    context: &StackContext<'_>,
    named: &BTreeMap<String, String>,
) -> FoundationResult<String> {
    for choice in template::choices(named) {
        (context.progress)(&choice);
    }
    let stack = loop {
        let Some(stack) = context.stacks.fetch(&context.stack_name).await? else {
            break create(context, named).await?;
        };
        context.claim(&stack)?;
        match operation_state(&stack.status) {
            StackStatus::Deleted => break create(context, named).await?,
            StackStatus::Ready => break update(context, stack, named).await?,
            StackStatus::Stuck(why) => return Err(stuck(context, &stack, why)),
            // The result may differ from what is requested now; the next iteration checks that.
            StackStatus::InProgress => follow_running_operation(context, &stack).await?,
        }
    };
    let values = stack.values().map(str::to_owned).ok_or_else(|| {
        let why = format!("the stack {} has no output with Helm values", stack.name);
        FoundationError::refused(why, format!("run `{}` to see its outputs", context.command("status")))
    })?;
    for line in next_steps(context, &stack) {
        (context.progress)(&line);
    }
    Ok(values)
}

async fn create(context: &StackContext<'_>, named: &BTreeMap<String, String>) -> FoundationResult<Stack> {
    let parameters = named.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
    let desired = DesiredStack { parameters, tags: tags(context, BTreeMap::new()) };
    let id = context.stacks.create(&context.stack_name, &desired).await?;
    deployed(context, &id, follow(context, &id, None).await?).await
}

async fn update(
    context: &StackContext<'_>,
    stack: Stack,
    named: &BTreeMap<String, String>,
) -> FoundationResult<Stack> {
    let known = context.stacks.fetch_events(&stack.id, None).await?;
    let desired = DesiredStack {
        parameters: template::for_update(named, &stack.parameters),
        tags: tags(context, stack.tags.clone()),
    };
    match context.stacks.update(&stack.id, &desired).await? {
        Update::NothingToChange => {
            (context.progress)(&format!("{} is up to date: nothing to change", stack.name));
            Ok(stack)
        }
        Update::Started => {
            let last = known.last().map(|event| event.id.clone());
            deployed(context, &stack.id, follow(context, &stack.id, last).await?).await
        }
    }
}

/// Watches an operation that someone else started, or that this command started before it was
/// interrupted.
async fn follow_running_operation(context: &StackContext<'_>, stack: &Stack) -> FoundationResult<()> {
    (context.progress)(&format!("{} is {}: waiting until that operation ends", stack.name, stack.status));
    let followed = follow_last_operation(context, &stack.id).await?;
    if followed.stack.is_none() && first_failure(&followed.events, &stack.id).is_none() {
        let why = format!("the stack {} was being deleted and no longer exists", stack.name);
        return Err(FoundationError::refused(
            why,
            format!("run `{}` to create a new one", context.command("deploy")),
        ));
    }
    deployed(context, &stack.id, followed).await.map(drop)
}

/// The stack's current tags, and ours.
fn tags(context: &StackContext<'_>, mut present: BTreeMap<String, String>) -> BTreeMap<String, String> {
    present.insert(PART_OF_TAG.0.into(), PART_OF_TAG.1.into());
    present.insert(FOUNDATION_TAG.into(), context.stack_name.clone());
    present
}

/// Returns the stack if the operation succeeded, otherwise an error with the first failure.
async fn deployed(context: &StackContext<'_>, stack_id: &str, followed: Followed) -> FoundationResult<Stack> {
    let Followed { stack, events } = followed;
    let remaining = match stack {
        Some(stack) if is_deployed(&stack.status) => return Ok(stack),
        remaining => remaining,
    };
    let cause = first_failure(&events, stack_id);
    let failure = match cause {
        Some(event) if !event.is_of_stack(stack_id) => Some(described(event)),
        // The operation was rejected as a whole. CloudFormation's validation has the details, if
        // the caller may read them.
        _ => {
            let invalid = context.stacks.fetch_invalid(stack_id).await.unwrap_or_default();
            invalid.into_iter().next().or(cause.map(described))
        }
    };
    Err(failed(context, remaining.as_ref(), cause, failure))
}

fn failed(
    context: &StackContext<'_>,
    left: Option<&Stack>,
    cause: Option<&StackEvent>,
    failure: Option<String>,
) -> FoundationError {
    let name = &context.stack_name;
    let what = match left {
        None => format!("creating the stack {name} failed, and CloudFormation deleted it"),
        Some(stack) => format!("the operation on the stack {name} failed, and it is now {}", stack.status),
    };
    let why = match (failure, left.and_then(|stack| stack.reason.as_deref())) {
        (Some(failure), _) => format!("{what}; the first failure: {failure}"),
        (None, Some(reason)) => format!("{what}: {reason}"),
        (None, None) => what,
    };
    let again = context.command("deploy");
    let next = match left {
        _ if cause.is_some_and(lacks_service_linked_role) => {
            let first = match left {
                Some(_) => format!("run `{}`, then ", context.command("delete")),
                None => String::new(),
            };
            format!(
                "this account has never used ECS, which is now creating its service-linked role: {first}run `{again}` again in a minute"
            )
        }
        None => {
            format!("correct the reported cause and run `{again}` again; nothing is left of this attempt")
        }
        Some(stack) => match operation_state(&stack.status) {
            StackStatus::Ready => {
                format!("correct the reported cause and run `{again}` again; the stack is as it was before")
            }
            _ => recovery_steps(context, stack),
        },
    };
    FoundationError::refused(why, next)
}

fn stuck(context: &StackContext<'_>, stack: &Stack, why: &str) -> FoundationError {
    let reason = stack.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let why = format!("the stack {} is {} and cannot be updated: {why}{reason}", stack.name, stack.status);
    FoundationError::refused(why, recovery_steps(context, stack))
}

/// What to do with a stack that cannot be updated.
fn recovery_steps(context: &StackContext<'_>, stack: &Stack) -> String {
    let (delete, deploy) = (context.command("delete"), context.command("deploy"));
    if stack.status == "UPDATE_ROLLBACK_FAILED" {
        return format!(
            "run `aws cloudformation continue-update-rollback --region {} --stack-name {}`, then `{deploy}`; or run `{delete}`",
            context.region, stack.name
        );
    }
    format!("remove what is left with `{delete}`, then create a new stack with `{deploy}`")
}

/// Lines that say what to do after a successful deployment.
fn next_steps(context: &StackContext<'_>, stack: &Stack) -> Vec<String> {
    let of = |key: &str| stack.outputs.get(key).map_or("", String::as_str);
    let namespace = stack.parameters.get("OperatorNamespace").map_or("kinesis-demo-system", String::as_str);
    vec![
        format!(
            "{} is {}; its Helm values are on stdout (to print them again: {} --output values)",
            stack.name,
            stack.status,
            context.command("status")
        ),
        format!(
            "next: push the images with `make push REGISTRY={}` (foundation/README.md), then run",
            of("Registry")
        ),
        format!(
            "      helm install kinesis-demo charts/kinesis-demo-operator --namespace {namespace} --create-namespace --values FILE"
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foundation::fake::{Cloud, STACK_ID, Step, event, stack_event};

    fn named(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    async fn deploying(cloud: &Cloud, pairs: &[(&str, &str)]) -> FoundationResult<String> {
        let named = named(pairs);
        cloud.with_context(async |context| deploy(context, &named).await).await
    }

    fn creation(end: Step) -> Vec<Step> {
        let started = stack_event("CREATE_IN_PROGRESS", Some("User Initiated"));
        let vpc = event("Vpc", "AWS::EC2::VPC", "CREATE_COMPLETE", None);
        vec![Step::of(vec![started]), Step::of(vec![vpc]), end]
    }

    fn created() -> Step {
        Step::to("CREATE_COMPLETE", vec![stack_event("CREATE_COMPLETE", None)])
    }

    fn broken(type_: &str, reason: &str) -> Step {
        let cause = event("Cluster", type_, "CREATE_FAILED", Some(reason));
        let left = stack_event("DELETE_IN_PROGRESS", Some("The following resource(s) failed to create"));
        Step::to("DELETE_COMPLETE", vec![cause, left, stack_event("DELETE_COMPLETE", None)])
    }

    #[tokio::test(start_paused = true)]
    async fn a_stack_is_created_with_tags_and_its_values_returned() {
        let cloud = Cloud::default();
        cloud.then(creation(created()));
        let values = deploying(&cloud, &[("Network", "PrivateNat")]).await.unwrap();
        assert_eq!(values, "image: {}\n");
        let (verb, desired) = cloud.changes().remove(0);
        assert_eq!(verb, "create kinesis-demo");
        assert_eq!(desired.parameters, [("Network".to_owned(), Some("PrivateNat".to_owned()))]);
        let tags = [(PART_OF_TAG.0, PART_OF_TAG.1), (FOUNDATION_TAG, "kinesis-demo")];
        assert_eq!(desired.tags, named(&tags));
        let lines = cloud.progress();
        assert!(lines[0].starts_with("Network=PrivateNat (default Public): "), "{lines:?}");
        assert!(lines[2].contains("Vpc") && lines[2].ends_with("CREATE_COMPLETE"), "{lines:?}");
        assert!(lines[4].contains("kubectl kinesisdemo foundation status --output values"), "{lines:?}");
        assert_eq!((cloud.changes().len(), lines.len()), (1, 7));
    }

    #[tokio::test(start_paused = true)]
    async fn an_existing_stack_is_updated_and_keeps_other_values() {
        let cloud = Cloud::with_stack("UPDATE_ROLLBACK_COMPLETE");
        cloud.edit(|stack| {
            stack.parameters = named(&[("Network", "Public"), ("ClusterName", "load")]);
            stack.tags.insert("team".into(), "media".into());
        });
        cloud.add_event(stack_event("UPDATE_ROLLBACK_COMPLETE", None));
        let started = stack_event("UPDATE_IN_PROGRESS", Some("User Initiated"));
        cloud.then(vec![
            Step::to("UPDATE_IN_PROGRESS", vec![started]),
            Step::to("UPDATE_COMPLETE", vec![stack_event("UPDATE_COMPLETE", None)]),
        ]);
        deploying(&cloud, &[("Network", "PrivateEndpoints")]).await.unwrap();
        let (verb, desired) = cloud.changes().remove(0);
        assert_eq!(verb, format!("update {STACK_ID}"));
        let network = ("Network".to_owned(), Some("PrivateEndpoints".to_owned()));
        assert_eq!(desired.parameters, [("ClusterName".to_owned(), None), network]);
        assert_eq!(desired.tags.get("team").map(String::as_str), Some("media"));
        assert_eq!(desired.tags.len(), 3);
        // Events from before the update are not reported as part of it.
        assert!(!cloud.progress().iter().any(|line| line.ends_with("UPDATE_ROLLBACK_COMPLETE")));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_to_change_is_a_success() {
        let cloud = Cloud::with_stack("CREATE_COMPLETE");
        cloud.has_nothing_to_change();
        assert_eq!(deploying(&cloud, &[]).await.unwrap(), "image: {}\n");
        assert_eq!(cloud.progress()[0], "kinesis-demo is up to date: nothing to change");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_creation_is_watched_to_the_end_with_its_cause() {
        let cloud = Cloud::default();
        cloud.then(creation(broken("AWS::ECS::Cluster", "Limit exceeded")));
        let error = deploying(&cloud, &[]).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "creating the stack kinesis-demo failed, and CloudFormation deleted it; the first failure: Cluster (AWS::ECS::Cluster) CREATE_FAILED: Limit exceeded"
        );
        assert!(error.next_step().unwrap().ends_with("nothing is left of this attempt"));
        assert!(cloud.progress().last().unwrap().ends_with("DELETE_COMPLETE"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_validation_failure_is_reported_with_its_details() {
        let cloud = Cloud::default();
        let whole =
            stack_event("CREATE_FAILED", Some("Validation failed with 1 error(s). Call DescribeEvents"));
        cloud.then(creation(Step::to("DELETE_COMPLETE", vec![whole])));
        cloud.is_invalid("GeneratorRepository (AWS::ECR::Repository): it already exists");
        let error = deploying(&cloud, &[]).await.unwrap_err();
        let end = "the first failure: GeneratorRepository (AWS::ECR::Repository): it already exists";
        assert!(error.to_string().ends_with(end), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_new_to_ecs_is_advised_to_retry() {
        let cloud = Cloud::default();
        cloud.then(creation(broken("AWS::ECS::Cluster", "Unable to assume the service linked role.")));
        let next = deploying(&cloud, &[]).await.unwrap_err().next_step().unwrap();
        assert!(next.contains("`kubectl kinesisdemo foundation deploy` again in a minute"), "{next}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_update_leaves_the_stack_as_it_was() {
        let cloud = Cloud::with_stack("CREATE_COMPLETE");
        let started = stack_event("UPDATE_IN_PROGRESS", Some("User Initiated"));
        let cause = event("NatGateway", "AWS::EC2::NatGateway", "CREATE_FAILED", Some("no address"));
        cloud.then(vec![
            Step::to("UPDATE_IN_PROGRESS", vec![started, cause]),
            Step::to("UPDATE_ROLLBACK_COMPLETE", vec![stack_event("UPDATE_ROLLBACK_COMPLETE", None)]),
        ]);
        let error = deploying(&cloud, &[("Network", "PrivateNat")]).await.unwrap_err();
        assert!(
            error.to_string().contains("it is now UPDATE_ROLLBACK_COMPLETE; the first failure: NatGateway"),
            "{error}"
        );
        assert!(error.next_step().unwrap().ends_with("the stack is as it was before"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_running_operation_is_watched_before_the_update() {
        let cloud = Cloud::with_stack("CREATE_IN_PROGRESS");
        cloud.add_event(stack_event("CREATE_IN_PROGRESS", Some("User Initiated")));
        cloud.then(vec![Step::quiet(), created()]);
        cloud.has_nothing_to_change();
        assert_eq!(deploying(&cloud, &[]).await.unwrap(), "image: {}\n");
        let lines = cloud.progress();
        assert_eq!(lines[0], "kinesis-demo is CREATE_IN_PROGRESS: waiting until that operation ends");
        // Events from before the interruption are reported again, so that a failure among them is
        // found.
        assert!(lines[1].contains("CREATE_IN_PROGRESS") && lines[2].contains("CREATE_COMPLETE"), "{lines:?}");
        assert_eq!(cloud.changes().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_running_rollback_is_watched_by_id_and_reported() {
        let cloud = Cloud::with_stack("DELETE_IN_PROGRESS");
        cloud.add_event(stack_event("CREATE_IN_PROGRESS", Some("User Initiated")));
        cloud.add_event(event("Cluster", "AWS::ECS::Cluster", "CREATE_FAILED", Some("Limit exceeded")));
        cloud.add_event(stack_event("DELETE_IN_PROGRESS", Some("Delete requested by user.")));
        cloud.then(vec![Step::to("DELETE_COMPLETE", vec![stack_event("DELETE_COMPLETE", None)])]);
        let error = deploying(&cloud, &[]).await.unwrap_err();
        assert!(error.to_string().ends_with("CREATE_FAILED: Limit exceeded"), "{error}");

        let cloud = Cloud::with_stack("DELETE_IN_PROGRESS");
        cloud.add_event(stack_event("DELETE_IN_PROGRESS", Some("User Initiated")));
        cloud.then(vec![Step::to("DELETE_COMPLETE", vec![stack_event("DELETE_COMPLETE", None)])]);
        let error = deploying(&cloud, &[]).await.unwrap_err();
        assert_eq!(error.to_string(), "the stack kinesis-demo was being deleted and no longer exists");
        assert_eq!(cloud.changes(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_stack_is_refused_with_recovery_steps() {
        for status in ["ROLLBACK_COMPLETE", "DELETE_FAILED", "REVIEW_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"] {
            let cloud = Cloud::with_stack(status);
            let error = deploying(&cloud, &[]).await.unwrap_err();
            assert!(error.to_string().contains(&format!("is {status} and cannot be updated: ")), "{error}");
            let next = error.next_step().unwrap();
            assert!(next.contains("kubectl kinesisdemo foundation delete"), "{next}");
            assert_eq!(next.contains("continue-update-rollback"), status == "UPDATE_ROLLBACK_FAILED");
            assert_eq!(cloud.changes(), []);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stack_that_is_not_ours_is_not_updated() {
        let cloud = Cloud::with_stack("CREATE_COMPLETE");
        cloud.edit(|stack| stack.tags.clear());
        let error = deploying(&cloud, &[]).await.unwrap_err();
        assert!(error.to_string().contains("not a KinesisDemo foundation"), "{error}");
        assert_eq!(cloud.changes(), []);
    }
}
