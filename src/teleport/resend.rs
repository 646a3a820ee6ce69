//! Changes an imported event so that a gateway that refused it may accept it. The originals are
//! kept in `Event.unmapped`, so that an export writes the line unchanged.

use bytes::Bytes;
use prost::Message as _;

use super::json::Json;
use super::{id, key_map, text};
use crate::proto::pb;

/// Removes the time of an encoded event. Returns its id and the event; `None` if it has no time.
pub fn without_time(encoded: &Bytes) -> Option<(String, Bytes)> {
    let mut event = pb::Event::decode(encoded.clone()).ok()?;
    let time = event.time.take()?;
    // If the line spells it in another way, the spelling is noted already.
    let own = event.unmapped.entry(key_map::TIME.to_owned());
    own.or_insert_with(|| Json::String(text::of_timestamp(time).into()).to_string());
    Some((event.id.clone()?, event.encode_to_vec().into()))
}

/// Replaces the id of an encoded event by the id of its line, `#` and a number. Returns the id and
/// the event; `None` if the id is too long.
pub fn with_numbered_id(encoded: &Bytes, number: u32) -> Option<(String, Bytes)> {
    let mut event = pb::Event::decode(encoded.clone()).ok()?;
    let present = event.id.take()?;
    // The id of the line is noted if the event has another one.
    let noted = event.unmapped.get(key_map::ID);
    let own = noted.and_then(|text| Json::parse(text).ok()?.as_str().map(str::to_owned));
    let own = own.filter(|own| id::is_id(own)).unwrap_or(present);
    let numbered = format!("{own}#{number}");
    if !id::is_id(&numbered) {
        return None;
    }
    event.id = Some(numbered.clone());
    let uid = event.unmapped.entry(key_map::ID.to_owned());
    uid.or_insert_with(|| Json::String(own.into()).to_string());
    Some((numbered, event.encode_to_vec().into()))
}
