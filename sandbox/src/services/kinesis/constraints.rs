//! Whether a value keeps the constraints of the service model, and AWS's words if it does not. In: values whose types
//! were checked, and the rules of their members. Out: violations. Pure.
//!
//! ferrokinesis has such a check too, but it counts bytes where AWS counts characters ("Partition keys are Unicode strings, with a
//! maximum length limit of 256 characters"; Smithy, "length trait": Unicode scalar values), and leaves alternatives in patterns unanchored.

use std::collections::HashMap;
use std::sync::LazyLock;

use ferrokinesis::validation::{FieldDef, FieldType, to_lower_first};
use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;

/// The model's patterns (botocore 1.44.8, kinesis 2013-12-02), word for word: refusals quote them.
pub mod pattern {
    /// `StreamName`, `ShardId`.
    pub const NAME: &str = "[a-zA-Z0-9_.-]+";
    /// `StreamARN`.
    pub const STREAM_ARN: &str = r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+";
    /// `ResourceARN`.
    pub const RESOURCE_ARN: &str = r"arn:aws.*:kinesis:.*:\d{12}:.*(stream|channel|queue)/\S+";
    /// `StreamId`.
    pub const STREAM_ID: &str = "[a-z0-9]{20}-[a-z0-9]{3}";
    /// `HashKey`.
    pub const HASH_KEY: &str = r"^(0|([1-9]\d{0,38}))$";
    /// `SequenceNumber`.
    pub const SEQUENCE_NUMBER: &str = r"^(0|([1-9]\d{0,128}))$";

    /// All of them.
    pub const ALL: [&str; 6] = [NAME, STREAM_ARN, RESOURCE_ARN, STREAM_ID, HASH_KEY, SEQUENCE_NUMBER];
}

/// AWS names so many violations of one request.
const MOST_VIOLATIONS: usize = 10;

/// How much of a list a refusal shows, in bytes. The number is ours.
const MOST_SHOWN: usize = 1 << 10;

static PATTERNS: LazyLock<HashMap<&str, Regex>> = LazyLock::new(|| {
    // The service matches the whole text, and its classes mean ASCII.
    let compiled = |pattern: &'static str| {
        let whole = format!("^(?:{pattern})$");
        Some((pattern, RegexBuilder::new(&whole).unicode(false).build().ok()?))
    };
    pattern::ALL.into_iter().filter_map(compiled).collect()
});

fn matches(pattern: &str, text: &str) -> bool {
    PATTERNS.get(pattern).is_some_and(|pattern| pattern.is_match(text.as_bytes()))
}

/// Whether a text keeps the rules of its member.
pub fn admits(rule: &FieldDef, text: &str) -> bool {
    let mut broken = false;
    text_constraints(rule, text, |_| broken = true);
    !broken
}

/// Tells each constraint that a text does not keep.
fn text_constraints(rule: &FieldDef, text: &str, mut tell: impl FnMut(String)) {
    if let Some(pattern) = &rule.regex
        && !matches(pattern, text)
    {
        tell(format!("Member must satisfy regular expression pattern: {pattern}"));
    }
    if rule.length_greater_than_or_equal.is_some() || rule.length_less_than_or_equal.is_some() {
        length_constraints(rule, text.chars().count(), &mut tell);
    }
    if let Some(values) = &rule.enum_values
        && !values.iter().any(|value| value == text)
    {
        tell(format!("Member must satisfy enum value set: [{}]", values.join(", ")));
    }
}

fn length_constraints(rule: &FieldDef, length: usize, tell: &mut impl FnMut(String)) {
    if let Some(least) = rule.length_greater_than_or_equal.filter(|least| length < *least) {
        tell(format!("Member must have length greater than or equal to {least}"));
    }
    if let Some(most) = rule.length_less_than_or_equal.filter(|most| length > *most) {
        tell(format!("Member must have length less than or equal to {most}"));
    }
}

fn number_constraints(rule: &FieldDef, number: f64, mut tell: impl FnMut(String)) {
    if let Some(least) = rule.greater_than_or_equal.filter(|least| number < *least) {
        tell(format!("Member must have value greater than or equal to {least}"));
    }
    if let Some(most) = rule.less_than_or_equal.filter(|most| number > *most) {
        tell(format!("Member must have value less than or equal to {most}"));
    }
}

