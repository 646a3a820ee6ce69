//! Converts between auditgate events and the lines of Teleport's audit log: flat JSON, one
//! event a line.
//!
//! An import loses nothing. A line is mapped to the fields of an event as far as
//! they can hold it; every difference between what [`export`] writes of them and the line goes
//! into `Event.unmapped`, so that an export returns each key and
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
mod import;
pub mod json;
pub mod key_map;
mod resend;
mod text;
pub mod unmapped;
pub mod value;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, Value};

use crate::catalog::{self, TypeId};
use crate::proto::pb;
use json::{Json, Object};
use key_map::KeyPlan;

pub use id::LineOrdinals;
pub use import::import_line;
pub use resend::{with_numbered_id, without_time};

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
#[derive(Debug)]
pub struct ImportedEvent {
    /// The event's id.
    pub id: String,
    /// The event, encoded.
    pub encoded: Bytes,
    /// The type of the line, if it is not in the catalog and the event is custom.
    pub unknown_type: Option<String>,
    /// Why the event has no time: the line's is missing, or no event can have it. It stands in
    /// `Event.unmapped`.
    pub time_fault: Option<Error>,
}

impl ImportedEvent {
    /// The event.
    ///
    /// # Panics
    /// Never: it was encoded as an event.
    pub fn event(&self) -> pb::Event {
        pb::Event::decode(self.encoded.clone()).expect("it was encoded as an event")
    }
}

/// Writes an event as a line: an object that displays as JSON text.
///
/// # Errors
/// Where the event has no payload, or one of a newer version of the protocol.
pub fn export(event: &pb::Event) -> Result<Json<'static>, Error> {
    Ok(Json::Object(export_object(event)?))
}

/// The type of this name, other than custom.
fn by_name(name: &str) -> Option<TypeId> {
    catalog::by_name(name).filter(|type_id| !type_id.is_custom())
}

fn shown(json: Option<&Json<'_>>) -> String {
    match json {
        None => "missing".to_owned(),
        Some(json) => json.to_string().chars().take(SHOWN_CHARS_MAX).collect(),
    }
}

/// Whether a key of a custom event's line belongs to `custom.data`.
fn is_data(key: &str, plan: &KeyPlan) -> bool {
    key != key_map::TYPE && !key.starts_with(key_map::OWN_PREFIX) && plan.entry(key).is_none()
}

fn export_object(event: &pb::Event) -> Result<Object<'static>, Error> {
    let mut dynamic = DynamicMessage::new(key_map::event().clone());
    dynamic.transcode_from(event).expect("an event decodes as a message of its shape");
    let payload = event.payload.as_ref().ok_or(Error::PayloadUnknown)?;
    let type_id = catalog::type_of(payload);
    let plan = KeyPlan::of(type_id);

    let mut line = Object::new();
    for entry in plan.entries() {
        let Some(value) = entry.find(&dynamic) else { continue };
        if !entry.is_group || is_empty(value) {
            line.insert(entry.key.as_str().into(), value::write(entry.field(), value));
        }
    }
    let name = match payload {
        pb::event::Payload::Custom(custom) => {
            write_custom(custom, plan, &mut line);
            custom.name()
        }
        _ => type_id.get().name,
    };
    line.insert(key_map::TYPE.into(), Json::String(name.to_owned().into()));
    let left = unmapped::apply(&event.unmapped, &mut line);
    if !left.is_empty() {
        let left = left.into_iter().map(|(key, text)| (key.into(), Json::String(text.into())));
        line.insert(UNMAPPED.into(), Json::Object(left.collect()));
    }
    Ok(line)
}

fn is_empty(group: &Value) -> bool {
    group.as_message().is_some_and(|message| message.fields().next().is_none())
}

fn write_custom(custom: &pb::Custom, plan: &KeyPlan, line: &mut Object<'static>) {
    if by_name(custom.name()).is_some() {
        line.insert(OWN_TYPE.into(), Json::String(catalog::CUSTOM.into()));
    }
    let Some(data) = custom.data.clone() else { return };
    let Json::Object(data) = value::write_struct(data) else { return };
    let (flat, own): (Object<'_>, Object<'_>) =
        data.into_iter().partition(|(key, _)| is_data(key, plan));
    if flat.is_empty() || !own.is_empty() {
        line.insert(DATA.into(), Json::Object(own));
    }
    line.extend(flat);
}

#[cfg(test)]
mod tests;
