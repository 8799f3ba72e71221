//! Faults on demand: which calls shall be throttled, fail, be slow or lose their answer. Holds rules; acts on nothing itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What an injected fault does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The service's throttling error, before the call has any effect.
    Throttle,
    /// An error of the given code and status (default `InternalFailure`, 500), before the call has any effect.
    Error,
    /// The call waits `latencyMs`, then proceeds.
    Latency,
    /// The call takes effect, but its caller does not learn of it: the connection breaks, or, with a `status`, that status
    /// is answered.
    LoseResponse,
}

/// A rule of `POST /_sandbox/faults`. `times` is how many calls it still applies to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// The service's signing name, or `cloudwatch`, or `*`.
    pub service: String,
    /// The operation, or `*`.
    pub operation: String,
    /// What happens.
    pub kind: Kind,
    /// To how many calls it happens.
    #[serde(default = "once")]
    pub times: u32,
    /// The error's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long `Latency` waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u32>,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// Why the rule makes no sense, if it does not.
    pub fn complaint(&self) -> Option<&'static str> {
        match self {
            Self { times: 0, .. } => Some("times is at least 1"),
            Self { kind: Kind::Latency, latency_ms: None, .. } => Some("Latency needs latencyMs"),
            Self { status: Some(status), .. } if !(400..=599).contains(status) => {
                Some("status is an error's, 400 to 599")
            }
            _ => None,
        }
    }

    /// How long the call waits first.
    pub fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms.unwrap_or_default().into())
    }

    fn concerns(&self, service: &str, operation: &str) -> bool {
        let named = match self.service.as_str() {
            "cloudwatch" => "monitoring",
            name => name,
        };
        (named == "*" || named == service) && (self.operation == "*" || self.operation == operation)
    }
}

/// The rules in force, oldest first.
#[derive(Default)]
pub struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    /// No rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule behind the others.
    pub fn add(&self, fault: Fault) {
        self.rules().push(fault);
    }

    /// The rules that still apply to some call.
    pub fn pending(&self) -> Vec<Fault> {
        self.rules().clone()
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        self.rules().clear();
    }

    /// The oldest rule for this call; uses it up once.
    pub fn due(&self, service: &str, operation: &str) -> Option<Fault> {
        let mut rules = self.rules();
        let index = rules.iter().position(|rule| rule.concerns(service, operation))?;
        let rule = rules.get_mut(index)?;
        let fault = rule.clone();
        rule.times -= 1;
        if rule.times == 0 {
            rules.remove(index);
        }
        Some(fault)
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Fault {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_rule_applies_so_many_times_to_its_operation_only() {
        let faults = Faults::new();
        faults.add(rule(r#"{"service":"kinesis","operation":"CreateStream","kind":"Throttle","times":2}"#));
        assert_eq!(faults.due("kinesis", "DeleteStream"), None);
        assert_eq!(faults.due("ecs", "CreateStream"), None);
        assert!(faults.due("kinesis", "CreateStream").is_some());
        assert!(faults.due("kinesis", "CreateStream").is_some());
        assert_eq!(faults.due("kinesis", "CreateStream"), None);
        assert_eq!(faults.pending(), []);
    }

    #[test]
    fn older_rules_come_first_and_stars_match_all() {
        let faults = Faults::new();
        faults.add(rule(r#"{"service":"cloudwatch","operation":"*","kind":"Latency","latencyMs":5}"#));
        faults.add(rule(
            r#"{"service":"*","operation":"PutMetricData","kind":"Error","code":"X","status":503}"#,
        ));
        let first = faults.due("monitoring", "PutMetricData").unwrap();
        assert_eq!((first.kind, first.latency()), (Kind::Latency, Duration::from_millis(5)));
        assert_eq!(faults.due("monitoring", "PutMetricData").unwrap().kind, Kind::Error);
    }

    #[test]
    fn rules_that_make_no_sense_are_named() {
        for (text, complaint) in [
            (r#"{"service":"a","operation":"b","kind":"Error","times":0}"#, "times is at least 1"),
            (r#"{"service":"a","operation":"b","kind":"Latency"}"#, "Latency needs latencyMs"),
            (
                r#"{"service":"a","operation":"b","kind":"Error","status":200}"#,
                "status is an error's, 400 to 599",
            ),
        ] {
            assert_eq!(rule(text).complaint(), Some(complaint));
        }
        let unknown = r#"{"service":"a","operation":"b","kind":"Error","typo":1}"#;
        assert!(serde_json::from_str::<Fault>(unknown).is_err());
    }
}
