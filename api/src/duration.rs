//! Durations as manifests write them: `2m`, `1m30s`, `250ms`. In: text. Out: a duration that
//! compares by its value. Pure.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The pattern in the CRD's schema. CEL's `duration()` accepts every match.
pub const PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// A duration that keeps its original text, so that users read back what they wrote. Equality is by
/// value: changing `60s` to `1m` is no change.
#[derive(Clone)]
pub struct DurationText {
    text: String,
    value: Duration,
}

impl PartialEq for DurationText {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for DurationText {}

impl Hash for DurationText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

/// The error for a text that is not a duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration such as 30s, 2m or 1m30s")]
pub struct NotADuration(String);

impl DurationText {
    /// The duration of that many whole seconds.
    pub fn seconds(seconds: u64) -> Self {
        let text = if seconds > 0 && seconds.is_multiple_of(60) {
            format!("{}m", seconds / 60)
        } else {
            format!("{seconds}s")
        };
        Self { text, value: Duration::from_secs(seconds) }
    }

    /// The duration itself.
    pub fn value(&self) -> Duration {
        self.value
    }
}

impl FromStr for DurationText {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        let error = || NotADuration(text.to_owned());
        let mut value = Duration::ZERO;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = rest.split_at(digits);
            let number: u64 = number.parse().map_err(|_| error())?;
            let unit = after.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, after) = after.split_at(unit);
            value += match unit {
                "h" => Duration::from_secs(number.checked_mul(3600).ok_or_else(error)?),
                "m" => Duration::from_secs(number.checked_mul(60).ok_or_else(error)?),
                "s" => Duration::from_secs(number),
                "ms" => Duration::from_millis(number),
                _ => return Err(error()),
            };
            rest = after;
        }
        if text.is_empty() {
            return Err(error());
        }
        Ok(Self { text: text.to_owned(), value })
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for DurationText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // 4 parts of at most 5 digits and 2 letters.
        json_schema!({ "type": "string", "pattern": PATTERN, "maxLength": 28 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_the_sum_of_its_parts_and_keeps_its_text() {
        for (text, millis) in
            [("2m", 120_000), ("1m30s", 90_000), ("250ms", 250), ("1h1m1s1ms", 3_661_001), ("0s", 0)]
        {
            let read: DurationText = text.parse().unwrap();
            assert_eq!((read.value(), read.to_string().as_str()), (Duration::from_millis(millis), text));
        }
        assert_eq!(DurationText::seconds(120).to_string(), "2m");
        assert_eq!(DurationText::seconds(90).to_string(), "90s");
    }

    #[test]
    fn equality_is_by_value_not_by_text() {
        let read = |text: &str| text.parse::<DurationText>().unwrap();
        let texts = ["1m", "60s", "60000ms", "0h1m", "30s30s"];
        let different: std::collections::HashSet<_> = texts.into_iter().map(read).collect();
        assert_eq!(different.len(), 1);
        assert_ne!(read("1m"), read("61s"));
    }

    #[test]
    fn other_texts_are_rejected() {
        for text in ["", "2", "m", "2d", "-2m", "1.5h", "2 m", "99999999999999999999h", "s2"] {
            assert_eq!(text.parse::<DurationText>(), Err(NotADuration(text.to_owned())));
        }
    }
}
