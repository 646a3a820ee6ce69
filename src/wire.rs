//! The protobuf wire format, read in place.
//!
//! Events are kept as the bytes that arrived. Everything that looks into them
//! (validation, filters, search) walks those bytes by the tables that the build
//! generates from the descriptors, without decoding them into messages.
//!
//! Format: <https://protobuf.dev/programming-guides/encoding/>.

mod parts;
mod tables;
mod validate;
mod varint;

use crate::time::Time;

pub use parts::PARTS_MAX;
pub use tables::{
    DURATION, ENUMS, EVENT, Enum, EnumId, Field, FieldKind, LIST_VALUE, MESSAGES, Message,
    MessageId, MessageRule, RECORD, STRUCT, TIMESTAMP, VALUE, WalkStep, WireForm,
};
pub use validate::{
    DEPTH_MAX, DURATION_SECONDS_MAX, Error, FieldNumbers, TIMESTAMP_SECONDS, WireFault,
    seconds_and_nanos, validate, validate_noting,
};
pub use varint::{VARINT_BYTES_MAX, put_varint, read_varint, varint_len};

/// The largest field number of protobuf.
const FIELD_NUMBER_MAX: u64 = (1 << 29) - 1;

/// The value of a field by its wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireValue<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1, little-endian.
    Fixed64(u64),
    /// Wire type 2: a string, bytes, a message, or packed scalars.
    Bytes(&'a [u8]),
    /// Wire type 5, little-endian.
    Fixed32(u32),
}

impl<'a> WireValue<'a> {
    /// The bytes of a length-delimited value.
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self {
            WireValue::Bytes(bytes) => Some(bytes),
            WireValue::Varint(_) | WireValue::Fixed64(_) | WireValue::Fixed32(_) => None,
        }
    }

    /// The text of a length-delimited value, if it is UTF-8.
    pub fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// The number of a varint value.
    pub fn varint(self) -> Option<u64> {
        match self {
            WireValue::Varint(number) => Some(number),
            WireValue::Fixed64(_) | WireValue::Fixed32(_) | WireValue::Bytes(_) => None,
        }
    }
}

/// Iterates over the fields of one encoded message, in the order in which they
/// stand there. Ends after the first fault.
#[derive(Debug, Clone)]
pub struct WireFields<'a> {
    rest: &'a [u8],
}

/// The fields of `message`, each with its number.
pub fn fields(message: &[u8]) -> WireFields<'_> {
    WireFields { rest: message }
}

/// The fields of a message that was validated before: a fault ends the walk.
pub fn trusted(message: &[u8]) -> impl Iterator<Item = (u32, WireValue<'_>)> + Clone {
    fields(message).map_while(Result::ok)
}

impl<'a> WireFields<'a> {
    /// The bytes that were not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline(always)]
    fn read(&mut self) -> Result<(u32, WireValue<'a>), WireFault> {
        if let [key @ 0x08..=0x7f, second @ 0..=0x7f, after @ ..] = self.rest {
            let number = u32::from(key >> 3);
            if key & 7 == 2
                && let Some((bytes, rest)) = after.split_at_checked(usize::from(*second))
            {
                self.rest = rest;
                return Ok((number, WireValue::Bytes(bytes)));
            }
            if key & 7 == 0 {
                self.rest = after;
                return Ok((number, WireValue::Varint(u64::from(*second))));
            }
        }
        let (read, rest) = read_any(self.rest);
        self.rest = rest;
        read
    }
}

/// Reads the first field of `rest`, and returns the bytes after it. Nearly all fields have a key of
/// one byte and a value or length of one byte; [`WireFields::read`] reads those itself. `rest` is
/// passed by value, so that the caller can keep it in registers.
#[inline(never)]
fn read_any(mut rest: &[u8]) -> (Result<(u32, WireValue<'_>), WireFault>, &[u8]) {
    let read = read_field(&mut rest);
    (read, rest)
}

fn read_field<'a>(rest: &mut &'a [u8]) -> Result<(u32, WireValue<'a>), WireFault> {
    let key = read_varint(rest)?;
    let number = key >> 3;
    if number == 0 || number > FIELD_NUMBER_MAX {
        return Err(WireFault::FieldNumber(number));
    }
    let value = match key & 7 {
        0 => WireValue::Varint(read_varint(rest)?),
        1 => WireValue::Fixed64(u64::from_le_bytes(read_array(rest)?)),
        2 => {
            let length = read_varint(rest)?;
            let length = usize::try_from(length).map_err(|_| WireFault::Truncated)?;
            let (bytes, after) = rest.split_at_checked(length).ok_or(WireFault::Truncated)?;
            *rest = after;
            WireValue::Bytes(bytes)
        }
        5 => WireValue::Fixed32(u32::from_le_bytes(read_array(rest)?)),
        wire_type => return Err(WireFault::WireType(wire_type)),
    };
    Ok((number as u32, value))
}

fn read_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], WireFault> {
    let (array, after) = rest.split_first_chunk().ok_or(WireFault::Truncated)?;
    *rest = after;
    Ok(*array)
}

impl<'a> Iterator for WireFields<'a> {
    type Item = Result<(u32, WireValue<'a>), WireFault>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.rest = &[];
        }
        Some(read)
    }
}

