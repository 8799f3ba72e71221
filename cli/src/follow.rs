//! Follows one run until it is over. In: a cluster and a name. Out: the object as it was at the end. Watches the API server and shows
//! what it sees; decides nothing about the run.

use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use kinesis_demo_api::conditions::{ConditionType, is_true};
use kinesis_demo_api::request::{LastRequest, RequestOutcome};
use kinesis_demo_api::{KinesisDemo, Stage};

use crate::cluster::Cluster;
use crate::error::{CliError, with_causes};
use crate::render::line::obstacle;
use crate::screen::Screen;

/// How often the clocks on a terminal move.
const TICK: Duration = Duration::from_millis(500);
/// How long the operator may take to answer a request. It watches; a leader change costs half a minute.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What ended the watching.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// The run is over.
    Over(Box<KinesisDemo>),
    /// Nothing will happen until somebody changes something.
    Stalled(Box<KinesisDemo>),
    /// The object is gone.
    Gone,
}

/// Whether the run that is wanted (or any later one) is over.
#[must_use]
pub fn is_over(demo: &KinesisDemo, run: u32) -> bool {
    let Some(status) = &demo.status else { return false };
    let number = status.run.as_ref().map_or(0, |run| run.number);
    number >= run && status.stage.is_some_and(Stage::is_terminal)
}

/// Whether the operator waits for a person, about this very spec.
#[must_use]
pub fn is_stalled(demo: &KinesisDemo) -> bool {
    demo.status.as_ref().is_some_and(|status| {
        status.observed_generation == demo.metadata.generation
            && is_true(&status.conditions, ConditionType::Stalled)
            && !status.stage.is_some_and(Stage::is_terminal)
    })
}

/// Shows every change until run number `run` is over, or the object is gone. A stall ends it too if `give_up_on_stall`.
/// `seen` gets every object that is shown.
pub async fn follow(
    cluster: &Cluster,
    name: &str,
    run: u32,
    give_up_on_stall: bool,
    screen: &mut Screen,
    mut seen: impl FnMut(&KinesisDemo, Timestamp),
) -> Result<End, CliError> {
    let mut changes = pin!(cluster.watch(name));
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            change = next(&mut changes) => {
                let Some(demo) = change? else { return Ok(End::Gone) };
                let now = Timestamp::now();
                screen.show(&demo, now)?;
                seen(&demo, now);
                if is_over(&demo, run) {
                    screen.leave();
                    return Ok(End::Over(Box::new(demo)));
                }
                if give_up_on_stall && is_stalled(&demo) {
                    screen.leave();
                    return Ok(End::Stalled(Box::new(demo)));
                }
            }
            _ = tick.tick() => screen.tick(Timestamp::now())?,
        }
    }
}

/// Waits until the object is as wanted. None: it is gone.
pub async fn until(
    cluster: &Cluster,
    name: &str,
    mut wanted: impl FnMut(&KinesisDemo) -> bool,
) -> Result<Option<KinesisDemo>, CliError> {
    let mut changes = pin!(cluster.watch(name));
    while let Some(demo) = next(&mut changes).await? {
        if wanted(&demo) {
            return Ok(Some(demo));
        }
    }
    Ok(None)
}

/// Waits until the operator has answered the request of that id. The error is its refusal.
pub async fn answer(cluster: &Cluster, name: &str, id: &str) -> Result<KinesisDemo, CliError> {
    let answered = until(cluster, name, |demo| last_request(demo).is_some_and(|last| last.id == id));
    let Ok(answered) = tokio::time::timeout(REQUEST_TIMEOUT, answered).await else {
        return Err(CliError::Refused(format!(
            "the operator did not answer within {} s: is it running? The request stays on {name} and will be answered when it is",
            REQUEST_TIMEOUT.as_secs()
        )));
    };
    let Some(demo) = answered? else {
        return Err(CliError::Refused(format!("{name} was deleted before the operator answered")));
    };
    match last_request(&demo) {
        Some(last) if last.outcome == RequestOutcome::Refused => {
            Err(CliError::Refused(format!("the operator refused: {}", last.message)))
        }
        _ => Ok(demo),
    }
}

fn last_request(demo: &KinesisDemo) -> Option<&LastRequest> {
    demo.status.as_ref()?.last_request.as_ref()
}

