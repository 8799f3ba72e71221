//! What reaches the fake AWS, what is lost on the way, and when the caller dies. In: calls and the faults that a test
//! arranged. Out: what to do with each call, and the log of all.

use std::time::Duration;

use kinesis_demo_api::MicroTime;

use crate::aws::{AwsError, AwsErrorClass};

/// One call that reached AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When.
    pub at: MicroTime,
    /// In which region.
    pub region: String,
    /// The API operation, as in `CreateStream`.
    pub operation: &'static str,
    /// What it was about: a name or an ARN.
    pub target: String,
    /// Whether it changes something, or would have.
    pub is_write: bool,
    /// Whether AWS did it. A lost response hides that from the caller.
    pub performed: bool,
    /// What the caller was told, if not success.
    pub error: Option<AwsErrorClass>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    Refuse(AwsErrorClass),
    /// Refused in AWS's own words.
    RefuseWith {
        code: &'static str,
        message: String,
    },
    LoseResponse,
    /// The answer takes so long.
    Delay(Duration),
}

struct Fault {
    operation: String,
    kind: FaultKind,
    left: u32,
    /// It strikes before this instant only.
    until: Option<MicroTime>,
}

impl Fault {
    fn strikes(&self, operation: &str, now: MicroTime) -> bool {
        self.left > 0
            && (self.operation == operation || self.operation == "*")
            && self.until.is_none_or(|until| now < until)
    }
}

/// Decides what becomes of calls.
#[derive(Default)]
pub(super) struct FaultInjector {
    faults: Vec<Fault>,
    calls: Vec<Call>,
    /// How many more calls are answered before the caller dies.
    crash_in: Option<u64>,
    crashed: bool,
}

impl FaultInjector {
    pub(super) fn add_fault(&mut self, operation: &str, kind: FaultKind, times: u32) {
        self.faults.push(Fault { operation: operation.to_owned(), kind, left: times, until: None });
    }

    /// The fault strikes every call of `operation` until `until`.
    pub(super) fn add_window(&mut self, operation: &str, kind: FaultKind, until: MicroTime) {
        let operation = operation.to_owned();
        self.faults.push(Fault { operation, kind, left: u32::MAX, until: Some(until) });
    }

    /// How long the answer to this call takes.
    pub(super) fn latency(&self, operation: &str, now: MicroTime) -> Option<Duration> {
        let mut delays = self.faults.iter().filter(|fault| fault.strikes(operation, now));
        delays.find_map(|fault| match fault.kind {
            FaultKind::Delay(latency) => Some(latency),
            _ => None,
        })
    }

    /// The answer to the next call of `operation` is lost.
    pub(super) fn lose_next(&mut self, operation: &str) {
        let (operation, kind) = (operation.to_owned(), FaultKind::LoseResponse);
        self.faults.insert(0, Fault { operation, kind, left: 1, until: None });
    }

    pub(super) fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// The fault that strikes this call, if any; it is used up.
    pub(super) fn strike(&mut self, operation: &str, now: MicroTime) -> Option<FaultKind> {
        let applies =
            |fault: &&mut Fault| fault.strikes(operation, now) && !matches!(fault.kind, FaultKind::Delay(_));
        let fault = self.faults.iter_mut().find(applies)?;
        fault.left = fault.left.saturating_sub(u32::from(fault.until.is_none()));
        Some(fault.kind.clone())
    }

    pub(super) fn crash_after(&mut self, nth: u64) {
        self.crash_in = Some(nth.max(1));
    }

    pub(super) fn crashed(&self) -> bool {
        self.crashed
    }

    pub(super) fn revive(&mut self) {
        self.crashed = false;
    }

    /// Logs a call. True if it was the caller's last.
    pub(super) fn log(&mut self, call: Call) -> bool {
        self.calls.push(call);
        self.crash_in = match self.crash_in {
            Some(1) => {
                self.crashed = true;
                None
            }
            left => left.map(|left| left - 1),
        };
        self.crashed
    }

    pub(super) fn calls(&self) -> &[Call] {
        &self.calls
    }
}

/// The error of an injected refusal, with a code that AWS uses for such things.
pub(super) fn injected(operation: &'static str, target: &str, class: AwsErrorClass) -> AwsError {
    let code = match class {
        AwsErrorClass::NotFound => "ResourceNotFoundException",
        AwsErrorClass::AlreadyExists => "ResourceInUseException",
        AwsErrorClass::Throttled => "ThrottlingException",
        AwsErrorClass::Denied => "AccessDeniedException",
        AwsErrorClass::Quota => "ServiceQuotaExceededException",
        AwsErrorClass::Invalid => "ValidationException",
        AwsErrorClass::Transient => "InternalFailure",
    };
    AwsError::refused(operation, target, code, format!("injected: {}", class.name()))
}