/// What the keys, values or items of a collection do not keep. AWS tells it of the collection as a whole.
fn parts_constraints(rule: &FieldDef, value: &Value, mut tell: impl FnMut(String)) {
    let mut check = |bounds: Option<(usize, usize)>, whose: &str, parts: Vec<&str>| {
        if let Some((least, most)) = bounds
            && !parts.iter().all(|part| (least..=most).contains(&part.chars().count()))
        {
            tell(format!(
                "{whose} must satisfy constraint: [Member must have length less than or equal to {most}, Member must have \
                 length greater than or equal to {least}]"
            ));
        }
    };
    let items = || value.as_array().into_iter().flatten().filter_map(Value::as_str);
    let pairs = || value.as_object().into_iter().flatten();
    check(rule.child_lengths, "Member", items().collect());
    check(rule.child_key_lengths, "Map keys", pairs().map(|(key, _)| key.as_str()).collect());
    check(rule.child_value_lengths, "Map value", pairs().filter_map(|(_, value)| value.as_str()).collect());
}

/// What the members of a request do not keep, in AWS's words; `None` if all is well.
pub fn violations<'a>(
    input: &Value,
    members: impl IntoIterator<Item = (&'a str, &'a FieldDef)>,
) -> Option<String> {
    let mut found = Vec::new();
    for (name, rule) in members {
        look(&input[name], rule, &to_lower_first(name), &mut found);
    }
    (!found.is_empty()).then(|| told(&found))
}

/// What members that must not be null are told if they are.
pub fn nulls(paths: &[String]) -> String {
    let found: Vec<String> =
        paths.iter().take(MOST_VIOLATIONS).map(|path| violation("null", path, NOT_NULL)).collect();
    told(&found)
}

const NOT_NULL: &str = "Member must not be null";

fn violation(shown: &str, path: &str, constraint: &str) -> String {
    format!("Value {shown} at '{path}' failed to satisfy constraint: {constraint}")
}

fn told(found: &[String]) -> String {
    let plural = if found.len() == 1 { "" } else { "s" };
    format!("{} validation error{plural} detected: {}", found.len(), found.join("; "))
}

fn look(value: &Value, rule: &FieldDef, path: &str, found: &mut Vec<String>) {
    if value.is_null() && !rule.not_null {
        return;
    }
    let mut tell = |constraint: String| {
        if found.len() < MOST_VIOLATIONS {
            found.push(violation(&shown(value, rule), path, &constraint));
        }
    };
    match (value, &rule.field_type) {
        (Value::Null, _) => tell(NOT_NULL.to_owned()),
        (Value::String(base64), FieldType::Blob) => {
            length_constraints(rule, decoded_length(base64), &mut tell);
        }
        (Value::String(text), _) => text_constraints(rule, text, tell),
        (Value::Number(number), _) => number_constraints(rule, number.as_f64().unwrap_or_default(), tell),
        (Value::Array(items), FieldType::List { children }) => {
            length_constraints(rule, items.len(), &mut tell);
            parts_constraints(rule, value, tell);
            for (position, item) in items.iter().enumerate() {
                look(item, children, &format!("{path}.{}.member", position + 1), found);
            }
        }
        (Value::Object(entries), FieldType::Map { children }) => {
            length_constraints(rule, entries.len(), &mut tell);
            parts_constraints(rule, value, tell);
            for (key, entry) in entries.iter().rev() {
                look(entry, children, &format!("{path}.{key}.member"), found);
            }
        }
        (Value::Object(_), FieldType::Structure { children }) => {
            for (name, child) in children {
                look(&value[name.as_str()], child, &format!("{path}.{}", to_lower_first(name)), found);
            }
        }
        _ => {}
    }
}

/// How many bytes a text in base64 stands for.
fn decoded_length(base64: &str) -> usize {
    (base64.len() / 4 * 3)
        .saturating_sub(base64.bytes().rev().take_while(|byte| *byte == b'=').count().min(2))
}

