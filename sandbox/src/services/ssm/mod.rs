//! Systems Manager Parameter Store. In: parameter operations. Out: AWS's responses. Keeps the
//! parameters by region in memory.
//!
//! Error texts come from the "PutParameter" reference and from responses of the service that public
//! tools recorded.

mod filters;
mod operations;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::arn::Arn;
use crate::call::{AwsError, Call, Caller};
use crate::clock::ModelClock;
use crate::operations::{NOT_SUPPORTED, Operation};
use crate::paging::page;
use crate::parameters::{Parameters, TAGS_PER_RESOURCE, Tags, epoch_seconds};
use crate::services::Service;
use filters::Filters;

/// "Standard parameters: 4 KB", "Advanced: 8 KB" (Managing parameter tiers).
const STANDARD_BYTES: usize = 4096;
const ADVANCED_BYTES: usize = 8192;
/// "Parameter Store retains up to 100 versions" (PutParameter reference,
/// ParameterMaxVersionLimitExceeded).
const VERSIONS_KEPT: usize = 100;
/// "A hierarchy can have a maximum of 15 levels" (PutParameter reference, Name).
const HIERARCHY_LEVELS: usize = 15;
/// The maximum length of a name including the ARN around it (PutParameter reference, Name).
const ARN_LENGTH: usize = 1011;

const INVALID_REQUEST: &str = "ValidationException";

#[derive(Clone, Debug)]
struct Revision {
    number: i64,
    value: String,
    kind: String,
    modified_at: Timestamp,
}

#[derive(Clone, Debug)]
struct Parameter {
    revisions: VecDeque<Revision>,
    tier: String,
    description: Option<String>,
    data_type: String,
    tags: Tags,
}

type ParameterStore = BTreeMap<String, Parameter>;

/// The modelled Parameter Store.
#[derive(Debug)]
pub struct Ssm {
    clock: ModelClock,
    regions: Mutex<BTreeMap<String, ParameterStore>>,
}

impl Ssm {
    /// An empty store in every region.
    pub fn new(clock: ModelClock) -> Self {
        Self { clock, regions: Mutex::default() }
    }
}

#[async_trait]
impl Service for Ssm {
    fn operations(&self) -> Option<&'static [Operation]> {
        Some(operations::OPERATIONS)
    }

    async fn call(&self, call: Call<'_>) -> Result<Value, AwsError> {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        let parameters = regions.entry(call.caller.region.clone()).or_default();
        let input = Parameters::new(call.input, INVALID_REQUEST);
        match call.operation {
            "PutParameter" => put_parameter(parameters, input, call.caller, self.clock.wall_at(call.now)),
            "GetParameter" => get_parameter(parameters, input, call.caller),
            "GetParameters" => get_parameters(parameters, input, call.caller),
            "GetParametersByPath" => get_parameters_by_path(parameters, input, call.caller),
            "DescribeParameters" => describe_parameters(parameters, input, call.caller),
            "DeleteParameter" => delete_parameter(parameters, input),
            "DeleteParameters" => delete_parameters(parameters, input),
            "AddTagsToResource" => add_tags(parameters, input, call.caller),
            "RemoveTagsFromResource" => remove_tags(parameters, input, call.caller),
            "ListTagsForResource" => list_tags(parameters, input, call.caller),
            other => Err(crate::operations::unknown("ssm", other)),
        }
    }

    fn state(&self, _now: Timestamp) -> Value {
        let regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        let view = |parameters: &ParameterStore| -> Value {
            parameters
                .iter()
                .map(|(name, parameter)| {
                    let latest = parameter.revisions.back();
                    json!({
                        "Name": name,
                        "Version": latest.map(|revision| revision.number),
                        "Value": latest.map(|revision| &revision.value),
                        "Tags": parameter.tags,
                    })
                })
                .collect()
        };
        json!({"parameters": regions.iter().map(|(region, parameters)| (region.clone(), view(parameters))).collect::<BTreeMap<_, _>>()})
    }
}

