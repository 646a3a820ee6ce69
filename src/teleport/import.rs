//! Writes a line as an encoded event, directly from its JSON by tables.

mod differences;
mod tables;
mod values;

use std::borrow::Cow;

use bytes::Bytes;

use super::id::{self, LineOrdinals};
use super::json::{Json, Object};
use super::unmapped::ABSENT;
use super::{DATA, DATA_DEPTH, Error, ImportedEvent, OWN_TYPE, by_name, key_map, shown, text};
use crate::catalog::{self, TypeId};
use crate::wire;
use tables::{LineTable, UNMAPPED};
use values::{ValueWriter, begin_nested, end_nested};

/// Numbers of the fields of `Custom`, and of an entry of a map.
const CUSTOM_NAME: u32 = 1;
const CUSTOM_DATA: u32 = 2;
const KEY: u32 = 1;
const VALUE: u32 = 2;
/// Estimated size of fields beside their values, in bytes.
const EVENT_BYTES: usize = 512;

/// Maps a line to an event, losing nothing. The id of a line that has none, or
/// one that the gateway would refuse, is made of the line and of its ordinal
/// among equal lines that `ordinals` has seen. A line whose `time` no event can have
/// becomes an event without a time.
///
/// # Errors
/// Where the line is not a JSON object with a type.
pub fn import_line(line: &str, ordinals: &mut LineOrdinals) -> Result<ImportedEvent, Error> {
    let line = Json::parse(line)?;
    let members = line.as_object().ok_or(Error::NotAnObject)?;
    let kind = LineType::of_line(members)?;
    let time_fault = time_fault(members.get(key_map::TIME));
    let own_id = members.get(key_map::ID).and_then(Json::as_str).filter(|id| id::is_id(id));
    let id = match own_id {
        Some(id) => id.to_owned(),
        None => id::of_line(&line, ordinals),
    };
    let mut writer = LineWriter::new(&kind);
    writer.members(members, time_fault.is_none(), own_id.is_some());
    if own_id.is_none() {
        writer.derived_id(members, &id);
    }
    if !members.contains_key(key_map::TIME) {
        // The gateway will append a time, which is not that of the line.
        writer.values.differences.note_key(key_map::TIME, ABSENT.to_owned());
    }
    if kind.type_id.is_custom() {
        writer.custom(members);
    }
    let encoded = Bytes::from(writer.finish());
    let unknown_type = kind.type_id.is_custom().then(|| kind.name.to_owned());
    Ok(ImportedEvent { id, encoded, unknown_type, time_fault })
}

/// Why no event can have the time of a line; `None` if it can.
fn time_fault(time: Option<&Json<'_>>) -> Option<Error> {
    let timestamp = time.and_then(Json::as_str).and_then(text::to_timestamp_noting);
    match timestamp {
        Some((timestamp, _)) if timestamp.seconds >= 0 => None,
        Some(_) => Some(Error::TimeTooEarly(shown(time))),
        None => Some(Error::Time(shown(time))),
    }
}

/// The written field of a key of the line.
struct WrittenField {
    /// The rank of the field.
    rank: u16,
    /// Its range in the writer's output.
    start: usize,
    end: usize,
}

/// The type of a line.
struct LineType<'a> {
    type_id: TypeId,
    /// Name of the event, if it is custom.
    custom_name: Cow<'a, str>,
    /// The type in the line.
    name: &'a str,
}

impl<'a> LineType<'a> {
    fn of_line(members: &'a Object<'_>) -> Result<Self, Error> {
        let name = members.get(key_map::TYPE);
        let name = name.and_then(Json::as_str).ok_or_else(|| Error::Type(shown(name)))?;
        let is_custom = members.get(OWN_TYPE).and_then(Json::as_str) == Some(catalog::CUSTOM);
        Ok(match by_name(name) {
            Some(type_id) if !is_custom => Self { type_id, custom_name: Cow::Borrowed(""), name },
            _ => {
                let type_id =
                    catalog::by_name(catalog::CUSTOM).expect("the protocol has custom events");
                Self { type_id, custom_name: custom_name(name), name }
            }
        })
    }
}

