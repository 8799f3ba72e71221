//! Parses the body of `PutRecords`, without copying where the format allows. In: bytes. Out:
//! unchecked members, or nothing if the body has an unusual form, too many records or unknown
//! members. Pure.

use std::borrow::Cow;
use std::fmt;

use minicbor::decode::{Decoder, Error};
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::cbor::{bytes, each, text, unless_null};
use super::is_set::{IsSet, is_set};
use crate::protocol::Encoding;
use crate::services::kinesis::parameters::PUT_RULES;

/// Why a body is passed to the rules, which produce AWS's error messages.
const TOO_MANY: &str = "too many records";
const UNKNOWN_MEMBER: &str = "an unknown member";

/// The members of a request.
#[derive(Default)]
pub struct Request<'a> {
    /// `StreamName`
    pub name: Option<Cow<'a, str>>,
    /// `StreamARN`
    pub arn: Option<Cow<'a, str>>,
    /// `DryRun`
    pub dry_run: bool,
    /// Whether `StreamId` is set.
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

/// A record's data, as sent.
pub enum Data<'a> {
    /// In JSON.
    Base64(Cow<'a, str>),
    /// In CBOR.
    Bytes(Cow<'a, [u8]>),
}

impl Data<'_> {
    /// The number of base64 characters to decode.
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
    Unknown,
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum EntryMember {
    Data,
    PartitionKey,
    ExplicitHashKey,
    #[serde(other)]
    Unknown,
}

/// Skips an unknown member if its value is empty.
fn skip_unknown<'de, A: MapAccess<'de>>(members: &mut A) -> Result<(), A::Error> {
    match members.next_value()? {
        IsSet(false) => Ok(()),
        IsSet(true) => Err(de::Error::custom(UNKNOWN_MEMBER)),
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
                        RequestMember::Unknown => skip_unknown(&mut members)?,
                    }
                }
                request.records = records.ok_or_else(|| de::Error::missing_field("Records"))?;
                Ok(request)
            }
        }

        json.deserialize_map(Members)
    }
}

/// At most the allowed number of records. One more is an error, so that a body with millions of
/// tiny records does not fill the memory.
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
                        EntryMember::Unknown => skip_unknown(&mut members)?,
                    }
                }
                let data = data.ok_or_else(|| de::Error::missing_field("Data"))?;
                Ok(PutEntry { data: Data::Base64(data), key, hash })
            }
        }

        json.deserialize_map(Members)
    }
}

/// Borrowed if JSON needed no unescaping (serde borrows inside an `Option` only through a custom
/// type).
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn optional_text<'de, A: MapAccess<'de>>(members: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    Ok(members.next_value::<Option<Text<'de>>>()?.map(|Text(text)| text))
}

fn cbor_request<'a>(body: &mut Decoder<'a>) -> Result<Option<Request<'a>>, Error> {
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
                        // More than the allowed number is an error, as in JSON.
                        Some(_) if request.records.len() == PUT_RULES.most_records => {
                            return Err(Error::message(TOO_MANY));
                        }
                        Some(entry) => request.records.push(entry),
                        None => is_usual = false,
                    }
                    Ok(())
                })?;
            }
            _ => skip_unknown_in_cbor(body)?,
        }
        Ok(())
    })?;
    Ok(is_usual.then_some(request))
}

fn skip_unknown_in_cbor(body: &mut Decoder<'_>) -> Result<(), Error> {
    if is_set(body)? { Err(Error::message(UNKNOWN_MEMBER)) } else { Ok(()) }
}

fn cbor_entry<'a>(body: &mut Decoder<'a>) -> Result<Option<PutEntry<'a>>, Error> {
    let (mut data, mut key, mut hash) = (None, None, None);
    let length = body.map()?;
    each(body, length, |body| {
        match &*text(body)? {
            "Data" => data = unless_null(body, bytes)?,
            "PartitionKey" => key = unless_null(body, text)?,
            "ExplicitHashKey" => hash = unless_null(body, text)?,
            _ => skip_unknown_in_cbor(body)?,
        }
        Ok(())
    })?;
    Ok(data.map(|data| PutEntry { data: Data::Bytes(data), key, hash }))
}
