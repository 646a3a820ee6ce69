//! Writes encoded messages as protobuf JSON directly from their bytes.
//!
//! The result is that of `json::line`, byte for byte: names as in the proto files, fields by
//! number, entries of maps by key. In addition, unknown fields are in `unknown_fields`, as base64
//! of their encoding.

use prost::Message as _;

use super::captured::Remainder;
use super::text;
use crate::wire::{
    self, DURATION, EnumId, Field, FieldKind, LIST_VALUE, MessageId, STRUCT, TIMESTAMP, VALUE,
    WireValue,
};

/// The member with unknown fields. No field has this name.
pub const UNKNOWN_FIELDS: &str = "unknown_fields";
/// The deepest level that is written; deeper messages are `null`. Validation and decoders allow
/// fewer levels.
const DEPTH_MAX: usize = 128;
/// The initial capacity for the fields of nested messages; few records need more.
const FIELDS_USUAL: usize = 64;
/// Field of an entry of a map.
const ENTRY_KEY: u32 = 1;
/// Field of an entry of a map.
const ENTRY_VALUE: u32 = 2;

/// Appends a message as a JSON value.
pub fn write(out: &mut Vec<u8>, message: MessageId, bytes: &[u8]) {
    write_filtered(out, message, bytes, Remainder::ALL);
}

/// Appends the part of a message that `filter` selects as a JSON value.
pub fn write_filtered(out: &mut Vec<u8>, message: MessageId, bytes: &[u8], filter: Remainder<'_>) {
    MessageWriter { out, fields: Vec::with_capacity(FIELDS_USUAL), depth: 0 }
        .message(message, bytes, filter);
}

/// Appends the value of a field, of which these are the occurrences.
pub fn write_value<'a>(out: &mut Vec<u8>, field: &Field, values: &[(u32, WireValue<'a>)]) {
    let mut writer = MessageWriter { out, fields: values.to_vec(), depth: 1 };
    writer.value(field, 0..values.len(), Remainder::ALL);
}

/// The name of the value of an enum, if it has one.
pub fn enum_name(id: EnumId, number: i32) -> Option<&'static str> {
    let found = id.get().values.iter().find(|(of, _)| *of == number);
    found.map(|(_, name)| *name)
}

/// Closes an object or an array, whose last member is followed by a comma.
pub fn close(out: &mut Vec<u8>, with: u8) {
    match out.last_mut() {
        Some(last) if *last == b',' => *last = with,
        _ => out.push(with),
    }
}

struct MessageWriter<'o, 'a> {
    out: &'o mut Vec<u8>,
    /// The fields of the enclosing messages.
    fields: Vec<(u32, WireValue<'a>)>,
    depth: usize,
}

impl<'a> MessageWriter<'_, 'a> {
    fn message(&mut self, id: MessageId, bytes: &'a [u8], filter: Remainder<'_>) {
        if self.depth > DEPTH_MAX {
            self.out.extend_from_slice(b"null");
            return;
        }
        self.depth += 1;
        match id {
            TIMESTAMP | DURATION => self.time(id, bytes),
            STRUCT => self.structure(bytes),
            LIST_VALUE => self.list(bytes),
            VALUE => self.json_value(bytes),
            _ => self.object(id, bytes, filter),
        }
        self.depth -= 1;
    }

    fn time(&mut self, id: MessageId, bytes: &[u8]) {
        let (seconds, nanos) = wire::seconds_and_nanos(bytes);
        self.out.push(b'"');
        if id == TIMESTAMP {
            text::timestamp(self.out, seconds, nanos);
        } else {
            text::duration(self.out, seconds, nanos);
        }
        self.out.push(b'"');
    }

    fn object(&mut self, id: MessageId, bytes: &'a [u8], filter: Remainder<'_>) {
        let shape = id.get();
        let base = self.fields.len();
        self.fields.extend(wire::trusted(bytes));
        let end = self.fields.len();
        if let Some(own) = self.fields.get_mut(base..)
            && !own.is_sorted_by_key(|(number, _)| *number)
        {
            own.sort_by_key(|(number, _)| *number);
        }
        self.out.push(b'{');
        let mut unknown = Vec::new();
        let mut from = base;
        while let Some((number, _)) = self.fields.get(from).copied().filter(|_| from < end) {
            let rest = self.fields.get(from..end).unwrap_or_default();
            let to = from + rest.iter().take_while(|(other, _)| *other == number).count();
            match shape.field(number) {
                Some(field) => {
                    if let Some(inner) = filter.inner(number) {
                        // A name has no character that JSON escapes.
                        self.out.push(b'"');
                        self.out.extend_from_slice(field.name.as_bytes());
                        self.out.extend_from_slice(b"\":");
                        let before = self.out.len();
                        self.value(field, from..to, inner);
                        self.drop_empty(before, field, inner);
                    }
                }
                None => put_fields(&mut unknown, rest.get(..to - from).unwrap_or_default()),
            }
            from = to;
        }
        self.fields.truncate(base);
        if !unknown.is_empty() {
            text::string(self.out, UNKNOWN_FIELDS);
            self.out.extend_from_slice(b":\"");
            text::base64(self.out, &unknown);
            self.out.extend_from_slice(b"\",");
        }
        close(self.out, b'}');
    }

