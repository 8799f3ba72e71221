//! `PutParameter`. In: one region's parameters and a request. Out: the response. No I/O.

use serde_json::{Value, json};

use crate::call::AwsError;
use crate::operations::NOT_SUPPORTED;
use crate::parameters::{Parameters, TAGS_PER_RESOURCE};
use crate::services::ssm::errors;
use crate::services::ssm::request::Request;
use crate::services::ssm::state::{Parameter, ParameterStore, Version};

/// "Standard parameters: 4 KB", "Advanced: 8 KB" (Managing parameter tiers).
const STANDARD_BYTES: usize = 4096;

const ADVANCED_BYTES: usize = 8192;
/// "A hierarchy can have a maximum of 15 levels" (PutParameter reference, Name).
const HIERARCHY_LEVELS: usize = 15;
/// The maximum length of a name including the ARN around it (PutParameter reference, Name).
const ARN_LENGTH: usize = 1011;

pub fn put_parameter(store: &mut ParameterStore, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let name = checked_name(request)?;
    let value = input.required_text("Value")?;
    let overwrite = input.flag("Overwrite")?.unwrap_or(false);
    let tags = input.tag_list("Tags", "Key", "Value")?;
    if overwrite && !tags.is_empty() {
        return Err(input.invalid(
            "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.",
        ));
    }
    if tags.len() > TAGS_PER_RESOURCE {
        return Err(errors::too_many_tags());
    }
    if value.is_empty() {
        return Err(input.invalid(
            "1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ));
    }
    let tier = checked_tier(input, value.len())?;
    let existing = store.get(&name);
    if existing.is_some() && !overwrite {
        return Err(errors::parameter_exists());
    }
    let latest = existing.and_then(Parameter::latest);
    let kind = match (input.text("Type")?, latest) {
        (Some(kind @ ("String" | "StringList" | "SecureString")), _) => kind.to_owned(),
        (Some(other), _) => {
            return Err(input.invalid(format!(
                "1 validation error detected: Value '{other}' at 'type' failed to satisfy constraint: Member must satisfy enum value set: [SecureString, StringList, String]"
            )));
        }
        (None, Some(latest)) => latest.kind.clone(),
        (None, None) => {
            return Err(input.invalid("A parameter type is required when you create a parameter."));
        }
    };
    let data_type = match input.text("DataType")? {
        Some(other) if other != "text" => {
            return Err(input.invalid(format!("the data type {other} {NOT_SUPPORTED}")));
        }
        given => given,
    };
    let number = latest.map_or(1, |version| version.number + 1);
    let parameter = store.entry(name).or_insert_with(|| Parameter::new(tier, tags));
    if let Some(description) = input.text("Description")? {
        parameter.description = Some(description.to_owned());
    }
    if let Some(data_type) = data_type {
        parameter.data_type = data_type.to_owned();
    }
    // "You can't demote an advanced parameter" (Managing parameter tiers).
    if parameter.tier != "Advanced" {
        parameter.tier = tier.to_owned();
    }
    parameter.add(Version { number, value: value.to_owned(), kind, modified_at: request.wall });
    Ok(json!({"Version": number, "Tier": parameter.tier}))
}

fn checked_name(request: Request<'_>) -> Result<String, AwsError> {
    let input = request.input;
    let name = input.required_text("Name")?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/');
    if name.is_empty() || !name.chars().all(allowed) || (name.contains('/') && !name.starts_with('/')) {
        return Err(input.invalid(
            "Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_",
        ));
    }
    let first = name.trim_start_matches('/').to_ascii_lowercase();
    if first.starts_with("aws") || first.starts_with("ssm") {
        return Err(input.invalid(
            "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive), except for global parameter name path prefixed with \"aws\"",
        ));
    }
    if name.matches('/').count() > HIERARCHY_LEVELS {
        return Err(errors::too_many_levels());
    }
    if request.arn(name).len() > ARN_LENGTH {
        return Err(input.invalid("Parameter name exceeds the maximum length of 1011 characters"));
    }
    Ok(name.to_owned())
}

fn checked_tier(input: Parameters<'_>, bytes: usize) -> Result<&'static str, AwsError> {
    let over = |tier: &str, limit: usize| {
        input.invalid(format!(
            "{tier} tier parameters support a maximum parameter value of {limit} characters.{}",
            if tier == "Standard" {
                " To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier. For more information, see https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html"
            } else {
                ""
            }
        ))
    };
    match input.text("Tier")?.unwrap_or("Standard") {
        "Standard" if bytes > STANDARD_BYTES => Err(over("Standard", STANDARD_BYTES)),
        "Standard" => Ok("Standard"),
        "Intelligent-Tiering" if bytes <= STANDARD_BYTES => Ok("Standard"),
        "Advanced" | "Intelligent-Tiering" if bytes > ADVANCED_BYTES => Err(over("Advanced", ADVANCED_BYTES)),
        "Advanced" | "Intelligent-Tiering" => Ok("Advanced"),
        other => Err(input.invalid(format!(
            "1 validation error detected: Value '{other}' at 'tier' failed to satisfy constraint: Member must satisfy enum value set: [Standard, Advanced, Intelligent-Tiering]"
        ))),
    }
}
