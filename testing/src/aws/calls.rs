//! Calls to the fake AWS, and their faults. In: calls, and the faults and the crash point that a
//! test set. Out: what to do with each call, and the log of all calls.

use std::time::Duration;

use kinesis_demo_api::MicroTime;

use kinesis_demo_operator::aws::{AwsError, AwsErrorClass};

/// One call that reached AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The time of the call.
    pub at: MicroTime,
    /// Its region.
    pub region: String,
    /// The API operation, as in `CreateStream`.
    pub operation: &'static str,
    /// The name or ARN that it is about.
    pub target: String,
    /// Whether it is a write, whether or not it succeeded.
    pub is_write: bool,
    /// Whether AWS performed it. If the response is lost, the caller does not learn of it.
    pub performed: bool,
    /// The error that the caller got, if any.
    pub error: Option<AwsErrorClass>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    Fail(AwsErrorClass),
    /// Fails with AWS's own code and message.
    FailWith {
        code: &'static str,
        message: String,
    },
    LoseResponse,
    /// Delays the response by this duration.
    Delay(Duration),
}

struct Fault {
    operation: String,
    kind: FaultKind,
    remaining: u32,
    /// The fault applies only before this instant.
    until: Option<MicroTime>,
}

impl Fault {
    fn applies_to(&self, operation: &str, now: MicroTime) -> bool {
        self.remaining > 0
            && (self.operation == operation || self.operation == "*")
            && self.until.is_none_or(|until| now < until)
    }
}

/// Decides the outcome of calls.
#[derive(Default)]
pub(super) struct FaultInjector {
    faults: Vec<Fault>,
    calls: Vec<Call>,
    /// The number of calls that still get a response before the caller crashes.
    crash_in: Option<u64>,
    crashed: bool,
}

impl FaultInjector {
    pub(super) fn add_fault(&mut self, operation: &str, kind: FaultKind, times: u32) {
        self.faults.push(Fault { operation: operation.to_owned(), kind, remaining: times, until: None });
    }

    /// Applies the fault to every call of `operation` before `until`.
    pub(super) fn add_window(&mut self, operation: &str, kind: FaultKind, until: MicroTime) {
        let operation = operation.to_owned();
        self.faults.push(Fault { operation, kind, remaining: u32::MAX, until: Some(until) });
    }

    /// The latency of the response to this call.
    pub(super) fn latency(&self, operation: &str, now: MicroTime) -> Option<Duration> {
        let mut delays = self.faults.iter().filter(|fault| fault.applies_to(operation, now));
        delays.find_map(|fault| match fault.kind {
            FaultKind::Delay(latency) => Some(latency),
            _ => None,
        })
    }

    /// Loses the response to the next call of `operation`.
    pub(super) fn lose_next(&mut self, operation: &str) {
        let (operation, kind) = (operation.to_owned(), FaultKind::LoseResponse);
        self.faults.insert(0, Fault { operation, kind, remaining: 1, until: None });
    }

    pub(super) fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// The fault for this call, if any. Uses up one of its times.
    pub(super) fn take_fault(&mut self, operation: &str, now: MicroTime) -> Option<FaultKind> {
        let applies = |fault: &&mut Fault| {
            fault.applies_to(operation, now) && !matches!(fault.kind, FaultKind::Delay(_))
        };
        let fault = self.faults.iter_mut().find(applies)?;
        fault.remaining = fault.remaining.saturating_sub(u32::from(fault.until.is_none()));
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

    /// Logs a call. Returns true if the caller crashes with it.
    pub(super) fn record(&mut self, call: Call) -> bool {
        self.calls.push(call);
        self.crash_in = match self.crash_in {
            Some(1) => {
                self.crashed = true;
                None
            }
            remaining => remaining.map(|remaining| remaining - 1),
        };
        self.crashed
    }

    pub(super) fn calls(&self) -> &[Call] {
        &self.calls
    }
}

/// The error of an injected fault, with a code that AWS uses for its class.
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
