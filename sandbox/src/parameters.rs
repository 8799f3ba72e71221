//! Typed reading of request parameters. In: the decoded request. Out: values, or an error with the
//! error code of the calling service. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::call::AwsError;

/// Tags, sorted by key so that responses are stable.
pub type Tags = BTreeMap<String, String>;

/// How a parameter of a supported operation is used. Every parameter of every supported operation
/// has a `Usage`, so that none is accepted and then ignored; `parameters/model.rs` walks AWS's
/// model to find parameters without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// It has the effect that AWS documents.
    Supported,
    /// It has no effect that a caller could notice here; the text says why.
    NoEffect(&'static str),
    /// A request with it is rejected; the text says why.
    Rejected(&'static str),
}

/// The error message for the first unsupported parameter of a request. Null and empty values are
/// accepted.
pub fn first_rejected<'a>(
    input: &Value,
    parameters: impl IntoIterator<Item = (&'a str, Usage)>,
) -> Option<String> {
    let asks = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::String(_) | Value::Bool(true) | Value::Number(_) => true,
    };
    parameters.into_iter().find_map(|(name, usage)| match usage {
        Usage::Rejected(why) if input.get(name).is_some_and(asks) => {
            Some(format!("{name} is not supported by this sandbox: {why}"))
        }
        _ => None,
    })
}

/// The parameters of one structure, and the error code with which the service rejects invalid ones.
#[derive(Clone, Copy)]
pub struct Parameters<'a> {
    value: &'a Value,
    error_code: &'static str,
}

impl<'a> Parameters<'a> {
    /// Reads `value`, rejecting invalid parameters with `error_code` (such as
    /// `ValidationException`).
    pub fn new(value: &'a Value, error_code: &'static str) -> Self {
        Self { value, error_code }
    }

    /// The parameter as it was sent; JSON null counts as absent, as in AWS's serialisers.
    pub fn raw(&self, name: &str) -> Option<&'a Value> {
        self.value.get(name).filter(|value| !value.is_null())
    }

    /// An error with the service's own code.
    pub fn invalid(&self, message: impl Into<String>) -> AwsError {
        AwsError::client(self.error_code, message)
    }

    fn typed<T>(
        &self,
        name: &str,
        kind: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, AwsError> {
        match self.raw(name) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| {
                AwsError::client("SerializationException", format!("{name} is not of the type {kind}"))
            }),
        }
    }

    fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, AwsError> {
        value.ok_or_else(|| {
            self.invalid(format!(
                "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null",
                lower_camel(name)
            ))
        })
    }

    pub fn text(&self, name: &str) -> Result<Option<&'a str>, AwsError> {
        self.typed(name, "string", Value::as_str)
    }

    pub fn required_text(&self, name: &str) -> Result<&'a str, AwsError> {
        let value = self.text(name)?;
        self.required(name, value)
    }

    pub fn integer(&self, name: &str) -> Result<Option<i64>, AwsError> {
        self.typed(name, "integer", Value::as_i64)
    }

    pub fn required_integer(&self, name: &str) -> Result<i64, AwsError> {
        let value = self.integer(name)?;
        self.required(name, value)
    }

    /// An integer that must lie within `bounds`, or `default` if it is absent.
    pub fn bounded(
        &self,
        name: &str,
        bounds: std::ops::RangeInclusive<i64>,
        default: i64,
    ) -> Result<i64, AwsError> {
        let value = self.integer(name)?.unwrap_or(default);
        if bounds.contains(&value) {
            return Ok(value);
        }
        let (side, bound) =
            if value < *bounds.start() { ("greater", bounds.start()) } else { ("less", bounds.end()) };
        Err(self.invalid(format!(
            "1 validation error detected: Value '{value}' at '{}' failed to satisfy constraint: Member must have value {side} than or equal to {bound}",
            lower_camel(name)
        )))
    }

    pub fn number(&self, name: &str) -> Result<Option<f64>, AwsError> {
        self.typed(name, "double", Value::as_f64)
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, AwsError> {
        self.typed(name, "boolean", Value::as_bool)
    }

    pub fn list(&self, name: &str) -> Result<&'a [Value], AwsError> {
        Ok(self.typed(name, "list", |value| value.as_array().map(Vec::as_slice))?.unwrap_or_default())
    }

    pub fn texts(&self, name: &str) -> Result<Vec<&'a str>, AwsError> {
        self.typed(name, "list of strings", |value| value.as_array()?.iter().map(Value::as_str).collect())
            .map(Option::unwrap_or_default)
    }

    /// A nested structure. If it is absent, the result has no parameters.
    pub fn nested(&self, name: &str) -> Result<Parameters<'a>, AwsError> {
        let value = self.typed(name, "structure", |value| value.is_object().then_some(value))?;
        Ok(Parameters { value: value.unwrap_or(&Value::Null), error_code: self.error_code })
    }

    /// An instant, sent as epoch seconds.
    pub fn instant(&self, name: &str) -> Result<Option<Timestamp>, AwsError> {
        self.typed(name, "timestamp", |value| instant_of_seconds(value.as_f64()?))
    }

    /// Tags as a list of structures, with the service's names for key and value.
    pub fn tag_list(&self, name: &str, key: &str, value: &str) -> Result<Tags, AwsError> {
        let tags = self
            .list(name)?
            .iter()
            .map(|tag| {
                let tag = Parameters::new(tag, self.error_code);
                Ok((tag.required_text(key)?.to_owned(), tag.text(value)?.unwrap_or_default().to_owned()))
            })
            .collect::<Result<Tags, AwsError>>()?;
        self.checked_tags(tags)
    }

    /// Tags as a map.
    pub fn tag_map(&self, name: &str) -> Result<Tags, AwsError> {
        let tags = self.typed(name, "map of strings", |value| {
            value
                .as_object()?
                .iter()
                .map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect::<Option<Tags>>()
        })?;
        self.checked_tags(tags.unwrap_or_default())
    }

    /// Keys have up to 128 and values up to 256 characters; `aws:` is reserved ("Tagging your AWS
    /// resources", tag naming limits).
    fn checked_tags(&self, tags: Tags) -> Result<Tags, AwsError> {
        for (key, value) in &tags {
            if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
                return Err(self.invalid(
                    "Tag keys must have 1 to 128 characters and tag values at most 256 characters",
                ));
            }
            if key.to_ascii_lowercase().starts_with("aws:") {
                return Err(
                    self.invalid("Tag keys starting with aws: are reserved for internal use by AWS services")
                );
            }
        }
        Ok(tags)
    }
}

