//! Writes values of a line as fields of an event.
//!
//! Values that a field cannot hold unchanged are added to the differences.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::differences::{Differences, JsonStep};
use super::tables::{FieldShape, FieldTable, MessageTable, ValueForm};
use crate::teleport::json::{Json, Object};
use crate::teleport::{text, value};
use crate::wire::{self, DEPTH_MAX};

/// Numbers of fields of the messages of Google, of `StringList` and of entries of maps.
const SECONDS: u32 = 1;
const NANOS: u32 = 2;
const FIELDS: u32 = 1;
const NULL_VALUE: u32 = 1;
const NUMBER_VALUE: u32 = 2;
const STRING_VALUE: u32 = 3;
const BOOL_VALUE: u32 = 4;
const STRUCT_VALUE: u32 = 5;
const LIST_VALUE: u32 = 6;
const VALUES: u32 = 1;
const KEY: u32 = 1;
const VALUE: u32 = 2;
/// The wire type of eight bytes.
const FIXED64: u32 = 1;
/// Writes fields, and collects the values that they cannot hold.
#[derive(Debug, Default)]
pub struct ValueWriter<'j> {
    /// The fields.
    pub out: Vec<u8>,
    /// The values that they cannot hold.
    pub differences: Differences<'j>,
}

impl<'j> ValueWriter<'j> {
    /// Writes the field of a key of the line, which is `depth` messages deep. Returns whether the
    /// field holds a part of the value.
    pub fn member(
        &mut self,
        table: &FieldTable,
        key: &'j str,
        json: &'j Json<'_>,
        depth: usize,
    ) -> bool {
        self.below_key(key, json, |writer| writer.field(table, json, depth))
    }

    /// Runs `write` for a key of the line. If the fields can hold nothing of the value, or there
    /// are many differences, the whole value is kept as text.
    fn below_key(
        &mut self,
        key: &'j str,
        json: &'j Json<'_>,
        write: impl FnOnce(&mut Self) -> bool,
    ) -> bool {
        let out = self.out.len();
        let before = self.differences.enter(JsonStep::Key(key));
        let is_held = write(self);
        self.differences.leave();
        if !is_held {
            self.out.truncate(out);
        }
        if !is_held || self.differences.are_many_since(before) {
            self.differences.forget_since(before);
            self.differences.note_key(key, json.to_string());
        }
        is_held
    }

    /// Writes a field. If it cannot hold the value, returns false, and the caller drops the output.
    fn field(&mut self, table: &FieldTable, json: &'j Json<'_>, depth: usize) -> bool {
        let FieldTable { number, kind, shape } = table;
        match (shape, json) {
            (FieldShape::Single, json) => self.single(*number, kind, json, depth),
            (FieldShape::List, Json::Array(elements)) => {
                !elements.is_empty()
                    && self.each(elements, |writer, json| writer.single(*number, kind, json, depth))
            }
            (FieldShape::Packed, Json::Array(elements)) => {
                !elements.is_empty()
                    && self.nested(*number, |writer| {
                        writer.each(elements, |writer, json| writer.number(kind, json))
                    })
            }
            (FieldShape::Map, Json::Object(members)) => {
                let mut is_held = false;
                for (key, json) in members {
                    is_held |= self.part(JsonStep::Key(key), json, |writer| {
                        writer.nested(*number, |writer| {
                            wire::put_bytes_field(&mut writer.out, KEY, key.as_bytes());
                            writer.single(VALUE, kind, json, depth + 1)
                        })
                    });
                }
                is_held
            }
            _ => false,
        }
    }

