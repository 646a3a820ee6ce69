//! Values, borrowed from the record wherever they can be.

use std::borrow::Cow;

use super::body::{Body, Merge, Meter};
use super::lists::{List, Map};
use super::time;
use crate::wire::{self, DURATION, Field, Kind, LIST_VALUE, MessageId, STRUCT, TIMESTAMP, VALUE};

/// The value of an expression on a record.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    /// Nanoseconds since 1970.
    Timestamp(i128),
    /// Nanoseconds.
    Duration(i128),
    Message(Body<'a>),
    List(List<'a>),
    Map(Map<'a>),
}

impl<'a> Value<'a> {
    /// A copy, whose memory is counted.
    pub(super) fn copied(&self, meter: &Meter) -> Self {
        match self {
            Value::String(Cow::Owned(text)) => meter.spend_on_memory(text.len()),
            Value::Bytes(Cow::Owned(bytes)) => meter.spend_on_memory(bytes.len()),
            _ => {}
        }
        self.clone()
    }

    /// The same value, without a copy of what it holds.
    pub(super) fn borrowed(&'a self) -> Value<'a> {
        match self {
            Value::String(text) => Value::String(Cow::Borrowed(text)),
            Value::Bytes(bytes) => Value::Bytes(Cow::Borrowed(bytes)),
            other => other.clone(),
        }
    }

    /// What a message holds in a field; the default where it is not set.
    pub(super) fn read(body: &Body<'a>, field: &'static Field, meter: &Meter) -> Self {
        match field.kind {
            Kind::Message(entry) if field.repeated && entry.get().map_entry => {
                Value::Map(Map::new(body.clone(), field))
            }
            _ if field.repeated => Value::List(List::Field(body.clone(), field)),
            Kind::Message(message) => {
                let inner = body.message(field.number, meter).unwrap_or(Body::EMPTY);
                Value::of_message(message, inner, meter)
            }
            kind => {
                let found = body.value(field.number, meter);
                found.map_or_else(
                    || Value::default_of(kind, meter),
                    |value| Value::of_scalar(kind, value, meter),
                )
            }
        }
    }

    pub(super) fn of_message(message: MessageId, body: Body<'a>, meter: &Meter) -> Self {
        /// Field numbers of `Timestamp` and `Duration`.
        const SECONDS: u32 = 1;
        const NANOS: u32 = 2;
        let nanos = || {
            let number = |number| body.value(number, meter).and_then(wire::Value::varint);
            let seconds = number(SECONDS).unwrap_or_default() as i64;
            let nanos = number(NANOS).unwrap_or_default() as i32;
            i128::from(seconds) * time::NANOS_PER_SECOND + i128::from(nanos)
        };
        match message {
            TIMESTAMP => Value::Timestamp(nanos()),
            DURATION => Value::Duration(nanos()),
            VALUE => Value::of_json(&body, meter),
            // Both have one field: a map, and a list.
            STRUCT | LIST_VALUE => {
                let only = message.get().fields.first();
                only.map_or(Value::Null, |field| Value::read(&body, field, meter))
            }
            _ => Value::Message(body),
        }
    }

    /// What a `google.protobuf.Value` holds: the last of its kinds counts, and
    /// parts of one struct or list are merged.
    fn of_json(body: &Body<'a>, meter: &Meter) -> Self {
        let mut found: Option<(&'static Field, wire::Value<'a>, Merge<'a>)> = None;
        for (number, value) in body.fields(meter) {
            let Some(field) = VALUE.get().field(number) else { continue };
            let part = value.bytes().unwrap_or_default();
            match &mut found {
                Some((before, last, merge)) if before.number == number => {
                    *last = value;
                    if matches!(field.kind, Kind::Message(_)) {
                        merge.add(part, meter);
                    }
                }
                _ => found = Some((field, value, Merge::new(part))),
            }
        }
        match found {
            None => Value::Null,
            Some((field, value, merge)) => match field.kind {
                Kind::Enum(_) => Value::Null,
                Kind::Message(message) => Value::of_message(message, merge.finish(), meter),
                kind => Value::of_scalar(kind, value, meter),
            },
        }
    }

    fn default_of(kind: Kind, meter: &Meter) -> Self {
        let zero = match kind {
            Kind::String | Kind::Bytes => wire::Value::Bytes(&[]),
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => wire::Value::Fixed64(0),
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => wire::Value::Fixed32(0),
            _ => wire::Value::Varint(0),
        };
        Value::of_scalar(kind, zero, meter)
    }

    pub(super) fn of_scalar(kind: Kind, value: wire::Value<'a>, meter: &Meter) -> Self {
        let bits = match value {
            wire::Value::Varint(bits) | wire::Value::Fixed64(bits) => bits,
            wire::Value::Fixed32(bits) => u64::from(bits),
            wire::Value::Bytes(_) => 0,
        };
        match kind {
            Kind::Double => Value::Double(f64::from_bits(bits)),
            Kind::Float => Value::Double(f64::from(f32::from_bits(bits as u32))),
            // Of 32-bit numbers the lower half counts.
            Kind::Int32 | Kind::Sfixed32 | Kind::Enum(_) => Value::Int(i64::from(bits as i32)),
            Kind::Int64 | Kind::Sfixed64 => Value::Int(bits as i64),
            Kind::Uint32 | Kind::Fixed32 => Value::Uint(u64::from(bits as u32)),
            Kind::Uint64 | Kind::Fixed64 => Value::Uint(bits),
            Kind::Sint32 => Value::Int(zigzag(u64::from(bits as u32))),
            Kind::Sint64 => Value::Int(zigzag(bits)),
            Kind::Bool => Value::Bool(bits != 0),
            Kind::String => Value::String(Cow::Borrowed(meter.text(value))),
            Kind::Bytes => Value::Bytes(Cow::Borrowed(value.bytes().unwrap_or_default())),
            Kind::Message(_) => Value::Message(Body::Whole(value.bytes().unwrap_or_default())),
        }
    }
}

/// Whether a field of a message is set, as CEL's `has` means it.
pub(super) fn is_set(body: &Body<'_>, field: &'static Field, meter: &Meter) -> bool {
    if field.repeated || field.presence {
        return body.values(field.number, meter).next().is_some();
    }
    match body.value(field.number, meter) {
        None => false,
        Some(wire::Value::Bytes(bytes)) => !bytes.is_empty(),
        Some(wire::Value::Varint(bits) | wire::Value::Fixed64(bits)) => bits != 0,
        Some(wire::Value::Fixed32(bits)) => bits != 0,
    }
}

/// Signed numbers, the small ones small: protobuf's encoding of `sint`.
fn zigzag(bits: u64) -> i64 {
    (bits >> 1) as i64 ^ -((bits & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(kind: Kind, value: wire::Value<'_>) -> i64 {
        match Value::of_scalar(kind, value, &Meter::new(1)) {
            Value::Int(number) => number,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn signed_numbers_keep_their_sign_in_every_encoding() {
        assert_eq!(int(Kind::Int32, wire::Value::Varint(-5_i64 as u64)), -5);
        assert_eq!(int(Kind::Int64, wire::Value::Varint(i64::MIN as u64)), i64::MIN);
        assert_eq!(int(Kind::Sint32, wire::Value::Varint(9)), -5);
        assert_eq!(int(Kind::Sint64, wire::Value::Varint(u64::MAX)), i64::MIN);
        assert_eq!(int(Kind::Sfixed32, wire::Value::Fixed32(-5_i32 as u32)), -5);
        assert_eq!(int(Kind::Sfixed64, wire::Value::Fixed64(-5_i64 as u64)), -5);
    }
}
