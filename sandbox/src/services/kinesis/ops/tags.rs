//! Tags of streams: valid characters, and how many. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::error;
use super::stream::Stream;
use crate::call::AwsError;

/// API reference, `CreateStream`: "A set of up to 50 key-value pairs".
const MAX_TAGS: usize = 50;

/// Reads a `Tags` map and rejects invalid characters.
pub fn read(tags: &Value) -> Result<BTreeMap<String, String>, AwsError> {
    let pairs = tags.as_object().into_iter().flatten();
    let tags: BTreeMap<String, String> =
        pairs.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
    let is_legal = |text: &str| {
        text.chars().all(|char| char.is_alphanumeric() || char.is_whitespace() || "_./=+-%@:".contains(char))
    };
    if tags.iter().any(|(key, value)| !is_legal(key) || !is_legal(value)) {
        return Err(error::invalid(
            "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - % @.",
        ));
    }
    if tags.keys().any(|key| key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(error::invalid("System tags cannot be added/updated by requester"));
    }
    Ok(tags)
}

/// Rejects more tags than a stream may have.
pub fn check_count(count: usize, stream: &str, account: &str) -> Result<(), AwsError> {
    if count <= MAX_TAGS {
        return Ok(());
    }
    Err(error::invalid(format!(
        "Failed to add tags to stream {stream} under account {account} because a given stream cannot have more than \
         {MAX_TAGS} tags associated with it."
    )))
}

/// Adds tags to a stream.
pub fn add(stream: &mut Stream, tags: BTreeMap<String, String>, account: &str) -> Result<(), AwsError> {
    let mut all = stream.spec.tags.clone();
    all.extend(tags);
    check_count(all.len(), &stream.spec.name, account)?;
    stream.spec.tags = all;
    Ok(())
}

/// Removes tags from a stream; missing ones are ignored.
pub fn remove(stream: &mut Stream, keys: &Value) {
    for key in keys.as_array().into_iter().flatten().filter_map(Value::as_str) {
        stream.spec.tags.remove(key);
    }
}

/// `ListTagsForResource`: all tags.
pub fn all(stream: &Stream) -> Value {
    json!({ "Tags": list(stream.spec.tags.iter()) })
}

/// `ListTagsForStream`: one page of tags.
pub fn page(stream: &Stream, members: &Value) -> Value {
    let most = members["Limit"].as_u64().map_or(MAX_TAGS, |limit| usize::try_from(limit).unwrap_or(MAX_TAGS));
    let after = members["ExclusiveStartTagKey"].as_str();
    let mut remaining =
        stream.spec.tags.iter().filter(|(key, _)| after.is_none_or(|after| key.as_str() > after)).peekable();
    let page = list(remaining.by_ref().take(most));
    json!({ "Tags": page, "HasMoreTags": remaining.peek().is_some() })
}

fn list<'a>(tags: impl Iterator<Item = (&'a String, &'a String)>) -> Vec<Value> {
    tags.map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_this_project_and_values_with_spaces_are_valid() {
        let tags =
            json!({"kinesisdemo.io/owner": "ns/name", "expires-at": "2026-11-22T10:00:00Z", "über": "a b"});
        assert_eq!(read(&tags).unwrap().len(), 3);
    }

    #[test]
    fn other_characters_and_system_tags_are_rejected() {
        for tags in [json!({"a*": "b"}), json!({"a": "b<"}), json!({"aws:x": "b"}), json!({"AWS:x": "b"})] {
            assert_eq!(read(&tags).unwrap_err().code, "InvalidArgumentException", "{tags}");
        }
    }

    #[test]
    fn a_stream_has_at_most_fifty_tags() {
        assert!(check_count(50, "posts", "0").is_ok());
        assert_eq!(check_count(51, "posts", "0").unwrap_err().code, "InvalidArgumentException");
    }
}
