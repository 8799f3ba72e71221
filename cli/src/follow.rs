//! Watches runs until they are over. In: a cluster and names. Out: the final objects. Watches the
//! API server and shows each change; makes no decisions about a run.

use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use kinesis_demo_api::conditions::{ConditionType, is_true};
use kinesis_demo_api::error_chain::error_chain;
use kinesis_demo_api::request::{LastRequest, RequestOutcome};
use kinesis_demo_api::{KinesisDemo, Stage};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::emulate_default_handler;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cluster::Cluster;
use crate::error::CliError;
use crate::render::line::blocking_condition;
use crate::render::printable::printable;
use crate::screen::Screen;

/// How often the clocks on a terminal are updated.
const TICK: Duration = Duration::from_millis(250);
/// How long to wait for the operator's response to a request. The operator watches the object; a
/// leader change takes half a minute.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Why the watch ended.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchOutcome {
    /// The run is over.
    Over(Box<KinesisDemo>),
    /// The run cannot continue until someone changes something.
    Stalled(Box<KinesisDemo>),
    /// The object was deleted.
    Deleted,
}

/// Whether run number `run` (or a later run) is over.
#[must_use]
pub fn is_over(demo: &KinesisDemo, run: u32) -> bool {
    let Some(status) = &demo.status else { return false };
    let number = status.run.as_ref().map_or(0, |run| run.number);
    number >= run && status.stage.is_some_and(Stage::is_terminal)
}

/// Whether the operator waits for a person's change to the current spec.
#[must_use]
pub fn is_stalled(demo: &KinesisDemo) -> bool {
    demo.status.as_ref().is_some_and(|status| {
        status.observed_generation == demo.metadata.generation
            && is_true(&status.conditions, ConditionType::Stalled)
            && !status.stage.is_some_and(Stage::is_terminal)
    })
}

/// A run to follow.
#[derive(Clone, Copy, Debug)]
pub struct Followed<'a> {
    pub name: &'a str,
    pub run: u32,
}

/// Shows every change until run number `run` is over or the object is deleted, or, with
/// `give_up_on_stall`, until it is stalled. `observe` gets every object that is shown.
pub async fn follow(
    cluster: &Cluster,
    name: &str,
    run: u32,
    give_up_on_stall: bool,
    screen: &mut Screen,
    observe: impl FnMut(&KinesisDemo, Timestamp),
) -> Result<WatchOutcome, CliError> {
    let followed = [Followed { name, run }];
    let outcomes = follow_all(cluster, &followed, give_up_on_stall, screen, observe).await?;
    Ok(outcomes.into_iter().flatten().next().unwrap_or(WatchOutcome::Deleted))
}

