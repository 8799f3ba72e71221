//! `foundation deploy`. In: parameters. Out: the stack as the template has it, and its Helm values. Creates or updates one stack; an operation
//! that goes on already is followed to its end first.

use std::collections::BTreeMap;

use super::follow::{Followed, follow, follow_last_operation};
use super::stack::{
    FOUNDATION_TAG, PART_OF_TAG, Stack, StackEvent, StackStatus, first_failure, is_deployed,
    lacks_service_linked_role, standing, told,
};
use super::{FoundationError, FoundationResult, Site, Update, Wanted, template};

/// The chart's values, once the stack is as it is wanted.
pub(super) async fn deploy(site: &Site<'_>, named: &BTreeMap<String, String>) -> FoundationResult<String> {
    for choice in template::choices(named) {
        (site.tell)(&choice);
    }
    let stack = loop {
        let Some(stack) = site.stacks.fetch(&site.stack_name).await? else {
            break create(site, named).await?;
        };
        site.claim(&stack)?;
        match standing(&stack.status) {
            StackStatus::Gone => break create(site, named).await?,
            StackStatus::Ready => break update(site, stack, named).await?,
            StackStatus::Stuck(why) => return Err(stuck(site, &stack, why)),
            // It may not be what is wanted now: that is seen when it has ended.
            StackStatus::Moving => adopt(site, &stack).await?,
        }
    };
    let values = stack.values().map(str::to_owned).ok_or_else(|| {
        let why = format!("the stack {} has no output with Helm values", stack.name);
        FoundationError::refused(why, format!("`{}` shows what it has", site.command("status")))
    })?;
    for line in farewell(site, &stack) {
        (site.tell)(&line);
    }
    Ok(values)
}

async fn create(site: &Site<'_>, named: &BTreeMap<String, String>) -> FoundationResult<Stack> {
    let parameters = named.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
    let wanted = Wanted { parameters, tags: tags(site, BTreeMap::new()) };
    let id = site.stacks.create(&site.stack_name, &wanted).await?;
    deployed(site, &id, follow(site, &id, None).await?).await
}

async fn update(site: &Site<'_>, stack: Stack, named: &BTreeMap<String, String>) -> FoundationResult<Stack> {
    let known = site.stacks.fetch_events(&stack.id, None).await?;
    let wanted = Wanted {
        parameters: template::for_update(named, &stack.parameters),
        tags: tags(site, stack.tags.clone()),
    };
    match site.stacks.update(&stack.id, &wanted).await? {
        Update::NothingToChange => {
            (site.tell)(&format!("{} is as it should be: nothing to change", stack.name));
            Ok(stack)
        }
        Update::Begun => {
            let last = known.last().map(|event| event.id.clone());
            deployed(site, &stack.id, follow(site, &stack.id, last).await?).await
        }
    }
}

/// Follows what somebody else began, or this command before it was interrupted.
async fn adopt(site: &Site<'_>, stack: &Stack) -> FoundationResult<()> {
    (site.tell)(&format!("{} is {} already: following that first", stack.name, stack.status));
    let followed = follow_last_operation(site, &stack.id).await?;
    if followed.stack.is_none() && first_failure(&followed.events, &stack.id).is_none() {
        let why = format!("the stack {} was being deleted, and is gone now", stack.name);
        return Err(FoundationError::refused(why, format!("`{}` makes a new one", site.command("deploy"))));
    }
    deployed(site, &stack.id, followed).await.map(drop)
}

/// The tags of a stack: those it has, and ours.
fn tags(site: &Site<'_>, mut present: BTreeMap<String, String>) -> BTreeMap<String, String> {
    present.insert(PART_OF_TAG.0.into(), PART_OF_TAG.1.into());
    present.insert(FOUNDATION_TAG.into(), site.stack_name.clone());
    present
}

