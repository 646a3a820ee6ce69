//! Validates an encoded message against its descriptor: a valid message decodes in every language,
//! and has a JSON form.

use std::cell::Cell;

use super::{
    Field, Message, MessageId, MessageRule, PARTS_MAX, TIMESTAMP, VALUE, WalkStep, WireForm,
    WireValue, fields, is_utf8, parts, read_varint, varint::long_varint,
};

/// How deep messages may be nested. Decoders of other languages stop at 100;
/// records and responses add two levels around an event.
pub const DEPTH_MAX: usize = 64;

/// First and last second of the years 1 to 9999, the range of
/// `google.protobuf.Timestamp`.
pub const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// Largest magnitude of `google.protobuf.Duration`, in seconds.
pub const DURATION_SECONDS_MAX: u64 = 315_576_000_000;
/// Nanoseconds a second.
const NANOS: i64 = 1_000_000_000;

/// A fault of an encoded message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireFault {
    /// The bytes end inside a field.
    #[error("ends in the middle of a field")]
    Truncated,
    /// A varint goes on for more than 64 bits.
    #[error("has a varint of more than 64 bits")]
    VarintTooLong,
    /// The number is not a field number.
    #[error("has the field number {0}, which protobuf does not allow")]
    FieldNumber(u64),
    /// The wire type is not one of 0, 1, 2 and 5.
    #[error("has the wire type {0}, which is not supported")]
    WireType(u64),
    /// The field is encoded as a value of another type.
    #[error("is encoded as another type than the field has")]
    WrongType,
    /// A string is not UTF-8.
    #[error("is not valid UTF-8")]
    NotUtf8,
    /// Messages are nested too deep.
    #[error("is nested more than {DEPTH_MAX} messages deep")]
    TooDeep,
    /// A message that is not repeated is sent in too many parts.
    #[error("is sent in more than {PARTS_MAX} parts: encode it once")]
    TooManyParts,
    /// A timestamp lies outside the years 1 to 9999.
    #[error(
        "is not a valid timestamp: seconds must lie within the years 1 to 9999, nanos within 0 to 999999999"
    )]
    Timestamp,
    /// A duration is out of its range.
    #[error(
        "is not a valid duration: at most 315576000000 seconds, nanos within 999999999 and of the same sign as seconds"
    )]
    Duration,
    /// A JSON number is infinite or not a number.
    #[error("is not a finite number, so it has no JSON form")]
    NotFinite,
    /// A JSON value has no kind.
    #[error("is a google.protobuf.Value without a kind, so it has no JSON form")]
    NoKind,
}

/// A fault and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The fault.
    pub fault: WireFault,
    /// The path of the field to blame, such as `user.traits.value`. Empty for the message itself.
    pub path: String,
}

impl Error {
    #[cold]
    fn inside(mut self: Box<Self>, field: &Field) -> Box<Self> {
        if self.path.is_empty() {
            self.path.push_str(field.name);
        } else {
            self.path = format!("{}.{}", field.name, self.path);
        }
        self
    }
}

/// Validates the encoding of a message: complete, right types, UTF-8 strings, at most
/// [`DEPTH_MAX`] levels, no singular message in more than [`PARTS_MAX`] parts, times, durations
/// and JSON values in their ranges. Unknown fields are accepted.
pub fn validate(message: MessageId, bytes: &[u8]) -> Result<(), Error> {
    validate_noting(message, bytes, FieldNumbers::NONE, ignore)
}

/// Like [`validate`], and calls `note` for each checked field of the message and of the messages in
/// its fields `noted`, including unknown fields. Its arguments are the number of the containing
/// field (0 for the message itself), the number of the field and its value.
pub fn validate_noting<'a>(
    message: MessageId,
    bytes: &'a [u8],
    noted: FieldNumbers,
    mut note: impl FnMut(u32, u32, WireValue<'a>),
) -> Result<(), Error> {
    let in_parts = Cell::new(false);
    let place = Nesting { depth: 1, within: 0, noted, in_parts: &in_parts };
    walk(message, bytes, place, &mut note)
        // Few encoders send a message in parts, so parts are counted only here.
        .and_then(|()| if in_parts.get() { parts::check(message, bytes) } else { Ok(()) })
        .map_err(|error| *error)
}

/// Some field numbers, all of them below 64.
#[derive(Debug, Clone, Copy)]
pub struct FieldNumbers(u64);

impl FieldNumbers {
    /// No number.
    pub const NONE: Self = Self(0);

    /// Adds a number.
    pub const fn and(self, number: u32) -> Self {
        Self(self.0 | 1 << number)
    }

    #[inline(always)]
    fn contain(self, number: u32) -> bool {
        self.0.checked_shr(number).is_some_and(|bits| bits & 1 == 1)
    }
}

/// The position of a message.
#[derive(Clone, Copy)]
struct Nesting<'p> {
    /// 1 for the outermost one.
    depth: usize,
    /// The number of the enclosing field.
    within: u32,
    /// Fields of this message whose own fields are noted.
    noted: FieldNumbers,
    /// Set if a singular message occurs twice.
    in_parts: &'p Cell<bool>,
}

