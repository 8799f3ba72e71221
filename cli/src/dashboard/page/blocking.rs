//! What stands in the way of a run, in words, with the next step. In: the object. Out: a sentence
//! and what to do. Pure.

use kinesis_demo_api::conditions::{Condition, ConditionStatus, ConditionType, find, is_true};
use kinesis_demo_api::{KinesisDemo, KinesisDemoStatus, Stage};
use maud::{Markup, html};

use super::text;
use crate::render::line::{blocking_condition, stall};

/// Something that the run waits for or that ended it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocking {
    /// Whether somebody must do something. If not, the run waits and goes on by itself.
    pub is_serious: bool,
    pub what: String,
    pub next: Option<String>,
}

/// What stands in the way, if anything.
#[must_use]
pub fn blocking(demo: &KinesisDemo) -> Option<Blocking> {
    let Some(status) = &demo.status else {
        return Some(Blocking {
            is_serious: false,
            what: "The operator has not seen this object yet.".into(),
            next: Some(
                "If this persists, check that the operator is running and watches this namespace.".into(),
            ),
        });
    };
    if let Some(condition) = blocking_condition(status) {
        let (what, next) = split(&condition);
        let stalled = stall(status).map(|_| {
            "Nothing happens until somebody changes this. The run goes on by itself then.".to_owned()
        });
        return Some(Blocking { is_serious: true, what, next: next.or(stalled) });
    }
    if is_true(&status.conditions, ConditionType::ClockSkew) {
        let (what, _) = split(&message(find(&status.conditions, ConditionType::ClockSkew)?));
        return Some(Blocking { is_serious: true, what, next: Some("Correct the clocks.".into()) });
    }
    waiting(status).map(|what| Blocking { is_serious: false, what, next: None })
}

/// What the run waits for before its traffic.
fn waiting(status: &KinesisDemoStatus) -> Option<String> {
    let stage = status.stage.unwrap_or_default();
    let awaited = match stage {
        Stage::Pending => [ConditionType::Reconciling, ConditionType::Ready],
        Stage::Provisioning => [ConditionType::StreamReady, ConditionType::Reconciling],
        Stage::Warming => [ConditionType::WarmThroughputReady, ConditionType::Reconciling],
        Stage::Starting | Stage::Running => [ConditionType::GeneratorsReady, ConditionType::GeneratorsReady],
        _ => return None,
    };
    let is_open = |type_: ConditionType| {
        find(&status.conditions, type_).filter(|condition| {
            // Reconciling is the one of them that is True while something is awaited.
            let awaited = if type_ == ConditionType::Reconciling {
                ConditionStatus::True
            } else {
                ConditionStatus::False
            };
            condition.status == awaited && !condition.message.is_empty()
        })
    };
    awaited.into_iter().find_map(is_open).map(message)
}

fn message(condition: &Condition) -> String {
    format!("{}: {}", condition.reason, condition.message)
}

/// A message and its next step.
fn split(message: &str) -> (String, Option<String>) {
    match message.split_once(". Next: ") {
        Some((what, next)) => (format!("{what}."), Some(format!("Next: {next}."))),
        None => (message.to_owned(), None),
    }
}

/// The same as markup.
#[must_use]
pub fn shown(blocking: Option<&Blocking>) -> Markup {
    html! {
        @if let Some(Blocking { is_serious, what, next }) = blocking {
            div class=(if *is_serious { "blocking serious" } else { "blocking" }) role="status" {
                p class="blocking-title" { (if *is_serious { "Something stands in the way" } else { "Waiting" }) }
                p { (text(what)) }
                @if let Some(next) = next { p class="next" { (text(next)) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixture::{condition, demo, peak};
    use serde_json::json;

    fn found(stage: &str, conditions: serde_json::Value) -> Option<(bool, String, Option<String>)> {
        let blocking = blocking(&demo(json!({"stage": stage, "conditions": conditions})))?;
        Some((blocking.is_serious, blocking.what, blocking.next))
    }

    #[test]
    fn a_failed_run_shows_the_reason_and_the_next_step() {
        let failed = condition(
            "Succeeded",
            "False",
            "StreamDeleted",
            "it was deleted. Next: find out who, then rerun",
        );
        assert_eq!(
            found("Failed", json!([failed])),
            Some((
                true,
                "StreamDeleted: it was deleted.".into(),
                Some("Next: find out who, then rerun.".into())
            ))
        );
    }

    #[test]
    fn a_stall_says_that_somebody_must_act() {
        let stalled = condition("Stalled", "True", "AccountNotAllowed", "account 1 is not on --account");
        let (is_serious, what, next) = found("Pending", json!([stalled])).unwrap();
        assert_eq!((is_serious, what.as_str()), (true, "AccountNotAllowed: account 1 is not on --account"));
        assert!(next.unwrap().starts_with("Nothing happens until"));
    }

    #[test]
    fn a_wait_is_shown_with_what_is_awaited() {
        let rising = condition("WarmThroughputReady", "False", "Rising", "40 of 100 MiB/s");
        let working = condition("Reconciling", "True", "Warming", "waiting for the warm throughput");
        assert_eq!(
            found("Warming", json!([working, rising])),
            Some((false, "Rising: 40 of 100 MiB/s".into(), None))
        );
        assert_eq!(
            found("Provisioning", json!([working])),
            Some((false, "Warming: waiting for the warm throughput".into(), None))
        );
    }

    #[test]
    fn a_run_that_goes_well_has_nothing_in_the_way() {
        assert_eq!(blocking(&peak()), None);
        assert_eq!(found("Succeeded", json!([])), None);
        let mut fresh = peak();
        fresh.status = None;
        assert!(!blocking(&fresh).unwrap().is_serious);
    }
}
