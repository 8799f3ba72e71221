//! What the page shows at one instant, as data. In: which runs a browser has chosen. Out: those
//! runs, what can be requested of them, and what the user must know about the connection. Pure.

use std::sync::Arc;

use kinesis_demo_api::request::Verb;
use kinesis_demo_api::{KinesisDemo, KinesisDemoRun, MicroTime, Stage};
use kinesis_demo_report::shards::ShardLoads;

/// How many runs are shown side by side.
pub const MOST_SHOWN: usize = 4;

/// A run that a browser shows: the current one of an object, or one by the name of its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The object's current run, whichever that is.
    Demo(String),
    /// The run of this record.
    Run(String),
}

impl Choice {
    /// The choices of an address: `demo=…` and `run=…`, in order.
    #[must_use]
    pub fn all_in(query: &str) -> Vec<Self> {
        let choices =
            form_urlencoded::parse(query.as_bytes()).filter_map(|(key, value)| match key.as_ref() {
                "demo" => Some(Self::Demo(value.into_owned())),
                "run" => Some(Self::Run(value.into_owned())),
                _ => None,
            });
        choices.take(MOST_SHOWN).collect()
    }

    /// The same as a query of an address.
    #[must_use]
    pub fn query(choices: &[Self]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for choice in choices {
            match choice {
                Self::Demo(name) => query.append_pair("demo", name),
                Self::Run(name) => query.append_pair("run", name),
            };
        }
        query.finish()
    }

    /// The address of the page that shows this one alone.
    #[must_use]
    pub fn address(&self) -> String {
        format!("/show?{}", Self::query(std::slice::from_ref(self)))
    }
}

/// Chosen runs at one instant.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The instant: now, or where a replay is.
    pub now: MicroTime,
    /// How many times faster than real time it passes.
    pub speed: u32,
    /// What the user must know about what is shown: a lost connection, a missing permission.
    pub messages: Vec<String>,
    /// The runs, in the order of the choices.
    pub runs: Vec<RunView>,
}

/// One run.
#[derive(Clone, Debug, Default)]
pub struct RunView {
    /// The object's name, or what was chosen if there is no such run.
    pub name: String,
    /// The run. Absent before the object's first run.
    pub run: Option<KinesisDemoRun>,
    /// The object, if this is its current run.
    pub demo: Option<KinesisDemo>,
    /// The load of the shards of its stream, where somebody counts it.
    pub shards: Option<Arc<ShardLoads>>,
    /// Something about this run alone, such as that its object was deleted.
    pub message: Option<String>,
    /// What can be requested of it.
    pub actions: Vec<Action>,
}

/// All objects and runs.
#[derive(Clone, Debug, Default)]
pub struct ListView {
    pub now: MicroTime,
    pub speed: u32,
    pub messages: Vec<String>,
    /// The objects by name; those that cannot be parsed with the reason. None in a replay.
    pub demos: Option<Vec<(String, Result<KinesisDemo, String>)>>,
    /// The stored runs, newest first.
    pub runs: Vec<KinesisDemoRun>,
}

/// Something that can be requested of a run, as a button.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    pub verb: Verb,
    pub demo: String,
    pub run: Option<u32>,
    /// Why the button is disabled.
    pub disabled: Option<String>,
}

/// The order of the buttons. A request for each: see `api/src/request.rs`.
const VERBS: [Verb; 2] = [Verb::Abort, Verb::Rerun];

/// The verb as an address has it.
#[must_use]
pub fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Abort => "abort",
        Verb::Rerun => "rerun",
    }
}

/// The verb of that word.
#[must_use]
pub fn verb(text: &str) -> Option<Verb> {
    VERBS.into_iter().find(|verb| word(*verb) == text)
}

/// The actions of an object's current run. `refused` says why this user may request nothing.
#[must_use]
pub fn actions(demo: &KinesisDemo, refused: Option<&str>) -> Vec<Action> {
    let stage = demo.status.as_ref().and_then(|status| status.stage).unwrap_or_default();
    let run = demo.status.as_ref().and_then(|status| status.run.as_ref()).map(|run| run.number);
    let is_deleted = demo.metadata.deletion_timestamp.is_some();
    let why_not = |verb: Verb| match verb {
        _ if is_deleted => Some("the object is being deleted"),
        Verb::Abort if stage.is_terminal() => Some("the run is over"),
        Verb::Abort if ends_anyway(stage, demo) => Some("the run is ending"),
        Verb::Rerun if !stage.is_terminal() => Some("the run is not over"),
        _ => refused,
    };
    let action = |verb| Action {
        verb,
        demo: demo.metadata.name.clone().unwrap_or_default(),
        run,
        disabled: why_not(verb).map(ToOwned::to_owned),
    };
    VERBS.into_iter().map(action).collect()
}

fn ends_anyway(stage: Stage, demo: &KinesisDemo) -> bool {
    let run = demo.status.as_ref().and_then(|status| status.run.as_ref());
    stage >= Stage::CleaningUp || run.is_some_and(|run| run.outcome.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixture::demo;
    use serde_json::json;

    #[test]
    fn choices_round_trip_through_the_address() {
        let choices =
            [Choice::Demo("cold".into()), Choice::Run("a&b=<c>".into()), Choice::Demo("warm".into())];
        let query = Choice::query(&choices);
        assert_eq!(query, "demo=cold&run=a%26b%3D%3Cc%3E&demo=warm");
        assert_eq!(Choice::all_in(&query), choices);
        assert_eq!(Choice::all_in(&format!("x=y&{query}&demo=d&demo=e")).len(), MOST_SHOWN);
        assert_eq!(Choice::all_in(""), []);
    }

    #[test]
    fn buttons_say_why_they_are_disabled() {
        let reasons = |changes, refused| {
            let actions = actions(&demo(changes), refused);
            actions.into_iter().map(|action| (action.verb, action.disabled)).collect::<Vec<_>>()
        };
        let why = |text: &str| Some(text.to_owned());
        assert_eq!(
            reasons(json!({}), None),
            [(Verb::Abort, None), (Verb::Rerun, why("the run is not over"))]
        );
        assert_eq!(
            reasons(json!({"stage": "Failed"}), None),
            [(Verb::Abort, why("the run is over")), (Verb::Rerun, None)]
        );
        assert_eq!(
            reasons(json!({"stage": "Failed"}), Some("--read-only")),
            [(Verb::Abort, why("the run is over")), (Verb::Rerun, why("--read-only"))]
        );
        assert_eq!(reasons(json!({"stage": "CleaningUp"}), None)[0].1, why("the run is ending"));
    }

    #[test]
    fn every_verb_has_a_word() {
        for given in VERBS {
            assert_eq!(verb(word(given)), Some(given));
        }
        assert_eq!(verb("explode"), None);
    }
}
