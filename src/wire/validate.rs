//! Checks an encoded message against its shape: what passes decodes in every
//! language, and prints as JSON.

use super::{
    DURATION, Field, Kind, Message, MessageId, TIMESTAMP, VALUE, Value, fields, is_utf8,
    read_varint,
};

/// How deep messages may be nested. Decoders of other languages stop at 100;
/// records and responses add two levels around an event.
pub const DEPTH_MAX: usize = 64;

/// First and last second of the years 1 to 9999, the range of
/// `google.protobuf.Timestamp`.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// Largest magnitude of `google.protobuf.Duration`, in seconds.
const DURATION_SECONDS_MAX: i64 = 315_576_000_000;
/// Nanoseconds a second.
const NANOS: i64 = 1_000_000_000;

/// What is wrong with an encoded message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
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

/// A fault and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub fault: Fault,
    /// The field to blame, from the message down: `user.traits.value`. Empty
    /// where it is the message itself.
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

/// Checks the encoding of a message: complete, of the right types, strings in
/// UTF-8, nested at most [`DEPTH_MAX`] deep; times, durations and JSON values
/// in their ranges. Unknown fields are let through.
pub fn validate(message: MessageId, bytes: &[u8]) -> Result<(), Error> {
    walk(message, bytes, Place { depth: 1, within: 0 }, &mut ignore).map_err(|error| *error)
}

/// As [`validate`], and hands each field of the message, and of the messages right
/// inside it, to `note` as soon as it was checked, unknown ones included: the number
/// of the field within which it lies, 0 for the message itself, its own number and
/// its value.
pub fn validate_noting<'a>(
    message: MessageId,
    bytes: &'a [u8],
    mut note: impl FnMut(u32, u32, Value<'a>),
) -> Result<(), Error> {
    walk(message, bytes, Place { depth: 1, within: 0 }, &mut note).map_err(|error| *error)
}

/// Where a message lies.
#[derive(Clone, Copy)]
struct Place {
    /// 1 for the outermost one.
    depth: usize,
    /// The number of the field that holds it.
    within: u32,
}

/// How deep the messages may lie whose fields are noted.
const NOTED_DEPTH_MAX: usize = 2;

