//! `ParameterFilters` of `DescribeParameters` and `GetParametersByPath`. In: a request. Out: which
//! parameters match. Pure.

use crate::call::AwsError;
use crate::operations::NOT_SUPPORTED;
use crate::parameters::Parameters;
use crate::services::ssm::errors::{self, INVALID_REQUEST};
use crate::services::ssm::state::Parameter;

/// What a filter compares (ParameterStringFilter, Key).
enum Key<'a> {
    Name,
    Type,
    Tier,
    DataType,
    Path,
    /// The value of this tag.
    Tag(&'a str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equals,
    BeginsWith,
    Contains,
    OneLevel,
    Recursive,
}

struct Filter<'a> {
    key: Key<'a>,
    comparison: Comparison,
    values: Vec<&'a str>,
}

/// Filters, all of which a parameter must match.
pub struct Filters<'a>(Vec<Filter<'a>>);

impl<'a> Filters<'a> {
    /// Parses the filters of `DescribeParameters`.
    pub fn described(input: Parameters<'a>) -> Result<Self, AwsError> {
        Self::read(input, |name| match name {
            "Name" => Some(Key::Name),
            "Type" => Some(Key::Type),
            "Tier" => Some(Key::Tier),
            "DataType" => Some(Key::DataType),
            "Path" => Some(Key::Path),
            tag => tag.strip_prefix("tag:").filter(|tag| !tag.is_empty()).map(Key::Tag),
        })
    }

    /// Parses the filters of `GetParametersByPath`, which supports fewer ("supported: Type, KeyId,
    /// and Label").
    pub fn by_path(input: Parameters<'a>) -> Result<Self, AwsError> {
        Self::read(input, |name| (name == "Type").then_some(Key::Type))
    }

    fn read(input: Parameters<'a>, key: impl Fn(&'a str) -> Option<Key<'a>>) -> Result<Self, AwsError> {
        let filters = input.list("ParameterFilters")?.iter();
        filters
            .map(|filter| Filter::read(Parameters::new(filter, INVALID_REQUEST), &key))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether a parameter matches all filters.
    pub fn match_parameter(&self, name: &str, parameter: &Parameter) -> bool {
        self.0.iter().all(|filter| filter.matches(name, parameter))
    }
}

impl<'a> Filter<'a> {
    fn read(filter: Parameters<'a>, key: impl Fn(&'a str) -> Option<Key<'a>>) -> Result<Self, AwsError> {
        let name = filter.required_text("Key")?;
        let key = key(name).ok_or_else(|| {
            AwsError::client("InvalidFilterKey", format!("the filter {name} {NOT_SUPPORTED}"))
        })?;
        let values = filter.texts("Values")?;
        let default = if matches!(key, Key::Path) { "OneLevel" } else { "Equals" };
        let option = filter.text("Option")?.unwrap_or(default);
        // "The Name filter additionally supports Contains; Path: Recursive and OneLevel"
        // (ParameterStringFilter, Option).
        let comparison = match (&key, option) {
            (Key::Path, "OneLevel") => Comparison::OneLevel,
            (Key::Path, "Recursive") => Comparison::Recursive,
            (Key::Path, _) => return Err(errors::invalid_filter_option(name, option)),
            (_, "Equals") => Comparison::Equals,
            (_, "BeginsWith") => Comparison::BeginsWith,
            (Key::Name, "Contains") => Comparison::Contains,
            _ => return Err(errors::invalid_filter_option(name, option)),
        };
        // A tag filter without values matches every parameter with that tag.
        if values.is_empty() && !matches!(key, Key::Tag(_)) {
            return Err(errors::invalid_filter_value(name));
        }
        Ok(Self { key, comparison, values })
    }

    fn matches(&self, name: &str, parameter: &Parameter) -> bool {
        let text = match &self.key {
            Key::Name | Key::Path => Some(name),
            Key::Type => parameter.latest().map(|latest| latest.kind.as_str()),
            Key::Tier => Some(parameter.tier.as_str()),
            Key::DataType => Some(parameter.data_type.as_str()),
            Key::Tag(tag) => parameter.tags.get(*tag).map(String::as_str),
        };
        let Some(text) = text else { return false };
        self.values.is_empty() || self.values.iter().any(|value| self.comparison.holds(text, value))
    }
}

impl Comparison {
    fn holds(self, text: &str, value: &str) -> bool {
        match self {
            Self::Equals => text == value,
            Self::BeginsWith => text.starts_with(value),
            Self::Contains => text.contains(value),
            Self::OneLevel | Self::Recursive => {
                let below =
                    text.strip_prefix(value.trim_end_matches('/')).and_then(|rest| rest.strip_prefix('/'));
                below.is_some_and(|rest| self == Self::Recursive || !rest.contains('/'))
            }
        }
    }
}
