//! Ends all runs before the operator is uninstalled. In: the objects of the watched namespaces.
//! Out: an abort request for each active run, progress until each has cleaned up and lost its
//! finalizer, and an error that names the remaining ones. Reads and annotates objects only; the
//! operator, which still runs, does the work.

use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use kinesis_demo_api::demo::{ABANDON_ANNOTATION, FINALIZER, REQUEST_ANNOTATION};
use kinesis_demo_api::request::{RunRequest, Verb};
use kinesis_demo_api::{KinesisDemo, Stage};
use kube::api::{Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

use crate::cli::DrainArgs;
use crate::controller::fetch_objects;
use crate::kubernetes::{CALL_TIMEOUT, within};

/// The field manager, as it appears in managedFields.
const MANAGER: &str = "kinesis-demo-drain";

const POLL_EVERY: Duration = Duration::from_secs(2);

/// What must still happen to an object before the operator may be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Need {
    /// Nothing: its run is over, and it has no AWS resources.
    Nothing,
    /// An abort request.
    Abort,
    /// Time. The text is its current state.
    Time(String),
}

/// Aborts every run and waits until all of them have cleaned up.
pub async fn drain(args: DrainArgs) -> anyhow::Result<()> {
    let client = crate::kubernetes::client::connect().await?;
    let give_up_at = Instant::now() + args.timeout.value();
    let id = format!("drain-{}", Timestamp::now().as_millisecond());
    let mut printed = Vec::new();
    loop {
        let mut waiting = Vec::new();
        let objects = within(CALL_TIMEOUT, fetch_objects(&client, &args.namespaces)).await;
        for object in objects.context("list KinesisDemo objects")? {
            let place = place(&object);
            match need(&object, &id) {
                Need::Nothing => {}
                Need::Abort => {
                    put_abort(&client, &object, &id).await?;
                    waiting.push(format!("{place}: abort requested"));
                }
                Need::Time(state) => waiting.push(format!("{place}: {state}")),
            }
        }
        if waiting.is_empty() {
            println!("no run is in flight, and no run has resources in AWS");
            return Ok(());
        }
        if waiting != printed {
            waiting.iter().for_each(|line| println!("{line}"));
            printed = waiting;
        }
        if Instant::now() >= give_up_at {
            bail!(
                "drain the operator: after {} these runs have not cleaned up: {}. The operator's log says why. To delete an object and leave its resources in AWS, annotate \
                 it with {ABANDON_ANNOTATION}=true and delete it while the operator runs",
                args.timeout,
                printed.join("; ")
            );
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

fn place(object: &DeserializeGuard<KinesisDemo>) -> String {
    let meta = object.meta();
    format!("{}/{}", meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}

fn need(object: &DeserializeGuard<KinesisDemo>, id: &str) -> Need {
    let demo = match &object.0 {
        Ok(demo) => demo,
        Err(_) if object.meta().finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER) => {
            return Need::Time(
                "it does not parse, so its state is unknown; correct it or remove its finalizer".into(),
            );
        }
        Err(_) => return Need::Nothing,
    };
    let status = demo.status.clone().unwrap_or_default();
    let stage = status.stage.unwrap_or_default();
    let has_finalizer = demo.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    let present = status.present_resources();
    let left = if present.is_empty() { String::new() } else { format!(", in AWS: {}", present.join(", ")) };
    let is_ending = status.run.as_ref().is_some_and(|run| run.outcome.is_some());
    let is_requested = demo.annotations().get(REQUEST_ANNOTATION).is_some_and(|text| text.contains(id));
    match stage {
        Stage::Succeeded | Stage::Failed | Stage::Aborted if !has_finalizer => Need::Nothing,
        _ if stage.is_terminal()
            || is_ending
            || is_requested
            || demo.metadata.deletion_timestamp.is_some() =>
        {
            Need::Time(format!("{stage}{left}"))
        }
        _ => Need::Abort,
    }
}

async fn put_abort(client: &Client, object: &DeserializeGuard<KinesisDemo>, id: &str) -> anyhow::Result<()> {
    let meta = object.meta();
    let (namespace, name) =
        (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
    let request = json!(RunRequest { verb: Verb::Abort, run: None, id: id.to_owned() }).to_string();
    let patch = json!({ "metadata": { "annotations": { REQUEST_ANNOTATION: request } } });
    let parameters = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    let api: Api<KinesisDemo> = Api::namespaced(client.clone(), &namespace);
    let patch = Patch::Merge(&patch);
    let patched = api.patch_metadata(&name, &parameters, &patch);
    match within(CALL_TIMEOUT, patched).await {
        Ok(_) => Ok(()),
        // Deleted in the meantime.
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error).with_context(|| format!("request the abort of {namespace}/{name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "drain-1";

    fn demo(stage: &str, outcome: Option<&str>, has_finalizer: bool) -> KinesisDemo {
        serde_json::from_value(json!({
            "apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo", "spec": {},
            "metadata": {"name": "a", "namespace": "demos", "finalizers": if has_finalizer { vec![FINALIZER] } else { vec![] }},
            "status": {
                "stage": stage,
                "run": {"number": 1, "stageEnteredAt": "2026-11-22T10:00:00Z", "outcome": outcome},
                "resources": [{"type": "Stream", "arn": "arn:s", "state": "Present"}],
            },
        }))
        .unwrap()
    }

    fn of(demo: KinesisDemo) -> Need {
        need(&DeserializeGuard(Ok(demo)), ID)
    }

    #[test]
    fn a_run_in_flight_is_aborted_once_then_awaited() {
        let mut running = demo("Running", None, true);
        assert_eq!(of(running.clone()), Need::Abort);
        running
            .annotations_mut()
            .insert(REQUEST_ANNOTATION.into(), format!(r#"{{"verb":"abort","id":"{ID}"}}"#));
        assert_eq!(of(running), Need::Time("Running, in AWS: stream arn:s".into()));
    }

    #[test]
    fn a_pending_object_is_aborted_too() {
        assert_eq!(of(demo("Pending", None, false)), Need::Abort);
        let mut unseen = demo("Pending", None, false);
        unseen.status = None;
        assert_eq!(of(unseen), Need::Abort);
    }

    #[test]
    fn an_ending_run_or_a_deleted_object_only_needs_time() {
        assert!(matches!(of(demo("CleaningUp", Some("Aborted"), true)), Need::Time(_)));
        let mut deleted = demo("Running", None, true);
        deleted.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-22T10:00:00Z")).unwrap();
        assert!(matches!(of(deleted), Need::Time(_)));
    }

    #[test]
    fn a_finished_object_needs_nothing_without_its_finalizer() {
        assert!(matches!(of(demo("Succeeded", Some("Succeeded"), true)), Need::Time(_)));
        assert_eq!(of(demo("Succeeded", Some("Succeeded"), false)), Need::Nothing);
    }
}