/// The same for several runs at once, until each of them has an outcome. With `give_up_on_stall`,
/// until one is stalled: the others, which may wait for it, then have no outcome.
pub async fn follow_all(
    cluster: &Cluster,
    followed: &[Followed<'_>],
    give_up_on_stall: bool,
    screen: &mut Screen,
    mut observe: impl FnMut(&KinesisDemo, Timestamp),
) -> Result<Vec<Option<WatchOutcome>>, CliError> {
    let watches = followed.iter().enumerate().map(|(index, followed)| {
        cluster.watch(followed.name).map(move |change| change.map(|demo| (index, demo))).boxed()
    });
    let mut changes = futures::stream::select_all(watches);
    let mut outcomes: Vec<Option<WatchOutcome>> = vec![None; followed.len()];
    let mut clock = Clock::of(screen)?;
    while outcomes.iter().any(Option::is_none) {
        let (index, demo) = tokio::select! {
            change = next(&mut changes) => match change? {
                Some((index, demo)) => (index, demo),
                None => break,
            },
            () = clock.tick() => {
                screen.tick(Timestamp::now())?;
                continue;
            }
        };
        let (Some(followed), Some(outcome)) = (followed.get(index), outcomes.get_mut(index)) else {
            continue;
        };
        let Some(demo) = demo else {
            outcome.get_or_insert(WatchOutcome::Deleted);
            continue;
        };
        let now = Timestamp::now();
        screen.show(std::slice::from_ref(&demo), now)?;
        observe(&demo, now);
        if is_over(&demo, followed.run) {
            outcome.get_or_insert(WatchOutcome::Over(Box::new(demo)));
        } else if give_up_on_stall && is_stalled(&demo) {
            outcome.get_or_insert(WatchOutcome::Stalled(Box::new(demo)));
            break;
        }
    }
    screen.leave()?;
    Ok(outcomes)
}

/// When a view that fills the terminal is drawn again: as its clocks go on, and when the terminal
/// is resized.
struct Clock {
    interval: tokio::time::Interval,
    resizes: Option<Signal>,
}

impl Clock {
    fn of(screen: &Screen) -> Result<Self, CliError> {
        let resizes = match screen.is_full() {
            true => Some(signal(SignalKind::window_change())?),
            false => None,
        };
        Ok(Self { interval: tokio::time::interval(TICK), resizes })
    }

    /// Cancel safe.
    async fn tick(&mut self) {
        let Some(resizes) = &mut self.resizes else { return std::future::pending().await };
        tokio::select! {
            _ = self.interval.tick() => {}
            _ = resizes.recv() => {}
        }
    }
}

/// Follows one run for a command that Ctrl-C ends: the terminal is given back first.
pub async fn follow_until_interrupted(
    cluster: &Cluster,
    name: &str,
    run: u32,
    give_up_on_stall: bool,
    screen: &mut Screen,
) -> Result<WatchOutcome, CliError> {
    if !screen.is_full() {
        return follow(cluster, name, run, give_up_on_stall, screen, |_, _| {}).await;
    }
    let [mut interrupt, mut terminate, mut hangup] =
        [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
    let signal = tokio::select! {
        outcome = follow(cluster, name, run, give_up_on_stall, screen, |_, _| {}) => return outcome,
        _ = interrupt.recv() => SIGINT,
        _ = terminate.recv() => SIGTERM,
        _ = hangup.recv() => SIGHUP,
    };
    // The terminal may be closed.
    let _ = screen.leave();
    // Ends the program as the signal does without a handler.
    let _ = emulate_default_handler(signal);
    std::future::pending().await
}

/// Waits until the predicate holds for the object. None if it was deleted.
pub async fn wait_until(
    cluster: &Cluster,
    name: &str,
    mut predicate: impl FnMut(&KinesisDemo) -> bool,
) -> Result<Option<KinesisDemo>, CliError> {
    let mut changes = pin!(cluster.watch(name));
    while let Some(Some(demo)) = next(&mut changes).await? {
        if predicate(&demo) {
            return Ok(Some(demo));
        }
    }
    Ok(None)
}

/// Waits until the operator has responded to the request with that id. A refusal is returned as an
/// error.
pub async fn wait_for_response(cluster: &Cluster, name: &str, id: &str) -> Result<KinesisDemo, CliError> {
    let response = wait_until(cluster, name, |demo| last_request(demo).is_some_and(|last| last.id == id));
    let Ok(response) = tokio::time::timeout(REQUEST_TIMEOUT, response).await else {
        return Err(CliError::Refused(format!(
            "the operator did not respond within {} s: check that it is running. The request stays on {name} until it does",
            REQUEST_TIMEOUT.as_secs()
        )));
    };
    let Some(demo) = response? else {
        return Err(CliError::Refused(format!("{name} was deleted before the operator responded")));
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

/// Waits until the object is deleted, and reports at each change what still exists.
pub async fn wait_until_deleted(
    cluster: &Cluster,
    name: &str,
    timeout: Duration,
    progress: &dyn Fn(&str),
) -> Result<(), CliError> {
    let mut reported = String::new();
    let deleted = wait_until(cluster, name, |demo| {
        let left = remaining(demo);
        if left != reported {
            progress(&format!("{name}: {left}"));
            reported = left;
        }
        false
    });
    match tokio::time::timeout(timeout, deleted).await {
        Ok(result) => result.map(drop),
        Err(_) => Err(CliError::Refused(format!(
            "{name} is not deleted after {} s; its removal continues. `kubectl kinesisdemo status {name}` shows what is left",
            timeout.as_secs()
        ))),
    }
}

/// What a deletion still has to remove.
fn remaining(demo: &KinesisDemo) -> String {
    use kinesis_demo_api::status::ResourceState;
    let Some(status) = &demo.status else { return "waiting for the operator".into() };
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
    if let Some(condition) = blocking_condition(status) {
        text.push_str(&format!(" ! {condition}"));
    }
    printable(&text)
}

/// The next change. A permanent refusal of the watch is an error; the stream itself retries a
/// broken watch.
async fn next<T>(
    changes: &mut (impl Stream<Item = Result<T, CliError>> + Unpin),
) -> Result<Option<T>, CliError> {
    loop {
        match changes.next().await {
            Some(Ok(change)) => return Ok(Some(change)),
            Some(Err(error)) if is_final(&error) => return Err(error),
            Some(Err(error)) => {
                tracing::debug!(error = %error_chain(&error), "the watch failed and is retried")
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
    fn a_terminal_stage_of_this_or_a_later_run_is_over() {
        let over = demo(json!({"stage": "Succeeded"}));
        assert!(is_over(&over, 1));
        assert!(!is_over(&over, 2), "the next run has not started");
        assert!(!is_over(&peak(), 1));
        let mut fresh = peak();
        fresh.status = None;
        assert!(!is_over(&fresh, 1));
    }

    #[test]
    fn a_stall_counts_only_for_the_current_generation() {
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
    fn remaining_resources_are_listed_by_type() {
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
