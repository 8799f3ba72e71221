//! Tags of streams: what may be one, and how many. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::error;
use super::stream::Stream;
use crate::services::AwsError;

/// API reference, `CreateStream`: "A set of up to 50 key-value pairs".
const MAX_TAGS: usize = 50;

/// Reads a `Tags` map and refuses characters that tags cannot hold.
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

/// Refuses more tags than a stream may have.
pub fn bounded(count: usize, stream: &str, account: &str) -> Result<(), AwsError> {
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
    let mut all = stream.design.tags.clone();
    all.extend(tags);
    bounded(all.len(), &stream.design.name, account)?;
    stream.design.tags = all;
    Ok(())
}

/// Removes tags from a stream; those it does not have are not missed.
pub fn remove(stream: &mut Stream, keys: &Value) {
    for key in keys.as_array().into_iter().flatten().filter_map(Value::as_str) {
        stream.design.tags.remove(key);
    }
}

/// `ListTagsForResource`: all of them.
pub fn all(stream: &Stream) -> Value {
    json!({ "Tags": list(stream.design.tags.iter()) })
}

/// `ListTagsForStream`: page by page.
pub fn page(stream: &Stream, members: &Value) -> Value {
    let most = members["Limit"].as_u64().map_or(MAX_TAGS, |limit| usize::try_from(limit).unwrap_or(MAX_TAGS));
    let after = members["ExclusiveStartTagKey"].as_str();
    let mut rest = stream
        .design
        .tags
        .iter()
        .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after))
        .peekable();
    let page = list(rest.by_ref().take(most));
    json!({ "Tags": page, "HasMoreTags": rest.peek().is_some() })
}

fn list<'a>(tags: impl Iterator<Item = (&'a String, &'a String)>) -> Vec<Value> {
    tags.map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_like_ours_and_values_with_spaces_are_legal() {
        let tags =
            json!({"kinesisdemo.io/owner": "ns/name", "expires-at": "2026-11-22T10:00:00Z", "über": "a b"});
        assert_eq!(read(&tags).unwrap().len(), 3);
    }

    #[test]
    fn other_characters_and_system_tags_are_refused() {
        for tags in [json!({"a*": "b"}), json!({"a": "b<"}), json!({"aws:x": "b"}), json!({"AWS:x": "b"})] {
            assert_eq!(read(&tags).unwrap_err().code, "InvalidArgumentException", "{tags}");
        }
    }

    #[test]
    fn fifty_tags_and_not_one_more() {
        assert!(bounded(50, "posts", "0").is_ok());
        assert_eq!(bounded(51, "posts", "0").unwrap_err().code, "InvalidArgumentException");
    }
}
