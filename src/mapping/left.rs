//! Collects the values that a plan has no place for, as paths and values.

use super::captured::Remainder;
use super::text;
use super::wire_json::{self, UNKNOWN_FIELDS};
use crate::wire::{self, Field, FieldKind, MessageId, RECORD, WireValue};

/// Receives what is left.
pub trait LeftSink {
    /// A field, the names on the way to it, and its occurrences in the message. Of a field that
    /// is no list, the last occurrence counts, but for a message, whose parts are merged.
    fn field(&mut self, path: &[&str], field: &'static Field, values: &[(u32, WireValue<'_>)]);
    /// The encoding of fields of a message that the schema does not know.
    fn unknown(&mut self, path: &[&str], encoded: &[u8]);
}

/// Calls the sink for each field of a record that the filter leaves.
pub fn each(record: &[u8], filter: Remainder<'_>, sink: &mut dyn LeftSink) {
    LeftWalk { sink, path: Vec::new() }.message(RECORD, record, filter);
}

struct LeftWalk<'s> {
    sink: &'s mut dyn LeftSink,
    path: Vec<&'static str>,
}

impl LeftWalk<'_> {
    /// Recursion ends with the schema, which is not recursive but within JSON values.
    fn message(&mut self, id: MessageId, bytes: &[u8], filter: Remainder<'_>) {
        let shape = id.get();
        let mut fields: Vec<_> = wire::trusted(bytes).collect();
        if !fields.is_sorted_by_key(|(number, _)| *number) {
            fields.sort_by_key(|(number, _)| *number);
        }
        let mut unknown = Vec::new();
        for values in fields.chunk_by(|a, b| a.0 == b.0) {
            let Some((number, _)) = values.first().copied() else { continue };
            let Some(field) = shape.field(number) else {
                wire_json::put_fields(&mut unknown, values);
                continue;
            };
            if let Some(inner) = filter.inner(number) {
                self.path.push(field.name);
                self.field(field, values, inner);
                self.path.pop();
            }
        }
        if !unknown.is_empty() {
            self.path.push(UNKNOWN_FIELDS);
            self.sink.unknown(&self.path, &unknown);
            self.path.pop();
        }
    }

    fn field(
        &mut self,
        field: &'static Field,
        values: &[(u32, WireValue<'_>)],
        filter: Remainder<'_>,
    ) {
        match field.kind {
            FieldKind::Message(inner) if !field.repeated && !is_value(inner) => {
                let mut parts = values.iter().filter_map(|(_, value)| value.bytes());
                match (parts.next(), values.len()) {
                    (Some(part), 1) => self.message(inner, part, filter),
                    (Some(part), _) => {
                        let all = std::iter::once(part).chain(parts).collect::<Vec<_>>();
                        self.message(inner, &all.concat(), filter);
                    }
                    (None, _) => {}
                }
            }
            _ => self.sink.field(&self.path, field, values),
        }
    }
}

/// A message that is a value by itself.
fn is_value(id: MessageId) -> bool {
    matches!(id, wire::TIMESTAMP | wire::DURATION | wire::STRUCT | wire::VALUE | wire::LIST_VALUE)
}

/// Writes what is left as members of a JSON object, whose values are texts or lists of texts.
#[derive(Debug)]
pub struct LeftJson<'o> {
    /// Behind the opening brace, or a comma.
    pub out: &'o mut Vec<u8>,
    /// What the names begin with.
    pub prefix: &'static str,
}

impl LeftJson<'_> {
    fn name(&mut self, path: &[&str]) {
        self.out.push(b'"');
        self.out.extend_from_slice(self.prefix.as_bytes());
        for (at, part) in path.iter().enumerate() {
            if at > 0 {
                self.out.push(b'_');
            }
            text::string_body(self.out, part);
        }
        self.out.extend_from_slice(b"\":");
    }
}

impl LeftSink for LeftJson<'_> {
    fn field(&mut self, path: &[&str], field: &'static Field, values: &[(u32, WireValue<'_>)]) {
        self.name(path);
        let before = self.out.len();
        wire_json::write_value(self.out, field, values);
        // Texts, and lists of them, are written as they are; numbers and flags in quotes, and
        // whatever is more than one value as the text of its JSON.
        let is_text = self.out.get(before) == Some(&b'"');
        let is_texts = field.repeated && matches!(field.kind, FieldKind::String);
        if !is_text && !is_texts {
            let json = self.out.split_off(before);
            text::string(self.out, &String::from_utf8_lossy(&json));
        }
        self.out.push(b',');
    }

    fn unknown(&mut self, path: &[&str], encoded: &[u8]) {
        self.name(path);
        self.out.push(b'"');
        text::base64(self.out, encoded);
        self.out.extend_from_slice(b"\",");
    }
}
