//! Which operations a service supports and how it treats each of their parameters. In: a service's
//! table and a request. Out: nothing, or an error in AWS's form that names the parameter. No I/O.
//!
//! Every request is checked here before a service receives it, so a parameter that is in no table
//! cannot be accepted and ignored. The tables are next to the services (`ops/mod.rs` in their
//! folders). The tests compare them with botocore's models.

mod constraints;

use serde_json::Value;

use crate::call::AwsError;

/// The end of the message of every such error.
pub const NOT_SUPPORTED: &str = "is not supported by this sandbox; docs/sandbox.md lists what is supported";

/// A supported operation. Parameters are named by their path, such as `Tags.Key`; lists do not
/// appear in it.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The name, such as `CreateStream`.
    pub name: &'static str,
    /// The code of AWS's error for an invalid request.
    pub error_code: &'static str,
    /// The parameters that have their documented effect, separated by spaces. Structures are listed
    /// by their members; the items of a list of values or a map are left to the service.
    supported: &'static str,
    /// The parameters without any noticeable effect, including everything below them, and the
    /// reason.
    without_effect: &'static [(&'static str, &'static str)],
    /// The rejected parameters, separated by spaces, including everything below them. Unknown
    /// parameters are rejected too.
    rejected: &'static str,
    /// Parameters that the operation has like another one.
    shared: Option<&'static SharedParameters>,
}

/// Parameters that several operations have, and treat alike. The fields are those of [`Operation`].
#[derive(Clone, Copy, Debug)]
pub struct SharedParameters {
    /// See [`Operation::supporting`].
    pub supported: &'static str,
    /// See [`Operation::without_effect`].
    pub without_effect: &'static [(&'static str, &'static str)],
    /// See [`Operation::rejecting`].
    pub rejected: &'static str,
}

/// How a parameter is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It has the documented effect.
    Supported,
    /// A structure whose members are treated individually.
    Structure,
    /// Accepted, without any noticeable effect.
    NoEffect,
    /// Rejected unless empty.
    Rejected,
    /// In no table, and therefore rejected like `Rejected`.
    Unknown,
}

impl Operation {
    /// An operation all of whose parameters are supported.
    pub const fn supporting(name: &'static str, error_code: &'static str, supported: &'static str) -> Self {
        Self { name, error_code, supported, without_effect: &[], rejected: "", shared: None }
    }

    /// The same operation with parameters that have no effect.
    pub const fn without_effect(self, without_effect: &'static [(&'static str, &'static str)]) -> Self {
        Self { without_effect, ..self }
    }

    /// The same operation with rejected parameters.
    pub const fn rejecting(self, rejected: &'static str) -> Self {
        Self { rejected, ..self }
    }

    /// The same operation with parameters that other operations have as well.
    pub const fn sharing(self, shared: &'static SharedParameters) -> Self {
        Self { shared: Some(shared), ..self }
    }

    /// The paths of the supported parameters.
    pub fn supported_parameters(&self) -> impl Iterator<Item = &'static str> {
        let shared = self.shared.map(|shared| shared.supported);
        [self.supported].into_iter().chain(shared).flat_map(str::split_ascii_whitespace)
    }

    /// The paths of the parameters without effect, and the reasons.
    pub fn ineffective_parameters(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let shared = self.shared.map(|shared| shared.without_effect).unwrap_or_default();
        self.without_effect.iter().chain(shared).copied()
    }

    /// The paths of the rejected parameters.
    pub fn rejected_parameters(&self) -> impl Iterator<Item = &'static str> {
        let shared = self.shared.map(|shared| shared.rejected);
        [self.rejected].into_iter().chain(shared).flat_map(str::split_ascii_whitespace)
    }

    /// How the parameter at this path is treated.
    pub fn treatment(&self, path: &str) -> Treatment {
        let is_part = |listed: &str| listed.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        let mut listed = self.parameters();
        if let Some((_, treatment)) = self.parameters().find(|(listed, _)| *listed == path) {
            treatment
        } else if listed.any(|(listed, _)| is_part(listed)) {
            Treatment::Structure
        } else {
            Treatment::Unknown
        }
    }

    /// All parameters in the table.
    pub fn parameters(&self) -> impl Iterator<Item = (&'static str, Treatment)> {
        let supported = self.supported_parameters().map(|path| (path, Treatment::Supported));
        let without_effect = self.ineffective_parameters().map(|(path, _)| (path, Treatment::NoEffect));
        let rejected = self.rejected_parameters().map(|path| (path, Treatment::Rejected));
        supported.chain(without_effect).chain(rejected)
    }

    /// Rejects a request with a parameter that the sandbox does not support.
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
                Treatment::Supported | Treatment::NoEffect => {}
                Treatment::Structure => self.check_structure(&path, member)?,
                Treatment::Rejected | Treatment::Unknown if is_unset(member) => {}
                Treatment::Rejected | Treatment::Unknown => return Err(self.unsupported(&path)),
            }
        }
        Ok(())
    }

    fn unsupported(&self, path: &str) -> AwsError {
        AwsError::client(self.error_code, not_supported(self.name, path))
    }
}

/// The error message for a parameter that is not supported.
pub fn not_supported(operation: &str, path: &str) -> String {
    format!("{operation}: the parameter {path} {NOT_SUPPORTED}")
}

/// Whether a parameter is equivalent to a missing one. SDKs and tools that copy requests also send
/// empty parameters.
pub fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_unset),
        Value::Number(number) => number.as_f64() == Some(0.0),
    }
}

/// Finds the request's operation and checks its parameters: whether they are supported, and whether
/// they satisfy the model's constraints.
pub fn check_request(
    supported: &[Operation],
    service: &str,
    operation: &str,
    input: &Value,
) -> Result<(), AwsError> {
    let found = supported.iter().find(|supported| supported.name == operation);
    let operation = found.ok_or_else(|| unknown(service, operation))?;
    operation.check(input)?;
    constraints::check(service, operation, input)
}

/// The error for an unsupported operation, with the code that AWS uses for unknown operations.
pub fn unknown(service: &str, operation: &str) -> AwsError {
    let message = format!("The operation {operation} of {} {NOT_SUPPORTED}", title(service));
    AwsError::client(unknown_code(service), message)
}

/// The error for an unsupported service.
pub fn unknown_service(service: &str) -> AwsError {
    AwsError::client(unknown_code(service), format!("The service {service} {NOT_SUPPORTED}"))
}

/// The title of the service with this signing name.
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

/// Services of the query protocol use another code ("Common Errors" of their API references).
fn unknown_code(service: &str) -> &'static str {
    match service {
        "monitoring" | "sts" => "InvalidAction",
        _ => "UnknownOperationException",
    }
}

#[cfg(test)]
mod tests;