/// The stack, if the operation did what it was for; else what went wrong first.
async fn deployed(site: &Site<'_>, stack_id: &str, followed: Followed) -> FoundationResult<Stack> {
    let Followed { stack, events } = followed;
    let left = match stack {
        Some(stack) if is_deployed(&stack.status) => return Ok(stack),
        left => left,
    };
    let cause = first_failure(&events, stack_id);
    let told = match cause {
        Some(event) if !event.is_of_stack(stack_id) => Some(told(event)),
        // Refused as a whole: CloudFormation's validation has the details, for those who may read them.
        _ => {
            let invalid = site.stacks.fetch_invalid(stack_id).await.unwrap_or_default();
            invalid.into_iter().next().or(cause.map(told))
        }
    };
    Err(failed(site, left.as_ref(), cause, told))
}

fn failed(
    site: &Site<'_>,
    left: Option<&Stack>,
    cause: Option<&StackEvent>,
    told: Option<String>,
) -> FoundationError {
    let name = &site.stack_name;
    let what = match left {
        None => format!("the stack {name} failed and has deleted itself"),
        Some(stack) => format!("the stack {name} failed and is {} now", stack.status),
    };
    let why = match (told, left.and_then(|stack| stack.reason.as_deref())) {
        (Some(told), _) => format!("{what}; first of all {told}"),
        (None, Some(reason)) => format!("{what}: {reason}"),
        (None, None) => what,
    };
    let again = site.command("deploy");
    let next = match left {
        _ if cause.is_some_and(lacks_service_linked_role) => {
            let first = match left {
                Some(_) => format!("`{}`, and then ", site.command("delete")),
                None => String::new(),
            };
            format!(
                "this account had never used ECS, which is just making its service-linked role: {first}`{again}` again in a minute"
            )
        }
        None => format!("put right what it says, and `{again}` again; nothing is left of this attempt"),
        Some(stack) => match standing(&stack.status) {
            StackStatus::Ready => {
                format!("put right what it says, and `{again}` again; the stack is as it was before")
            }
            _ => way_out(site, stack),
        },
    };
    FoundationError::refused(why, next)
}

fn stuck(site: &Site<'_>, stack: &Stack, why: &str) -> FoundationError {
    let reason = stack.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let why = format!("the stack {} is {} and cannot be updated: {why}{reason}", stack.name, stack.status);
    FoundationError::refused(why, way_out(site, stack))
}

/// What to do with a stack that cannot be updated.
fn way_out(site: &Site<'_>, stack: &Stack) -> String {
    let (delete, deploy) = (site.command("delete"), site.command("deploy"));
    if stack.status == "UPDATE_ROLLBACK_FAILED" {
        return format!(
            "`aws cloudformation continue-update-rollback --region {} --stack-name {}`, then `{deploy}`; or `{delete}`",
            site.region, stack.name
        );
    }
    format!("`{delete}` removes what is left, and `{deploy}` makes a new one")
}

