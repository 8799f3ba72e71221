//! The body of `PutRecords`, taken apart without copying where its format allows it. In: bytes.
//! Out: members that were not yet checked, or nothing where the body is not of the usual form,
//! holds too many records or members that nobody knows. Pure.

use std::borrow::Cow;
use std::fmt;

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::rules::PUT_RULES;
use super::unknown_members::{Asks, asks};
use crate::protocol::Encoding;

/// Why a body is left to the rules, which have AWS's words for it.
const TOO_MANY: &str = "too many records";
const STRANGER: &str = "a member that nobody knows";

/// The members of a request.
#[derive(Default)]
pub struct Request<'a> {
    /// `StreamName`
    pub name: Option<Cow<'a, str>>,
    /// `StreamARN`
    pub arn: Option<Cow<'a, str>>,
    /// `DryRun`
    pub dry_run: bool,
    /// Whether there is a `StreamId`.
    pub has_id: bool,
    /// `Records`
    pub records: Vec<PutEntry<'a>>,
}

/// A record.
pub struct PutEntry<'a> {
    /// `Data`
    pub data: Data<'a>,
    /// `PartitionKey`
    pub key: Option<Cow<'a, str>>,
    /// `ExplicitHashKey`
    pub hash: Option<Cow<'a, str>>,
}

/// A record's data as it came.
pub enum Data<'a> {
    /// In JSON.
    Base64(Cow<'a, str>),
    /// In CBOR.
    Bytes(Cow<'a, [u8]>),
}

impl Data<'_> {
    /// How many characters of base64 there are to decode.
    pub fn encoded_length(&self) -> usize {
        match self {
            Self::Base64(text) => text.len(),
            Self::Bytes(_) => 0,
        }
    }
}

impl<'a> Request<'a> {
    /// Reads a body.
    pub fn read(encoding: Encoding, body: &'a [u8]) -> Option<Self> {
        match encoding {
            Encoding::Json => serde_json::from_slice(body).ok(),
            Encoding::Cbor => cbor_request(&mut Decoder::new(body)).ok().flatten(),
        }
    }
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum RequestMember {
    StreamName,
    #[serde(rename = "StreamARN")]
    StreamArn,
    StreamId,
    DryRun,
    Records,
    #[serde(other)]
    Stranger,
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum EntryMember {
    Data,
    PartitionKey,
    ExplicitHashKey,
    #[serde(other)]
    Stranger,
}

/// Reads over a member that nobody knows, if it asks for nothing.
fn pass_stranger<'de, A: MapAccess<'de>>(members: &mut A) -> Result<(), A::Error> {
    match members.next_value()? {
        Asks(false) => Ok(()),
        Asks(true) => Err(de::Error::custom(STRANGER)),
    }
}

impl<'de> Deserialize<'de> for Request<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Request<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the members of a request")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut request = Request::default();
                let mut records = None;
                while let Some(member) = members.next_key()? {
                    match member {
                        RequestMember::StreamName => request.name = optional_text(&mut members)?,
                        RequestMember::StreamArn => request.arn = optional_text(&mut members)?,
                        RequestMember::StreamId => {
                            request.has_id = members.next_value::<Option<IgnoredAny>>()?.is_some();
                        }
                        RequestMember::DryRun => {
                            request.dry_run = members.next_value::<Option<bool>>()?.unwrap_or(false);
                        }
                        RequestMember::Records => records = Some(members.next_value::<Entries<'de>>()?.0),
                        RequestMember::Stranger => pass_stranger(&mut members)?,
                    }
                }
                request.records = records.ok_or_else(|| de::Error::missing_field("Records"))?;
                Ok(request)
            }
        }

        json.deserialize_map(Members)
    }
}

/// As many records as there may be. One more is an error, lest a body of millions of tiny ones fill
/// the memory.
struct Entries<'a>(Vec<PutEntry<'a>>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Items;

        impl<'de> Visitor<'de> for Items {
            type Value = Entries<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of records")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = items.next_element()? {
                    if entries.len() == PUT_RULES.most_records {
                        return Err(de::Error::custom(TOO_MANY));
                    }
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        json.deserialize_seq(Items)
    }
}

