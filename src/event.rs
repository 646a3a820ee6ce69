//! Events: validated once, on arrival, and stored as the bytes that arrived.

mod amended;
mod envelope;
mod extracted;
mod key;
mod same_content;

use std::ops::Range;

use bytes::Bytes;
use uuid::Uuid;

use crate::catalog::{self, TypeId};
use crate::proto::pb;
use crate::time::Time;
use crate::wire::{self, WireFault};
use extracted::{ExtractedFields, range_within};
use key::key_of;

pub use amended::{Amended, Reredact};
pub use envelope::{Envelope, custom_name, number as field};
pub use extracted::IndexKeys;
pub use key::{key, key_seed};
pub use same_content::{ContentDigest, content_digest, lengths_allow_equality, same_content};

/// Longest event id, in bytes.
pub const ID_BYTES_MAX: usize = 128;
/// Default of the largest encoded event, in bytes.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;
/// How far an event's time may lie ahead of the gateway's clock: a day, in
/// nanoseconds.
pub const TIME_AHEAD_MAX: i64 = 24 * 60 * 60 * 1_000_000_000;
/// Field numbers of `Event` from here on are variants of its payload.
pub const VARIANT_NUMBER_MIN: u32 = 100;

/// Why an event is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no event.
    #[error("there is no event")]
    Missing,
    /// The event is too large.
    #[error("event is {bytes} bytes, limit {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The largest size.
        limit: usize,
    },
    /// The bytes are not an encoded event.
    #[error("{} {fault}", if path.is_empty() { "event" } else { path })]
    Malformed {
        /// The field to blame, within the event; empty for the event itself.
        path: String,
        /// What is wrong with it.
        fault: WireFault,
    },
    /// No variant of the payload is set.
    #[error("event has no payload: set the variant of its type, such as user_login")]
    PayloadMissing,
    /// The variant is not in this gateway's catalog.
    #[error(
        "event has payload field {number}, which this gateway does not know: upgrade the gateway"
    )]
    PayloadUnknown {
        /// Field number of the variant.
        number: u32,
    },
    /// Several variants are set.
    #[error("event has several payloads, fields {first} and {second}: set one")]
    PayloadAmbiguous {
        /// Field number of the first variant.
        first: u32,
        /// Field number of another one.
        second: u32,
    },
    /// The name of a custom event is not a name.
    #[error(
        "custom.name is {name:?}: it must be 1 to {max} letters, digits, dots, dashes or underscores",
        max = catalog::CUSTOM_NAME_BYTES_MAX
    )]
    CustomName {
        /// The beginning of the name.
        name: String,
    },
    /// No role of the emitter allows it to emit events of this type.
    #[error("event is {type_name:?}, which you may not emit: no role allows it")]
    Forbidden {
        /// The type.
        type_name: String,
    },
    /// Events of this type are the gateway's own.
    #[error("event is {type_name:?}, which only the gateway itself emits")]
    Reserved {
        /// The type.
        type_name: String,
    },
    /// The id is too long.
    #[error("id is {bytes} bytes, limit {ID_BYTES_MAX}")]
    IdTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The time lies before 1970.
    #[error("time is before 1970-01-01T00:00:00Z")]
    TimeTooEarly,
    /// The time lies too far ahead.
    #[error("time is {time}, more than a day ahead of the gateway's {now}")]
    TimeTooLate {
        /// The event's time.
        time: String,
        /// The gateway's time.
        now: Time,
    },
    /// Redaction made the event too large.
    #[error("event is more than {limit} bytes once it is redacted, which is the limit")]
    GrownTooLarge {
        /// The largest size.
        limit: usize,
    },
}

/// An event that passed all checks, with what the gateway derives from it.
#[derive(Debug, Clone)]
pub struct Event {
    /// The encoded event: what the client sent and, behind it, the id if the
    /// gateway had to append one.
    pub bytes: Bytes,
    /// Length of what the client sent, or of what amendments left of that.
    pub client_len: usize,
    /// When it happened; `None` if the accept time is used instead.
    pub time: Option<Time>,
    /// Its type.
    pub type_id: TypeId,
    /// A number of `auditgate.v1.Severity`.
    pub severity: u8,
    /// A number of `auditgate.v1.Result`.
    pub result: u8,
    /// The index keys of its record.
    pub keys: IndexKeys,
    /// How far its time is ahead of the gateway's clock, in nanoseconds, if the record has to state
    /// it.
    pub clock_skew: Option<i64>,
    /// What was redacted or trimmed; `None` if the bytes are the client's.
    pub amended: Option<Box<Amended>>,
    id: Range<usize>,
    custom_name: Range<usize>,
}

