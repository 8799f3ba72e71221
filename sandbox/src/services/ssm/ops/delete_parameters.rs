//! `DeleteParameter` and `DeleteParameters`. In: one region's parameters and a request. Out: the
//! response. No I/O.
//!
//! "You can't enter the ARN for a parameter, only the parameter name itself" (both operations).

use serde_json::{Value, json};

use crate::call::AwsError;
use crate::services::ssm::errors;
use crate::services::ssm::request::Request;
use crate::services::ssm::state::ParameterStore;

pub fn delete_parameter(store: &mut ParameterStore, request: Request<'_>) -> Result<Value, AwsError> {
    let removed = store.remove(request.input.required_text("Name")?);
    removed.map(|_| json!({})).ok_or_else(errors::parameter_not_found)
}

pub fn delete_parameters(store: &mut ParameterStore, request: Request<'_>) -> Result<Value, AwsError> {
    let names = request.up_to_ten_names()?;
    let (deleted, invalid): (Vec<&str>, Vec<&str>) =
        names.into_iter().partition(|name| store.remove(*name).is_some());
    Ok(json!({"DeletedParameters": deleted, "InvalidParameters": invalid}))
}