    /// Ends a member whose value begins at `before`. A member of which the filter selects nothing
    /// is removed.
    fn drop_empty(&mut self, before: usize, field: &Field, filter: Remainder<'_>) {
        if filter.is_partial() && self.out.get(before..) == Some(b"{}") {
            // The name in quotes, and the colon.
            self.out.truncate(before - field.name.len() - 3);
        } else {
            self.out.push(b',');
        }
    }

    /// Writes the value of a field, whose occurrences are this range of `self.fields`.
    fn value(&mut self, field: &Field, range: std::ops::Range<usize>, filter: Remainder<'_>) {
        if !field.repeated {
            return self.singular(field, range, filter);
        }
        if let FieldKind::Message(id) = field.kind
            && id.get().map_entry
        {
            return self.map(id, range);
        }
        self.out.push(b'[');
        for at in range {
            let Some((_, value)) = self.fields.get(at).copied() else { break };
            each_packed(field.kind, value, |value| {
                self.one(field.kind, value, Remainder::ALL);
                self.out.push(b',');
            });
        }
        close(self.out, b']');
    }

    fn singular(&mut self, field: &Field, range: std::ops::Range<usize>, filter: Remainder<'_>) {
        let values = self.fields.get(range).unwrap_or_default();
        let Some((_, last)) = values.last().copied() else { return };
        if let (FieldKind::Message(id), true) = (field.kind, values.len() > 1) {
            // The parts of a message are merged by writing one after the other.
            let parts = values.iter().filter_map(|(_, value)| value.bytes());
            let merged = parts.collect::<Vec<_>>().concat();
            let depth = self.depth;
            MessageWriter { out: self.out, fields: Vec::new(), depth }.message(id, &merged, filter);
            return;
        }
        self.one(field.kind, last, filter);
    }

    /// One value.
    fn one(&mut self, kind: FieldKind, value: WireValue<'a>, filter: Remainder<'_>) {
        match (kind, value) {
            (FieldKind::Message(id), WireValue::Bytes(bytes)) => self.message(id, bytes, filter),
            (FieldKind::String, WireValue::Bytes(of)) => text::string_bytes(self.out, of),
            (FieldKind::Bytes, WireValue::Bytes(bytes)) => {
                self.out.push(b'"');
                text::base64(self.out, bytes);
                self.out.push(b'"');
            }
            (FieldKind::Enum(id), WireValue::Varint(number)) => {
                match enum_name(id, number as i32) {
                    Some(name) => text::string(self.out, name),
                    None => text::int(self.out, i64::from(number as i32)),
                }
            }
            (FieldKind::Bool, WireValue::Varint(flag)) => {
                self.out.extend_from_slice(if flag == 0 { b"false" } else { b"true" });
            }
            (FieldKind::Int32, WireValue::Varint(number)) => {
                text::int(self.out, i64::from(number as i32));
            }
            (FieldKind::Uint32, WireValue::Varint(number)) => {
                text::uint(self.out, u64::from(number as u32));
            }
            // JSON numbers cannot hold all of their values.
            (FieldKind::Int64, WireValue::Varint(number)) => {
                self.out.push(b'"');
                text::int(self.out, number as i64);
                self.out.push(b'"');
            }
            (FieldKind::Uint64, WireValue::Varint(number)) => {
                self.out.push(b'"');
                text::uint(self.out, number);
                self.out.push(b'"');
            }
            (FieldKind::Double, WireValue::Fixed64(bits)) => {
                text::double(self.out, f64::from_bits(bits));
            }
            _ => self.out.extend_from_slice(b"null"),
        }
    }

    fn map(&mut self, entry: MessageId, range: std::ops::Range<usize>) {
        let values = self.fields.get(range).unwrap_or_default();
        let entries = values.iter().filter_map(|(_, value)| value.bytes());
        let entries = sorted_entries(entries);
        let kind = entry.get().field(ENTRY_VALUE).map_or(FieldKind::Bytes, |field| field.kind);
        self.out.push(b'{');
        for (key, value) in entries {
            text::string(self.out, key);
            self.out.push(b':');
            let absent = match kind {
                FieldKind::Message(_) | FieldKind::String | FieldKind::Bytes => {
                    WireValue::Bytes(&[])
                }
                _ => WireValue::Varint(0),
            };
            self.one(kind, value.unwrap_or(absent), Remainder::ALL);
            self.out.push(b',');
        }
        close(self.out, b'}');
    }

