//! Encodes values of OpenTelemetry: `AnyValue` and nested messages.

use super::super::convert::Scalar;
use super::super::text;
use super::super::wire_json::{self, each_packed, enum_name, sorted_entries};
use crate::wire::{
    self, DURATION, Field, FieldKind, LIST_VALUE, MessageId, STRUCT, TIMESTAMP, VALUE, WireValue,
    put_bytes_field, put_bytes_header, put_varint_field,
};

/// The deepest level that is written; deeper values, which validation refuses, are empty.
const DEPTH_MAX: usize = 128;

/// Field numbers of `LogRecord`, `KeyValue`, `AnyValue` and nested messages.
pub mod number {
    pub const TIME: u32 = 1;
    pub const SEVERITY_NUMBER: u32 = 2;
    pub const SEVERITY_TEXT: u32 = 3;
    pub const BODY: u32 = 5;
    pub const ATTRIBUTES: u32 = 6;
    pub const TRACE_ID: u32 = 9;
    pub const OBSERVED: u32 = 11;
    pub const EVENT_NAME: u32 = 12;
    pub const KEY: u32 = 1;
    pub const VALUE: u32 = 2;
    pub const STRING: u32 = 1;
    pub const BOOL: u32 = 2;
    pub const INT: u32 = 3;
    pub const DOUBLE: u32 = 4;
    pub const ARRAY: u32 = 5;
    pub const KVLIST: u32 = 6;
    pub const BYTES: u32 = 7;
    pub const VALUES: u32 = 1;
}

pub fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    wire::put_varint(out, u64::from(number) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// The encoded length of a field with a number below 16 and `bytes` bytes.
pub fn field_len(bytes: usize) -> usize {
    1 + wire::varint_len(bytes as u64) + bytes
}

/// Length of the `AnyValue` of a text.
pub fn text_len(of: &str) -> usize {
    field_len(of.len())
}

/// Appends the `AnyValue` of a text.
pub fn string(out: &mut Vec<u8>, of: &str) {
    put_bytes_field(out, number::STRING, of.as_bytes());
}

/// Appends an attribute, whose value `fill` writes.
pub fn attribute(out: &mut Vec<u8>, name: &str, fill: impl FnOnce(&mut Vec<u8>)) {
    message(out, number::ATTRIBUTES, |out| key_value(out, name, fill));
}

/// Appends the fields of a `KeyValue`.
pub fn key_value(out: &mut Vec<u8>, key: &str, fill: impl FnOnce(&mut Vec<u8>)) {
    if !key.is_empty() {
        put_bytes_field(out, number::KEY, key.as_bytes());
    }
    message(out, number::VALUE, fill);
}

/// Appends a field that is a message, which `fill` writes.
pub fn message(out: &mut Vec<u8>, number: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    put_bytes_header(out, number, 0);
    let begun = out.len();
    fill(out);
    let length = out.len() - begun;
    // Nearly all lengths fit one byte.
    if let (Ok(length @ 0..=127), Some(place)) = (u8::try_from(length), out.get_mut(begun - 1)) {
        *place = length;
        return;
    }
    let mut encoded = Vec::with_capacity(wire::VARINT_BYTES_MAX);
    wire::put_varint(&mut encoded, length as u64);
    out.splice(begun - 1..begun, encoded);
}

pub fn texts<'a>(out: &mut Vec<u8>, list: impl Iterator<Item = &'a str>) {
    message(out, number::ARRAY, |out| {
        for of in list {
            put_bytes_header(out, number::VALUES, text_len(of));
            string(out, of);
        }
    });
}

/// Appends the fields of an `AnyValue`.
pub fn scalar_value(out: &mut Vec<u8>, value: Scalar<'_>) {
    match value {
        Scalar::Text(of) => string(out, of),
        Scalar::Int(of) => put_varint_field(out, number::INT, of as u64),
        Scalar::Uint(of) => match i64::try_from(of) {
            Ok(of) => put_varint_field(out, number::INT, of as u64),
            Err(_) => string(out, &of.to_string()),
        },
        Scalar::Flag(of) => put_varint_field(out, number::BOOL, u64::from(of)),
        Scalar::Bytes(of) => put_bytes_field(out, number::BYTES, of),
        Scalar::Time(seconds, nanos) => {
            message(out, number::STRING, |out| text::timestamp(out, seconds, nanos));
        }
        Scalar::Duration(seconds, nanos) => {
            message(out, number::STRING, |out| text::duration(out, seconds, nanos));
        }
    }
}