/// `name`, with underscores for characters that a custom event's name must not have.
fn custom_name(name: &str) -> Cow<'_, str> {
    if catalog::is_custom_name(name) {
        return Cow::Borrowed(name);
    }
    let mut sane: String = name
        .chars()
        .take(catalog::CUSTOM_NAME_BYTES_MAX)
        .map(|c| if catalog::is_custom_name(c.encode_utf8(&mut [0; 4])) { c } else { '_' })
        .collect();
    if sane.is_empty() {
        sane.push('_');
    }
    Cow::Owned(sane)
}

/// Writes the fields of a line, and puts them together as an event.
struct LineWriter<'k, 'j> {
    kind: &'k LineType<'j>,
    table: &'static LineTable,
    values: ValueWriter<'j>,
    parts: Vec<WrittenField>,
}

impl<'k, 'j> LineWriter<'k, 'j> {
    fn new(kind: &'k LineType<'j>) -> Self {
        let table = LineTable::of(kind.type_id);
        let mut values = ValueWriter::default();
        values.out.reserve(EVENT_BYTES);
        Self { kind, table, values, parts: Vec::with_capacity(24) }
    }

    /// Adds the output from `start` on as the part of this rank.
    fn part(&mut self, rank: u16, start: usize) {
        self.parts.push(WrittenField { rank, start, end: self.values.out.len() });
    }

    fn members(&mut self, members: &'j Object<'_>, has_time: bool, has_id: bool) {
        for (key, json) in members {
            let key: &'j str = key;
            if key == key_map::TYPE || (key == key_map::ID && !has_id) {
                continue;
            }
            let Some(entry) = self.table.entry(key) else {
                if !self.is_custom()
                    || key.starts_with(key_map::OWN_PREFIX) && key != DATA && key != OWN_TYPE
                {
                    self.values.differences.note_key(key, json.to_string());
                }
                continue;
            };
            let start = self.values.out.len();
            let is_held = match &entry.field {
                _ if key == key_map::TIME && !has_time => {
                    self.values.differences.note_key(key, json.to_string());
                    false
                }
                Some(field) => {
                    let depth = self.table.path(entry.rank).len() + 1;
                    self.values.member(field, key, json, depth)
                }
                None => {
                    // It is known at the end whether the message has fields.
                    let is_empty = json.as_object().is_some_and(|members| members.is_empty());
                    if !is_empty {
                        self.values.differences.note_key(key, json.to_string());
                    }
                    is_empty
                }
            };
            if is_held {
                self.part(entry.rank, start);
            }
        }
        self.full_groups(members);
    }

    /// An export writes the key of a message only if the message has no fields.
    fn full_groups(&mut self, members: &'j Object<'_>) {
        for (key, _) in members.range(Cow::Borrowed(key_map::OWN_PREFIX)..) {
            if !key.starts_with(key_map::OWN_PREFIX) {
                break;
            }
            let Some(entry) = self.table.entry(key).filter(|entry| entry.field.is_none()) else {
                continue;
            };
            let path = self.table.path(entry.rank);
            let is_there = self.parts.iter().any(|part| part.rank == entry.rank);
            let has_fields = self.parts.iter().any(|part| {
                part.rank != entry.rank && self.table.path(part.rank).starts_with(path)
            });
            if is_there && has_fields {
                self.values.differences.note_key(key, "{}".to_owned());
            }
        }
    }

    fn is_custom(&self) -> bool {
        self.kind.type_id.is_custom()
    }

    fn derived_id(&mut self, members: &'j Object<'_>, id: &str) {
        let start = self.values.out.len();
        wire::put_bytes_field(&mut self.values.out, 1, id.as_bytes());
        self.part(self.table.id, start);
        let text = members.get(key_map::ID).map_or_else(|| ABSENT.to_owned(), Json::to_string);
        self.values.differences.note_key(key_map::ID, text);
    }