/// What the stack is good for now.
fn farewell(site: &Site<'_>, stack: &Stack) -> Vec<String> {
    let of = |key: &str| stack.outputs.get(key).map_or("", String::as_str);
    let namespace = stack.parameters.get("OperatorNamespace").map_or("kinesis-demo-system", String::as_str);
    vec![
        format!(
            "{} is {}; its Helm values are on stdout (again: {} --output values)",
            stack.name,
            stack.status,
            site.command("status")
        ),
        format!(
            "next: push the images, make push REGISTRY={} (foundation/README.md), and then",
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
        cloud.visit(async |site| deploy(site, &named).await).await
    }

    fn creation(end: Step) -> Vec<Step> {
        let begun = stack_event("CREATE_IN_PROGRESS", Some("User Initiated"));
        let vpc = event("Vpc", "AWS::EC2::VPC", "CREATE_COMPLETE", None);
        vec![Step::of(vec![begun]), Step::of(vec![vpc]), end]
    }

    fn made() -> Step {
        Step::to("CREATE_COMPLETE", vec![stack_event("CREATE_COMPLETE", None)])
    }

    fn broken(type_: &str, reason: &str) -> Step {
        let cause = event("Cluster", type_, "CREATE_FAILED", Some(reason));
        let left = stack_event("DELETE_IN_PROGRESS", Some("The following resource(s) failed to create"));
        Step::to("DELETE_COMPLETE", vec![cause, left, stack_event("DELETE_COMPLETE", None)])
    }

    #[tokio::test(start_paused = true)]
    async fn a_stack_is_created_with_tags_and_its_values_come_out() {
        let cloud = Cloud::default();
        cloud.will(creation(made()));
        let values = deploying(&cloud, &[("Network", "PrivateNat")]).await.unwrap();
        assert_eq!(values, "image: {}\n");
        let (verb, wanted) = cloud.changes().remove(0);
        assert_eq!(verb, "create kinesis-demo");
        assert_eq!(wanted.parameters, [("Network".to_owned(), Some("PrivateNat".to_owned()))]);
        let tags = [(PART_OF_TAG.0, PART_OF_TAG.1), (FOUNDATION_TAG, "kinesis-demo")];
        assert_eq!(wanted.tags, named(&tags));
        let told = cloud.told();
        assert!(told[0].starts_with("Network=PrivateNat (default Public): "), "{told:?}");
        assert!(told[2].contains("Vpc") && told[2].ends_with("CREATE_COMPLETE"), "{told:?}");
        assert!(told[4].contains("kubectl kinesisdemo foundation status --output values"), "{told:?}");
        assert_eq!((cloud.changes().len(), told.len()), (1, 7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stack_that_is_there_is_updated_and_keeps_what_is_not_named() {
        let cloud = Cloud::with_stack("UPDATE_ROLLBACK_COMPLETE");
        cloud.edit(|stack| {
            stack.parameters = named(&[("Network", "Public"), ("ClusterName", "load")]);
            stack.tags.insert("team".into(), "media".into());
        });
        cloud.happened(stack_event("UPDATE_ROLLBACK_COMPLETE", None));
        let begun = stack_event("UPDATE_IN_PROGRESS", Some("User Initiated"));
        cloud.will(vec![
            Step::to("UPDATE_IN_PROGRESS", vec![begun]),
            Step::to("UPDATE_COMPLETE", vec![stack_event("UPDATE_COMPLETE", None)]),
        ]);
        deploying(&cloud, &[("Network", "PrivateEndpoints")]).await.unwrap();
        let (verb, wanted) = cloud.changes().remove(0);
        assert_eq!(verb, format!("update {STACK_ID}"));
        let network = ("Network".to_owned(), Some("PrivateEndpoints".to_owned()));
        assert_eq!(wanted.parameters, [("ClusterName".to_owned(), None), network]);
        assert_eq!(wanted.tags.get("team").map(String::as_str), Some("media"));
        assert_eq!(wanted.tags.len(), 3);
        // What was before the update is not told as if it were part of it.
        assert!(!cloud.told().iter().any(|line| line.ends_with("UPDATE_ROLLBACK_COMPLETE")));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_to_change_is_a_success_and_said_so() {
        let cloud = Cloud::with_stack("CREATE_COMPLETE");
        cloud.has_nothing_to_change();
        assert_eq!(deploying(&cloud, &[]).await.unwrap(), "image: {}\n");
        assert_eq!(cloud.told()[0], "kinesis-demo is as it should be: nothing to change");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stack_that_failed_and_deleted_itself_is_followed_to_the_end_and_the_cause_told() {
        let cloud = Cloud::default();
        cloud.will(creation(broken("AWS::ECS::Cluster", "Limit exceeded")));
        let error = deploying(&cloud, &[]).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the stack kinesis-demo failed and has deleted itself; first of all Cluster (AWS::ECS::Cluster) CREATE_FAILED: Limit exceeded"
        );
        assert!(error.next_step().unwrap().ends_with("nothing is left of this attempt"));
        assert!(cloud.told().last().unwrap().ends_with("DELETE_COMPLETE"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_validation_found_is_told_and_not_only_that_it_failed() {
        let cloud = Cloud::default();
        let whole =
            stack_event("CREATE_FAILED", Some("Validation failed with 1 error(s). Call DescribeEvents"));
        cloud.will(creation(Step::to("DELETE_COMPLETE", vec![whole])));
        cloud.is_invalid("GeneratorRepository (AWS::ECR::Repository): it already exists");
        let error = deploying(&cloud, &[]).await.unwrap_err();
        let end = "first of all GeneratorRepository (AWS::ECR::Repository): it already exists";
        assert!(error.to_string().ends_with(end), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_never_used_ecs_is_told_to_try_again() {
        let cloud = Cloud::default();
        cloud.will(creation(broken("AWS::ECS::Cluster", "Unable to assume the service linked role.")));
        let next = deploying(&cloud, &[]).await.unwrap_err().next_step().unwrap();
        assert!(next.contains("`kubectl kinesisdemo foundation deploy` again in a minute"), "{next}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_update_that_failed_leaves_the_stack_as_it_was() {
        let cloud = Cloud::with_stack("CREATE_COMPLETE");
        let begun = stack_event("UPDATE_IN_PROGRESS", Some("User Initiated"));
        let cause = event("NatGateway", "AWS::EC2::NatGateway", "CREATE_FAILED", Some("no address"));
        cloud.will(vec![
            Step::to("UPDATE_IN_PROGRESS", vec![begun, cause]),
            Step::to("UPDATE_ROLLBACK_COMPLETE", vec![stack_event("UPDATE_ROLLBACK_COMPLETE", None)]),
        ]);
        let error = deploying(&cloud, &[("Network", "PrivateNat")]).await.unwrap_err();
        assert!(
            error.to_string().contains("is UPDATE_ROLLBACK_COMPLETE now; first of all NatGateway"),
            "{error}"
        );
        assert!(error.next_step().unwrap().ends_with("the stack is as it was before"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_already_is_followed_and_then_judged() {
        let cloud = Cloud::with_stack("CREATE_IN_PROGRESS");
        cloud.happened(stack_event("CREATE_IN_PROGRESS", Some("User Initiated")));
        cloud.will(vec![Step::quiet(), made()]);
        cloud.has_nothing_to_change();
        assert_eq!(deploying(&cloud, &[]).await.unwrap(), "image: {}\n");
        let told = cloud.told();
        assert_eq!(told[0], "kinesis-demo is CREATE_IN_PROGRESS already: following that first");
        // The events from before the interruption are told again, so that a failure among them is seen.
        assert!(told[1].contains("CREATE_IN_PROGRESS") && told[2].contains("CREATE_COMPLETE"), "{told:?}");
        assert_eq!(cloud.changes().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_goes_on_already_is_followed_by_the_stacks_id_and_told() {
        let cloud = Cloud::with_stack("DELETE_IN_PROGRESS");
        cloud.happened(stack_event("CREATE_IN_PROGRESS", Some("User Initiated")));
        cloud.happened(event("Cluster", "AWS::ECS::Cluster", "CREATE_FAILED", Some("Limit exceeded")));
        cloud.happened(stack_event("DELETE_IN_PROGRESS", Some("Delete requested by user.")));
        cloud.will(vec![Step::to("DELETE_COMPLETE", vec![stack_event("DELETE_COMPLETE", None)])]);
        let error = deploying(&cloud, &[]).await.unwrap_err();
        assert!(error.to_string().ends_with("CREATE_FAILED: Limit exceeded"), "{error}");

        let cloud = Cloud::with_stack("DELETE_IN_PROGRESS");
        cloud.happened(stack_event("DELETE_IN_PROGRESS", Some("User Initiated")));
        cloud.will(vec![Step::to("DELETE_COMPLETE", vec![stack_event("DELETE_COMPLETE", None)])]);
        let error = deploying(&cloud, &[]).await.unwrap_err();
        assert_eq!(error.to_string(), "the stack kinesis-demo was being deleted, and is gone now");
        assert_eq!(cloud.changes(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stack_that_cannot_be_updated_is_refused_with_the_way_out() {
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
    async fn somebody_elses_stack_is_left_alone() {
        let cloud = Cloud::with_stack("CREATE_COMPLETE");
        cloud.edit(|stack| stack.tags.clear());
        let error = deploying(&cloud, &[]).await.unwrap_err();
        assert!(error.to_string().contains("not a KinesisDemo foundation"), "{error}");
        assert_eq!(cloud.changes(), []);
    }
}