impl<'de> Deserialize<'de> for PutEntry<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = PutEntry<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the members of a record")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let (mut data, mut key, mut hash) = (None, None, None);
                while let Some(member) = members.next_key()? {
                    match member {
                        EntryMember::Data => data = optional_text(&mut members)?,
                        EntryMember::PartitionKey => key = optional_text(&mut members)?,
                        EntryMember::ExplicitHashKey => hash = optional_text(&mut members)?,
                        EntryMember::Stranger => pass_stranger(&mut members)?,
                    }
                }
                let data = data.ok_or_else(|| de::Error::missing_field("Data"))?;
                Ok(PutEntry { data: Data::Base64(data), key, hash })
            }
        }

        json.deserialize_map(Members)
    }
}

/// Borrowed where JSON needed no unescaping (serde borrows inside an `Option` only through a type of one's own).
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn optional_text<'de, A: MapAccess<'de>>(members: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    Ok(members.next_value::<Option<Text<'de>>>()?.map(|Text(text)| text))
}

type Cbor<'a> = Decoder<'a>;

fn cbor_request<'a>(body: &mut Cbor<'a>) -> Result<Option<Request<'a>>, Error> {
    let mut request = Request::default();
    let mut is_usual = true;
    let length = body.map()?;
    each(body, length, |body| {
        match &*text(body)? {
            "StreamName" => request.name = unless_null(body, text)?,
            "StreamARN" => request.arn = unless_null(body, text)?,
            "StreamId" => request.has_id = unless_null(body, Decoder::skip)?.is_some(),
            "DryRun" => request.dry_run = unless_null(body, Decoder::bool)?.unwrap_or(false),
            "Records" => {
                let length = body.array()?;
                each(body, length, |body| {
                    match cbor_entry(body)? {
                        // One more than there may be is an error, as in JSON.
                        Some(_) if request.records.len() == PUT_RULES.most_records => {
                            return Err(Error::message(TOO_MANY));
                        }
                        Some(entry) => request.records.push(entry),
                        None => is_usual = false,
                    }
                    Ok(())
                })?;
            }
            _ => pass_stranger_in_cbor(body)?,
        }
        Ok(())
    })?;
    Ok(is_usual.then_some(request))
}

fn pass_stranger_in_cbor(body: &mut Cbor<'_>) -> Result<(), Error> {
    if asks(body)? { Err(Error::message(STRANGER)) } else { Ok(()) }
}

fn cbor_entry<'a>(body: &mut Cbor<'a>) -> Result<Option<PutEntry<'a>>, Error> {
    let (mut data, mut key, mut hash) = (None, None, None);
    let length = body.map()?;
    each(body, length, |body| {
        match &*text(body)? {
            "Data" => data = unless_null(body, bytes)?,
            "PartitionKey" => key = unless_null(body, text)?,
            "ExplicitHashKey" => hash = unless_null(body, text)?,
            _ => pass_stranger_in_cbor(body)?,
        }
        Ok(())
    })?;
    Ok(data.map(|data| PutEntry { data: Data::Bytes(data), key, hash }))
}

/// Reads each part of a map or list, whether its length is told (`Some`) or its end is marked, as Jackson does.
pub(super) fn each<'a>(
    body: &mut Cbor<'a>,
    length: Option<u64>,
    mut read: impl FnMut(&mut Cbor<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut left = length;
    loop {
        match &mut left {
            Some(0) => return Ok(()),
            Some(left) => *left -= 1,
            None if body.datatype()? == Type::Break => return body.skip(),
            None => {}
        }
        read(body)?;
    }
}

fn unless_null<'a, T>(
    body: &mut Cbor<'a>,
    read: impl FnOnce(&mut Cbor<'a>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    if body.datatype()? == Type::Null { body.null().map(|()| None) } else { read(body).map(Some) }
}

/// A text, whole or in pieces, as Jackson writes long ones.
pub(super) fn text<'a>(body: &mut Cbor<'a>) -> Result<Cow<'a, str>, Error> {
    if body.datatype()? == Type::String {
        return body.str().map(Cow::Borrowed);
    }
    body.str_iter()?.collect::<Result<String, Error>>().map(Cow::Owned)
}

fn bytes<'a>(body: &mut Cbor<'a>) -> Result<Cow<'a, [u8]>, Error> {
    if body.datatype()? == Type::Bytes {
        return body.bytes().map(Cow::Borrowed);
    }
    let pieces = body.bytes_iter()?.collect::<Result<Vec<&[u8]>, Error>>()?;
    Ok(Cow::Owned(pieces.concat()))
}
