//! Lists and maps, read where they stand.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::body::{Body, Meter};
use super::value::Value;
use crate::wire::{self, Field, Kind};

/// Field numbers of a map entry.
const KEY: u32 = 1;
const VALUE: u32 = 2;
/// Steps of remembering a key, by measure.
const STEPS_PER_KEY: u64 = 4;

/// A list.
#[derive(Debug, Clone)]
pub(super) enum List<'a> {
    /// A repeated field of a message.
    Field(Body<'a>, &'static Field),
    /// What the expression made.
    Values(Arc<[Value<'a>]>),
}

/// A map: a field of a message.
#[derive(Debug, Clone)]
pub(super) struct Map<'a> {
    body: Body<'a>,
    field: &'static Field,
}

impl<'a> List<'a> {
    /// Visits the elements in order until `visit` breaks off.
    pub(super) fn visit<B>(
        &self,
        meter: &Meter,
        mut visit: impl FnMut(Value<'a>) -> ControlFlow<B>,
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
                    (Kind::Message(message), wire::Value::Bytes(bytes)) => {
                        visit(Value::of_message(message, Body::Whole(bytes), meter))
                    }
                    (kind @ (Kind::String | Kind::Bytes), value) => {
                        visit(Value::of_scalar(kind, value, meter))
                    }
                    (kind, wire::Value::Bytes(packed)) => unpack(kind, packed)
                        .take_while(|_| meter.check().is_ok())
                        .try_for_each(|value| {
                            meter.spend_steps(1);
                            visit(Value::of_scalar(kind, value, meter))
                        }),
                    (kind, value) => visit(Value::of_scalar(kind, value, meter)),
                })
            }
        };
        match flow {
            ControlFlow::Break(found) => Some(found),
            ControlFlow::Continue(()) => None,
        }
    }

    /// How many elements there are.
    pub(super) fn len(&self, meter: &Meter) -> usize {
        let mut count = 0;
        self.visit(meter, |_| {
            count += 1;
            ControlFlow::<()>::Continue(())
        });
        count
    }

    /// The element at a position from 0.
    pub(super) fn get(&self, position: usize, meter: &Meter) -> Option<Value<'a>> {
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
    pub(super) fn concat(&self, other: &Self, meter: &Meter) -> Self {
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
    pub(super) fn get(&self, key: &str, meter: &Meter) -> Option<Value<'a>> {
        let Kind::Message(entry_shape) = self.field.kind else { return None };
        let field = entry_shape.get().field(VALUE)?;
        let entries = self.body.values(self.field.number, meter).filter_map(wire::Value::bytes);
        let entry = entries.filter(|entry| has_key(entry, key, meter)).last()?;
        Some(Value::read(&Body::Whole(entry), field, meter))
    }

    /// Whether there is a key.
    pub(super) fn contains(&self, key: &str, meter: &Meter) -> bool {
        let mut entries = self.body.values(self.field.number, meter).filter_map(wire::Value::bytes);
        entries.any(|entry| has_key(entry, key, meter))
    }

    /// The keys, each once.
    pub(super) fn keys(&self, meter: &Meter) -> List<'a> {
        let mut seen = HashSet::new();
        let entries = self.body.values(self.field.number, meter).filter_map(wire::Value::bytes);
        let keys = entries.map(|entry| meter.text(key_of(entry, meter))).filter(|key| {
            meter.spend_steps(STEPS_PER_KEY);
            meter.spend_on_room(size_of::<Value<'_>>());
            meter.spend_on_each(key.len());
            seen.insert(*key)
        });
        List::Values(keys.map(|key| Value::String(Cow::Borrowed(key))).collect())
    }
}

/// The key of an entry; absent, it is the empty one.
fn key_of<'a>(entry: &'a [u8], meter: &Meter) -> wire::Value<'a> {
    Body::Whole(entry).value(KEY, meter).unwrap_or(wire::Value::Bytes(&[]))
}

fn has_key(entry: &[u8], key: &str, meter: &Meter) -> bool {
    let found = key_of(entry, meter).bytes().unwrap_or_default();
    meter.spend_on_pass(key.len().min(found.len()));
    found == key.as_bytes()
}

/// The numbers of a packed field.
fn unpack(kind: Kind, packed: &[u8]) -> impl Iterator<Item = wire::Value<'static>> {
    let mut rest = packed;
    std::iter::from_fn(move || match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => {
            let (bits, after) = rest.split_first_chunk()?;
            rest = after;
            Some(wire::Value::Fixed64(u64::from_le_bytes(*bits)))
        }
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => {
            let (bits, after) = rest.split_first_chunk()?;
            rest = after;
            Some(wire::Value::Fixed32(u32::from_le_bytes(*bits)))
        }
        _ => wire::read_varint(&mut rest).ok().map(wire::Value::Varint),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_numbers_are_unpacked_by_their_kind() {
        let varints: Vec<_> = unpack(Kind::Int32, &[1, 0xac, 2]).collect();
        assert_eq!(varints, [wire::Value::Varint(1), wire::Value::Varint(300)]);
        let mut bytes = 1.5_f64.to_le_bytes().to_vec();
        bytes.extend(2.5_f64.to_le_bytes());
        let doubles: Vec<_> = unpack(Kind::Double, &bytes).collect();
        let expected = [1.5_f64, 2.5].map(|number| wire::Value::Fixed64(number.to_bits()));
        assert_eq!(doubles, expected);
        assert_eq!(unpack(Kind::Fixed32, &[1, 0, 0, 0, 2, 0, 0, 0]).count(), 2);
    }
}
