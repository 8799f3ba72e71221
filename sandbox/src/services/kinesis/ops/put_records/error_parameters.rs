//! The parts of a `PutRecords` body that its error messages need: the parameters that are checked,
//! the first unknown member of each structure (as `true`), and at most one record more than
//! allowed. Reading more could fill the memory, because a body can have millions of tiny parts. In:
//! bytes. Out: members. Pure.

use std::fmt;

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::cbor::{each, text};
use super::is_set::{IsSet, is_set};
use crate::call::AwsError;
use crate::protocol::Encoding;
use crate::services::kinesis::errors;
use crate::services::kinesis::parameters::PUT_RULES;

/// Empty lists and maps in CBOR, the same with indefinite length, and their end (RFC 8949, 3.2.1).
const EMPTY_LIST: u8 = 0x80;
const EMPTY_MAP: u8 = 0xa0;
const LIST: u8 = 0x9f;
const MAP: u8 = 0xbf;
const END: u8 = 0xff;
const TRUE: u8 = 0xf5;

/// A part of a request, which decides what is kept of it. Of a list or map in the wrong place, only
/// the type is kept.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Request,
    Records,
    Record,
    Member,
}

impl Part {
    /// The part for the member with this name, if the rules check it.
    fn member(self, name: &str) -> Option<Self> {
        match (self, name) {
            (Self::Request, "Records") => Some(Self::Records),
            (Self::Request, "StreamName" | "StreamARN" | "StreamId" | "DryRun")
            | (Self::Record, "Data" | "PartitionKey" | "ExplicitHashKey") => Some(Self::Member),
            _ => None,
        }
    }

    /// Whether it has members.
    fn is_structure(self) -> bool {
        matches!(self, Self::Request | Self::Record)
    }

    /// How many items of a list are kept.
    fn most_items(self) -> usize {
        if self == Self::Records { PUT_RULES.most_records + 1 } else { 0 }
    }
}

