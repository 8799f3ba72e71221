//! Injected faults: which calls are throttled, fail, are slow or lose their response. Only stores
//! the rules; `http` applies them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::AwsError;

/// The effect of an injected fault on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// The call fails with the service's throttling error before it takes effect. `message`
    /// replaces the usual text.
    Throttle,
    /// The call fails with the given code, status and message (default `InternalFailure`, 500)
    /// before it takes effect.
    Error,
    /// The call waits `latencyMs`, then proceeds.
    Latency,
    /// The call takes effect, but its response is lost: the connection breaks. With a `status`,
    /// that status is returned instead, with `code` and `message` as for `Error`.
    LoseResponse,
}

/// A rule of `POST /_sandbox/faults`. `times` is the number of calls to which it still applies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// The service's signing name, or `cloudwatch`, or `*`.
    pub service: String,
    /// The operation, or `*`.
    pub operation: String,
    /// What happens to the call.
    pub kind: FaultKind,
    /// To how many calls it happens.
    #[serde(default = "once")]
    pub times: u32,
    /// The error's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The error's text, such as AWS's own wording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How long `Latency` waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u32>,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// Why the rule is invalid, or `None`.
    pub fn problem(&self) -> Option<String> {
        if self.times == 0 {
            return Some("times must be at least 1".to_owned());
        }
        if self.service.is_empty() || self.operation.is_empty() {
            return Some("service and operation must each be a name or `*`".to_owned());
        }
        if self.kind == FaultKind::Latency && self.latency_ms.is_none() {
            return Some("Latency needs latencyMs".to_owned());
        }
        if let Some(member) = self.first_unused_member() {
            return Some(self.kind.unused_member(member));
        }
        if self.status.is_some_and(|status| !(400..=599).contains(&status)) {
            return Some("status must be an error status, 400 to 599".to_owned());
        }
        if self.code.as_deref().is_some_and(|code| !is_code(code)) {
            return Some("code must be one word, such as ThrottlingException".to_owned());
        }
        None
    }

    /// The first member that is set although this kind of rule does not use it.
    fn first_unused_member(&self) -> Option<&'static str> {
        let returns_an_error = match self.kind {
            FaultKind::Throttle | FaultKind::Error => true,
            FaultKind::LoseResponse => self.status.is_some(),
            FaultKind::Latency => false,
        };
        let has_its_own_code = self.kind == FaultKind::Throttle || !returns_an_error;
        [
            ("latencyMs", self.latency_ms.is_some() && self.kind != FaultKind::Latency),
            (
                "status",
                self.status.is_some() && matches!(self.kind, FaultKind::Throttle | FaultKind::Latency),
            ),
            ("code", self.code.is_some() && has_its_own_code),
            ("message", self.message.is_some() && !returns_an_error),
        ]
        .into_iter()
        .find_map(|(member, is_idle)| is_idle.then_some(member))
    }

    /// The error that the caller receives, for rules with an error code of their own.
    pub fn error(&self) -> AwsError {
        AwsError {
            status: self.status.unwrap_or(500),
            code: self.code.clone().unwrap_or_else(|| "InternalFailure".to_owned()),
            message: self.message.clone().unwrap_or_else(|| "injected by the sandbox".to_owned()),
        }
    }

    /// How long the call waits first.
    pub fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms.unwrap_or_default().into())
    }

    /// Whether the rule's service is one of `names` or `*`.
    pub fn names_service_of(&self, names: &[&str]) -> bool {
        let named = self.signing_name();
        named == "*" || names.contains(&named)
    }

    fn signing_name(&self) -> &str {
        match self.service.as_str() {
            "cloudwatch" => "monitoring",
            name => name,
        }
    }

    fn concerns(&self, service: &str, operation: &str) -> bool {
        self.names_service_of(&[service]) && (self.operation == "*" || self.operation == operation)
    }
}

impl FaultKind {
    /// The message for a rule of this kind with an unused `member`.
    fn unused_member(self, member: &str) -> String {
        let why = match self {
            _ if member == "latencyMs" => "only Latency delays a call",
            Self::Throttle => "it returns the service's own throttling error; use Error for another code",
            Self::Error => "it has a status, a code and a message",
            Self::Latency => "the call proceeds and returns its normal response",
            Self::LoseResponse => "the connection breaks without a response unless the rule has a status",
        };
        format!("{self:?} does not use {member}: {why}")
    }
}

/// Whether `code` is valid as an error code in every protocol.
fn is_code(code: &str) -> bool {
    !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-#".contains(&byte))
}

