//! Collects the values without a place in a plan, as paths and values.

use super::captured::Remainder;
use super::text;
use super::wire_json::{self, UNKNOWN_FIELDS};
use crate::wire::{self, Field, FieldKind, MessageId, RECORD, WireValue};

/// Receives the values without a place.
pub trait CatchAllSink {
    /// A field, the names along its path, and its occurrences in the message. The last occurrence
    /// of a singular field counts; the parts of a message are merged.
    fn field(&mut self, path: &[&str], field: &'static Field, values: &[(u32, WireValue<'_>)]);
    /// The encoded unknown fields of a message.
    fn unknown(&mut self, path: &[&str], encoded: &[u8]);
}

/// Calls the sink for each remaining field of a record.
pub fn each(record: &[u8], filter: Remainder<'_>, sink: &mut dyn CatchAllSink) {
    CatchAllWalk { sink, path: Vec::new() }.message(RECORD, record, filter);
}

struct CatchAllWalk<'s> {
    sink: &'s mut dyn CatchAllSink,
    path: Vec<&'static str>,
}

impl CatchAllWalk<'_> {
    /// The schema bounds the recursion: only JSON values are recursive.
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

/// Whether a message is a value by itself.
fn is_value(id: MessageId) -> bool {
    matches!(id, wire::TIMESTAMP | wire::DURATION | wire::STRUCT | wire::VALUE | wire::LIST_VALUE)
}

/// Writes the remaining values as members of a JSON object: texts, or lists of texts.
#[derive(Debug)]
pub struct CatchAllJson<'o> {
    /// The output, after an opening brace or a comma.
    pub out: &'o mut Vec<u8>,
    /// The prefix of the names.
    pub prefix: &'static str,
}

impl CatchAllJson<'_> {
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

impl CatchAllSink for CatchAllJson<'_> {
    fn field(&mut self, path: &[&str], field: &'static Field, values: &[(u32, WireValue<'_>)]) {
        self.name(path);
        let before = self.out.len();
        wire_json::write_value(self.out, field, values);
        // Texts and lists of texts are written unchanged, numbers and booleans in quotes, and
        // compound values as a text with their JSON.
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
