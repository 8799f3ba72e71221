//! Which operations a service offers and what it does with each of their members. In: a service's table and a request. Out:
//! nothing, or a refusal in AWS's form that names the member. No I/O.
//!
//! Requests pass through here before a service sees them, so a member that is in no table cannot be accepted and ignored. The
//! tables lie beside the services (`operations.rs` in their folders); the tests walk botocore's members over them.

use serde_json::Value;

use crate::services::AwsError;

/// What each refusal ends with: where to read what there is.
pub const NOT_OFFERED: &str = "is not offered by this sandbox; docs/sandbox.md lists what is";

/// One operation that is offered. Members are named by their path, as in `Tags.Key`; lists do not show in it.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its name, as in `CreateStream`.
    pub name: &'static str,
    /// The code with which AWS refuses a wrong request for it.
    pub refusal: &'static str,
    /// What is honoured, apart by spaces. Of a structure, its members are named; what is held by a
    /// list of values or a map is the service's affair.
    pub honoured: &'static str,
    /// What changes nothing that could be noticed here, and why, with all that it holds.
    pub idle: &'static [(&'static str, &'static str)],
    /// What is refused, apart by spaces, with all that it holds. Unknown members are, too.
    pub refused: &'static str,
}

/// What is done with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Honoured.
    Honoured,
    /// A structure whose members each have their own treatment.
    Parts,
    /// Accepted: it changes nothing that could be noticed.
    Idle,
    /// Refused if it asks for anything.
    Refused,
    /// In no table, and therefore refused too.
    Unknown,
}

impl Operation {
    /// An operation all of whose members are honoured.
    pub const fn honouring(name: &'static str, refusal: &'static str, honoured: &'static str) -> Self {
        Self { name, refusal, honoured, idle: &[], refused: "" }
    }

    /// The same, with members that change nothing.
    pub const fn idle(self, idle: &'static [(&'static str, &'static str)]) -> Self {
        Self { idle, ..self }
    }

    /// The same, with members that are refused.
    pub const fn refusing(self, refused: &'static str) -> Self {
        Self { refused, ..self }
    }

    /// What is done with the member of that path.
    pub fn treatment(&self, path: &str) -> Treatment {
        let is_part = |listed: &str| listed.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        let mut listed = self.members();
        if let Some((_, treatment)) = self.members().find(|(member, _)| *member == path) {
            treatment
        } else if listed.any(|(member, _)| is_part(member)) {
            Treatment::Parts
        } else {
            Treatment::Unknown
        }
    }

    /// All members of the table.
    pub fn members(&self) -> impl Iterator<Item = (&'static str, Treatment)> {
        let treated = |members: &'static str, treatment| {
            members.split_ascii_whitespace().map(move |member| (member, treatment))
        };
        treated(self.honoured, Treatment::Honoured)
            .chain(self.idle.iter().map(|(member, _)| (*member, Treatment::Idle)))
            .chain(treated(self.refused, Treatment::Refused))
    }

    /// Refuses what a request asks for and nobody here would do.
    pub fn check(&self, input: &Value) -> Result<(), AwsError> {
        self.check_structure("", input)
    }

    fn check_structure(&self, path: &str, value: &Value) -> Result<(), AwsError> {
        if let Value::Array(items) = value {
            return items.iter().try_for_each(|item| self.check_structure(path, item));
        }
        for (name, member) in value.as_object().into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match self.treatment(&path) {
                Treatment::Honoured | Treatment::Idle => {}
                Treatment::Parts => self.check_structure(&path, member)?,
                Treatment::Refused | Treatment::Unknown if asks_for_nothing(member) => {}
                Treatment::Refused | Treatment::Unknown => return Err(self.refusal(&path)),
            }
        }
        Ok(())
    }

    fn refusal(&self, path: &str) -> AwsError {
        AwsError::client(self.refusal, format!("{}: the member {path} {NOT_OFFERED}", self.name))
    }
}

/// Whether a member is as good as left out. SDKs and tools that copy requests send empty members, too.
pub fn asks_for_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(asks_for_nothing),
        Value::Number(number) => number.as_f64() == Some(0.0),
    }
}

/// Finds a request's operation and checks its members.
pub fn admit(offered: &[Operation], service: &str, operation: &str, input: &Value) -> Result<(), AwsError> {
    let known = offered.iter().find(|offered| offered.name == operation);
    known.ok_or_else(|| unknown(service, operation))?.check(input)
}

/// The refusal of an operation that is not offered, in the code that AWS has for operations that it does not know.
pub fn unknown(service: &str, operation: &str) -> AwsError {
    let message = format!("The operation {operation} of {} {NOT_OFFERED}", title(service));
    AwsError::client(unknown_code(service), message)
}

/// The refusal of a service that is not offered.
pub fn unknown_service(service: &str) -> AwsError {
    AwsError::client(unknown_code(service), format!("The service {service} {NOT_OFFERED}"))
}

/// What a service of that signing name is called.
fn title(service: &str) -> &str {
    match service {
        "application-autoscaling" => "Application Auto Scaling",
        "ecs" => "ECS",
        "kinesis" => "Kinesis",
        "logs" => "CloudWatch Logs",
        "monitoring" => "CloudWatch",
        "ssm" => "Systems Manager",
        "sts" => "STS",
        other => other,
    }
}

/// Services of the query protocol have a code of their own ("Common Errors" of their API references).
fn unknown_code(service: &str) -> &'static str {
    match service {
        "monitoring" | "sts" => "InvalidAction",
        _ => "UnknownOperationException",
    }
}

#[cfg(test)]
mod tests;