/// The active rules, oldest first.
#[derive(Default)]
pub struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    /// No rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule after the others.
    pub fn add(&self, fault: Fault) {
        self.rules().push(fault);
    }

    /// The rules that still apply to a call.
    pub fn pending(&self) -> Vec<Fault> {
        self.rules().clone()
    }

    /// Removes all rules.
    pub fn clear(&self) {
        self.rules().clear();
    }

    /// Returns the oldest rule that matches this call, and counts down its `times`.
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
    fn a_rule_applies_the_given_number_of_times() {
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
    fn older_rules_come_first_and_stars_match_everything() {
        let faults = Faults::new();
        faults.add(rule(r#"{"service":"cloudwatch","operation":"*","kind":"Latency","latencyMs":5}"#));
        faults.add(rule(
            r#"{"service":"*","operation":"PutMetricData","kind":"Error","code":"X","status":503}"#,
        ));
        let first = faults.due("monitoring", "PutMetricData").unwrap();
        assert_eq!((first.kind, first.latency()), (FaultKind::Latency, Duration::from_millis(5)));
        assert_eq!(faults.due("monitoring", "PutMetricData").unwrap().kind, FaultKind::Error);
    }

    #[test]
    fn an_error_has_the_code_and_message_of_its_rule() {
        let words = "Unable to assume the service linked role. Please verify that the ECS service linked role exists.";
        let fault = rule(&format!(
            r#"{{"service":"ecs","operation":"CreateService","kind":"Error","status":400,"code":"InvalidParameterException",
                "message":"{words}"}}"#
        ));
        assert_eq!(fault.problem(), None);
        assert_eq!(fault.error(), AwsError::client("InvalidParameterException", words));
        let silent = rule(r#"{"service":"ecs","operation":"*","kind":"Error"}"#).error();
        assert_eq!((silent.status, silent.code.as_str()), (500, "InternalFailure"));
        assert_eq!(silent.message, "injected by the sandbox");
    }

    #[test]
    fn invalid_rules_are_rejected_with_a_reason() {
        for (members, problem) in [
            (r#""kind":"Error","times":0"#, "times must be at least 1"),
            (r#""kind":"Latency""#, "Latency needs latencyMs"),
            (r#""kind":"Error","status":200"#, "status must be an error status, 400 to 599"),
            (r#""kind":"LoseResponse","status":302"#, "status must be an error status, 400 to 599"),
            (r#""kind":"Error","code":"<b>""#, "code must be one word, such as ThrottlingException"),
            (r#""kind":"Error","code":"""#, "code must be one word, such as ThrottlingException"),
            (r#""kind":"Latency","latencyMs":1,"message":"m""#, "Latency does not use message: "),
            (r#""kind":"Latency","latencyMs":1,"code":"c""#, "Latency does not use code: "),
            (r#""kind":"Latency","latencyMs":1,"status":500"#, "Latency does not use status: "),
            (r#""kind":"Error","latencyMs":1"#, "Error does not use latencyMs: only Latency delays a call"),
            (
                r#""kind":"Throttle","latencyMs":1"#,
                "Throttle does not use latencyMs: only Latency delays a call",
            ),
            (
                r#""kind":"LoseResponse","latencyMs":1"#,
                "LoseResponse does not use latencyMs: only Latency delays a call",
            ),
            (
                r#""kind":"LoseResponse","status":503,"latencyMs":1"#,
                "LoseResponse does not use latencyMs: only Latency delays a call",
            ),
            (r#""kind":"Throttle","code":"c""#, "Throttle does not use code: "),
            (r#""kind":"Throttle","status":400"#, "Throttle does not use status: "),
            (
                r#""kind":"LoseResponse","message":"m""#,
                "LoseResponse does not use message: the connection breaks without a response unless the rule has a status",
            ),
            (r#""kind":"LoseResponse","code":"c""#, "LoseResponse does not use code: the connection breaks"),
        ] {
            let problem_found = rule(&format!(r#"{{"service":"a","operation":"b",{members}}}"#)).problem();
            assert!(
                problem_found.as_deref().is_some_and(|problem_found| problem_found.starts_with(problem)),
                "{members}: {problem_found:?}"
            );
        }
        let nameless = rule(r#"{"service":"","operation":"b","kind":"Throttle"}"#).problem();
        assert_eq!(nameless.as_deref(), Some("service and operation must each be a name or `*`"));
        for members in [r#""kind":"Error","typo":1"#, r#""kind":"Slow""#, r#""kind":"Error","message":1"#] {
            let unknown = format!(r#"{{"service":"a","operation":"b",{members}}}"#);
            assert!(serde_json::from_str::<Fault>(&unknown).is_err(), "{members}");
        }
    }

    #[test]
    fn valid_rules_are_accepted() {
        for members in [
            r#""kind":"Throttle""#,
            r#""kind":"Throttle","message":"Rate exceeded""#,
            r#""kind":"Error","code":"com.amazonaws.ecs#ServerException","message":"m""#,
            r#""kind":"Latency","latencyMs":0"#,
            r#""kind":"LoseResponse""#,
            r#""kind":"LoseResponse","status":503,"code":"ServiceUnavailable","message":"m""#,
        ] {
            let problem_found = rule(&format!(r#"{{"service":"a","operation":"b",{members}}}"#)).problem();
            assert_eq!(problem_found, None, "{members}");
        }
    }
}