fn not_found() -> AwsError {
    // AWS returns this error without a text.
    AwsError::client("ParameterNotFound", "")
}

fn arn(caller: &Caller, name: &str) -> String {
    format!("arn:aws:ssm:{}:{}:parameter/{}", caller.region, caller.account, name.trim_start_matches('/'))
}

/// A parameter's name from a name or an ARN, and the selector after the colon. ARNs of another
/// Region or account are not found, because parameters are not shared.
fn name_and_selector<'a>(
    parameters: &ParameterStore,
    reference: &'a str,
    caller: &Caller,
) -> Result<(String, Option<&'a str>), AwsError> {
    let (plain, is_arn) = match reference.starts_with("arn:") {
        true => {
            let own = Arn::own_of(reference, "ssm", caller);
            let name = own.and_then(|arn| arn.resource.strip_prefix("parameter/"));
            (name.ok_or_else(not_found)?, true)
        }
        false => (reference, false),
    };
    let (name, selector) = plain.split_once(':').map_or((plain, None), |(name, rest)| (name, Some(rest)));
    // An ARN omits the leading slash of a hierarchical name.
    let slashed = format!("/{name}");
    let name = if is_arn && parameters.contains_key(&slashed) { slashed } else { name.to_owned() };
    Ok((name, selector))
}

