//! `foundation delete`. In: a stack; what lives in its cluster, and in Kubernetes. Out: nothing of the stack is left, or why something is.
//! Deletes one stack of ours, and only while no run needs it.

use super::follow::{Followed, follow, follow_last_operation};
use super::runs::{Asked, Runs, live_runs};
use super::stack::{Stack, StackStatus, standing, told, undeleted};
use super::{FoundationError, FoundationResult, Services, Site};

/// How many runs a refusal names.
const NAMED: usize = 10;

/// `runs` is None if Kubernetes is not to be asked.
pub(super) async fn delete(
    site: &Site<'_>,
    services: &dyn Services,
    runs: Option<&dyn Runs>,
) -> FoundationResult<()> {
    let Some(mut stack) = site.stacks.fetch(&site.stack_name).await? else {
        (site.tell)(&format!("there is no stack {} in {}: nothing to delete", site.stack_name, site.region));
        return Ok(());
    };
    site.claim(&stack)?;
    // An update ends first, with one known state of everything; a creation need not be waited for.
    while standing(&stack.status) == StackStatus::Moving
        && !matches!(stack.status.as_str(), "DELETE_IN_PROGRESS" | "CREATE_IN_PROGRESS")
    {
        (site.tell)(&format!("{} is {}: following that first", stack.name, stack.status));
        match follow_last_operation(site, &stack.id).await?.stack {
            Some(left) => stack = left,
            None => return gone(site),
        }
    }
    let followed = if stack.status == "DELETE_IN_PROGRESS" {
        (site.tell)(&format!("{} is being deleted already: following that", stack.name));
        follow_last_operation(site, &stack.id).await?
    } else {
        refuse_while_runs_live(site, &stack, services, runs).await?;
        let known = site.stacks.fetch_events(&stack.id, None).await?;
        site.stacks.delete(&stack.id).await?;
        follow(site, &stack.id, known.last().map(|event| event.id.clone())).await?
    };
    match followed.stack {
        None => gone(site),
        Some(_) => Err(remains(site, &stack, &followed)),
    }
}

fn gone(site: &Site<'_>) -> FoundationResult<()> {
    (site.tell)(&format!("nothing of the stack {} is left in {}", site.stack_name, site.region));
    Ok(())
}