    /// Runs `write` for each element. Returns false if one cannot be held.
    fn each(
        &mut self,
        elements: &'j [Json<'_>],
        mut write: impl FnMut(&mut Self, &'j Json<'j>) -> bool,
    ) -> bool {
        elements.iter().enumerate().all(|(index, json)| {
            self.differences.enter(JsonStep::Index(index));
            let is_held = write(self, json);
            self.differences.leave();
            is_held
        })
    }

    /// Runs `write` for a part that may be omitted; an omitted part is noted as a difference.
    fn part(
        &mut self,
        step: JsonStep<'j>,
        json: &Json<'_>,
        write: impl FnOnce(&mut Self) -> bool,
    ) -> bool {
        let out = self.out.len();
        let before = self.differences.enter(step);
        let is_held = write(self);
        if !is_held {
            self.out.truncate(out);
            self.differences.forget_since(before);
            self.differences.note(json);
        }
        self.differences.leave();
        is_held
    }

    /// Writes a length-delimited field whose content `write` writes.
    fn nested(&mut self, number: u32, write: impl FnOnce(&mut Self) -> bool) -> bool {
        let start = begin_nested(&mut self.out, number);
        let is_held = write(self);
        end_nested(&mut self.out, start);
        is_held
    }

    fn single(&mut self, number: u32, kind: &ValueForm, json: &'j Json<'_>, depth: usize) -> bool {
        match (kind, json) {
            (ValueForm::Text, Json::String(text)) => {
                wire::put_bytes_field(&mut self.out, number, text.as_bytes());
                true
            }
            (ValueForm::Bytes, Json::String(text)) => {
                let Ok(bytes) = BASE64.decode(text.as_bytes()) else { return false };
                wire::put_bytes_field(&mut self.out, number, &bytes);
                if BASE64.encode(&bytes) != *text {
                    self.differences.note(json);
                }
                true
            }
            (ValueForm::Timestamp, Json::String(text)) => {
                let Some((timestamp, is_own)) = text::to_timestamp_noting(text) else {
                    return false;
                };
                self.seconds_and_nanos(number, timestamp.seconds, timestamp.nanos);
                if !is_own {
                    self.differences.note(json);
                }
                true
            }
            (ValueForm::Duration, Json::String(text)) => {
                let Some(duration) = text::to_duration(text) else { return false };
                self.seconds_and_nanos(number, duration.seconds, duration.nanos);
                if text::of_duration(&duration) != *text {
                    self.differences.note(json);
                }
                true
            }
            (ValueForm::Struct, Json::Object(members)) => {
                self.nested(number, |writer| writer.struct_fields(members, depth + 1))
            }
            (ValueForm::StringList, Json::Array(elements)) => self.nested(number, |writer| {
                elements.iter().all(|element| {
                    let text = element.as_str();
                    text.inspect(|text| {
                        wire::put_bytes_field(&mut writer.out, VALUES, text.as_bytes())
                    })
                    .is_some()
                })
            }),
            (ValueForm::Message(table), Json::Object(members)) => {
                self.nested(number, |writer| writer.message(table, members, depth + 1))
            }
            (ValueForm::Bool, Json::Bool(value)) => {
                wire::put_varint_field(&mut self.out, number, u64::from(*value));
                true
            }
            (
                ValueForm::Int32
                | ValueForm::Int64
                | ValueForm::Uint32
                | ValueForm::Uint64
                | ValueForm::Enum(_),
                json,
            ) => {
                wire::put_varint(&mut self.out, u64::from(number) << 3);
                self.number(kind, json)
            }
            _ => false,
        }
    }

    /// Writes an integer without its key.
    fn number(&mut self, kind: &ValueForm, json: &Json<'_>) -> bool {
        let Json::Number(text) = json else { return false };
        let value = match kind {
            ValueForm::Int32 => text.parse::<i32>().map(|value| i64::from(value) as u64).ok(),
            ValueForm::Int64 => text.parse::<i64>().map(|value| value as u64).ok(),
            ValueForm::Uint32 => text.parse::<u32>().map(u64::from).ok(),
            ValueForm::Uint64 => text.parse::<u64>().ok(),
            ValueForm::Enum(shift) => {
                let number = text.parse::<i64>().ok().and_then(|number| number.checked_add(*shift));
                number
                    .and_then(|number| i32::try_from(number).ok())
                    .map(|number| i64::from(number) as u64)
            }
            _ => None,
        };
        let Some(value) = value else { return false };
        wire::put_varint(&mut self.out, value);
        // The only other spelling of an integer in JSON.
        if text == "-0" {
            self.differences.note(json);
        }
        true
    }

    fn seconds_and_nanos(&mut self, number: u32, seconds: i64, nanos: i32) {
        self.nested(number, |writer| {
            if seconds != 0 {
                wire::put_varint_field(&mut writer.out, SECONDS, seconds as u64);
            }
            if nanos != 0 {
                wire::put_varint_field(&mut writer.out, NANOS, i64::from(nanos) as u64);
            }
            true
        });
    }

    fn message(&mut self, table: &MessageTable, members: &'j Object<'_>, depth: usize) -> bool {
        for (key, json) in members {
            self.part(JsonStep::Key(key), json, |writer| {
                table.field(key).is_some_and(|field| writer.field(field, json, depth))
            });
        }
        true
    }

    /// Writes the members that a `Struct` at depth `depth` can hold.
    fn struct_fields(&mut self, members: &'j Object<'_>, depth: usize) -> bool {
        for (key, json) in members {
            self.part(JsonStep::Key(key), json, |writer| writer.struct_field(key, json, depth));
        }
        true
    }

    /// Writes a member of the line as a member of a `Struct` at depth `depth`, which has other
    /// members of the line.
    pub fn data_member(&mut self, key: &'j str, json: &'j Json<'_>, depth: usize) -> bool {
        self.below_key(key, json, |writer| writer.struct_field(key, json, depth))
    }

    /// Writes the members of an object of the line as members of a `Struct` at depth `depth`.
    /// Returns the number of written members.
    pub fn data_object(
        &mut self,
        key: &'j str,
        json: &'j Json<'_>,
        members: &'j Object<'_>,
        depth: usize,
    ) -> usize {
        let mut held = 0;
        self.below_key(key, json, |writer| {
            for (key, json) in members {
                held += usize::from(writer.part(JsonStep::Key(key), json, |writer| {
                    writer.struct_field(key, json, depth)
                }));
            }
            true
        });
        held
    }

    fn struct_field(&mut self, key: &str, json: &'j Json<'_>, depth: usize) -> bool {
        self.nested(FIELDS, |writer| {
            wire::put_bytes_field(&mut writer.out, KEY, key.as_bytes());
            // The map entry is a message between the two.
            writer.nested(VALUE, |writer| writer.struct_value(json, depth + 2))
        })
    }

    fn struct_value(&mut self, json: &'j Json<'_>, depth: usize) -> bool {
        if depth > DEPTH_MAX {
            return false;
        }
        match json {
            Json::Null => wire::put_varint_field(&mut self.out, NULL_VALUE, 0),
            Json::Bool(value) => {
                wire::put_varint_field(&mut self.out, BOOL_VALUE, u64::from(*value))
            }
            Json::Number(text) => {
                let Some(number) = to_double(text) else { return false };
                wire::put_varint(&mut self.out, u64::from(NUMBER_VALUE << 3 | FIXED64));
                self.out.extend_from_slice(&number.to_le_bytes());
                if !is_written_so(number, text) {
                    self.differences.note(json);
                }
            }
            Json::String(text) => {
                wire::put_bytes_field(&mut self.out, STRING_VALUE, text.as_bytes())
            }
            Json::Array(_) | Json::Object(_) if depth >= DEPTH_MAX => return false,
            Json::Array(elements) => {
                return self.nested(LIST_VALUE, |writer| {
                    writer.each(elements, |writer, json| {
                        writer.nested(VALUES, |writer| writer.struct_value(json, depth + 2))
                    })
                });
            }
            Json::Object(members) => {
                return self
                    .nested(STRUCT_VALUE, |writer| writer.struct_fields(members, depth + 1));
            }
        }
        true
    }
}

