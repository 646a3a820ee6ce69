//! Reads lists and maps in place.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::ControlFlow;

use super::body::{Body, StepBudget};
use super::value::{ExprValue, List, Map};
use crate::wire::{self, Field, FieldKind};

/// Measured steps to read the key of a map entry that has to be walked.
const STEPS_PER_ENTRY: u64 = 3;
/// Field numbers of a map entry.
const KEY: u32 = 1;
const VALUE: u32 = 2;
/// Measured steps to remember a key.
const STEPS_PER_KEY: u64 = 4;

impl<'a> List<'a> {
    /// Visits the elements in order until `visit` breaks off.
    pub(super) fn visit<B>(
        &self,
        meter: &StepBudget,
        mut visit: impl FnMut(ExprValue<'a>) -> ControlFlow<B>,
    ) -> Option<B> {
        let flow = match self {
            List::Values(values) => values.iter().try_for_each(|value| {
                meter.spend_steps(1);
                if meter.check().is_err() {
                    return ControlFlow::Continue(());
                }
                visit(value.copied(meter))
            }),
            List::Field(body, field) => {
                body.values(field.number, meter).try_for_each(|value| match (field.kind, value) {
                    (FieldKind::Message(message), wire::WireValue::Bytes(bytes)) => {
                        visit(ExprValue::of_message(message, Body::Whole(bytes), meter))
                    }
                    (kind @ (FieldKind::String | FieldKind::Bytes), value) => {
                        visit(ExprValue::of_scalar(kind, value, meter))
                    }
                    (kind, wire::WireValue::Bytes(packed)) => unpack(kind, packed)
                        .take_while(|_| meter.check().is_ok())
                        .try_for_each(|value| {
                            meter.spend_steps(1);
                            visit(ExprValue::of_scalar(kind, value, meter))
                        }),
                    (kind, value) => visit(ExprValue::of_scalar(kind, value, meter)),
                })
            }
        };
        match flow {
            ControlFlow::Break(found) => Some(found),
            ControlFlow::Continue(()) => None,
        }
    }

    /// The number of elements.
    pub(super) fn len(&self, meter: &StepBudget) -> usize {
        let mut count = 0;
        self.visit(meter, |_| {
            count += 1;
            ControlFlow::<()>::Continue(())
        });
        count
    }

    /// The element at a position from 0.
    pub(super) fn get(&self, position: usize, meter: &StepBudget) -> Option<ExprValue<'a>> {
        let mut left = position;
        self.visit(meter, |value| {
            if left == 0 {
                return ControlFlow::Break(value);
            }
            left -= 1;
            ControlFlow::Continue(())
        })
    }

    /// The elements of both, this one's first.
    pub(super) fn concat(&self, other: &Self, meter: &StepBudget) -> Self {
        let mut values = Vec::new();
        for list in [self, other] {
            list.visit(meter, |value| {
                meter.spend_on_room(size_of_val(&value));
                values.push(value);
                if meter.check().is_ok() {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
        }
        List::Values(values.into())
    }
}

impl<'a> Map<'a> {
    pub(super) fn new(body: Body<'a>, field: &'static Field) -> Self {
        Self { body, field }
    }

    /// The value of a key: that of its last entry.
    pub(super) fn get(&self, key: &str, meter: &StepBudget) -> Option<ExprValue<'a>> {
        let FieldKind::Message(entry_shape) = self.field.kind else { return None };
        let field = entry_shape.get().field(VALUE)?;
        let entries = self.body.values(self.field.number, meter).filter_map(wire::WireValue::bytes);
        let entry = entries.filter(|entry| has_key(entry, key, meter)).last()?;
        Some(ExprValue::read(&Body::Whole(entry), field, meter))
    }

    /// Whether the map has a key.
    pub(super) fn contains(&self, key: &str, meter: &StepBudget) -> bool {
        let mut entries =
            self.body.values(self.field.number, meter).filter_map(wire::WireValue::bytes);
        entries.any(|entry| has_key(entry, key, meter))
    }

    /// The keys, each once.
    pub(super) fn keys(&self, meter: &StepBudget) -> List<'a> {
        let mut seen = HashSet::new();
        let entries = self.body.values(self.field.number, meter).filter_map(wire::WireValue::bytes);
        let keys = entries.map(|entry| meter.text(key_of(entry, meter))).filter(|key| {
            meter.spend_steps(STEPS_PER_KEY);
            meter.spend_on_room(size_of::<ExprValue<'_>>());
            meter.spend_on_each(key.len());
            seen.insert(*key)
        });
        List::Values(keys.map(|key| ExprValue::String(Cow::Borrowed(key))).collect())
    }
}

/// The key of an entry; empty if absent.
fn key_of<'a>(entry: &'a [u8], meter: &StepBudget) -> wire::WireValue<'a> {
    Body::Whole(entry).value(KEY, meter).unwrap_or(wire::WireValue::Bytes(&[]))
}