    /// Writes the payload of a custom event.
    fn custom(&mut self, members: &'j Object<'_>) {
        let name: &str = &self.kind.custom_name;
        if name != self.kind.name {
            let text = Json::String(self.kind.name.into()).to_string();
            self.values.differences.note_key(key_map::TYPE, text);
        }
        // An export marks an event as custom if the catalog has its name.
        let says_type = by_name(name).is_some();
        match members.get(OWN_TYPE) {
            Some(Json::String(text)) if says_type && text == catalog::CUSTOM => {}
            Some(json) => self.values.differences.note_key(OWN_TYPE, json.to_string()),
            None if says_type => self.values.differences.note_key(OWN_TYPE, ABSENT.to_owned()),
            None => {}
        }
        let start = self.values.out.len();
        wire::put_bytes_field(&mut self.values.out, CUSTOM_NAME, name.as_bytes());
        let data = begin_nested(&mut self.values.out, CUSTOM_DATA);
        let (mut has_flat, mut flat) = (false, 0);
        for (key, json) in members {
            if self.is_data(key) {
                has_flat = true;
                flat += usize::from(self.values.data_member(key, json, DATA_DEPTH));
            }
        }
        let own = members.get(DATA);
        // Members that an export writes elsewhere are kept unchanged.
        let own_members =
            own.and_then(Json::as_object).filter(|own| !own.keys().any(|key| self.is_data(key)));
        let mut own_held = 0;
        if let (Some(json), Some(own)) = (own, own_members) {
            own_held = self.values.data_object(DATA, json, own, DATA_DEPTH);
        }
        let has_data = has_flat || own_members.is_some();
        if has_data {
            end_nested(&mut self.values.out, data);
        } else {
            self.values.out.truncate(start);
            wire::put_bytes_field(&mut self.values.out, CUSTOM_NAME, name.as_bytes());
        }
        let is_exported = has_data && (flat == 0 || own_held > 0);
        match own {
            Some(_) if is_exported && own_members.is_some() => {}
            Some(json) => self.values.differences.replace_key(DATA, json.to_string()),
            None if is_exported => self.values.differences.note_key(DATA, ABSENT.to_owned()),
            None => {}
        }
        self.part(self.table.payload, start);
    }

    /// Whether a key of a custom event's line is a member of its data.
    fn is_data(&self, key: &str) -> bool {
        key != key_map::TYPE
            && !key.starts_with(key_map::OWN_PREFIX)
            && self.table.entry(key).is_none()
    }

    fn finish(mut self) -> Vec<u8> {
        let start = self.values.out.len();
        let entries = self.values.differences.entries().len();
        if entries > 0 {
            for (name, text) in self.values.differences.entries() {
                let entry = begin_nested(&mut self.values.out, UNMAPPED);
                wire::put_bytes_field(&mut self.values.out, KEY, name.as_bytes());
                wire::put_bytes_field(&mut self.values.out, VALUE, text.as_bytes());
                end_nested(&mut self.values.out, entry);
            }
            self.part(self.table.unmapped, start);
        }
        if !self.is_custom() {
            let end = self.values.out.len();
            self.part(self.table.payload, end);
        }
        self.parts.sort_unstable_by_key(|part| part.rank);
        let mut event = Vec::with_capacity(self.values.out.len() + 32);
        self.level(&self.parts, 0, &mut event);
        event
    }

    /// Writes parts with the same enclosing messages down to `depth`.
    fn level(&self, parts: &[WrittenField], depth: usize, out: &mut Vec<u8>) {
        let mut rest = parts;
        while let Some(first) = rest.first() {
            let Some(number) = self.table.path(first.rank).get(depth) else {
                out.extend_from_slice(
                    self.values.out.get(first.start..first.end).unwrap_or_default(),
                );
                rest = rest.get(1..).unwrap_or_default();
                continue;
            };
            let is_within =
                |part: &WrittenField| self.table.path(part.rank).get(depth) == Some(number);
            let end = rest.iter().position(|part| !is_within(part)).unwrap_or(rest.len());
            let (within, behind) = rest.split_at(end);
            let start = begin_nested(out, *number);
            self.level(within, depth + 1, out);
            end_nested(out, start);
            rest = behind;
        }
    }
}
