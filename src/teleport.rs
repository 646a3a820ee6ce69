//! Converts between auditgate events and the lines of Teleport's audit log: flat JSON, one
//! event a line.
//!
//! An import loses nothing. A line is mapped to the fields of an event as far as
//! they can hold it; the event is then written back, and every difference from
//! the line goes into `Event.unmapped`, so that [`export`] returns each key and
//! value as it was: keys that the schema lacks, nulls, empty lists, integers
//! above 2^53, floats and times in their spelling. The order of the keys and the
//! spelling of escapes are not kept.
//!
//! - The fields of `user`, `session`, `server`, `connection`, `outcome` and
//!   `resource`, of some messages of payloads, and the payload's own fields are
//!   all keys of the line. Where envelope and payload have the same key, it is
//!   the payload's.
//! - What Teleport has no key for stands under `auditgate.` and its path:
//!   `auditgate.source`, `auditgate.trace_id`, `auditgate.labels`, a field whose
//!   key the payload has (`auditgate.session.id`), and messages that are there
//!   but have no field (`auditgate.user`).
//! - A type that the catalog lacks becomes `custom`: the keys of the envelope are
//!   mapped as ever, the others are `custom.data`. Members of data that would be
//!   taken for something else in a line stand in `auditgate.data`.

mod id;
pub mod json;
pub mod key_map;
mod text;
pub mod unmapped;
pub mod value;

use prost_reflect::{DynamicMessage, Value};
use prost_types::{Struct, Timestamp};

use crate::catalog::{self, TypeId};
use crate::proto::pb;
use json::{Json, Object};
use key_map::KeyPlan;

pub use id::LineOrdinals;

/// Key of members of `custom.data` that cannot be keys of the line.
const DATA: &str = "auditgate.data";
/// Key of entries of `Event.unmapped` that have no place in the line.
const UNMAPPED: &str = "auditgate.unmapped";
/// Key that says that an event is custom although the catalog has its name.
const OWN_TYPE: &str = "auditgate.type";
/// Depth of the message `custom.data`: within `Custom`, within the event.
const DATA_DEPTH: usize = 3;
/// The maximum length of a value in an error, in characters.
const SHOWN_CHARS_MAX: usize = 64;

/// Why a line cannot become an event, or an event a line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The line is not JSON, or cannot be kept without loss.
    #[error(transparent)]
    Json(#[from] json::Error),
    /// The line is some other JSON value.
    #[error("not a JSON object")]
    NotAnObject,
    /// The line has no type.
    #[error("event, the type, is {0}: it must be a string")]
    Type(String),
    /// The time of the line is not valid.
    #[error("time is {0}: it must be a RFC 3339 time within the years 1 to 9999")]
    Time(String),
    /// The time of the line is before 1970.
    #[error("time is {0}, before 1970-01-01T00:00:00Z")]
    TimeTooEarly(String),
    /// The event has no payload, or one that this version does not know.
    #[error("the event has no payload that this version knows")]
    PayloadUnknown,
}

/// A line that became an event.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedEvent {
    /// The event, with an id.
    pub event: pb::Event,
    /// The type of the line, if it is not in the catalog and the event is custom.
    pub unknown_type: Option<String>,
}

/// Maps a line to an event, losing nothing. The id of a line that has none, or
/// one that the gateway would refuse, is made of the line and of its ordinal
/// among equal lines that `ordinals` has seen.
///
/// # Errors
/// Where the line is not a JSON object with a type, or has a `time` that no
/// event can have. No `time` at all is fine: the gateway's is left out again by
/// [`export`].
pub fn import_line(line: &str, ordinals: &mut LineOrdinals) -> Result<ImportedEvent, Error> {
    let Json::Object(members) = Json::parse(line)? else { return Err(Error::NotAnObject) };
    check_time(members.get(key_map::TIME))?;
    let kind = LineType::of_line(&members)?;
    let plan = KeyPlan::of(kind.type_id);

    let mut event = DynamicMessage::new(key_map::event().clone());
    for (key, json) in &members {
        let Some(entry) = plan.entry(key) else { continue };
        if let Some(value) = value::read(entry.field(), json, entry.path.len()) {
            let (message, field) = entry.place(&mut event);
            if !(entry.is_group && message.has_field(field)) {
                message.set_field(field, value);
            }
        }
    }
    let mut event: pb::Event =
        event.transcode_to().expect("a message of the event's shape decodes as an event");
    if !event.id.as_deref().is_some_and(id::is_id) {
        event.id = Some(id::of_line(line, ordinals));
    }
    set_payload(&mut event, &kind, &members);

    event.unmapped = unmapped::difference(&members, &export_object(&event)?);
    if event.time.is_none() {
        // The gateway will append one, which is not the line's.
        event.unmapped.insert(key_map::TIME.into(), unmapped::ABSENT.into());
    }
    Ok(ImportedEvent { event, unknown_type: kind.unknown_type })
}

/// Writes an event as a line: an object that displays as JSON text.
///
/// # Errors
/// Where the event has no payload, or one of a newer version of the protocol.
pub fn export(event: &pb::Event) -> Result<Json, Error> {
    Ok(Json::Object(export_object(event)?))
}

/// The type of a line.
struct LineType {
    type_id: TypeId,
    /// Name of the event, where it is custom.
    custom_name: String,
    unknown_type: Option<String>,
}

