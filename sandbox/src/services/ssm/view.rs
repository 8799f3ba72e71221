//! How parameters become responses. In: the state and a request. Out: JSON. Pure.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::request::Request;
use super::state::{Parameter, ParameterStore, Version};
use crate::parameters::{Tags, epoch_seconds};

/// `Parameter`: one version of a parameter with its value.
pub fn value(
    request: Request<'_>,
    name: &str,
    parameter: &Parameter,
    version: &Version,
    decrypt: bool,
) -> Value {
    let value = if version.kind == "SecureString" && !decrypt {
        // Without decryption, the value is opaque to the caller. It only has to differ from the
        // plain text.
        BASE64.encode(format!("kms:alias/aws/ssm:{name}:{}", version.number))
    } else {
        version.value.clone()
    };
    json!({
        "Name": name,
        "Type": version.kind,
        "Value": value,
        "Version": version.number,
        "LastModifiedDate": epoch_seconds(version.modified_at),
        "ARN": request.arn(name),
        "DataType": parameter.data_type,
    })
}

/// `ParameterMetadata`: a parameter without its value.
pub fn metadata(request: Request<'_>, name: &str, parameter: &Parameter, latest: &Version) -> Value {
    let mut view = json!({
        "Name": name,
        "ARN": request.arn(name),
        "Type": latest.kind,
        "LastModifiedDate": epoch_seconds(latest.modified_at),
        "LastModifiedUser": format!("arn:aws:iam::{}:user/sandbox", request.caller.account),
        "Version": latest.number,
        "Tier": parameter.tier,
        "Policies": [],
        "DataType": parameter.data_type,
    });
    if let Some(description) = &parameter.description {
        view["Description"] = Value::from(description.as_str());
    }
    view
}

/// A list of `Tag`.
pub fn tags(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect()
}

/// All regions, for `GET /_sandbox/state`.
pub fn all(regions: &BTreeMap<String, ParameterStore>) -> Value {
    let view = |store: &ParameterStore| -> Value {
        store
            .iter()
            .map(|(name, parameter)| {
                let latest = parameter.latest();
                json!({
                    "Name": name,
                    "Version": latest.map(|version| version.number),
                    "Value": latest.map(|version| &version.value),
                    "Tags": parameter.tags,
                })
            })
            .collect()
    };
    let regions: BTreeMap<&String, Value> =
        regions.iter().map(|(region, store)| (region, view(store))).collect();
    json!({ "parameters": regions })
}