fn checked_name(input: Parameters<'_>, caller: &Caller) -> Result<String, AwsError> {
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
        return Err(AwsError::client(
            "HierarchyLevelLimitExceededException",
            "A hierarchy can have a maximum of 15 levels.",
        ));
    }
    if arn(caller, name).len() > ARN_LENGTH {
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

fn put_parameter(
    parameters: &mut ParameterStore,
    input: Parameters<'_>,
    caller: &Caller,
    now: Timestamp,
) -> Result<Value, AwsError> {
    let name = checked_name(input, caller)?;
    let value = input.required_text("Value")?;
    let overwrite = input.flag("Overwrite")?.unwrap_or(false);
    let tags = input.tag_list("Tags", "Key", "Value")?;
    if overwrite && !tags.is_empty() {
        return Err(input.invalid(
            "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.",
        ));
    }
    if tags.len() > TAGS_PER_RESOURCE {
        return Err(AwsError::client("TooManyTagsError", "The number of tags exceeds the maximum of 50."));
    }
    if value.is_empty() {
        return Err(input.invalid(
            "1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ));
    }
    let tier = checked_tier(input, value.len())?;
    let existing = parameters.get(&name);
    if existing.is_some() && !overwrite {
        return Err(AwsError::client(
            "ParameterAlreadyExists",
            "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
        ));
    }
    let latest = existing.and_then(|parameter| parameter.revisions.back());
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
    let number = latest.map_or(1, |revision| revision.number + 1);
    let parameter = parameters.entry(name).or_insert_with(|| Parameter {
        revisions: VecDeque::new(),
        tier: tier.to_owned(),
        description: None,
        data_type: "text".to_owned(),
        tags,
    });
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
    parameter.revisions.push_back(Revision { number, value: value.to_owned(), kind, modified_at: now });
    if parameter.revisions.len() > VERSIONS_KEPT {
        parameter.revisions.pop_front();
    }
    Ok(json!({"Version": number, "Tier": parameter.tier}))
}

fn parameter_view(
    caller: &Caller,
    name: &str,
    parameter: &Parameter,
    revision: &Revision,
    decrypt: bool,
) -> Value {
    let value = if revision.kind == "SecureString" && !decrypt {
        // Without decryption, the value is opaque to the caller. It only has to differ from the
        // plain text.
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD
            .encode(format!("kms:alias/aws/ssm:{name}:{}", revision.number))
    } else {
        revision.value.clone()
    };
    json!({
        "Name": name,
        "Type": revision.kind,
        "Value": value,
        "Version": revision.number,
        "LastModifiedDate": epoch_seconds(revision.modified_at),
        "ARN": arn(caller, name),
        "DataType": parameter.data_type,
    })
}

fn found(
    parameters: &ParameterStore,
    caller: &Caller,
    reference: &str,
    decrypt: bool,
) -> Result<Value, AwsError> {
    let (name, selector) = name_and_selector(parameters, reference, caller)?;
    let parameter = parameters.get(&name).ok_or_else(not_found)?;
    let revision = match selector {
        None => parameter.revisions.back(),
        Some(version) => parameter.revisions.iter().find(|revision| revision.number.to_string() == version),
    };
    let revision = revision.ok_or_else(|| {
        AwsError::client(
            "ParameterVersionNotFound",
            format!(
                "Systems Manager could not find version {} of {name}. Verify the version and try again.",
                selector.unwrap_or_default()
            ),
        )
    })?;
    let mut view = parameter_view(caller, &name, parameter, revision, decrypt);
    if let (Some(selector), Some(members)) = (selector, view.as_object_mut()) {
        members.insert("Selector".to_owned(), Value::from(format!(":{selector}")));
    }
    Ok(view)
}

fn get_parameter(
    parameters: &ParameterStore,
    input: Parameters<'_>,
    caller: &Caller,
) -> Result<Value, AwsError> {
    let decrypt = input.flag("WithDecryption")?.unwrap_or(false);
    Ok(json!({"Parameter": found(parameters, caller, input.required_text("Name")?, decrypt)?}))
}

/// "Up to 10 names" (GetParameters and DeleteParameters references).
fn up_to_ten_names(input: Parameters<'_>) -> Result<Vec<&str>, AwsError> {
    let names = input.texts("Names")?;
    if names.is_empty() || names.len() > 10 {
        return Err(input.invalid(format!(
            "1 validation error detected: Value '{names:?}' at 'names' failed to satisfy constraint: Member must have length between 1 and 10, inclusive"
        )));
    }
    Ok(names)
}

fn get_parameters(
    parameters: &ParameterStore,
    input: Parameters<'_>,
    caller: &Caller,
) -> Result<Value, AwsError> {
    let decrypt = input.flag("WithDecryption")?.unwrap_or(false);
    let (mut found_parameters, mut invalid) = (Vec::new(), Vec::new());
    for name in up_to_ten_names(input)? {
        match found(parameters, caller, name, decrypt) {
            Ok(parameter) => found_parameters.push(parameter),
            Err(_) => invalid.push(name),
        }
    }
    Ok(json!({"Parameters": found_parameters, "InvalidParameters": invalid}))
}

fn paged(
    input: Parameters<'_>,
    member: &str,
    largest: i64,
    items: impl Iterator<Item = (String, Value)>,
) -> Result<Value, AwsError> {
    let size = input.bounded("MaxResults", 1..=largest, largest)? as usize;
    let (items, next) = page(items, input.text("NextToken")?, size)
        .map_err(|_| AwsError::client("InvalidNextToken", "The specified token isn't valid."))?;
    let mut output = json!({ member: items });
    if let Some(next) = next {
        output["NextToken"] = Value::from(next);
    }
    Ok(output)
}

fn get_parameters_by_path(
    parameters: &ParameterStore,
    input: Parameters<'_>,
    caller: &Caller,
) -> Result<Value, AwsError> {
    let path = input.required_text("Path")?;
    if !path.starts_with('/') {
        return Err(input.invalid(
            "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward slash \"/\".",
        ));
    }
    let prefix = format!("{}/", path.trim_end_matches('/'));
    let recursive = input.flag("Recursive")?.unwrap_or(false);
    let decrypt = input.flag("WithDecryption")?.unwrap_or(false);
    let filters = Filters::by_path(input)?;
    let matching = parameters.iter().filter_map(|(name, parameter)| {
        let rest = name.strip_prefix(&prefix)?;
        let revision = parameter.revisions.back()?;
        (filters.match_parameter(name, parameter) && (recursive || !rest.contains('/')))
            .then(|| (name.clone(), parameter_view(caller, name, parameter, revision, decrypt)))
    });
    paged(input, "Parameters", 10, matching)
}

fn describe_parameters(
    parameters: &ParameterStore,
    input: Parameters<'_>,
    caller: &Caller,
) -> Result<Value, AwsError> {
    let filters = Filters::described(input)?;
    let matching = parameters.iter().filter(|(name, parameter)| filters.match_parameter(name, parameter));
    let views = matching.filter_map(|(name, parameter)| {
        let latest = parameter.revisions.back()?;
        let mut view = json!({
            "Name": name,
            "ARN": arn(caller, name),
            "Type": latest.kind,
            "LastModifiedDate": epoch_seconds(latest.modified_at),
            "LastModifiedUser": format!("arn:aws:iam::{}:user/sandbox", caller.account),
            "Version": latest.number,
            "Tier": parameter.tier,
            "Policies": [],
            "DataType": parameter.data_type,
        });
        if let Some(description) = &parameter.description {
            view["Description"] = Value::from(description.as_str());
        }
        Some((name.clone(), view))
    });
    paged(input, "Parameters", 50, views)
}

fn delete_parameter(parameters: &mut ParameterStore, input: Parameters<'_>) -> Result<Value, AwsError> {
    // "You can't enter the ARN for a parameter, only the parameter name itself" (DeleteParameter,
    // DeleteParameters).
    parameters.remove(input.required_text("Name")?).map(|_| json!({})).ok_or_else(not_found)
}

fn delete_parameters(parameters: &mut ParameterStore, input: Parameters<'_>) -> Result<Value, AwsError> {
    let names = up_to_ten_names(input)?;
    let (deleted, invalid): (Vec<&str>, Vec<&str>) =
        names.into_iter().partition(|name| parameters.remove(*name).is_some());
    Ok(json!({"DeletedParameters": deleted, "InvalidParameters": invalid}))
}

fn tagged<'a>(
    parameters: &'a mut Parameters,
    input: Parameters<'_>,
    caller: &Caller,
) -> Result<&'a mut Tags, AwsError> {
    let kind = input.required_text("ResourceType")?;
    if kind != "Parameter" {
        return Err(AwsError::client(
            "InvalidResourceType",
            format!("the resource type {kind} {NOT_SUPPORTED}"),
        ));
    }
    let invalid = || {
        AwsError::client(
            "InvalidResourceId",
            "The resource ID isn't valid. Verify that you entered the correct ID and try again.",
        )
    };
    let reference = input.required_text("ResourceId")?;
    let (name, _) = name_and_selector(parameters, reference, caller).map_err(|_| invalid())?;
    let parameter = parameters.get_mut(&name).ok_or_else(invalid)?;
    Ok(&mut parameter.tags)
}

fn add_tags(
    parameters: &mut ParameterStore,
    input: Parameters<'_>,
    caller: &Caller,
) -> Result<Value, AwsError> {
    let added = input.tag_list("Tags", "Key", "Value")?;
    let tags = tagged(parameters, input, caller)?;
    let mut merged = tags.clone();
    merged.extend(added);
    if merged.len() > TAGS_PER_RESOURCE {
        return Err(AwsError::client("TooManyTagsError", "The number of tags exceeds the maximum of 50."));
    }
    *tags = merged;
    Ok(json!({}))
}

fn remove_tags(
    parameters: &mut ParameterStore,
    input: Parameters<'_>,
    caller: &Caller,
) -> Result<Value, AwsError> {
    let keys = input.texts("TagKeys")?;
    let tags = tagged(parameters, input, caller)?;
    tags.retain(|key, _| !keys.contains(&key.as_str()));
    Ok(json!({}))
}

fn list_tags(
    parameters: &mut ParameterStore,
    input: Parameters<'_>,
    caller: &Caller,
) -> Result<Value, AwsError> {
    let tags = tagged(parameters, input, caller)?;
    Ok(
        json!({"TagList": tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect::<Vec<_>>()}),
    )
}

#[cfg(test)]
mod tests;