/// Takes no note.
fn ignore(_: u32, _: u32, _: Value<'_>) {}

/// What each level returns is small: the error is in a box.
type Checked = Result<(), Box<Error>>;

#[cold]
fn fault(fault: Fault) -> Box<Error> {
    Box::new(Error { fault, path: String::new() })
}

fn walk<'a>(
    message: MessageId,
    bytes: &'a [u8],
    place: Place,
    note: &mut impl FnMut(u32, u32, Value<'a>),
) -> Checked {
    if place.depth > DEPTH_MAX {
        return Err(fault(Fault::TooDeep));
    }
    let shape = message.get();
    for read in fields(bytes) {
        let (number, value) = read.map_err(fault)?;
        if let Some(field) = shape.field(number) {
            check(field, value, place.depth, note).map_err(|error| error.inside(field))?;
        }
        note(place.within, number, value);
    }
    match message {
        TIMESTAMP => check_timestamp(bytes).map_err(fault),
        DURATION => check_duration(bytes).map_err(fault),
        VALUE => check_value(bytes).map_err(fault),
        _ if shape.map_entry => check_entry(shape, bytes),
        _ => Ok(()),
    }
}

/// Part of the walk's loop: as a call of its own it costs as much again.
#[inline(always)]
fn check<'a>(
    field: &Field,
    value: Value<'a>,
    depth: usize,
    note: &mut impl FnMut(u32, u32, Value<'a>),
) -> Checked {
    let Value::Bytes(bytes) = value else {
        let fits = is_wire_type_of(field.kind, value);
        return if fits { Ok(()) } else { Err(fault(Fault::WrongType)) };
    };
    match field.kind {
        Kind::String if is_utf8(bytes) => Ok(()),
        Kind::String => Err(fault(Fault::NotUtf8)),
        Kind::Message(inner) => {
            let place = Place { depth: depth + 1, within: field.number };
            match place.depth <= NOTED_DEPTH_MAX {
                true => walk(inner, bytes, place, note),
                false => walk(inner, bytes, place, &mut ignore),
            }
        }
        Kind::Bytes => Ok(()),
        kind if field.repeated => check_packed(kind, bytes).map_err(fault),
        _ => Err(fault(Fault::WrongType)),
    }
}

fn is_wire_type_of(kind: Kind, value: Value<'_>) -> bool {
    match kind {
        Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Bool
        | Kind::Enum(_) => matches!(value, Value::Varint(_)),
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => matches!(value, Value::Fixed64(_)),
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => matches!(value, Value::Fixed32(_)),
        Kind::String | Kind::Bytes | Kind::Message(_) => false,
    }
}

fn check_packed(kind: Kind, mut packed: &[u8]) -> Result<(), Fault> {
    match kind {
        Kind::String | Kind::Bytes | Kind::Message(_) => Err(Fault::WrongType),
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 if packed.len().is_multiple_of(8) => Ok(()),
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 if packed.len().is_multiple_of(4) => Ok(()),
        Kind::Double
        | Kind::Fixed64
        | Kind::Sfixed64
        | Kind::Float
        | Kind::Fixed32
        | Kind::Sfixed32 => Err(Fault::Truncated),
        Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Bool
        | Kind::Enum(_) => {
            while !packed.is_empty() {
                read_varint(&mut packed)?;
            }
            Ok(())
        }
    }
}

/// Seconds and nanos of an encoded timestamp or duration: fields 1 and 2. The
/// last of several values counts.
pub fn seconds_and_nanos(bytes: &[u8]) -> (i64, i64) {
    let mut found = (0, 0);
    for (number, value) in fields(bytes).map_while(Result::ok) {
        match (number, value) {
            (1, Value::Varint(seconds)) => found.0 = seconds as i64,
            // An int32 is its lower half, sign and all.
            (2, Value::Varint(nanos)) => found.1 = i64::from(nanos as i32),
            _ => {}
        }
    }
    found
}

fn check_timestamp(bytes: &[u8]) -> Result<(), Fault> {
    let (seconds, nanos) = seconds_and_nanos(bytes);
    if TIMESTAMP_SECONDS.contains(&seconds) && (0..NANOS).contains(&nanos) {
        Ok(())
    } else {
        Err(Fault::Timestamp)
    }
}

fn check_duration(bytes: &[u8]) -> Result<(), Fault> {
    let (seconds, nanos) = seconds_and_nanos(bytes);
    let in_range = seconds.unsigned_abs() <= DURATION_SECONDS_MAX as u64 && nanos.abs() < NANOS;
    let same_sign = seconds == 0 || nanos == 0 || (seconds > 0) == (nanos > 0);
    if in_range && same_sign { Ok(()) } else { Err(Fault::Duration) }
}

fn check_value(bytes: &[u8]) -> Result<(), Fault> {
    /// `number_value` of `google.protobuf.Value`.
    const NUMBER_VALUE: u32 = 2;
    let mut has_kind = false;
    for (number, value) in fields(bytes).map_while(Result::ok) {
        has_kind |= VALUE.get().field(number).is_some();
        if let (NUMBER_VALUE, Value::Fixed64(bits)) = (number, value)
            && !f64::from_bits(bits).is_finite()
        {
            return Err(Fault::NotFinite);
        }
    }
    if has_kind { Ok(()) } else { Err(Fault::NoKind) }
}

/// An entry of a map may leave its value out; a JSON value that is left out has
/// no kind.
fn check_entry(entry: &Message, bytes: &[u8]) -> Checked {
    /// `value` of every entry of a map.
    const MAP_VALUE: u32 = 2;
    let Some(value) = entry.field(MAP_VALUE).filter(|value| value.kind == Kind::Message(VALUE))
    else {
        return Ok(());
    };
    let has_value = fields(bytes).map_while(Result::ok).any(|(number, _)| number == MAP_VALUE);
    if has_value { Ok(()) } else { Err(fault(Fault::NoKind).inside(value)) }
}
