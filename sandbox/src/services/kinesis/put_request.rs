//! The body of `PutRecords`, taken apart without copying where its format allows it. In: bytes. Out: members that were not yet
//! checked, or nothing where the body is not of the usual form or holds too many records. Pure.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::rules::PUT_RULES;
use crate::protocol::Encoding;

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
            Encoding::Json => serde_json::from_slice::<JsonRequest<'_>>(body).ok().map(Self::from),
            Encoding::Cbor => cbor_request(&mut Decoder::new(body)).ok().flatten(),
        }
    }
}

#[derive(Deserialize)]
struct JsonRequest<'a> {
    #[serde(rename = "StreamName", borrow, default)]
    name: Option<Text<'a>>,
    #[serde(rename = "StreamARN", borrow, default)]
    arn: Option<Text<'a>>,
    #[serde(rename = "StreamId", default)]
    id: Option<IgnoredAny>,
    #[serde(rename = "DryRun", default)]
    dry_run: Option<bool>,
    #[serde(rename = "Records", borrow, deserialize_with = "json_entries")]
    records: Vec<JsonEntry<'a>>,
}

/// As many records as there may be. One more is an error, lest a body of millions of tiny ones fill
/// the memory.
fn json_entries<'de: 'a, 'a, D: Deserializer<'de>>(body: D) -> Result<Vec<JsonEntry<'a>>, D::Error> {
    struct Entries<'a>(PhantomData<JsonEntry<'a>>);

    impl<'de: 'a, 'a> Visitor<'de> for Entries<'a> {
        type Value = Vec<JsonEntry<'a>>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a list of records")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = items.next_element()? {
                if entries.len() == PUT_RULES.most_records {
                    return Err(de::Error::custom("too many records"));
                }
                entries.push(entry);
            }
            Ok(entries)
        }
    }

    body.deserialize_seq(Entries(PhantomData))
}

#[derive(Deserialize)]
struct JsonEntry<'a> {
    #[serde(rename = "Data", borrow)]
    data: Cow<'a, str>,
    #[serde(rename = "PartitionKey", borrow, default)]
    key: Option<Text<'a>>,
    #[serde(rename = "ExplicitHashKey", borrow, default)]
    hash: Option<Text<'a>>,
}

/// Borrowed where JSON needed no unescaping (serde borrows inside an `Option` only through a type of one's own).
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> From<JsonRequest<'a>> for Request<'a> {
    fn from(request: JsonRequest<'a>) -> Self {
        let text = |text: Option<Text<'a>>| text.map(|Text(text)| text);
        let entry = |entry: JsonEntry<'a>| PutEntry {
            data: Data::Base64(entry.data),
            key: text(entry.key),
            hash: text(entry.hash),
        };
        Self {
            name: text(request.name),
            arn: text(request.arn),
            dry_run: request.dry_run.unwrap_or(false),
            has_id: request.id.is_some(),
            records: request.records.into_iter().map(entry).collect(),
        }
    }
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
                            return Err(Error::message("too many records"));
                        }
                        Some(entry) => request.records.push(entry),
                        None => is_usual = false,
                    }
                    Ok(())
                })?;
            }
            _ => body.skip()?,
        }
        Ok(())
    })?;
    Ok(is_usual.then_some(request))
}

fn cbor_entry<'a>(body: &mut Cbor<'a>) -> Result<Option<PutEntry<'a>>, Error> {
    let (mut data, mut key, mut hash) = (None, None, None);
    let length = body.map()?;
    each(body, length, |body| {
        match &*text(body)? {
            "Data" => data = unless_null(body, bytes)?,
            "PartitionKey" => key = unless_null(body, text)?,
            "ExplicitHashKey" => hash = unless_null(body, text)?,
            _ => body.skip()?,
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