impl LineType {
    fn of_line(members: &Object) -> Result<Self, Error> {
        let name = members.get(key_map::TYPE);
        let name = name.and_then(Json::as_str).ok_or_else(|| Error::Type(shown(name)))?;
        let is_custom = members.get(OWN_TYPE).and_then(Json::as_str) == Some(catalog::CUSTOM);
        Ok(match by_name(name) {
            Some(type_id) if !is_custom => {
                Self { type_id, custom_name: String::new(), unknown_type: None }
            }
            _ => Self {
                type_id: catalog::by_name(catalog::CUSTOM).expect("the protocol has custom events"),
                custom_name: custom_name(name),
                unknown_type: Some(name.to_owned()),
            },
        })
    }
}

/// The type of this name, other than custom.
fn by_name(name: &str) -> Option<TypeId> {
    catalog::by_name(name).filter(|type_id| !type_id.is_custom())
}

/// `name`, with an underscore for what a custom event's name may not have.
fn custom_name(name: &str) -> String {
    let mut sane: String = name
        .chars()
        .take(catalog::CUSTOM_NAME_BYTES_MAX)
        .map(|c| if catalog::is_custom_name(c.encode_utf8(&mut [0; 4])) { c } else { '_' })
        .collect();
    if sane.is_empty() {
        sane.push('_');
    }
    sane
}

fn check_time(time: Option<&Json>) -> Result<(), Error> {
    let Some(time) = time else { return Ok(()) };
    let timestamp: Timestamp =
        time.as_str().and_then(text::to_timestamp).ok_or_else(|| Error::Time(shown(Some(time))))?;
    if timestamp.seconds < 0 {
        return Err(Error::TimeTooEarly(shown(Some(time))));
    }
    Ok(())
}

fn shown(json: Option<&Json>) -> String {
    match json {
        None => "missing".to_owned(),
        Some(json) => json.to_string().chars().take(SHOWN_CHARS_MAX).collect(),
    }
}

/// Sets the payload where no key of the line did.
fn set_payload(event: &mut pb::Event, kind: &LineType, members: &Object) {
    if kind.type_id.is_custom() {
        let name = Some(kind.custom_name.clone());
        let data = read_data(members, KeyPlan::of(kind.type_id));
        event.payload = Some(pb::event::Payload::Custom(pb::Custom { name, data }));
    } else if event.payload.is_none() {
        let mut empty = Vec::new();
        crate::wire::put_bytes_field(&mut empty, kind.type_id.get().number, &[]);
        prost::Message::merge(event, empty.as_slice()).expect("an empty payload decodes");
    }
}

/// What a custom event's line has beside its envelope.
fn read_data(members: &Object, plan: &KeyPlan) -> Option<Struct> {
    let own = members.get(DATA).and_then(Json::as_object);
    let rest: Object = members
        .iter()
        .filter(|(key, _)| is_data(key, plan))
        .chain(own.into_iter().flatten())
        .map(|(key, json)| (key.clone(), json.clone()))
        .collect();
    (!rest.is_empty() || own.is_some()).then(|| value::read_struct(&rest, DATA_DEPTH))
}

/// Whether a key of a custom event's line is a member of its data.
fn is_data(key: &str, plan: &KeyPlan) -> bool {
    key != key_map::TYPE && !key.starts_with(key_map::OWN_PREFIX) && plan.entry(key).is_none()
}

fn export_object(event: &pb::Event) -> Result<Object, Error> {
    let mut dynamic = DynamicMessage::new(key_map::event().clone());
    dynamic.transcode_from(event).expect("an event decodes as a message of its shape");
    let payload = event.payload.as_ref().ok_or(Error::PayloadUnknown)?;
    let type_id = catalog::type_of(payload);
    let plan = KeyPlan::of(type_id);

    let mut line = Object::new();
    for entry in plan.entries() {
        let Some(value) = entry.find(&dynamic) else { continue };
        if !entry.is_group || is_empty(value) {
            line.insert(entry.key.clone(), value::write(entry.field(), value));
        }
    }
    let name = match payload {
        pb::event::Payload::Custom(custom) => {
            write_custom(custom, plan, &mut line);
            custom.name()
        }
        _ => type_id.get().name,
    };
    line.insert(key_map::TYPE.to_owned(), Json::String(name.to_owned()));
    let left = unmapped::apply(&event.unmapped, &mut line);
    if !left.is_empty() {
        let left = left.into_iter().map(|(key, text)| (key, Json::String(text))).collect();
        line.insert(UNMAPPED.to_owned(), Json::Object(left));
    }
    Ok(line)
}

fn is_empty(group: &Value) -> bool {
    group.as_message().is_some_and(|message| message.fields().next().is_none())
}

fn write_custom(custom: &pb::Custom, plan: &KeyPlan, line: &mut Object) {
    if by_name(custom.name()).is_some() {
        line.insert(OWN_TYPE.to_owned(), Json::String(catalog::CUSTOM.to_owned()));
    }
    let Some(data) = custom.data.clone() else { return };
    let Json::Object(data) = value::write_struct(data) else { return };
    let (flat, own): (Object, Object) = data.into_iter().partition(|(key, _)| is_data(key, plan));
    if flat.is_empty() || !own.is_empty() {
        line.insert(DATA.to_owned(), Json::Object(own));
    }
    line.extend(flat);
}

#[cfg(test)]
mod tests;