impl Event {
    /// Checks an encoded event that arrived at `now`, and appends an id if it
    /// has none.
    ///
    /// # Errors
    /// The first reason found to refuse the event.
    pub fn check(bytes: Bytes, now: Time, bytes_max: usize) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(Error::Missing);
        }
        if bytes.len() > bytes_max {
            return Err(Error::TooLarge { bytes: bytes.len(), limit: bytes_max });
        }
        let mut extracted = ExtractedFields::default();
        wire::validate_noting(
            wire::EVENT,
            &bytes,
            ExtractedFields::WITHIN,
            |within, number, value| {
                extracted.take(within, number, value);
            },
        )
        .map_err(|wire::Error { path, fault }| Error::Malformed { path, fault })?;
        let type_id = extracted.only_variant()?;
        let custom_name =
            if type_id.is_custom() { checked_custom_name(extracted.payload)? } else { "" };
        let time = checked_time(extracted.time.map(wire::seconds_and_nanos), now)?;
        if extracted.id.len() > ID_BYTES_MAX {
            return Err(Error::IdTooLong { bytes: extracted.id.len() });
        }
        let (severity, result) = assess(type_id, &extracted);
        let mut event = Self {
            client_len: bytes.len(),
            time,
            type_id,
            severity,
            result,
            keys: extracted.keys(),
            id: range_within(&bytes, extracted.id),
            custom_name: range_within(&bytes, custom_name.as_bytes()),
            clock_skew: None,
            amended: None,
            bytes: Bytes::new(),
        };
        if extracted.id.is_empty() {
            let (with_id, id) = append_id(&bytes);
            event.bytes = with_id;
            event.id = id;
        } else {
            event.bytes = bytes;
        }
        event.keys.id = key_of(event.id_bytes());
        Ok(event)
    }

    /// The event id.
    pub fn id(&self) -> &str {
        self.text(&self.id)
    }

    /// The event id, as the bytes that it is.
    pub fn id_bytes(&self) -> &[u8] {
        self.bytes.get(self.id.clone()).expect("the range was found in these bytes")
    }

    /// Whether the gateway appended the id.
    pub fn id_was_appended(&self) -> bool {
        self.bytes.len() != self.client_len
    }

    /// The type of the record, in two parts: the catalog's and nothing, or
    /// `custom.` and the name.
    pub fn type_name(&self) -> [&str; 2] {
        if self.type_id.is_custom() {
            [catalog::CUSTOM_PREFIX, self.text(&self.custom_name)]
        } else {
            [self.type_id.get().name, ""]
        }
    }

    /// What the client sent, or what amendments left of that.
    pub fn client_bytes(&self) -> &[u8] {
        self.bytes.get(..self.client_len).expect("the client's bytes are a prefix of the event")
    }

    fn text(&self, range: &Range<usize>) -> &str {
        let bytes = self.bytes.get(range.clone()).expect("the range was found in these bytes");
        std::str::from_utf8(bytes).expect("strings of a checked event are UTF-8")
    }
}

fn checked_custom_name(payload: &[u8]) -> Result<&str, Error> {
    /// How much of a bad name an error repeats, in characters.
    const SHOWN_CHARS_MAX: usize = 64;
    let name = custom_name(payload).unwrap_or_default();
    if catalog::is_custom_name(name) {
        Ok(name)
    } else {
        Err(Error::CustomName { name: name.chars().take(SHOWN_CHARS_MAX).collect() })
    }
}

fn checked_time(time: Option<(i64, i64)>, now: Time) -> Result<Option<Time>, Error> {
    let Some((seconds, nanos)) = time else { return Ok(None) };
    if seconds < 0 {
        return Err(Error::TimeTooEarly);
    }
    match Time::from_parts(seconds, nanos) {
        Some(time) if time <= now.saturating_add(TIME_AHEAD_MAX) => Ok(Some(time)),
        // Times beyond the range of `Time` are refused here, too.
        _ => Err(Error::TimeTooLate {
            time: prost_types::Timestamp { seconds, nanos: nanos as i32 }.to_string(),
            now,
        }),
    }
}

/// Severity and result of a record: see the design of `Record`.
fn assess(type_id: TypeId, extracted: &ExtractedFields<'_>) -> (u8, u8) {
    let event_type = type_id.get();
    let code = extracted.code.and_then(|code| event_type.code(code));
    let result = match extracted.success {
        Some(true) => pb::Result::Success as i32,
        Some(false) => pb::Result::Failure as i32,
        None => code.map_or(pb::Result::Unspecified as i32, |code| code.result),
    };
    let mut severity = code.map_or(event_type.severity, |code| code.severity);
    if result == pb::Result::Failure as i32 {
        severity = severity.max(pb::Severity::Warning as i32);
    }
    (severity as u8, result as u8)
}

fn append_id(bytes: &Bytes) -> (Bytes, Range<usize>) {
    let id = Uuid::now_v7().hyphenated().to_string();
    let mut with_id = Vec::with_capacity(bytes.len() + id.len() + 2);
    with_id.extend_from_slice(bytes);
    wire::put_bytes_field(&mut with_id, field::ID, id.as_bytes());
    let end = with_id.len();
    (with_id.into(), end - id.len()..end)
}

/// The encoding of the time that the gateway appends to an event without one.
pub fn encode_time(time: Time, out: &mut Vec<u8>) {
    let mut encoded = Vec::with_capacity(16);
    prost::Message::encode(&time.timestamp(), &mut encoded).expect("a vector grows as needed");
    wire::put_bytes_field(out, field::TIME, &encoded);
}

#[cfg(test)]
mod tests;
