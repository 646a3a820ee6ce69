//! Values of expressions, borrowed from the record if possible.

use std::borrow::Cow;
use std::sync::Arc;

use super::body::{Body, Merge, StepBudget};
use super::time;
use crate::wire::{
    self, DURATION, Field, FieldKind, LIST_VALUE, MessageId, STRUCT, TIMESTAMP, VALUE,
};

/// The value of an expression on a record.
#[derive(Debug, Clone)]
pub(super) enum ExprValue<'a> {
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

/// A list.
#[derive(Debug, Clone)]
pub(super) enum List<'a> {
    /// A repeated field of a message.
    Field(Body<'a>, &'static Field),
    /// A list that the expression built.
    Values(Arc<[ExprValue<'a>]>),
}

/// A map: a field of a message.
#[derive(Debug, Clone)]
pub(super) struct Map<'a> {
    pub(super) body: Body<'a>,
    pub(super) field: &'static Field,
}

impl<'a> ExprValue<'a> {
    /// A copy, whose memory is counted. It is of no use, and empty, once the budget is used up.
    pub(super) fn copied(&self, meter: &StepBudget) -> Self {
        match self {
            ExprValue::String(Cow::Owned(text)) => meter.spend_on_memory(text.len()),
            ExprValue::Bytes(Cow::Owned(bytes)) => meter.spend_on_memory(bytes.len()),
            _ => {}
        }
        if meter.check().is_ok() { self.clone() } else { ExprValue::Null }
    }

