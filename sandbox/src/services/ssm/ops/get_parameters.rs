//! `GetParameter`, `GetParameters` and `GetParametersByPath`. In: one region's parameters and a
//! request. Out: the response. No I/O.

use serde_json::{Value, json};

use super::filters::Filters;
use crate::call::AwsError;
use crate::services::ssm::request::Request;
use crate::services::ssm::state::ParameterStore;
use crate::services::ssm::{errors, view};

pub fn get_parameter(store: &mut ParameterStore, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
    let decrypt = input.flag("WithDecryption")?.unwrap_or(false);
    Ok(json!({"Parameter": found(store, request, input.required_text("Name")?, decrypt)?}))
}

pub fn get_parameters(store: &mut ParameterStore, request: Request<'_>) -> Result<Value, AwsError> {
    let decrypt = request.input.flag("WithDecryption")?.unwrap_or(false);
    let (mut found_parameters, mut invalid) = (Vec::new(), Vec::new());
    for name in request.up_to_ten_names()? {
        match found(store, request, name, decrypt) {
            Ok(parameter) => found_parameters.push(parameter),
            Err(_) => invalid.push(name),
        }
    }
    Ok(json!({"Parameters": found_parameters, "InvalidParameters": invalid}))
}

pub fn get_parameters_by_path(store: &mut ParameterStore, request: Request<'_>) -> Result<Value, AwsError> {
    let input = request.input;
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
    let matching = store.iter().filter_map(|(name, parameter)| {
        let rest = name.strip_prefix(&prefix)?;
        let latest = parameter.latest()?;
        (filters.match_parameter(name, parameter) && (recursive || !rest.contains('/')))
            .then(|| (name.clone(), view::value(request, name, parameter, latest, decrypt)))
    });
    request.paged("Parameters", 10, matching)
}

/// The parameter that a name or ARN refers to, with the version that its selector names.
fn found(
    store: &ParameterStore,
    request: Request<'_>,
    reference: &str,
    decrypt: bool,
) -> Result<Value, AwsError> {
    let (name, selector) = request.name_and_selector(store, reference)?;
    let parameter = store.get(&name).ok_or_else(errors::parameter_not_found)?;
    let version = match selector {
        None => parameter.latest(),
        Some(number) => parameter.versions.iter().find(|version| version.number.to_string() == number),
    };
    let version = version.ok_or_else(|| errors::version_not_found(&name, selector.unwrap_or_default()))?;
    let mut view = view::value(request, &name, parameter, version, decrypt);
    if let (Some(selector), Some(members)) = (selector, view.as_object_mut()) {
        members.insert("Selector".to_owned(), Value::from(format!(":{selector}")));
    }
    Ok(view)
}
