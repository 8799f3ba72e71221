//! Reads parts of a CBOR body without copying where the format allows. In: a decoder at a part.
//! Out: the part. Pure.

use std::borrow::Cow;

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};

/// Reads each part of a map or list with definite (`Some`) or indefinite length. Jackson writes
/// both.
pub fn each<'a>(
    body: &mut Decoder<'a>,
    length: Option<u64>,
    mut read: impl FnMut(&mut Decoder<'a>) -> Result<(), Error>,
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

/// A part that may be null.
pub fn unless_null<'a, T>(
    body: &mut Decoder<'a>,
    read: impl FnOnce(&mut Decoder<'a>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    if body.datatype()? == Type::Null { body.null().map(|()| None) } else { read(body).map(Some) }
}

/// A text, whole or in chunks; Jackson writes long ones in chunks.
pub fn text<'a>(body: &mut Decoder<'a>) -> Result<Cow<'a, str>, Error> {
    if body.datatype()? == Type::String {
        return body.str().map(Cow::Borrowed);
    }
    body.str_iter()?.collect::<Result<String, Error>>().map(Cow::Owned)
}

/// Bytes, whole or in chunks.
pub fn bytes<'a>(body: &mut Decoder<'a>) -> Result<Cow<'a, [u8]>, Error> {
    if body.datatype()? == Type::Bytes {
        return body.bytes().map(Cow::Borrowed);
    }
    let pieces = body.bytes_iter()?.collect::<Result<Vec<&[u8]>, Error>>()?;
    Ok(Cow::Owned(pieces.concat()))
}
