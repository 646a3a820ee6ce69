//! Records: accepted events with what the gateway adds, encoded once.

mod acceptance;
mod draft;
mod filter_view;

use prost::Message as _;

use crate::catalog::TypeId;
use crate::event::{self, Envelope};
use crate::proto::pb;
use crate::time::Time;
use crate::wire::{self, WireValue};

pub use crate::event::key;
pub use acceptance::Acceptance;
pub use draft::{Draft, EmitterIdentity, FrameScratch, UnplacedRecord};
pub use filter_view::FilterView;

/// Position of a record in its log. The first record is 1.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The position before the first record.
    pub const ZERO: Sequence = Sequence(0);
    /// The first record's.
    pub const FIRST: Sequence = Sequence(1);

    /// The position after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The position before this one; zero has none before it.
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl std::fmt::Display for Sequence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Name under which the gateway emits events of its own. No client has it.
pub const GATEWAY_PRINCIPAL: &str = "auditgate";

/// Field numbers of `Record`, and of `records` in the responses.
mod number {
    pub const SEQUENCE: u32 = 1;
    pub const ACCEPT_TIME: u32 = 2;
    pub const EMITTER: u32 = 3;
    pub const TYPE: u32 = 4;
    pub const SEVERITY: u32 = 5;
    pub const RESULT: u32 = 6;
    pub const CLIENT_BYTES: u32 = 7;
    pub const AMENDMENTS: u32 = 8;
    pub const CLOCK_SKEW: u32 = 9;
    pub const ACCEPT_TIME_RAISED: u32 = 10;
    pub const EVENT: u32 = 15;
    pub const EMITTER_PRINCIPAL: u32 = 1;
    /// The field of `SubscribeResponse` and of `SearchResponse` that holds the
    /// records: stored frames begin with its key.
    pub const RECORDS: u32 = 1;
}

/// The values that the columns keep of a record, of a fixed size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordColumns {
    /// When it happened.
    pub time: Time,
    /// [`key`] of the event id.
    pub id: u32,
    /// [`key`] of `event.user.name`; 0 if absent.
    pub user: u32,
    /// [`key`] of `event.user.impersonator`; 0 if absent.
    pub impersonator: u32,
    /// [`key`] of `event.session.id`; 0 if absent.
    pub session: u32,
    /// [`key`] of `event.server.id`; 0 if absent.
    pub server: u32,
    /// Its type.
    pub type_id: TypeId,
    /// A number of `auditgate.v1.Severity`.
    pub severity: u8,
    /// A number of `auditgate.v1.Result`.
    pub result: u8,
}

impl RecordColumns {
    /// Only the columns that do not come from the event: type, severity and result.
    pub fn of_group(record: &Record<'_>) -> Self {
        Self {
            time: Time::EPOCH,
            id: 0,
            user: 0,
            impersonator: 0,
            session: 0,
            server: 0,
            type_id: TypeId::of(record.type_name),
            severity: record.severity,
            result: record.result,
        }
    }

    /// The columns of an encoded record.
    pub fn of(record: &Record<'_>) -> Self {
        let key = |text: Option<&str>| text.map_or(0, event::key);
        let envelope = record.envelope();
        let time = envelope.time.and_then(|(seconds, nanos)| Time::from_parts(seconds, nanos));
        Self {
            time: time.unwrap_or(record.accept_time),
            id: key(envelope.id),
            user: key(envelope.user),
            impersonator: key(envelope.impersonator),
            session: key(envelope.session_id),
            server: key(envelope.server_id),
            type_id: TypeId::of(record.type_name),
            severity: record.severity,
            result: record.result,
        }
    }
}

