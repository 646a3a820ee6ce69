//! Changes an imported event so that a gateway that refused it may accept it. What is
//! changed stands in `Event.unmapped`, and an export writes the line as it was.

use bytes::Bytes;
use prost::Message as _;

use super::json::Json;
use super::{id, key_map, text};
use crate::proto::pb;

/// An encoded event without its time, and its id; `None` where it has none.
pub fn without_time(encoded: &Bytes) -> Option<(String, Bytes)> {
    let mut event = pb::Event::decode(encoded.clone()).ok()?;
    let time = event.time.take()?;
    // Where the line spells it in another way, that is noted already.
    let own = event.unmapped.entry(key_map::TIME.to_owned());
    own.or_insert_with(|| Json::String(text::of_timestamp(time).into()).to_string());
    Some((event.id.clone()?, event.encode_to_vec().into()))
}

/// An encoded event whose id is the one that its line has, `#` and a number, and that id;
/// `None` where that is too long for an id.
pub fn with_numbered_id(encoded: &Bytes, number: u32) -> Option<(String, Bytes)> {
    let mut event = pb::Event::decode(encoded.clone()).ok()?;
    let present = event.id.take()?;
    // What the line has is noted where the event has another id.
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