    fn structure(&mut self, bytes: &'a [u8]) {
        let entries = wire::trusted(bytes).filter(|(number, _)| *number == 1);
        let entries = sorted_entries(entries.filter_map(|(_, value)| value.bytes()));
        self.out.push(b'{');
        for (key, value) in entries {
            text::string(self.out, key);
            self.out.push(b':');
            let value = value.and_then(WireValue::bytes).unwrap_or_default();
            self.message(VALUE, value, Remainder::ALL);
            self.out.push(b',');
        }
        close(self.out, b'}');
    }

    fn list(&mut self, bytes: &'a [u8]) {
        self.out.push(b'[');
        for (number, value) in wire::trusted(bytes) {
            if let (1, WireValue::Bytes(value)) = (number, value) {
                self.message(VALUE, value, Remainder::ALL);
                self.out.push(b',');
            }
        }
        close(self.out, b']');
    }

    fn json_value(&mut self, bytes: &'a [u8]) {
        let mut kinds = wire::trusted(bytes).filter(|(number, _)| (1..=6).contains(number));
        match (kinds.next(), kinds.next()) {
            (Some(kind), None) => self.json_kind(kind),
            (Some(_), Some(_)) => self.merged_value(bytes),
            (None, _) => self.out.extend_from_slice(b"null"),
        }
    }

    fn json_kind(&mut self, kind: (u32, WireValue<'a>)) {
        match kind {
            (2, WireValue::Fixed64(bits)) => text::double(self.out, f64::from_bits(bits)),
            (3, value @ WireValue::Bytes(_)) => {
                text::string(self.out, value.text().unwrap_or_default());
            }
            (4, WireValue::Varint(flag)) => {
                self.out.extend_from_slice(if flag == 0 { b"false" } else { b"true" });
            }
            (5, WireValue::Bytes(inner)) => self.message(STRUCT, inner, Remainder::ALL),
            (6, WireValue::Bytes(inner)) => self.message(LIST_VALUE, inner, Remainder::ALL),
            _ => self.out.extend_from_slice(b"null"),
        }
    }

    /// Writes a value with several kinds, of which the last counts, or in parts.
    fn merged_value(&mut self, bytes: &[u8]) {
        let merged = prost_types::Value::decode(bytes).unwrap_or_default();
        // After re-encoding, it has one kind at each level.
        let merged = merged.encode_to_vec();
        let depth = self.depth;
        let mut writer = MessageWriter { out: self.out, fields: Vec::new(), depth };
        match wire::trusted(&merged).next() {
            Some(kind) => writer.json_kind(kind),
            None => writer.out.extend_from_slice(b"null"),
        }
    }
}

/// Calls `each` for the values of a repeated field in one occurrence, which may be many scalars.
pub fn each_packed<'a>(kind: FieldKind, value: WireValue<'a>, mut each: impl FnMut(WireValue<'a>)) {
    let WireValue::Bytes(mut packed) = value else { return each(value) };
    match kind {
        FieldKind::String | FieldKind::Bytes | FieldKind::Message(_) => each(value),
        FieldKind::Double => {
            for bits in packed.as_chunks::<8>().0 {
                each(WireValue::Fixed64(u64::from_le_bytes(*bits)));
            }
        }
        _ => {
            while let Ok(number) = wire::read_varint(&mut packed) {
                each(WireValue::Varint(number));
            }
        }
    }
}

/// The entries of a map by key, of which the last counts.
pub fn sorted_entries<'a>(
    entries: impl Iterator<Item = &'a [u8]>,
) -> Vec<(&'a str, Option<WireValue<'a>>)> {
    let mut found: Vec<_> = entries.map(entry_of).collect();
    if !found.is_sorted_by_key(|(key, _)| *key) {
        found.sort_by_key(|(key, _)| *key);
    }
    // Of equal keys the last is kept.
    found.reverse();
    found.dedup_by_key(|(key, _)| *key);
    found.reverse();
    found
}

/// Key and value of an encoded entry.
fn entry_of(entry: &[u8]) -> (&str, Option<WireValue<'_>>) {
    let (mut key, mut found) = ("", None);
    for (number, value) in wire::trusted(entry) {
        match number {
            ENTRY_KEY => key = value.text().unwrap_or_default(),
            ENTRY_VALUE => found = Some(value),
            _ => {}
        }
    }
    (key, found)
}

/// Appends fields in their encoded form.
pub fn put_fields(out: &mut Vec<u8>, fields: &[(u32, WireValue<'_>)]) {
    for (number, value) in fields.iter().copied() {
        let key = u64::from(number) << 3;
        match value {
            WireValue::Varint(varint) => wire::put_varint_field(out, number, varint),
            WireValue::Bytes(bytes) => wire::put_bytes_field(out, number, bytes),
            WireValue::Fixed64(bits) => {
                wire::put_varint(out, key | 1);
                out.extend_from_slice(&bits.to_le_bytes());
            }
            WireValue::Fixed32(bits) => {
                wire::put_varint(out, key | 5);
                out.extend_from_slice(&bits.to_le_bytes());
            }
        }
    }
}