/// An encoded record, read in place.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// All of it, encoded.
    pub bytes: &'a [u8],
    /// Its position in the log.
    pub sequence: Sequence,
    /// When it was accepted.
    pub accept_time: Time,
    /// `emitter`, encoded.
    pub emitter: &'a [u8],
    /// Its type: the catalog's, or `custom.NAME`.
    pub type_name: &'a str,
    /// A number of `auditgate.v1.Severity`.
    pub severity: u8,
    /// A number of `auditgate.v1.Result`.
    pub result: u8,
    /// Length of what the client sent of the event, or of what amendments left of that.
    pub client_len: usize,
    /// The event, encoded.
    pub event: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a record that a gateway encoded.
    pub fn read(bytes: &'a [u8]) -> Self {
        let mut record = Self {
            bytes,
            sequence: Sequence::ZERO,
            accept_time: Time::EPOCH,
            emitter: &[],
            type_name: "",
            severity: 0,
            result: 0,
            client_len: usize::MAX,
            event: &[],
        };
        for (number, value) in wire::trusted(bytes) {
            match (number, value) {
                (number::SEQUENCE, WireValue::Varint(sequence)) => {
                    record.sequence = Sequence(sequence)
                }
                (number::ACCEPT_TIME, WireValue::Bytes(time)) => {
                    let (seconds, nanos) = wire::seconds_and_nanos(time);
                    record.accept_time = Time::from_parts(seconds, nanos).unwrap_or_default();
                }
                (number::EMITTER, WireValue::Bytes(emitter)) => record.emitter = emitter,
                (number::TYPE, value) => record.type_name = value.text().unwrap_or_default(),
                (number::SEVERITY, WireValue::Varint(severity)) => record.severity = severity as u8,
                (number::RESULT, WireValue::Varint(result)) => record.result = result as u8,
                (number::CLIENT_BYTES, WireValue::Varint(length)) => {
                    record.client_len = length as usize
                }
                (number::EVENT, WireValue::Bytes(event)) => record.event = event,
                _ => {}
            }
        }
        record.client_len = record.client_len.min(record.event.len());
        record
    }

    /// Reads a record off its frame, which may be followed by others.
    pub fn read_frame(frame: &'a [u8]) -> Self {
        Self::read(unframed(frame))
    }

    /// When the record of a frame was accepted: reads no further than that.
    pub fn accept_time_of(frame: &[u8]) -> Time {
        let mut fields = wire::trusted(unframed(frame));
        let time = fields.find_map(|field| match field {
            (number::ACCEPT_TIME, WireValue::Bytes(time)) => Some(wire::seconds_and_nanos(time)),
            _ => None,
        });
        time.and_then(|(seconds, nanos)| Time::from_parts(seconds, nanos)).unwrap_or_default()
    }

    /// What the client sent of the event, or what amendments left of that.
    pub fn client_bytes(&self) -> &'a [u8] {
        self.event.get(..self.client_len).unwrap_or(self.event)
    }

    /// Whether the event has this id. Reads at most `fields_max` fields; `None` if the id is not
    /// among them.
    pub fn has_id(&self, id: &[u8], fields_max: usize) -> Option<bool> {
        let mut fields = wire::fields(self.event);
        let mut has = false;
        for _ in 0..fields_max {
            match fields.next() {
                Some(Ok((event::field::ID, value))) => has = value.bytes() == Some(id),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Some(has),
            }
        }
        None
    }

    /// The authenticated principal of the emitter; empty without one.
    pub fn principal(&self) -> &'a str {
        principal_of(self.emitter)
    }

    /// What the gateway changed in the event.
    pub fn amendments(&self) -> impl Iterator<Item = pb::Amendment> + use<'a> {
        wire::trusted(self.bytes)
            .filter(|(number, _)| *number == number::AMENDMENTS)
            .filter_map(|(_, value)| pb::Amendment::decode(value.bytes()?).ok())
    }

    /// How far the event's time was ahead of the gateway's clock, in nanoseconds; `None` if the
    /// record does not state it.
    pub fn clock_skew(&self) -> Option<i128> {
        self.duration(number::CLOCK_SKEW)
    }

    /// By how much `accept_time` was raised above the gateway's clock, in nanoseconds; `None` if
    /// the record does not state it.
    pub fn accept_time_raised(&self) -> Option<i128> {
        self.duration(number::ACCEPT_TIME_RAISED)
    }

    /// The last field of this number, which holds a duration, in nanoseconds.
    fn duration(&self, number: u32) -> Option<i128> {
        let fields = wire::trusted(self.bytes).filter(|(found, _)| *found == number);
        let (seconds, nanos) = wire::seconds_and_nanos(fields.last()?.1.bytes()?);
        Some(i128::from(seconds) * 1_000_000_000 + i128::from(nanos))
    }

    /// The fields of the event's envelope.
    pub fn envelope(&self) -> Envelope<'a> {
        Envelope::read(self.event)
    }
}

/// The principal in a prefix of a frame; `None` if the prefix is too short.
pub fn principal_at(frame: &[u8]) -> Option<&str> {
    let mut rest = frame;
    wire::read_varint(&mut rest).ok()?;
    wire::read_varint(&mut rest).ok()?;
    let emitter = wire::trusted(rest).find(|(number, _)| {
        !matches!(*number, number::SEQUENCE | number::ACCEPT_TIME | number::ACCEPT_TIME_RAISED)
    })?;
    match emitter {
        (number::EMITTER, WireValue::Bytes(emitter)) => Some(principal_of(emitter)),
        _ => None,
    }
}

/// The authenticated principal of an encoded emitter; empty without one.
fn principal_of(emitter: &[u8]) -> &str {
    wire::trusted(emitter)
        .filter(|(number, _)| *number == number::EMITTER_PRINCIPAL)
        .filter_map(|(_, value)| value.text())
        .last()
        .unwrap_or_default()
}

/// The records of an encoded response, which are its field 1.
pub fn in_response(response: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let records = wire::trusted(response).filter(|(number, _)| *number == number::RECORDS);
    records.filter_map(|(_, value)| value.bytes()).map(Record::read)
}

/// The record within a frame.
pub fn unframed(frame: &[u8]) -> &[u8] {
    wire::trusted(frame).next().and_then(|(_, value)| value.bytes()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
