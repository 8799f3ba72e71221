//! Members of a `PutRecords` body that no model knows: whether they ask for anything
//! (`operations::asks_for_nothing`). In: a value's bytes. Out: yes or no, without keeping it. Pure.

use std::fmt;

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::put_request::{each, text};

/// How deep in maps a CBOR value is looked at; what lies deeper counts as asking. serde_json's
/// bound.
const DEEPEST: usize = 128;

/// Whether a value asks for anything.
pub struct Asks(pub bool);

impl<'de> Deserialize<'de> for Asks {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Look).map(Self)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut json: A) -> Result<bool, A::Error> {
        let mut asks = false;
        while let Some((IgnoredAny, Asks(member))) = json.next_entry()? {
            asks |= member;
        }
        Ok(asks)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut json: A) -> Result<bool, A::Error> {
        let mut asks = false;
        while json.next_element::<IgnoredAny>()?.is_some() {
            asks = true;
        }
        Ok(asks)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<bool, E> {
        Ok(flag)
    }

    fn visit_i64<E>(self, number: i64) -> Result<bool, E> {
        Ok(number != 0)
    }

    fn visit_u64<E>(self, number: u64) -> Result<bool, E> {
        Ok(number != 0)
    }

    fn visit_f64<E>(self, number: f64) -> Result<bool, E> {
        Ok(number != 0.0)
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        Ok(!text.is_empty())
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
}

/// The same of a value in CBOR, which is read.
pub fn asks(body: &mut Decoder<'_>) -> Result<bool, Error> {
    asks_within(body, 0)
}

fn asks_within(body: &mut Decoder<'_>, depth: usize) -> Result<bool, Error> {
    match body.datatype()? {
        Type::Null | Type::Undefined => body.skip().map(|()| false),
        Type::Bool => body.bool(),
        Type::String | Type::StringIndef => Ok(!text(body)?.is_empty()),
        Type::F32 | Type::F64 => Ok(body.f64()? != 0.0),
        Type::F16 => {
            let start = body.position();
            body.skip()?;
            // One byte says what it is; of the two others, all bits but the sign's make a zero.
            let bits = body.input().get(start + 1..start + 3).unwrap_or_default();
            Ok(bits.iter().zip([0x7f, 0xff]).any(|(byte, mask)| byte & mask != 0))
        }
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::I8 | Type::I16 | Type::I32 | Type::I64 => {
            Ok(i128::from(body.int()?) != 0)
        }
        Type::Map | Type::MapIndef if depth < DEEPEST => {
            let length = body.map()?;
            let mut asks = false;
            each(body, length, |body| {
                body.skip()?;
                asks |= asks_within(body, depth + 1)?;
                Ok(())
            })?;
            Ok(asks)
        }
        Type::Array | Type::ArrayIndef => {
            let length = body.array()?;
            let mut asks = false;
            each(body, length, |body| {
                asks = true;
                body.skip()
            })?;
            Ok(asks)
        }
        Type::Bytes => Ok(!body.bytes()?.is_empty()),
        _ => body.skip().map(|()| true),
    }
}