/// Appends the fields of the `AnyValue` of a field, of which these are the occurrences.
pub fn field_value(
    out: &mut Vec<u8>,
    field: &Field,
    values: &[(u32, WireValue<'_>)],
    depth: usize,
) {
    if !field.repeated {
        let bytes = |value: &(u32, WireValue<'_>)| value.1.bytes().unwrap_or_default().to_vec();
        if let (FieldKind::Message(inner), true) = (field.kind, values.len() > 1) {
            let merged: Vec<u8> = values.iter().flat_map(bytes).collect();
            return message_value(out, inner, &merged, depth);
        }
        if let Some((_, value)) = values.last() {
            one_value(out, field.kind, *value, depth);
        }
        return;
    }
    if let FieldKind::Message(entry) = field.kind
        && entry.get().map_entry
    {
        let entries = sorted_entries(values.iter().filter_map(|(_, value)| value.bytes()));
        let kind = entry.get().field(2).map_or(FieldKind::Bytes, |field| field.kind);
        return message(out, number::KVLIST, |out| {
            for (key, value) in entries {
                let value = value.unwrap_or(WireValue::Bytes(&[]));
                message(out, number::VALUES, |out| {
                    key_value(out, key, |out| one_value(out, kind, value, depth + 1));
                });
            }
        });
    }
    message(out, number::ARRAY, |out| {
        for (_, value) in values {
            each_packed(field.kind, *value, |value| {
                message(out, number::VALUES, |out| one_value(out, field.kind, value, depth + 1));
            });
        }
    });
}

pub fn one_value(out: &mut Vec<u8>, kind: FieldKind, value: WireValue<'_>, depth: usize) {
    match (kind, value) {
        (FieldKind::Message(id), WireValue::Bytes(bytes)) => message_value(out, id, bytes, depth),
        (FieldKind::String, value) => string(out, value.text().unwrap_or_default()),
        (FieldKind::Bytes, WireValue::Bytes(bytes)) => {
            put_bytes_field(out, number::BYTES, bytes);
        }
        (FieldKind::Bool, WireValue::Varint(flag)) => {
            put_varint_field(out, number::BOOL, u64::from(flag != 0));
        }
        (FieldKind::Enum(id), WireValue::Varint(number)) => match enum_name(id, number as i32) {
            Some(name) => string(out, name),
            None => scalar_value(out, Scalar::Int(i64::from(number as i32))),
        },
        (FieldKind::Int32, WireValue::Varint(number)) => {
            scalar_value(out, Scalar::Int(i64::from(number as i32)));
        }
        (FieldKind::Int64, WireValue::Varint(number)) => {
            scalar_value(out, Scalar::Int(number as i64));
        }
        (FieldKind::Uint32 | FieldKind::Uint64, WireValue::Varint(number)) => {
            scalar_value(out, Scalar::Uint(number));
        }
        (FieldKind::Double, WireValue::Fixed64(bits)) => put_fixed64(out, number::DOUBLE, bits),
        _ => {}
    }
}

pub fn message_value(out: &mut Vec<u8>, id: MessageId, bytes: &[u8], depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    let depth = depth + 1;
    match id {
        TIMESTAMP => {
            let (seconds, nanos) = wire::seconds_and_nanos(bytes);
            scalar_value(out, Scalar::Time(seconds, nanos));
        }
        DURATION => {
            let (seconds, nanos) = wire::seconds_and_nanos(bytes);
            scalar_value(out, Scalar::Duration(seconds, nanos));
        }
        STRUCT => {
            if let Some(fields) = id.get().field(1) {
                let entries: Vec<_> = wire::trusted(bytes).filter(|of| of.0 == 1).collect();
                field_value(out, fields, &entries, depth);
            }
        }
        LIST_VALUE => message(out, number::ARRAY, |out| {
            for (number, value) in wire::trusted(bytes) {
                if let (1, WireValue::Bytes(value)) = (number, value) {
                    message(out, number::VALUES, |out| message_value(out, VALUE, value, depth));
                }
            }
        }),
        VALUE => {
            let kinds = wire::trusted(bytes).filter(|(number, _)| (1..=6).contains(number));
            // A null has no value here.
            if let Some((number, value)) = kinds.last().filter(|(number, _)| *number != 1)
                && let Some(field) = id.get().field(number)
            {
                one_value(out, field.kind, value, depth);
            }
        }
        _ => fields_value(out, id, bytes, depth),
    }
}

/// A message of the protocol: a list of its fields.
pub fn fields_value(out: &mut Vec<u8>, id: MessageId, bytes: &[u8], depth: usize) {
    let mut fields: Vec<_> = wire::trusted(bytes).collect();
    fields.sort_by_key(|(number, _)| *number);
    message(out, number::KVLIST, |out| {
        let mut unknown = Vec::new();
        for values in fields.chunk_by(|a, b| a.0 == b.0) {
            let field = values.first().and_then(|(number, _)| id.get().field(*number));
            let Some(field) = field else {
                wire_json::put_fields(&mut unknown, values);
                continue;
            };
            message(out, number::VALUES, |out| {
                key_value(out, field.name, |out| field_value(out, field, values, depth));
            });
        }
        if !unknown.is_empty() {
            message(out, number::VALUES, |out| {
                key_value(out, wire_json::UNKNOWN_FIELDS, |out| {
                    put_bytes_field(out, number::BYTES, &unknown);
                });
            });
        }
    });
}
