//! The protobuf wire format, read in place.
//!
//! Events are kept as the bytes that arrived. Everything that looks into them
//! (validation, filters, search) walks those bytes by the tables that the build
//! generates from the descriptors, without decoding them into messages.
//!
//! Format: <https://protobuf.dev/programming-guides/encoding/>.

mod tables;
mod validate;

pub use tables::{
    DURATION, ENUMS, EVENT, Enum, EnumId, Field, Kind, LIST_VALUE, MESSAGES, Message, MessageId,
    RECORD, STRUCT, TIMESTAMP, VALUE,
};
pub use validate::{DEPTH_MAX, Error, Fault, seconds_and_nanos, validate, validate_noting};

/// Longest encoding of a 64-bit varint, in bytes.
pub const VARINT_BYTES_MAX: usize = 10;
/// Largest field number that protobuf allows.
const FIELD_NUMBER_MAX: u64 = (1 << 29) - 1;

/// The value of a field as its wire type has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1, little-endian.
    Fixed64(u64),
    /// Wire type 2: a string, bytes, a message, or packed scalars.
    Bytes(&'a [u8]),
    /// Wire type 5, little-endian.
    Fixed32(u32),
}

impl<'a> Value<'a> {
    /// The bytes of a length-delimited value.
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            Value::Varint(_) | Value::Fixed64(_) | Value::Fixed32(_) => None,
        }
    }

    /// The text of a length-delimited value, if it is UTF-8.
    pub fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// The number of a varint value.
    pub fn varint(self) -> Option<u64> {
        match self {
            Value::Varint(number) => Some(number),
            Value::Fixed64(_) | Value::Fixed32(_) | Value::Bytes(_) => None,
        }
    }
}

/// Iterates over the fields of one encoded message, in the order in which they
/// stand there. Ends after the first fault.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// The fields of `message`, each with its number.
pub fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

/// The fields of a message that was validated before: a fault ends the walk.
pub fn trusted(message: &[u8]) -> impl Iterator<Item = (u32, Value<'_>)> + Clone {
    fields(message).map_while(Result::ok)
}

impl<'a> Fields<'a> {
    /// The bytes that were not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline(always)]
    fn read(&mut self) -> Result<(u32, Value<'a>), Fault> {
        let key = read_varint(&mut self.rest)?;
        let number = key >> 3;
        if number == 0 || number > FIELD_NUMBER_MAX {
            return Err(Fault::FieldNumber(number));
        }
        let value = match key & 7 {
            0 => Value::Varint(read_varint(&mut self.rest)?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = read_varint(&mut self.rest)?;
                let length = usize::try_from(length).map_err(|_| Fault::Truncated)?;
                let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Fault::Truncated)?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            wire_type => return Err(Fault::WireType(wire_type)),
        };
        Ok((number as u32, value))
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Fault>;

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

/// Reads a varint off the front of `rest`. Keys and lengths mostly have one byte,
/// and hardly ever more than two.
#[inline(always)]
pub fn read_varint(rest: &mut &[u8]) -> Result<u64, Fault> {
    match **rest {
        [byte, ref after @ ..] if byte < 0x80 => {
            *rest = after;
            Ok(u64::from(byte))
        }
        [low, high, ref after @ ..] if high < 0x80 => {
            *rest = after;
            Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
        }
        _ => read_long_varint(rest),
    }
}

fn read_long_varint(rest: &mut &[u8]) -> Result<u64, Fault> {
    let mut number = 0_u64;
    for position in 0..VARINT_BYTES_MAX {
        let (&byte, after) = rest.split_first().ok_or(Fault::Truncated)?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << (7 * position);
        if byte < 0x80 {
            // The tenth byte has room for one bit.
            if position == VARINT_BYTES_MAX - 1 && byte > 1 {
                return Err(Fault::VarintTooLong);
            }
            return Ok(number);
        }
    }
    Err(Fault::VarintTooLong)
}

/// Whether bytes are UTF-8. Most texts are short and all ASCII, which eight bytes
/// at a time settle; the last eight may overlap those before them.
#[inline]
pub fn is_utf8(text: &[u8]) -> bool {
    const NOT_ASCII: u64 = 0x8080_8080_8080_8080;
    let (words, _) = text.as_chunks::<8>();
    let is_ascii = match text.last_chunk::<8>() {
        Some(last) => {
            let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
            words.iter().fold(word(last), |seen, bytes| seen | word(bytes)) & NOT_ASCII == 0
        }
        None => text.iter().fold(0, |seen, byte| seen | byte) < 0x80,
    };
    is_ascii || std::str::from_utf8(text).is_ok()
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number as u8 & 0x7f) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Length of the encoding of a varint, in bytes.
#[inline]
pub fn varint_len(number: u64) -> usize {
    // Seven bits a byte: the number of significant bits, divided and rounded up.
    (((number | 1).ilog2() as usize * 9) + 73) / 64
}

/// Appends a field with a varint value.
pub fn put_varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

/// Appends a length-delimited field.
pub fn put_bytes_field(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    put_bytes_header(out, number, value.len());
    out.extend_from_slice(value);
}

/// Appends key and length of a length-delimited field, whose bytes must follow.
pub fn put_bytes_header(out: &mut Vec<u8>, number: u32, length: usize) {
    put_varint(out, (u64::from(number) << 3) | 2);
    put_varint(out, length as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_read_as_they_are_written() {
        for shift in 0..64 {
            for number in [1_u64 << shift, (1_u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, number);
                assert_eq!(out.len(), varint_len(number), "{number}");
                let mut rest = out.as_slice();
                assert_eq!(read_varint(&mut rest), Ok(number));
                assert!(rest.is_empty());
            }
        }
    }

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
    fn a_varint_of_more_than_64_bits_is_refused() {
        let mut eleven: &[u8] = &[0xff; 11];
        assert_eq!(read_varint(&mut eleven), Err(Fault::VarintTooLong));
        let mut seventy_bits: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(read_varint(&mut seventy_bits), Err(Fault::VarintTooLong));
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
            [Ok((1, Value::Bytes(b"alice"))), Ok((2, Value::Varint(300))), Err(Fault::Truncated)]
        );
    }
}