async fn refuse_while_runs_live(
    site: &Site<'_>,
    stack: &Stack,
    services: &dyn Services,
    runs: Option<&dyn Runs>,
) -> FoundationResult<()> {
    let again = site.command("delete");
    if let Some(cluster) = site.stacks.fetch_cluster(&stack.id).await? {
        let live = services.fetch_live(&cluster).await?;
        if !live.is_empty() {
            return Err(FoundationError::refused(
                format!("runs live in the ECS cluster {cluster}: {}", named(&live)),
                format!(
                    "`kubectl kinesisdemo stop NAME` ends a run and `kubectl kinesisdemo cleanup --all -A` all of a cluster, `aws ecs delete-service` what no \
                     KinesisDemo has any more; then `{again}`"
                ),
            ));
        }
    }
    let objects = match runs {
        None => {
            (site.tell)("Kubernetes is not asked whether runs live; in AWS, none does");
            return Ok(());
        }
        Some(runs) => match runs.fetch().await? {
            Asked::Objects(objects) => objects,
            Asked::Nobody(why) => {
                (site.tell)(&format!("{why}: only AWS was asked whether runs live, and there none does"));
                return Ok(());
            }
        },
    };
    let live = live_runs(&objects, &site.account, &site.region);
    if live.is_empty() {
        return Ok(());
    }
    Err(FoundationError::refused(
        format!(
            "KinesisDemos of account {} and Region {} are not over: {}",
            site.account,
            site.region,
            named(&live)
        ),
        format!(
            "`kubectl kinesisdemo stop NAME --namespace NAMESPACE` ends a run, `kubectl kinesisdemo cleanup NAME --namespace NAMESPACE` removes the object, too; \
             then `{again}`"
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

fn remains(site: &Site<'_>, stack: &Stack, followed: &Followed) -> FoundationError {
    let left: Vec<String> = undeleted(&followed.events, &stack.id).into_iter().map(told).collect();
    let status = followed.stack.as_ref().map_or("", |stack| &stack.status);
    let reason = followed.stack.as_ref().and_then(|stack| stack.reason.as_deref());
    let what = match (left.is_empty(), reason) {
        (false, _) => left.join("; "),
        (true, Some(reason)) => reason.to_owned(),
        (true, None) => "no reason given".into(),
    };
    FoundationError::refused(
        format!("the stack {} is {status}: {what}", stack.name),
        format!("remove what holds them, and `{}` again; the rest is gone", site.command("delete")),
    )
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use serde_json::json;

    use super::*;
    use crate::foundation::fake::{Cloud, STACK_ID, Step, event, stack_event};

    /// A Kubernetes cluster with one object of that stage, or none to ask.
    struct Objects(Option<&'static str>);

    #[async_trait]
    impl Runs for Objects {
        async fn fetch(&self) -> FoundationResult<Asked> {
            let Some(stage) = self.0 else { return Ok(Asked::Nobody("there is no kubeconfig".into())) };
            let object = json!({"apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo",
                "metadata": {"name": "viral", "namespace": "demos"}, "spec": {}, "status": {"stage": stage}});
            Ok(Asked::Objects(vec![serde_json::from_value(object).unwrap()]))
        }
    }

    async fn deleting(cloud: &Cloud, runs: Option<&dyn Runs>) -> FoundationResult<()> {
        cloud.visit(async |site| delete(site, cloud, runs).await).await
    }

    fn deletion() -> Vec<Step> {
        let begun = stack_event("DELETE_IN_PROGRESS", Some("User Initiated"));
        vec![
            Step::to("DELETE_IN_PROGRESS", vec![begun]),
            Step::to("DELETE_COMPLETE", vec![stack_event("DELETE_COMPLETE", None)]),
        ]
    }

    #[tokio::test(start_paused = true)]
    async fn a_stack_without_runs_is_deleted_and_followed_until_nothing_is_left() {
        let cloud = Cloud::with_stack("CREATE_COMPLETE");
        cloud.has_cluster(&[]);
        cloud.will(deletion());
        deleting(&cloud, Some(&Objects(Some("Succeeded")))).await.unwrap();
        let changes: Vec<String> = cloud.changes().into_iter().map(|(verb, _)| verb).collect();
        assert_eq!(changes, [format!("delete {STACK_ID}")]);
        let told = cloud.told();
        assert_eq!(told.last().unwrap(), "nothing of the stack kinesis-demo is left in us-east-1");
        assert_eq!(told.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stack_that_does_not_exist_is_a_success() {
        let cloud = Cloud::default();
        deleting(&cloud, Some(&Objects(Some("Running")))).await.unwrap();
        assert_eq!(cloud.told(), ["there is no stack kinesis-demo in us-east-1: nothing to delete"]);
        assert_eq!(cloud.changes(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn what_lives_in_the_cluster_is_named_and_nothing_is_deleted() {
        let cloud = Cloud::with_stack("UPDATE_COMPLETE");
        cloud.has_cluster(&["service kd-viral (ACTIVE)", "task 1 of service:kd-viral (RUNNING)"]);
        let error = deleting(&cloud, None).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "runs live in the ECS cluster kinesis-demo: service kd-viral (ACTIVE), task 1 of service:kd-viral (RUNNING)"
        );
        assert!(error.next_step().unwrap().contains("kubectl kinesisdemo stop NAME"));
        assert_eq!(cloud.changes(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_over_in_kubernetes_is_named_and_nothing_is_deleted() {
        let cloud = Cloud::with_stack("CREATE_COMPLETE");
        cloud.has_cluster(&[]);
        let error = deleting(&cloud, Some(&Objects(Some("Warming")))).await.unwrap_err();
        assert!(error.to_string().ends_with("are not over: demos/viral (Warming)"), "{error}");
        assert!(error.next_step().unwrap().contains("kubectl kinesisdemo cleanup NAME"));
        assert_eq!(cloud.changes(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_said_when_only_aws_was_asked() {
        for (runs, words) in [
            (Some(&Objects(None)), "there is no kubeconfig: only AWS was asked"),
            (None, "Kubernetes is not asked"),
        ] {
            let cloud = Cloud::with_stack("ROLLBACK_COMPLETE");
            cloud.will(deletion());
            deleting(&cloud, runs.map(|runs| runs as &dyn Runs)).await.unwrap();
            assert!(cloud.told()[0].starts_with(words), "{:?}", cloud.told());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deletion_that_goes_on_is_followed_and_not_asked_for_again() {
        let cloud = Cloud::with_stack("DELETE_IN_PROGRESS");
        cloud.has_cluster(&["service kd-viral (DRAINING)"]);
        cloud.happened(stack_event("DELETE_IN_PROGRESS", Some("User Initiated")));
        cloud.will(vec![Step::to("DELETE_COMPLETE", vec![stack_event("DELETE_COMPLETE", None)])]);
        deleting(&cloud, None).await.unwrap();
        assert_eq!(cloud.changes(), []);
        assert_eq!(cloud.told().len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn an_update_ends_before_the_deletion_begins() {
        let cloud = Cloud::with_stack("UPDATE_ROLLBACK_IN_PROGRESS");
        cloud.will(vec![Step::to(
            "UPDATE_ROLLBACK_COMPLETE",
            vec![stack_event("UPDATE_ROLLBACK_COMPLETE", None)],
        )]);
        cloud.will(deletion());
        deleting(&cloud, None).await.unwrap();
        assert_eq!(cloud.changes().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_deleted_is_named_with_its_reason() {
        let cloud = Cloud::with_stack("DELETE_FAILED");
        cloud.happened(event("Cluster", "AWS::ECS::Cluster", "DELETE_FAILED", Some("an older reason")));
        cloud.happened(stack_event("DELETE_FAILED", None));
        let begun = stack_event("DELETE_IN_PROGRESS", Some("User Initiated"));
        let cause = event("PublicSubnetA", "AWS::EC2::Subnet", "DELETE_FAILED", Some("has dependencies"));
        cloud.will(vec![
            Step::to("DELETE_IN_PROGRESS", vec![begun]),
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
    async fn somebody_elses_stack_is_left_alone() {
        let cloud = Cloud::with_stack("CREATE_COMPLETE");
        cloud.edit(|stack| stack.tags.clear());
        assert!(
            deleting(&cloud, None).await.unwrap_err().to_string().contains("not a KinesisDemo foundation")
        );
        assert_eq!(cloud.changes(), []);
    }

    #[test]
    fn a_refusal_names_ten_and_counts_the_rest() {
        let live: Vec<String> = (1..=12).map(|number| format!("run-{number}")).collect();
        assert!(named(&live).ends_with("run-10 and 2 more"));
        assert_eq!(named(&live[..2]), "run-1, run-2");
    }
}
