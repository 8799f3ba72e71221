//! Faults on demand: which calls shall be throttled, fail, be slow or lose their answer. Holds rules; acts on nothing itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::services::AwsError;

/// What an injected fault does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The service's throttling error, with `message` instead of its usual text, before the call has any effect.
    Throttle,
    /// An error of the given code, status and message (default `InternalFailure`, 500), before the call has any effect.
    Error,
    /// The call waits `latencyMs`, then proceeds.
    Latency,
    /// The call takes effect, but its caller does not learn of it: the connection breaks, or, with a `status`, that status
    /// is answered, with `code` and `message` as `Error` has them.
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
    /// The error's text, such as AWS's own words for what is to be played.
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
    /// Why the rule makes no sense, if it does not.
    pub fn complaint(&self) -> Option<String> {
        if self.times == 0 {
            return Some("times is at least 1".to_owned());
        }
        if self.service.is_empty() || self.operation.is_empty() {
            return Some("service and operation are names, or `*`".to_owned());
        }
        if self.kind == Kind::Latency && self.latency_ms.is_none() {
            return Some("Latency needs latencyMs".to_owned());
        }
        if let Some(member) = self.without_meaning() {
            return Some(self.kind.refusal_of(member));
        }
        if self.status.is_some_and(|status| !(400..=599).contains(&status)) {
            return Some("status is an error's, 400 to 599".to_owned());
        }
        if self.code.as_deref().is_some_and(|code| !is_code(code)) {
            return Some("code is a word, such as ThrottlingException".to_owned());
        }
        None
    }

    /// The first member that was given although it changes nothing.
    fn without_meaning(&self) -> Option<&'static str> {
        let answers_an_error = match self.kind {
            Kind::Throttle | Kind::Error => true,
            Kind::LoseResponse => self.status.is_some(),
            Kind::Latency => false,
        };
        let has_its_own_code = self.kind == Kind::Throttle || !answers_an_error;
        [
            ("latencyMs", self.latency_ms.is_some() && self.kind != Kind::Latency),
            ("status", self.status.is_some() && matches!(self.kind, Kind::Throttle | Kind::Latency)),
            ("code", self.code.is_some() && has_its_own_code),
            ("message", self.message.is_some() && !answers_an_error),
        ]
        .into_iter()
        .find_map(|(member, is_idle)| is_idle.then_some(member))
    }

    /// The error that the caller is answered, where the rule plays one of its own code.
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

    /// Whether the rule's service is one of `names`, or all of them are meant.
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

impl Kind {
    /// Why a rule of this kind has no use for `member`.
    fn refusal_of(self, member: &str) -> String {
        let why = match self {
            Self::Throttle => "it answers the service's own throttling error; Error answers any code",
            Self::Error => "only Latency waits",
            Self::Latency => "the call proceeds, and its own answer is given",
            Self::LoseResponse => {
                "the connection breaks, and nothing is answered unless the rule has a status"
            }
        };
        format!("{self:?} has no use for {member}: {why}")
    }
}

/// Whether `code` can stand where each protocol puts an error's code.
fn is_code(code: &str) -> bool {
    !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-#".contains(&byte))
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
    fn an_error_is_played_in_the_rules_own_words() {
        let words = "Unable to assume the service linked role. Please verify that the ECS service linked role exists.";
        let fault = rule(&format!(
            r#"{{"service":"ecs","operation":"CreateService","kind":"Error","status":400,"code":"InvalidParameterException",
                "message":"{words}"}}"#
        ));
        assert_eq!(fault.complaint(), None);
        assert_eq!(fault.error(), AwsError::client("InvalidParameterException", words));
        let silent = rule(r#"{"service":"ecs","operation":"*","kind":"Error"}"#).error();
        assert_eq!((silent.status, silent.code.as_str()), (500, "InternalFailure"));
        assert_eq!(silent.message, "injected by the sandbox");
    }

    #[test]
    fn rules_that_make_no_sense_are_named() {
        for (members, complaint) in [
            (r#""kind":"Error","times":0"#, "times is at least 1"),
            (r#""kind":"Latency""#, "Latency needs latencyMs"),
            (r#""kind":"Error","status":200"#, "status is an error's, 400 to 599"),
            (r#""kind":"LoseResponse","status":302"#, "status is an error's, 400 to 599"),
            (r#""kind":"Error","code":"<b>""#, "code is a word, such as ThrottlingException"),
            (r#""kind":"Error","code":"""#, "code is a word, such as ThrottlingException"),
            (r#""kind":"Latency","latencyMs":1,"message":"m""#, "Latency has no use for message: "),
            (r#""kind":"Latency","latencyMs":1,"code":"c""#, "Latency has no use for code: "),
            (r#""kind":"Latency","latencyMs":1,"status":500"#, "Latency has no use for status: "),
            (r#""kind":"Error","latencyMs":1"#, "Error has no use for latencyMs: "),
            (r#""kind":"Throttle","latencyMs":1"#, "Throttle has no use for latencyMs: "),
            (r#""kind":"Throttle","code":"c""#, "Throttle has no use for code: "),
            (r#""kind":"Throttle","status":400"#, "Throttle has no use for status: "),
            (r#""kind":"LoseResponse","message":"m""#, "LoseResponse has no use for message: "),
            (r#""kind":"LoseResponse","code":"c""#, "LoseResponse has no use for code: "),
        ] {
            let told = rule(&format!(r#"{{"service":"a","operation":"b",{members}}}"#)).complaint();
            assert!(told.as_deref().is_some_and(|told| told.starts_with(complaint)), "{members}: {told:?}");
        }
        let nameless = rule(r#"{"service":"","operation":"b","kind":"Throttle"}"#).complaint();
        assert_eq!(nameless.as_deref(), Some("service and operation are names, or `*`"));
        for members in [r#""kind":"Error","typo":1"#, r#""kind":"Slow""#, r#""kind":"Error","message":1"#] {
            let unknown = format!(r#"{{"service":"a","operation":"b",{members}}}"#);
            assert!(serde_json::from_str::<Fault>(&unknown).is_err(), "{members}");
        }
    }

    #[test]
    fn rules_that_make_sense_are_taken() {
        for members in [
            r#""kind":"Throttle""#,
            r#""kind":"Throttle","message":"Rate exceeded""#,
            r#""kind":"Error","code":"com.amazonaws.ecs#ServerException","message":"m""#,
            r#""kind":"Latency","latencyMs":0"#,
            r#""kind":"LoseResponse""#,
            r#""kind":"LoseResponse","status":503,"code":"ServiceUnavailable","message":"m""#,
        ] {
            let told = rule(&format!(r#"{{"service":"a","operation":"b",{members}}}"#)).complaint();
            assert_eq!(told, None, "{members}");
        }
    }
}
