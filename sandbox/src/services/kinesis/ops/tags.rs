//! Tags of streams: valid characters, and how many. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::call::AwsError;
use crate::services::kinesis::model::stream::Stream;
use crate::services::kinesis::request::Request;
use crate::services::kinesis::state::KinesisState;
use crate::services::kinesis::{errors, view};

/// API reference, `CreateStream`: "A set of up to 50 key-value pairs".
const MAX_TAGS: usize = 50;

/// Reads a `Tags` map and rejects invalid characters.
pub fn checked(tags: &Value) -> Result<BTreeMap<String, String>, AwsError> {
    let pairs = tags.as_object().into_iter().flatten();
    let tags: BTreeMap<String, String> =
        pairs.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
    let is_legal = |text: &str| {
        text.chars().all(|char| char.is_alphanumeric() || char.is_whitespace() || "_./=+-%@:".contains(char))
    };
    if tags.iter().any(|(key, value)| !is_legal(key) || !is_legal(value)) {
        return Err(errors::invalid(
            "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - % @.",
        ));
    }
    if tags.keys().any(|key| key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(errors::invalid("System tags cannot be added/updated by requester"));
    }
    Ok(tags)
}

/// Rejects more tags than a stream may have.
pub fn check_count(count: usize, stream: &str, account: &str) -> Result<(), AwsError> {
    if count <= MAX_TAGS {
        return Ok(());
    }
    Err(errors::invalid(format!(
        "Failed to add tags to stream {stream} under account {account} because a given stream cannot have more than \
         {MAX_TAGS} tags associated with it."
    )))
}

pub fn add_tags(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    let added = checked(&request.input["Tags"])?;
    add(request.active_stream(state)?, added, &request.caller.account)?;
    Ok(Value::Null)
}

fn add(stream: &mut Stream, tags: BTreeMap<String, String>, account: &str) -> Result<(), AwsError> {
    let mut all = stream.spec.tags.clone();
    all.extend(tags);
    check_count(all.len(), &stream.spec.name, account)?;
    stream.spec.tags = all;
    Ok(())
}

/// Missing tags are ignored.
pub fn remove_tags(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    let stream = request.active_stream(state)?;
    for key in request.input["TagKeys"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        stream.spec.tags.remove(key);
    }
    Ok(Value::Null)
}

/// `ListTagsForResource`: all tags.
pub fn list_all_tags(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    Ok(json!({ "Tags": view::tags(request.stream(state)?.spec.tags.iter()) }))
}

/// `ListTagsForStream`: one page of tags.
pub fn list_tags_by_page(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    let stream = request.stream(state)?;
    let limit = request.input["Limit"].as_u64();
    let most = limit.map_or(MAX_TAGS, |limit| usize::try_from(limit).unwrap_or(MAX_TAGS));
    let after = request.input["ExclusiveStartTagKey"].as_str();
    let mut remaining =
        stream.spec.tags.iter().filter(|(key, _)| after.is_none_or(|after| key.as_str() > after)).peekable();
    let page = view::tags(remaining.by_ref().take(most));
    Ok(json!({ "Tags": page, "HasMoreTags": remaining.peek().is_some() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_this_project_and_values_with_spaces_are_valid() {
        let tags =
            json!({"kinesisdemo.io/owner": "ns/name", "expires-at": "2026-11-22T10:00:00Z", "über": "a b"});
        assert_eq!(checked(&tags).unwrap().len(), 3);
    }

    #[test]
    fn other_characters_and_system_tags_are_rejected() {
        for tags in [json!({"a*": "b"}), json!({"a": "b<"}), json!({"aws:x": "b"}), json!({"AWS:x": "b"})] {
            assert_eq!(checked(&tags).unwrap_err().code, "InvalidArgumentException", "{tags}");
        }
    }

    #[test]
    fn a_stream_has_at_most_fifty_tags() {
        assert!(check_count(50, "posts", "0").is_ok());
        assert_eq!(check_count(51, "posts", "0").unwrap_err().code, "InvalidArgumentException");
    }
}