/// The field numbers of singular messages that occurred in a message. Numbers from 63 share a bit.
#[derive(Clone, Copy)]
struct Seen(u64);

impl Seen {
    /// Adds a number. Returns whether it may have been added before.
    #[inline(always)]
    fn add(&mut self, number: u32) -> bool {
        let bit = 1 << number.min(63);
        let before = self.0;
        self.0 |= bit;
        before & bit != 0
    }
}

/// Ignores fields.
fn ignore(_: u32, _: u32, _: WireValue<'_>) {}

/// The error is boxed, so that each level returns a small value.
type ValidationResult = Result<(), Box<Error>>;

#[cold]
fn fault(fault: WireFault) -> Box<Error> {
    Box::new(Error { fault, path: String::new() })
}

fn walk<'a>(
    message: MessageId,
    bytes: &'a [u8],
    place: Nesting<'_>,
    note: &mut impl FnMut(u32, u32, WireValue<'a>),
) -> ValidationResult {
    if place.depth > DEPTH_MAX {
        return Err(fault(WireFault::TooDeep));
    }
    let shape = message.get();
    let mut seen = Seen(0);
    for read in fields(bytes) {
        let (number, value) = read.map_err(fault)?;
        let step = shape.step(number);
        if let WireValue::Bytes(value) = value {
            // Most frequent first: the processor predicts a jump table worse.
            if step.form == WireForm::Text {
                if !is_utf8(value) {
                    return Err(shape.blame(number, fault(WireFault::NotUtf8)));
                }
            } else if step.form == WireForm::Message {
                if !step.repeated && seen.add(number) {
                    place.in_parts.set(true);
                }
                let depth = place.depth + 1;
                let inner = Nesting { depth, within: number, noted: FieldNumbers::NONE, ..place };
                let checked = if place.noted.contain(number) {
                    walk(step.inner, value, inner, note)
                } else if step.inner == TIMESTAMP && is_plain_timestamp(value) {
                    Ok(())
                } else {
                    walk(step.inner, value, inner, &mut ignore)
                };
                checked.map_err(|error| shape.blame(number, error))?;
            } else {
                check_other(step, value).map_err(|found| shape.blame(number, fault(found)))?;
            }
        } else if !is_encoded_as(step.form, value) {
            return Err(shape.blame(number, fault(WireFault::WrongType)));
        }
        note(place.within, number, value);
    }
    if shape.rule == MessageRule::None { Ok(()) } else { check_rule(shape, bytes) }
}

#[inline(always)]
fn is_encoded_as(form: WireForm, value: WireValue<'_>) -> bool {
    let own = match value {
        WireValue::Varint(_) => WireForm::Varint,
        WireValue::Fixed64(_) => WireForm::Fixed64,
        WireValue::Fixed32(_) => WireForm::Fixed32,
        WireValue::Bytes(_) => WireForm::Bytes,
    };
    form == own || form == WireForm::Unknown
}

/// Checks a length-delimited value that is neither text nor a message.
fn check_other(step: WalkStep, value: &[u8]) -> Result<(), WireFault> {
    match step.form {
        WireForm::Bytes | WireForm::Unknown => Ok(()),
        form if step.repeated => check_packed(form, value),
        _ => Err(WireFault::WrongType),
    }
}

impl Message {
    /// The error, with this field added to its path.
    #[cold]
    pub(super) fn blame(&self, number: u32, error: Box<Error>) -> Box<Error> {
        match self.field(number) {
            Some(field) => error.inside(field),
            None => error,
        }
    }
}

fn check_packed(form: WireForm, mut packed: &[u8]) -> Result<(), WireFault> {
    let is_whole = match form {
        WireForm::Fixed64 => packed.len().is_multiple_of(8),
        WireForm::Fixed32 => packed.len().is_multiple_of(4),
        _ => {
            while !packed.is_empty() {
                read_varint(&mut packed)?;
            }
            true
        }
    };
    if is_whole { Ok(()) } else { Err(WireFault::Truncated) }
}

fn check_rule(shape: &Message, bytes: &[u8]) -> ValidationResult {
    match shape.rule {
        MessageRule::None => Ok(()),
        MessageRule::Timestamp => check_timestamp(bytes).map_err(fault),
        MessageRule::Duration => check_duration(bytes).map_err(fault),
        MessageRule::Value => check_value(bytes).map_err(fault),
        MessageRule::ValueEntry => check_entry(shape, bytes),
    }
}

/// Seconds and nanos of an encoded timestamp or duration: fields 1 and 2. The
/// last of several values counts.
pub fn seconds_and_nanos(bytes: &[u8]) -> (i64, i64) {
    if let Some(plain) = plain_seconds_and_nanos(bytes) {
        return plain;
    }
    let mut found = (0, 0);
    for (number, value) in fields(bytes).map_while(Result::ok) {
        match (number, value) {
            (1, WireValue::Varint(seconds)) => found.0 = seconds as i64,
            (2, WireValue::Varint(nanos)) => found.1 = nanos_of(nanos),
            _ => {}
        }
    }
    found
}

/// The same for the usual encoding of a timestamp: exactly the two fields in order. `None` for
/// other encodings.
fn plain_seconds_and_nanos(bytes: &[u8]) -> Option<(i64, i64)> {
    /// Key of `seconds`.
    const SECONDS: u8 = 1 << 3;
    /// Key of `nanos`, which is omitted if it is 0.
    const NANOS: u8 = 2 << 3;
    let (seconds, rest) = plain_varint(SECONDS, bytes)?;
    if rest.is_empty() {
        return Some((seconds as i64, 0));
    }
    let (nanos, rest) = plain_varint(NANOS, rest)?;
    rest.is_empty().then_some((seconds as i64, nanos_of(nanos)))
}

fn plain_varint(key: u8, bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (number, length) = long_varint(rest);
    if *first != key || length == 0 {
        return None;
    }
    Some((number, rest.get(length..)?))
}

/// An int32 is the lower half of the varint.
fn nanos_of(varint: u64) -> i64 {
    i64::from(varint as i32)
}

fn is_timestamp((seconds, nanos): (i64, i64)) -> bool {
    TIMESTAMP_SECONDS.contains(&seconds) && (0..NANOS).contains(&nanos)
}

/// Whether a timestamp has the usual encoding and is valid; `false` if it needs a walk.
fn is_plain_timestamp(bytes: &[u8]) -> bool {
    plain_seconds_and_nanos(bytes).is_some_and(is_timestamp)
}

fn check_timestamp(bytes: &[u8]) -> Result<(), WireFault> {
    if is_timestamp(seconds_and_nanos(bytes)) { Ok(()) } else { Err(WireFault::Timestamp) }
}

fn check_duration(bytes: &[u8]) -> Result<(), WireFault> {
    let (seconds, nanos) = seconds_and_nanos(bytes);
    let in_range = seconds.unsigned_abs() <= DURATION_SECONDS_MAX && nanos.abs() < NANOS;
    let same_sign = seconds == 0 || nanos == 0 || (seconds > 0) == (nanos > 0);
    if in_range && same_sign { Ok(()) } else { Err(WireFault::Duration) }
}

fn check_value(bytes: &[u8]) -> Result<(), WireFault> {
    /// `number_value` of `google.protobuf.Value`.
    const NUMBER_VALUE: u32 = 2;
    let mut has_kind = false;
    for (number, value) in fields(bytes).map_while(Result::ok) {
        has_kind |= VALUE.get().field(number).is_some();
        if let (NUMBER_VALUE, WireValue::Fixed64(bits)) = (number, value)
            && !f64::from_bits(bits).is_finite()
        {
            return Err(WireFault::NotFinite);
        }
    }
    if has_kind { Ok(()) } else { Err(WireFault::NoKind) }
}

/// A map entry may omit its value; an omitted JSON value has no kind.
fn check_entry(entry: &Message, bytes: &[u8]) -> ValidationResult {
    /// `value` of every entry of a map.
    const MAP_VALUE: u32 = 2;
    let has_value = fields(bytes).map_while(Result::ok).any(|(number, _)| number == MAP_VALUE);
    if has_value { Ok(()) } else { Err(entry.blame(MAP_VALUE, fault(WireFault::NoKind))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{EVENT, put_bytes_field, put_varint_field};

    /// What nearly all encoders write is read in another way than the rest.
    #[test]
    fn a_timestamp_is_the_same_however_it_is_encoded() {
        const TIME: u32 = 2;
        let encoded = |fields: &[(u32, u64)]| {
            let mut out = Vec::new();
            fields.iter().for_each(|(number, value)| put_varint_field(&mut out, *number, *value));
            out
        };
        let minus = |number: i64| number as u64;
        type Row<'a> = (&'a [(u32, u64)], (i64, i64));
        let rows: [Row<'_>; 8] = [
            (&[], (0, 0)),
            (&[(1, 1_700_000_000), (2, 123_456_789)], (1_700_000_000, 123_456_789)),
            (&[(2, 5), (1, 7)], (7, 5)),
            (&[(1, 7)], (7, 0)),
            (&[(2, 5)], (0, 5)),
            (&[(1, 1), (2, 5), (1, 7)], (7, 5)),
            (&[(1, 7), (2, 5), (99, 1)], (7, 5)),
            (&[(1, minus(-7)), (2, minus(-5))], (-7, -5)),
        ];
        for (fields, expected) in rows {
            let timestamp = encoded(fields);
            assert_eq!(seconds_and_nanos(&timestamp), expected, "{fields:?}");
            let mut event = Vec::new();
            put_bytes_field(&mut event, TIME, &timestamp);
            let fault = |error: Error| (error.path, error.fault);
            let refused = ("time".to_owned(), WireFault::Timestamp);
            let expected = if expected.1 < 0 { Err(refused) } else { Ok(()) };
            assert_eq!(validate(EVENT, &event).map_err(fault), expected, "{fields:?}");
        }
    }
}
