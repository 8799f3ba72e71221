//! The embedded template and its parameters. In: the user's parameters. Out: what is sent to
//! CloudFormation, or an error. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::Value;

use super::error::FoundationError;

/// The template body for CreateStack and UpdateStack.
pub const BODY: &str = include_str!("../../../foundation/template.yaml");
/// CloudFormation API reference, CreateStack, `TemplateBody`: a larger template must be in S3.
#[cfg(test)]
const BODY_LIMIT: usize = 51_200;
/// The line width of the parameters' descriptions.
const WIDTH: usize = 110;

/// A parameter of the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackParameter {
    pub name: String,
    pub default: String,
    /// Empty where the template has a pattern instead. AWS checks the pattern before it creates
    /// anything.
    pub allowed: Vec<String>,
    pub description: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    default: Value,
    #[serde(default)]
    allowed_values: Vec<Value>,
    description: String,
}

/// The template's parameters, by name.
#[must_use]
pub fn parameters() -> Vec<StackParameter> {
    // A test of this crate checks that the template is well formed.
    let definitions: BTreeMap<String, Definition> = serde_saphyr::from_str(section()).unwrap_or_default();
    let parameter = |(name, definition): (String, Definition)| StackParameter {
        name,
        default: scalar(&definition.default),
        allowed: definition.allowed_values.iter().map(scalar).collect(),
        description: definition.description,
    };
    definitions.into_iter().map(parameter).collect()
}

/// The lines below `Parameters:`. Only these are parsed: the rest uses CloudFormation's own YAML
/// tags and is not needed.
fn section() -> &'static str {
    let below = BODY.split_once("\nParameters:\n").map_or("", |(_, below)| below);
    let end = below
        .match_indices('\n')
        .find(|(at, _)| below[at + 1..].starts_with(|first: char| !first.is_whitespace() && first != '#'));
    end.map_or(below, |(at, _)| &below[..=at])
}

/// CloudFormation's parameters are strings, however the template writes them.
fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The list of parameters for the help and for errors.
#[must_use]
pub fn listing() -> String {
    let mut text = String::from("Parameters (foundation/README.md has the prices):");
    for StackParameter { name, default, allowed, description } in parameters() {
        let default = if default.is_empty() { "none" } else { &default };
        let _ = write!(text, "\n  {name}, default {default}");
        if !allowed.is_empty() {
            let _ = write!(text, ", one of {}", allowed.join(", "));
        }
        let mut line = String::new();
        for word in description.split_whitespace() {
            if line.len() + 1 + word.len() > WIDTH {
                let _ = write!(text, "\n     {line}");
                line.clear();
            }
            line.push(' ');
            line.push_str(word);
        }
        let _ = write!(text, "\n     {line}");
    }
    text
}

/// The user's parameters, checked against the template's names and allowed values. AWS checks
/// patterns and rules before it creates anything.
pub fn checked(named: Vec<(String, String)>) -> Result<BTreeMap<String, String>, FoundationError> {
    let known = parameters();
    let mut checked = BTreeMap::new();
    for (name, value) in named {
        let Some(parameter) = known.iter().find(|parameter| parameter.name == name) else {
            return Err(FoundationError::refused(format!("the template has no parameter {name}"), listing()));
        };
        if !parameter.allowed.is_empty() && !parameter.allowed.contains(&value) {
            return Err(FoundationError::refused(
                format!("{name} cannot be {value}"),
                format!("{name} must be one of {}. {}", parameter.allowed.join(", "), parameter.description),
            ));
        }
        if checked.insert(name.clone(), value).is_some() {
            return Err(FoundationError::refused(format!("{name} is given twice"), "remove one"));
        }
    }
    Ok(checked)
}

/// The parameters for UpdateStack: the given values; None (keep the stack's value) for the stack's
/// other parameters; and nothing for parameters that are new in the template, which get their
/// default.
#[must_use]
pub fn for_update(
    named: &BTreeMap<String, String>,
    present: &BTreeMap<String, String>,
) -> Vec<(String, Option<String>)> {
    let sent = |StackParameter { name, .. }: StackParameter| match named.get(&name) {
        Some(value) => Some((name, Some(value.clone()))),
        None => present.contains_key(&name).then_some((name, None)),
    };
    parameters().into_iter().filter_map(sent).collect()
}