/// Waits until the object is gone, telling at each change what is still there.
pub async fn wait_until_gone(
    cluster: &Cluster,
    name: &str,
    timeout: Duration,
    progress: &dyn Fn(&str),
) -> Result<(), CliError> {
    let mut told = String::new();
    let gone = until(cluster, name, |demo| {
        let left = remaining(demo);
        if left != told {
            progress(&format!("{name}: {left}"));
            told = left;
        }
        false
    });
    match tokio::time::timeout(timeout, gone).await {
        Ok(gone) => gone.map(drop),
        Err(_) => Err(CliError::Refused(format!(
            "{name} is not gone after {} s; its removal goes on. `kubectl kinesisdemo status {name}` shows what is left",
            timeout.as_secs()
        ))),
    }
}

/// What a deletion still has to remove.
fn remaining(demo: &KinesisDemo) -> String {
    use kinesis_demo_api::status::ResourceState;
    let Some(status) = &demo.status else { return "waits for the operator".into() };
    let present: Vec<_> = status
        .resources
        .iter()
        .filter(|resource| resource.state == ResourceState::Present)
        .map(|resource| resource.type_.to_string())
        .collect();
    let stage = status.stage.unwrap_or_default();
    let mut text = match present.is_empty() {
        true => format!("{stage}, nothing left in AWS"),
        false => format!("{stage}, still there: {}", present.join(", ")),
    };
    if let Some(obstacle) = obstacle(status) {
        text.push_str(&format!(" ! {obstacle}"));
    }
    text
}

/// The next change. A watch that was refused for good is an error; one that broke is mended by the stream itself.
async fn next(
    changes: &mut (impl Stream<Item = Result<Option<KinesisDemo>, CliError>> + Unpin),
) -> Result<Option<KinesisDemo>, CliError> {
    loop {
        match changes.next().await {
            Some(Ok(seen)) => return Ok(seen),
            Some(Err(error)) if is_final(&error) => return Err(error),
            Some(Err(error)) => {
                tracing::debug!(error = %with_causes(&error), "the watch broke and is mended")
            }
            None => return Ok(None),
        }
    }
}

fn is_final(error: &CliError) -> bool {
    use kube::runtime::watcher::Error;
    let CliError::Watch { source, .. } = error else { return true };
    let refused = |status: &kube::core::Status| matches!(status.code, 401 | 403 | 404);
    match source.as_ref() {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status)) => refused(status),
        Error::WatchError(status) => refused(status),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixture::{condition, demo, peak};
    use serde_json::json;

    #[test]
    fn a_run_is_over_at_a_terminal_stage_of_that_run_or_a_later_one() {
        let over = demo(json!({"stage": "Succeeded"}));
        assert!(is_over(&over, 1));
        assert!(!is_over(&over, 2), "the next run has not begun");
        assert!(!is_over(&peak(), 1));
        let mut fresh = peak();
        fresh.status = None;
        assert!(!is_over(&fresh, 1));
    }

    #[test]
    fn a_stall_counts_only_for_the_spec_that_is_there_now() {
        let stalled = [condition("Stalled", "True", "Invalid", "x")];
        assert!(is_stalled(&demo(json!({"stage": "Pending", "conditions": stalled}))));
        let stale = json!({"stage": "Pending", "conditions": stalled, "observedGeneration": 0});
        assert!(!is_stalled(&demo(stale)), "the operator has not seen this generation");
        assert!(
            !is_stalled(&demo(json!({"stage": "Failed", "conditions": stalled}))),
            "a failed run is over"
        );
        assert!(!is_stalled(&peak()));
    }

    #[test]
    fn what_remains_is_told_by_kind() {
        let resources = json!([
            {"type": "Service", "arn": "a", "state": "Deleted"},
            {"type": "Stream", "arn": "b", "state": "Present"},
            {"type": "LogGroup", "arn": "c", "state": "Present"},
        ]);
        let text = remaining(&demo(json!({"stage": "CleaningUp", "resources": resources})));
        assert_eq!(text, "CleaningUp, still there: stream, log group");
        assert_eq!(
            remaining(&demo(json!({"stage": "Succeeded", "resources": []}))),
            "Succeeded, nothing left in AWS"
        );
    }
}