/// A value as AWS's refusals show it.
fn shown(value: &Value, rule: &FieldDef) -> String {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let text = match (value, &rule.field_type) {
        (Value::Null, _) => return "null".to_owned(),
        (Value::String(base64), FieldType::Blob) => {
            let length = decoded_length(base64);
            format!("java.nio.HeapByteBuffer[pos=0 lim={length} cap={length}]")
        }
        (Value::Array(items), _) => format!("[{}]", items_shown(items.iter().map(plain))),
        (Value::Object(entries), _) => {
            let pairs: Vec<String> =
                entries.iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        (value, _) => plain(value),
    };
    format!("'{text}'")
}

/// The items of a list, as many as fit into [`MOST_SHOWN`].
fn items_shown(items: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for (place, item) in items.enumerate() {
        if place > 0 {
            text.push_str(", ");
        }
        if text.len() + item.len() > MOST_SHOWN {
            text.push_str("...");
            break;
        }
        text.push_str(&item);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn string() -> FieldDef {
        FieldDef::new(FieldType::String)
    }

    #[test]
    fn every_pattern_compiles_and_matches_whole_texts_in_ascii() {
        assert_eq!(PATTERNS.len(), pattern::ALL.len());
        let hash = string().regex(pattern::HASH_KEY);
        for good in ["0", "7", "10", &"9".repeat(39)] {
            assert!(admits(&hash, good), "{good}");
        }
        for bad in ["", "00", "007", "+1", "-1", " 1", "1 ", "1\n", "0x1", "1٣", &"9".repeat(40)] {
            assert!(!admits(&hash, bad), "{bad:?}");
        }
        let sequence = string().regex(pattern::SEQUENCE_NUMBER);
        assert!(admits(&sequence, &"9".repeat(129)) && !admits(&sequence, &"9".repeat(130)));
        assert!(!admits(&sequence, "01"));
        let name = string().regex(pattern::NAME);
        assert!(admits(&name, "a.b-c_D9") && !admits(&name, "a b") && !admits(&name, "é"));
        let arn = string().regex(pattern::STREAM_ARN);
        assert!(admits(&arn, "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a"));
        assert!(!admits(&arn, "arn:aws:kinesis:us-east-1:12345678901٣:stream/a"));
        assert!(!admits(&arn, "see arn:aws:kinesis:us-east-1:123456789012:stream/a"));
    }

    #[test]
    fn lengths_are_characters_whatever_their_bytes() {
        let key = string().len_gte(1).len_lte(256);
        for character in ["k", "é", "字", "🎉"] {
            assert!(admits(&key, &character.repeat(256)), "{character}");
            assert!(!admits(&key, &character.repeat(257)), "{character}");
        }
        assert!(!admits(&key, ""));
        let list = FieldDef::new(FieldType::List { children: Box::new(string()) }).child_lengths(1, 3);
        let map = FieldDef::new(FieldType::Map { children: Box::new(string()) })
            .child_key_lengths(1, 3)
            .child_value_lengths(0, 2);
        let refused = |name: &'static str, rule: &FieldDef, value: Value| {
            violations(&json!({ name: value }), [(name, rule)])
        };
        assert_eq!(refused("TagKeys", &list, json!(["字字字", "a"])), None);
        assert_eq!(
            refused("TagKeys", &list, json!(["字字字字"])).unwrap(),
            "1 validation error detected: Value '[字字字字]' at 'tagKeys' failed to satisfy constraint: Member must satisfy \
             constraint: [Member must have length less than or equal to 3, Member must have length greater than or equal to 1]"
        );
        assert_eq!(refused("Tags", &map, json!({"éé": "ü", "字字字": "🎉🎉"})), None);
        assert!(refused("Tags", &map, json!({"字字字字": ""})).unwrap().contains("Map keys must satisfy"));
        assert!(refused("Tags", &map, json!({"a": "🎉🎉🎉"})).unwrap().contains("Map value must satisfy"));
    }

    #[test]
    fn blobs_count_as_decoded_and_nested_members_are_named() {
        let entry = vec![
            ("PartitionKey".to_owned(), string().len_gte(1)),
            ("Data".to_owned(), FieldDef::new(FieldType::Blob).not_null().len_lte(2)),
        ];
        let structure = FieldDef::new(FieldType::Structure { children: entry });
        let rule = FieldDef::new(FieldType::List { children: Box::new(structure) }).len_lte(2);
        let told = |records: Value| violations(&json!({ "Records": records }), [("Records", &rule)]);
        assert_eq!(told(json!([{"Data": "YWI="}, {"Data": ""}])), None);
        assert_eq!(
            told(json!([{"Data": "YWJj", "PartitionKey": ""}, {}])).unwrap(),
            "3 validation errors detected: Value '' at 'records.1.member.partitionKey' failed to satisfy constraint: Member \
             must have length greater than or equal to 1; Value 'java.nio.HeapByteBuffer[pos=0 lim=3 cap=3]' at \
             'records.1.member.data' failed to satisfy constraint: Member must have length less than or equal to 2; Value null \
             at 'records.2.member.data' failed to satisfy constraint: Member must not be null"
        );
        let long = told(json!(["", "x".repeat(1 << 20), "y"])).unwrap();
        assert_eq!(
            long,
            "1 validation error detected: Value '[, ...]' at 'records' failed to satisfy constraint: Member must have length \
             less than or equal to 2"
        );
        let many = told(json!(vec![json!({}); 50])).unwrap();
        assert!(many.starts_with("10 validation errors detected: "), "{many}");
    }
}