    /// The same value, borrowed.
    pub(super) fn borrowed(&'a self) -> ExprValue<'a> {
        match self {
            ExprValue::String(text) => ExprValue::String(Cow::Borrowed(text)),
            ExprValue::Bytes(bytes) => ExprValue::Bytes(Cow::Borrowed(bytes)),
            other => other.clone(),
        }
    }

    /// The value of a field of a message; the default if it is not set.
    pub(super) fn read(body: &Body<'a>, field: &'static Field, meter: &StepBudget) -> Self {
        match field.kind {
            FieldKind::Message(entry) if field.repeated && entry.get().map_entry => {
                ExprValue::Map(Map::new(body.clone(), field))
            }
            _ if field.repeated => ExprValue::List(List::Field(body.clone(), field)),
            FieldKind::Message(message) => {
                let inner = body.message(field.number, meter).unwrap_or(Body::EMPTY);
                ExprValue::of_message(message, inner, meter)
            }
            kind => {
                let found = body.value(field.number, meter);
                found.map_or_else(
                    || ExprValue::default_of(kind, meter),
                    |value| ExprValue::of_scalar(kind, value, meter),
                )
            }
        }
    }

    pub(super) fn of_message(message: MessageId, body: Body<'a>, meter: &StepBudget) -> Self {
        /// Field numbers of `Timestamp` and `Duration`.
        const SECONDS: u32 = 1;
        const NANOS: u32 = 2;
        let nanos = || {
            let number = |number| body.value(number, meter).and_then(wire::WireValue::varint);
            let seconds = number(SECONDS).unwrap_or_default() as i64;
            let nanos = number(NANOS).unwrap_or_default() as i32;
            i128::from(seconds) * time::NANOS_PER_SECOND + i128::from(nanos)
        };
        match message {
            TIMESTAMP => ExprValue::Timestamp(nanos()),
            DURATION => ExprValue::Duration(nanos()),
            VALUE => ExprValue::of_json(&body, meter),
            // Both have one field: a map, and a list.
            STRUCT | LIST_VALUE => {
                let only = message.get().fields.first();
                only.map_or(ExprValue::Null, |field| ExprValue::read(&body, field, meter))
            }
            _ => ExprValue::Message(body),
        }
    }

    /// The value in a `google.protobuf.Value`: the last of its kinds counts, and parts of one
    /// struct or list are merged.
    fn of_json(body: &Body<'a>, meter: &StepBudget) -> Self {
        let mut found: Option<(&'static Field, wire::WireValue<'a>, Merge<'a>)> = None;
        for (number, value) in body.fields(meter) {
            let Some(field) = VALUE.get().field(number) else { continue };
            let part = value.bytes().unwrap_or_default();
            match &mut found {
                Some((before, last, merge)) if before.number == number => {
                    *last = value;
                    if matches!(field.kind, FieldKind::Message(_)) {
                        merge.add(part, meter);
                    }
                }
                _ => found = Some((field, value, Merge::new(part))),
            }
        }
        match found {
            None => ExprValue::Null,
            Some((field, value, merge)) => match field.kind {
                FieldKind::Enum(_) => ExprValue::Null,
                FieldKind::Message(message) => {
                    ExprValue::of_message(message, merge.finish(), meter)
                }
                kind => ExprValue::of_scalar(kind, value, meter),
            },
        }
    }

    fn default_of(kind: FieldKind, meter: &StepBudget) -> Self {
        let zero = match kind {
            FieldKind::String | FieldKind::Bytes => wire::WireValue::Bytes(&[]),
            FieldKind::Double | FieldKind::Fixed64 | FieldKind::Sfixed64 => {
                wire::WireValue::Fixed64(0)
            }
            FieldKind::Float | FieldKind::Fixed32 | FieldKind::Sfixed32 => {
                wire::WireValue::Fixed32(0)
            }
            _ => wire::WireValue::Varint(0),
        };
        ExprValue::of_scalar(kind, zero, meter)
    }

    pub(super) fn of_scalar(
        kind: FieldKind,
        value: wire::WireValue<'a>,
        meter: &StepBudget,
    ) -> Self {
        let bits = match value {
            wire::WireValue::Varint(bits) | wire::WireValue::Fixed64(bits) => bits,
            wire::WireValue::Fixed32(bits) => u64::from(bits),
            wire::WireValue::Bytes(_) => 0,
        };
        match kind {
            FieldKind::Double => ExprValue::Double(f64::from_bits(bits)),
            FieldKind::Float => ExprValue::Double(f64::from(f32::from_bits(bits as u32))),
            // Only the lower half of 32-bit numbers counts.
            FieldKind::Int32 | FieldKind::Sfixed32 | FieldKind::Enum(_) => {
                ExprValue::Int(i64::from(bits as i32))
            }
            FieldKind::Int64 | FieldKind::Sfixed64 => ExprValue::Int(bits as i64),
            FieldKind::Uint32 | FieldKind::Fixed32 => ExprValue::Uint(u64::from(bits as u32)),
            FieldKind::Uint64 | FieldKind::Fixed64 => ExprValue::Uint(bits),
            FieldKind::Sint32 => ExprValue::Int(zigzag(u64::from(bits as u32))),
            FieldKind::Sint64 => ExprValue::Int(zigzag(bits)),
            FieldKind::Bool => ExprValue::Bool(bits != 0),
            FieldKind::String => ExprValue::String(Cow::Borrowed(meter.text(value))),
            FieldKind::Bytes => ExprValue::Bytes(Cow::Borrowed(value.bytes().unwrap_or_default())),
            FieldKind::Message(_) => {
                ExprValue::Message(Body::Whole(value.bytes().unwrap_or_default()))
            }
        }
    }
}

/// Whether a field of a message is set, in the sense of CEL's `has`.
pub(super) fn is_set(body: &Body<'_>, field: &'static Field, meter: &StepBudget) -> bool {
    if field.repeated || field.presence {
        return body.values(field.number, meter).next().is_some();
    }
    match body.value(field.number, meter) {
        None => false,
        Some(wire::WireValue::Bytes(bytes)) => !bytes.is_empty(),
        Some(wire::WireValue::Varint(bits) | wire::WireValue::Fixed64(bits)) => bits != 0,
        Some(wire::WireValue::Fixed32(bits)) => bits != 0,
    }
}

/// Decodes protobuf's `sint`.
fn zigzag(bits: u64) -> i64 {
    (bits >> 1) as i64 ^ -((bits & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(kind: FieldKind, value: wire::WireValue<'_>) -> i64 {
        match ExprValue::of_scalar(kind, value, &StepBudget::new(1)) {
            ExprValue::Int(number) => number,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_text_is_not_copied_beyond_the_budget() {
        let text = ExprValue::String(Cow::Owned("x".repeat(1_000_000)));
        let copied = |steps| text.copied(&StepBudget::new(steps));
        assert!(matches!(copied(100_000), ExprValue::String(copy) if copy.len() == 1_000_000));
        assert!(matches!(copied(1_000), ExprValue::Null));
    }

    #[test]
    fn signed_numbers_keep_their_sign_in_every_encoding() {
        assert_eq!(int(FieldKind::Int32, wire::WireValue::Varint(-5_i64 as u64)), -5);
        assert_eq!(int(FieldKind::Int64, wire::WireValue::Varint(i64::MIN as u64)), i64::MIN);
        assert_eq!(int(FieldKind::Sint32, wire::WireValue::Varint(9)), -5);
        assert_eq!(int(FieldKind::Sint64, wire::WireValue::Varint(u64::MAX)), i64::MIN);
        assert_eq!(int(FieldKind::Sfixed32, wire::WireValue::Fixed32(-5_i32 as u32)), -5);
        assert_eq!(int(FieldKind::Sfixed64, wire::WireValue::Fixed64(-5_i64 as u64)), -5);
    }
}
