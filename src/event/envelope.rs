//! Reads the fields of the envelope that the gateway needs from the encoded event.

use crate::event::VARIANT_NUMBER_MIN;
use crate::wire::{self, WireValue};

/// Field numbers of the envelope.
#[allow(missing_docs, reason = "each is the number of the field of its name")]
pub mod number {
    pub const ID: u32 = 1;
    pub const TIME: u32 = 2;
    pub const CODE: u32 = 3;
    pub const CLUSTER_NAME: u32 = 4;
    pub const USER: u32 = 6;
    pub const SESSION: u32 = 7;
    pub const SERVER: u32 = 8;
    pub const CONNECTION: u32 = 9;
    pub const OUTCOME: u32 = 10;
    pub const SOURCE: u32 = 12;
    pub const LABELS: u32 = 14;
    pub const UNMAPPED: u32 = 15;
    pub const CUSTOM: u32 = 100;
    pub const USER_NAME: u32 = 1;
    pub const USER_IMPERSONATOR: u32 = 3;
    pub const SESSION_ID: u32 = 1;
    pub const SERVER_ID: u32 = 2;
    pub const CONNECTION_REMOTE_ADDRESS: u32 = 2;
    pub const OUTCOME_SUCCESS: u32 = 1;
    pub const SOURCE_NAME: u32 = 1;
    pub const MAP_KEY: u32 = 1;
    pub const MAP_VALUE: u32 = 2;
    pub const CUSTOM_NAME: u32 = 1;
}

/// The fields of an event that filters, indexes and checks look at. Absent and
/// empty differ.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// `event.id`.
    pub id: Option<&'a str>,
    /// `event.time`, as seconds and nanoseconds.
    pub time: Option<(i64, i64)>,
    /// `event.code`.
    pub code: Option<&'a str>,
    /// `event.cluster_name`.
    pub cluster_name: Option<&'a str>,
    /// `event.user.name`.
    pub user: Option<&'a str>,
    /// `event.user.impersonator`.
    pub impersonator: Option<&'a str>,
    /// `event.session.id`.
    pub session_id: Option<&'a str>,
    /// `event.server.id`.
    pub server_id: Option<&'a str>,
    /// `event.connection.remote_address`.
    pub remote_address: Option<&'a str>,
    /// `event.outcome.success`.
    pub success: Option<bool>,
    /// `event.source.name`.
    pub source: Option<&'a str>,
    /// Field number and bytes of the payload.
    pub payload: Option<(u32, &'a [u8])>,
}

impl<'a> Envelope<'a> {
    /// Reads the envelope of a validated event. As everywhere in protobuf, the
    /// last of several values counts, and parts of one message are merged.
    pub fn read(event: &'a [u8]) -> Self {
        let mut found = Self::default();
        for (number, value) in wire::trusted(event) {
            let WireValue::Bytes(bytes) = value else { continue };
            match number {
                number::ID => found.id = value.text(),
                number::TIME => {
                    let (seconds, nanos) = wire::seconds_and_nanos(bytes);
                    found.time = Some((seconds, nanos));
                }
                number::CODE => found.code = value.text(),
                number::CLUSTER_NAME => found.cluster_name = value.text(),
                number::USER => found.read_user(bytes),
                number::SESSION => set_text(&mut found.session_id, bytes, number::SESSION_ID),
                number::SERVER => set_text(&mut found.server_id, bytes, number::SERVER_ID),
                number::CONNECTION => {
                    set_text(&mut found.remote_address, bytes, number::CONNECTION_REMOTE_ADDRESS);
                }
                number::OUTCOME => found.read_outcome(bytes),
                number::SOURCE => set_text(&mut found.source, bytes, number::SOURCE_NAME),
                number if number >= VARIANT_NUMBER_MIN => found.payload = Some((number, bytes)),
                _ => {}
            }
        }
        found
    }

    fn read_user(&mut self, user: &'a [u8]) {
        for (number, value) in wire::trusted(user) {
            match number {
                number::USER_NAME => self.user = value.text(),
                number::USER_IMPERSONATOR => self.impersonator = value.text(),
                _ => {}
            }
        }
    }

    fn read_outcome(&mut self, outcome: &[u8]) {
        for (number, value) in wire::trusted(outcome) {
            if let (number::OUTCOME_SUCCESS, WireValue::Varint(success)) = (number, value) {
                self.success = Some(success != 0);
            }
        }
    }
}

/// The name in the payload of a custom event.
pub fn custom_name(payload: &[u8]) -> Option<&str> {
    let mut found = None;
    set_text(&mut found, payload, number::CUSTOM_NAME);
    found
}

fn set_text<'a>(found: &mut Option<&'a str>, message: &'a [u8], wanted: u32) {
    for (number, value) in wire::trusted(message) {
        if number == wanted {
            *found = value.text();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::EVENT;

    /// The numbers above are the schema's.
    #[test]
    fn numbers_follow_the_schema() {
        let paths: &[(&[(&str, u32)], &str)] = &[
            (&[("id", number::ID)], "string"),
            (&[("time", number::TIME)], "message"),
            (&[("code", number::CODE)], "string"),
            (&[("cluster_name", number::CLUSTER_NAME)], "string"),
            (&[("user", number::USER), ("name", number::USER_NAME)], "string"),
            (&[("user", number::USER), ("impersonator", number::USER_IMPERSONATOR)], "string"),
            (&[("session", number::SESSION), ("id", number::SESSION_ID)], "string"),
            (&[("server", number::SERVER), ("id", number::SERVER_ID)], "string"),
            (
                &[
                    ("connection", number::CONNECTION),
                    ("remote_address", number::CONNECTION_REMOTE_ADDRESS),
                ],
                "string",
            ),
            (&[("outcome", number::OUTCOME), ("success", number::OUTCOME_SUCCESS)], "bool"),
            (&[("source", number::SOURCE), ("name", number::SOURCE_NAME)], "string"),
            (&[("labels", number::LABELS), ("key", number::MAP_KEY)], "string"),
            (&[("labels", number::LABELS), ("value", number::MAP_VALUE)], "string"),
            (&[("unmapped", number::UNMAPPED), ("key", number::MAP_KEY)], "string"),
            (&[("custom", number::CUSTOM), ("name", number::CUSTOM_NAME)], "string"),
        ];
        for (path, kind) in paths {
            let mut message = EVENT;
            let mut found = None;
            for (name, number) in *path {
                let field = message.get().field_by_name(name).expect(name);
                assert_eq!(field.number, *number, "{path:?}");
                if let crate::wire::FieldKind::Message(inner) = field.kind {
                    message = inner;
                }
                found = Some(field.kind);
            }
            let shown = match found {
                Some(crate::wire::FieldKind::String) => "string",
                Some(crate::wire::FieldKind::Bool) => "bool",
                _ => "message",
            };
            assert_eq!(shown, *kind, "{path:?}");
        }
    }
}
