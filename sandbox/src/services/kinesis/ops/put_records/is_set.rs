//! Whether unknown members of a `PutRecords` body have a value that is not empty
//! (`operations::is_unset`). In: a value's bytes. Out: yes or no, without storing the
//! value. Pure.

use std::fmt;

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::cbor::{each, text};

/// The maximum nesting of a CBOR value that is examined; deeper values count as not empty. The
/// number is serde_json's limit.
const MAX_DEPTH: usize = 128;

/// Whether a value is not empty.
pub struct IsSet(pub bool);

impl<'de> Deserialize<'de> for IsSet {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(IsSetVisitor).map(Self)
    }
}

struct IsSetVisitor;

impl<'de> Visitor<'de> for IsSetVisitor {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut json: A) -> Result<bool, A::Error> {
        let mut is_set = false;
        while let Some((IgnoredAny, IsSet(member))) = json.next_entry()? {
            is_set |= member;
        }
        Ok(is_set)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut json: A) -> Result<bool, A::Error> {
        let mut is_set = false;
        while json.next_element::<IgnoredAny>()?.is_some() {
            is_set = true;
        }
        Ok(is_set)
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

/// The same for a value in CBOR, which is consumed.
pub fn is_set(body: &mut Decoder<'_>) -> Result<bool, Error> {
    is_set_within(body, 0)
}

fn is_set_within(body: &mut Decoder<'_>, depth: usize) -> Result<bool, Error> {
    match body.datatype()? {
        Type::Null | Type::Undefined => body.skip().map(|()| false),
        Type::Bool => body.bool(),
        Type::String | Type::StringIndef => Ok(!text(body)?.is_empty()),
        Type::F32 | Type::F64 => Ok(body.f64()? != 0.0),
        Type::F16 => {
            let start = body.position();
            body.skip()?;
            // The first byte is the type. A half-precision number is zero if all bits of the other
            // two bytes except the sign are zero.
            let bits = body.input().get(start + 1..start + 3).unwrap_or_default();
            Ok(bits.iter().zip([0x7f, 0xff]).any(|(byte, mask)| byte & mask != 0))
        }
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::I8 | Type::I16 | Type::I32 | Type::I64 => {
            Ok(i128::from(body.int()?) != 0)
        }
        Type::Map | Type::MapIndef if depth < MAX_DEPTH => {
            let length = body.map()?;
            let mut is_set = false;
            each(body, length, |body| {
                body.skip()?;
                is_set |= is_set_within(body, depth + 1)?;
                Ok(())
            })?;
            Ok(is_set)
        }
        Type::Array | Type::ArrayIndef => {
            let length = body.array()?;
            let mut is_set = false;
            each(body, length, |body| {
                is_set = true;
                body.skip()
            })?;
            Ok(is_set)
        }
        Type::Bytes => Ok(!body.bytes()?.is_empty()),
        _ => body.skip().map(|()| true),
    }
}