/// Begins a length-delimited field; returns where its content begins.
pub fn begin_nested(out: &mut Vec<u8>, number: u32) -> usize {
    wire::put_bytes_header(out, number, 0);
    out.len()
}

/// Sets the length of a field whose content began at `start` and is complete.
pub fn end_nested(out: &mut Vec<u8>, start: usize) {
    let mut length = out.len() - start;
    if let Some(place) = out.get_mut(start - 1).filter(|_| length < 0x80) {
        *place = length as u8;
        return;
    }
    // The content is moved to make room for a longer length.
    let mut bytes = [0; wire::VARINT_BYTES_MAX];
    let mut used = 0;
    for byte in &mut bytes {
        *byte = (length & 0x7f) as u8;
        length >>= 7;
        used += 1;
        if length == 0 {
            break;
        }
        *byte |= 0x80;
    }
    out.splice(start - 1..start, bytes.into_iter().take(used));
}

/// The number as a double, unless that would be another integer.
fn to_double(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    let is_integer = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let may_differ = is_integer && number.abs() >= value::DOUBLE_INTEGER_MAX;
    (number.is_finite() && (!may_differ || is_written_so(number, text))).then_some(number)
}

/// Whether an export writes the number with this text.
fn is_written_so(number: f64, text: &str) -> bool {
    let is_short = text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_digit());
    // Below 2^53, and JSON has no leading zeros.
    is_short || value::write_double(number) == text
}