/// The maximum number of tags of a resource (50 in SSM, Logs, ECS and Application Auto Scaling
/// alike).
pub const TAGS_PER_RESOURCE: usize = 50;

/// Epoch seconds with milliseconds, the form in which AWS's JSON protocols send instants.
pub fn epoch_seconds(at: Timestamp) -> Value {
    Value::from(at.as_millisecond() as f64 / 1000.0)
}

/// The instant of these epoch seconds; `None` if it is out of range.
pub fn instant_of_seconds(seconds: f64) -> Option<Timestamp> {
    let millis = (seconds * 1000.0).round();
    if !millis.is_finite() || millis.abs() > 253_402_207_200_000.0 {
        return None;
    }
    Timestamp::from_millisecond(millis as i64).ok()
}

/// AWS's validation messages write parameters in lower camel case, regardless of the name on the
/// wire.
fn lower_camel(name: &str) -> String {
    let mut characters = name.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

#[cfg(test)]
pub mod model;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unsupported_parameters_are_named_unless_empty() {
        let usages =
            [("A", Usage::Rejected("because")), ("B", Usage::Supported), ("C", Usage::NoEffect("x"))];
        let message = |input: Value| first_rejected(&input, usages);
        assert_eq!(message(json!({"A": 0, "B": 1})).unwrap(), "A is not supported by this sandbox: because");
        for nothing in
            [json!({}), json!({"A": null}), json!({"A": []}), json!({"A": {}}), json!({"A": false})]
        {
            assert_eq!(message(nothing.clone()), None, "{nothing}");
        }
        assert_eq!(message(json!({"B": "b", "C": "c", "Z": 1})), None);
    }

    #[test]
    fn a_missing_parameter_has_the_services_error_code() {
        let input = json!({"Value": null});
        let error = Parameters::new(&input, "ValidationException").required_text("Value").unwrap_err();
        assert_eq!(error.code, "ValidationException");
        assert_eq!(
            error.message,
            "1 validation error detected: Value null at 'value' failed to satisfy constraint: Member must not be null"
        );
    }

    #[test]
    fn a_parameter_of_the_wrong_type_is_a_serialization_error() {
        let input = json!({"Limit": "ten", "Names": ["a", 1]});
        let parameters = Parameters::new(&input, "ValidationException");
        assert_eq!(parameters.integer("Limit").unwrap_err().code, "SerializationException");
        assert_eq!(parameters.texts("Names").unwrap_err().code, "SerializationException");
    }

    #[test]
    fn bounds_are_inclusive_and_named_in_the_error() {
        let input = json!({"maxResults": 101});
        let parameters = Parameters::new(&input, "InvalidParameterException");
        assert_eq!(parameters.bounded("maxResults", 1..=101, 100), Ok(101));
        let error = parameters.bounded("maxResults", 1..=100, 100).unwrap_err();
        assert!(error.message.ends_with(
            "'maxResults' failed to satisfy constraint: Member must have value less than or equal to 100"
        ));
    }

    #[test]
    fn instants_keep_milliseconds_both_ways() {
        let at: Timestamp = "2026-11-22T10:00:00.123Z".parse().unwrap();
        assert_eq!(instant_of_seconds(epoch_seconds(at).as_f64().unwrap()), Some(at));
        assert_eq!(instant_of_seconds(f64::NAN), None);
    }

    #[test]
    fn reserved_and_oversized_tags_are_rejected() {
        for tags in [json!({"aws:x": "y"}), json!({"": "y"}), json!({"k": "v".repeat(257)})] {
            let input = json!({"tags": tags});
            assert!(Parameters::new(&input, "InvalidParameterException").tag_map("tags").is_err());
        }
    }
}