/// The parameters that differ from their defaults, with the template's description: some of them
/// cost money while nothing runs.
#[must_use]
pub fn choices(named: &BTreeMap<String, String>) -> Vec<String> {
    let described = |StackParameter { name, default, description, .. }: StackParameter| {
        let value = named.get(&name).filter(|value| **value != default)?;
        let default = if default.is_empty() { "none" } else { &default };
        Some(format!("{name}={value} (default {default}): {description}"))
    };
    parameters().into_iter().filter_map(described).collect()
}

#[cfg(test)]
mod tests {
    use super::super::stack::{DESCRIPTION, FOUNDATION_TAG, PART_OF_TAG, VALUES_OUTPUT};
    use super::*;

    fn named(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_template_fits_into_a_request() {
        assert!(BODY.len() <= BODY_LIMIT, "{} bytes", BODY.len());
    }

    #[test]
    fn the_template_has_our_description_output_and_tags() {
        assert!(BODY.contains(&format!("Description: >-\n  {DESCRIPTION}")));
        assert!(BODY.contains(&format!("\n  {VALUES_OUTPUT}:\n")));
        assert!(BODY.contains(&format!("{{Key: {}, Value: {}}}", PART_OF_TAG.0, PART_OF_TAG.1)));
        assert!(BODY.contains(&format!("{{Key: {FOUNDATION_TAG}, Value: !Ref \"AWS::StackName\"}}")));
    }

    #[test]
    fn every_parameter_is_parsed_with_default_and_values() {
        let known = parameters();
        let lines = section().lines();
        let defined = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   ")).count();
        assert_eq!(known.len(), defined);
        let of = |name: &str| known.iter().find(|parameter| parameter.name == name).unwrap();
        assert_eq!(of("Network").allowed, ["Public", "PrivateNat", "PrivateEndpoints"]);
        assert_eq!(of("OperatorTrust").default, "None");
        assert_eq!(
            (of("AllowAdvantage").default.as_str(), of("OidcProviderArn").default.as_str()),
            ("false", "")
        );
        assert_eq!(
            (of("LogRetentionDays").default.as_str(), of("VpcPrefix").default.as_str()),
            ("7", "10.42")
        );
        assert!(of("LogRetentionDays").allowed.contains(&"30".to_owned()));
        assert!(known.iter().all(|parameter| parameter.description.len() > 15));
        for parameter in &known {
            assert!(listing().contains(&format!("\n  {}, default ", parameter.name)));
        }
    }

    #[test]
    fn invalid_parameters_are_refused_with_the_valid_ones() {
        let refused = |pairs: &[(&str, &str)]| checked(named(pairs)).unwrap_err();
        let unknown = refused(&[("Networks", "Public")]);
        assert_eq!(unknown.to_string(), "the template has no parameter Networks");
        assert!(
            unknown.next_step().unwrap().contains("\n  Network, default Public, one of Public, PrivateNat")
        );
        let outside = refused(&[("Network", "Private")]);
        assert_eq!(outside.to_string(), "Network cannot be Private");
        assert!(
            outside
                .next_step()
                .unwrap()
                .starts_with("Network must be one of Public, PrivateNat, PrivateEndpoints")
        );
        assert_eq!(
            refused(&[("VpcPrefix", "10.1"), ("VpcPrefix", "10.2")]).to_string(),
            "VpcPrefix is given twice"
        );
        let good =
            checked(named(&[("Network", "PrivateNat"), ("LogRetentionDays", "30"), ("VpcPrefix", "10.7")]));
        assert_eq!(good.unwrap().len(), 3);
    }

    #[test]
    fn an_update_keeps_parameters_that_are_not_given() {
        let named = checked(named(&[("Network", "PrivateNat")])).unwrap();
        let present = [("Network", "Public"), ("ClusterName", "load"), ("Removed", "x")];
        let present = present.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(
            for_update(&named, &present),
            [("ClusterName".to_owned(), None), ("Network".to_owned(), Some("PrivateNat".to_owned()))]
        );
    }

    #[test]
    fn costs_while_idle_are_reported_with_their_price() {
        let priced = choices(&checked(named(&[("Network", "PrivateNat"), ("VpcPrefix", "10.42")])).unwrap());
        assert_eq!(priced.len(), 1);
        assert!(priced[0].starts_with("Network=PrivateNat (default Public): "), "{priced:?}");
        assert!(priced[0].contains("$0.050 per hour"), "{priced:?}");
        assert_eq!(choices(&BTreeMap::new()), Vec::<String>::new());
    }
}