/// Reads a body.
pub fn read(encoding: Encoding, body: &[u8]) -> Result<Value, AwsError> {
    if body.is_empty() {
        return encoding.decode(body);
    }
    match encoding {
        Encoding::Json => {
            let mut json = serde_json::Deserializer::from_slice(body);
            let read = Part::Request.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
            match read {
                Ok(value @ Value::Object(_)) => Ok(value),
                Ok(_) | Err(_) => Err(errors::unreadable("")),
            }
        }
        Encoding::Cbor => {
            let mut kept = Vec::new();
            Part::Request
                .copy(&mut Decoder::new(body), &mut kept)
                .map_err(|error| errors::unreadable(error.to_string()))?;
            encoding.decode(&kept)
        }
    }
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut json: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        let mut has_unknown = !self.is_structure();
        while let Some(name) = json.next_key::<String>()? {
            match self.member(&name) {
                Some(part) => {
                    let value = json.next_value_seed(part)?;
                    members.insert(name, value);
                }
                None => {
                    let IsSet(is_set) = json.next_value()?;
                    if is_set && !std::mem::replace(&mut has_unknown, true) {
                        members.insert(name, Value::Bool(true));
                    }
                }
            }
        }
        Ok(Value::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut json: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < self.most_items() {
            match json.next_element_seed(Self::Record)? {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
        while json.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(items))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

impl Part {
    /// Copies the kept parts from one CBOR body to another.
    fn copy(self, body: &mut Decoder<'_>, kept: &mut Vec<u8>) -> Result<(), Error> {
        match body.datatype()? {
            Type::Map | Type::MapIndef if self.is_structure() => {
                let length = body.map()?;
                let mut has_unknown = false;
                kept.push(MAP);
                each(body, length, |body| {
                    let start = body.position();
                    match self.member(&text(body)?) {
                        Some(part) => {
                            copy_since(start, body, kept);
                            part.copy(body, kept)
                        }
                        None => {
                            let name_end = body.position();
                            if is_set(body)? && !std::mem::replace(&mut has_unknown, true) {
                                kept.extend_from_slice(body.input().get(start..name_end).unwrap_or_default());
                                kept.push(TRUE);
                            }
                            Ok(())
                        }
                    }
                })?;
                kept.push(END);
            }
            Type::Array | Type::ArrayIndef if self == Self::Records => {
                let length = body.array()?;
                let mut items = 0;
                kept.push(LIST);
                each(body, length, |body| {
                    items += 1;
                    if items > self.most_items() { body.skip() } else { Self::Record.copy(body, kept) }
                })?;
                kept.push(END);
            }
            Type::Map | Type::MapIndef => {
                body.skip()?;
                kept.push(EMPTY_MAP);
            }
            Type::Array | Type::ArrayIndef => {
                body.skip()?;
                kept.push(EMPTY_LIST);
            }
            // A tag could contain anything, and no member of a PutRecords is an instant.
            Type::Tag => return Err(Error::message("CBOR tags are not supported here")),
            _ => {
                let start = body.position();
                body.skip()?;
                copy_since(start, body, kept);
            }
        }
        Ok(())
    }
}

fn copy_since(start: usize, body: &Decoder<'_>, kept: &mut Vec<u8>) {
    kept.extend_from_slice(body.input().get(start..body.position()).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::cbor::KINESIS;

    const BOTH: [Encoding; 2] = [Encoding::Json, Encoding::Cbor];

    fn body(encoding: Encoding, members: &Value) -> Vec<u8> {
        match encoding {
            Encoding::Json => members.to_string().into_bytes(),
            Encoding::Cbor => KINESIS.encode(members),
        }
    }

    /// What the rules return for members, however they were read.
    fn checked_by_rules(read: Result<Value, AwsError>) -> Result<Value, AwsError> {
        crate::services::kinesis::ops::checked("PutRecords", &read?)
    }

    #[test]
    fn rules_return_the_same_as_for_the_complete_body() {
        let values = [
            json!([]),
            json!([[1]]),
            json!({}),
            json!({"a": [1], "b": {"c": 2}}),
            json!({"a": [], "b": {"c": 0, "d": null}}),
            json!("text"),
            json!(""),
            json!("YQ=="),
            json!(true),
            json!(false),
            json!(0),
            json!(5),
            json!(-5),
            json!(0.5),
            json!(0.0),
            json!(null),
        ];
        let record = json!({"Data": "YQ==", "PartitionKey": "k", "ExplicitHashKey": "7"});
        let mut cases = vec![
            json!({}),
            json!({"StreamName": "a", "Records": vec![record.clone(); 501], "Unknown": [{}]}),
            json!({"StreamName": "no blanks", "Records": vec![json!({"Unknown": [{"Data": 1}]}); 501]}),
        ];
        for value in values {
            for member in ["StreamName", "StreamARN", "StreamId", "DryRun", "Records", "Unknown"] {
                let mut whole = json!({"StreamName": "a", "Records": [record]});
                whole[member] = value.clone();
                cases.push(whole);
            }
            for member in ["Data", "PartitionKey", "ExplicitHashKey", "Records", "Unknown"] {
                let mut changed = record.clone();
                changed[member] = value.clone();
                cases.push(json!({"StreamName": "a", "Records": [record, changed]}));
            }
            cases.push(json!({"StreamName": "a", "Records": [record, value]}));
        }
        for whole in cases {
            for encoding in BOTH {
                let body = body(encoding, &whole);
                let read = checked_by_rules(read(encoding, &body));
                assert_eq!(read, checked_by_rules(encoding.decode(&body)), "{encoding:?} {whole}");
            }
        }
    }

    #[test]
    fn unreadable_bodies_fail_in_both_ways() {
        for (encoding, wrong) in [
            (Encoding::Json, &b""[..]),
            (Encoding::Json, b"[]"),
            (Encoding::Json, b"{\"Records\": [{}"),
            (Encoding::Json, b"{} {}"),
            (Encoding::Json, b"null"),
            (Encoding::Json, b"{\"Unknown\": \"\\x\"}"),
            (Encoding::Cbor, b""),
            (Encoding::Cbor, b"\x80"),
            (Encoding::Cbor, b"\xbf"),
            (Encoding::Cbor, b"\xa1\x01\x01"),
            (Encoding::Cbor, b"\xa1\x6aStreamName\xd8\x20\x60"),
        ] {
            let code = |read: Result<Value, AwsError>| read.map_err(|error| error.code);
            assert_eq!(code(read(encoding, wrong)), code(encoding.decode(wrong)), "{wrong:?}");
        }
    }

    #[test]
    fn only_what_the_rules_check_is_kept() {
        let many = json!(vec![json!({"a": 1}); 700]);
        let records: Vec<Value> = (0..700)
            .map(|number| json!({"PartitionKey": number.to_string(), "Data": many, "Unknown": many}))
            .collect();
        let whole = json!({"Unknown": many, "Another": many, "Records": records, "StreamName": {"a": many}});
        let kept: Vec<Value> = (0..501)
            .map(|number| json!({"PartitionKey": number.to_string(), "Data": [], "Unknown": true}))
            .collect();
        for encoding in BOTH {
            let mut body = body(encoding, &whole);
            let kept_parts = read(encoding, &body).unwrap();
            assert_eq!(
                kept_parts,
                json!({"Unknown": true, "Records": kept, "StreamName": {}}),
                "{encoding:?}"
            );
            // An unreadable end makes the whole body unreadable.
            body.truncate(body.len() - 1);
            assert_eq!(read(encoding, &body).unwrap_err().code, "SerializationException");
        }
    }
}