/// Whether bytes are UTF-8. Most texts are short and ASCII, which is checked eight or four bytes at
/// a time; the last group may overlap the one before.
#[inline]
pub fn is_utf8(text: &[u8]) -> bool {
    const NOT_ASCII: u64 = 0x8080_8080_8080_8080;
    let seen = if let Some(last) = text.last_chunk::<8>() {
        let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
        let (words, _) = text.as_chunks::<8>();
        words.iter().fold(word(last), |seen, bytes| seen | word(bytes))
    } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        u64::from(u32::from_ne_bytes(*first) | u32::from_ne_bytes(*last))
    } else {
        u64::from(text.iter().fold(0, |seen, byte| seen | byte))
    };
    let is_ascii = seen & NOT_ASCII == 0;
    is_ascii || std::str::from_utf8(text).is_ok()
}

/// Appends a field with a varint value.
pub fn put_varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

/// Appends a length-delimited field.
#[inline]
pub fn put_bytes_field(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    put_bytes_header(out, number, value.len());
    out.extend_from_slice(value);
}

/// Appends a field with a `google.protobuf.Timestamp`.
pub fn put_timestamp_field(out: &mut Vec<u8>, number: u32, time: Time) {
    let (seconds, nanos) = time.parts();
    let fields = [(1, seconds as u64), (2, nanos as u64)];
    let fields = fields.into_iter().filter(|(_, value)| *value != 0);
    let len = fields.clone().map(|(_, value)| 1 + varint_len(value)).sum();
    put_bytes_header(out, number, len);
    fields.for_each(|(number, value)| put_varint_field(out, number, value));
}

/// Appends key and length of a length-delimited field, whose bytes must follow.
pub fn put_bytes_header(out: &mut Vec<u8>, number: u32, length: usize) {
    put_varint(out, (u64::from(number) << 3) | 2);
    put_varint(out, length as u64);
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn text_is_utf8_wherever_its_bytes_stand() {
        for length in 0..40 {
            let ascii = vec![b'x'; length];
            assert!(is_utf8(&ascii));
            for at in 0..length {
                let mut text = ascii.clone();
                text[at] = 0xff;
                assert!(!is_utf8(&text), "byte {at} of {length}");
                let text = [ascii.get(..at).unwrap(), "ü".as_bytes(), &ascii].concat();
                assert!(is_utf8(&text), "byte {at} of {}", text.len());
            }
        }
    }

    #[test]
    fn a_timestamp_is_encoded_as_prost_does() {
        let times = [0, 1, -1, 1_000_000_000, 1_700_000_000_123_456_789, i64::MIN, i64::MAX];
        for time in times.map(Time) {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            put_timestamp_field(&mut ours, 3, time);
            put_bytes_field(&mut theirs, 3, &time.timestamp().encode_to_vec());
            assert_eq!(ours, theirs, "{time:?}");
        }
    }

    #[test]
    fn fields_end_after_the_first_fault() {
        let mut out = Vec::new();
        put_bytes_field(&mut out, 1, b"alice");
        put_varint_field(&mut out, 2, 300);
        out.extend_from_slice(&[0x1a, 0x05, b'x']);
        let read: Vec<_> = fields(&out).collect();
        assert_eq!(
            read,
            [
                Ok((1, WireValue::Bytes(b"alice"))),
                Ok((2, WireValue::Varint(300))),
                Err(WireFault::Truncated)
            ]
        );
    }

    /// Keys, values and lengths of one byte are read in another way than longer ones.
    #[test]
    fn fields_are_read_alike_however_their_varints_are_encoded() {
        let encoded = |longer: bool| {
            let mut out = Vec::new();
            let mut put = |number: u8, behind: &[u8]| {
                // The same number, with another byte that adds nothing to it.
                if longer {
                    out.extend([number | 0x80, 0])
                } else {
                    out.push(number)
                }
                out.extend_from_slice(behind);
            };
            for number in [1, 15] {
                put(number << 3, &[]);
                put(100 + number, &[]);
                put(number << 3 | 2, &[]);
                put(0, &[]);
                put(number << 3 | 2, &[]);
                put(7, b"seventh");
            }
            out
        };
        let (short, long) = (encoded(false), encoded(true));
        let read: Vec<_> = fields(&short).collect();
        let of = |number| {
            let texts =
                [b"".as_slice(), b"seventh"].map(|text| Ok((number, WireValue::Bytes(text))));
            [Ok((number, WireValue::Varint(100 + u64::from(number)))), texts[0], texts[1]]
        };
        assert_eq!(read, [of(1), of(15)].concat());
        assert_eq!(fields(&long).collect::<Vec<_>>(), read);
        for end in 1..short.len() {
            let cut = &short[..end];
            let taken = fields(cut).take_while(Result::is_ok).count();
            assert!(read.starts_with(&fields(cut).take(taken).collect::<Vec<_>>()), "at {end}");
        }
    }

    #[test]
    fn a_length_past_the_end_is_a_fault() {
        assert_eq!(fields(&[0x0a, 2, b'x']).next(), Some(Err(WireFault::Truncated)));
        assert_eq!(fields(&[0x0a, 0x82, 0, b'x']).next(), Some(Err(WireFault::Truncated)));
        assert_eq!(fields(&[0x02, 0]).next(), Some(Err(WireFault::FieldNumber(0))));
        assert_eq!(fields(&[0x0b, 0]).next(), Some(Err(WireFault::WireType(3))));
    }
}