fn has_key(entry: &[u8], key: &str, meter: &StepBudget) -> bool {
    if let Some(found) = plain_key(entry) {
        meter.spend_steps(1);
        meter.spend_on_pass(key.len().min(found.len()));
        return found == key.as_bytes();
    }
    meter.spend_steps(STEPS_PER_ENTRY);
    let found = key_of(entry, meter).bytes().unwrap_or_default();
    meter.spend_on_pass(key.len().min(found.len()));
    found == key.as_bytes()
}

/// The key of an entry in the usual encoding: a short key, followed by the value only.
fn plain_key(entry: &[u8]) -> Option<&[u8]> {
    /// The longest length that takes one byte.
    const BYTES_MAX: u8 = 127;
    /// The tags of fields 1 and 2, length-delimited.
    const KEY_TAG: u8 = 0x0a;
    const VALUE_TAG: u8 = 0x12;
    let (&[tag, len], rest) = entry.split_first_chunk::<2>()?;
    if tag != KEY_TAG || len > BYTES_MAX {
        return None;
    }
    let (key, value) = rest.split_at_checked(usize::from(len))?;
    let is_alone = match *value {
        [] => true,
        [VALUE_TAG, len, ref text @ ..] => len <= BYTES_MAX && text.len() == usize::from(len),
        _ => false,
    };
    is_alone.then_some(key)
}

/// The numbers of a packed field.
fn unpack(kind: FieldKind, packed: &[u8]) -> impl Iterator<Item = wire::WireValue<'static>> {
    let mut rest = packed;
    std::iter::from_fn(move || match kind {
        FieldKind::Double | FieldKind::Fixed64 | FieldKind::Sfixed64 => {
            let (bits, after) = rest.split_first_chunk()?;
            rest = after;
            Some(wire::WireValue::Fixed64(u64::from_le_bytes(*bits)))
        }
        FieldKind::Float | FieldKind::Fixed32 | FieldKind::Sfixed32 => {
            let (bits, after) = rest.split_first_chunk()?;
            rest = after;
            Some(wire::WireValue::Fixed32(u32::from_le_bytes(*bits)))
        }
        _ => wire::read_varint(&mut rest).ok().map(wire::WireValue::Varint),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_numbers_are_unpacked_by_their_kind() {
        let varints: Vec<_> = unpack(FieldKind::Int32, &[1, 0xac, 2]).collect();
        assert_eq!(varints, [wire::WireValue::Varint(1), wire::WireValue::Varint(300)]);
        let mut bytes = 1.5_f64.to_le_bytes().to_vec();
        bytes.extend(2.5_f64.to_le_bytes());
        let doubles: Vec<_> = unpack(FieldKind::Double, &bytes).collect();
        let expected = [1.5_f64, 2.5].map(|number| wire::WireValue::Fixed64(number.to_bits()));
        assert_eq!(doubles, expected);
        assert_eq!(unpack(FieldKind::Fixed32, &[1, 0, 0, 0, 2, 0, 0, 0]).count(), 2);
    }
}
