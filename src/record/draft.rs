//! Drafts: records on their way into the log, and their frames.

use std::sync::Arc;

use prost::Message as _;

use super::{Columns, Sequence, number};
use crate::event::{self, Event};
use crate::proto::pb;
use crate::time::Time;
use crate::wire;

/// Who hands events in. Encoded once, for all records of a call; clones share it.
#[derive(Debug, Clone)]
pub struct Emitter(Arc<EncodedEmitter>);

#[derive(Debug)]
struct EncodedEmitter {
    principal: String,
    /// The field `emitter` of the record, with key and length.
    field: Vec<u8>,
}

impl From<pb::Emitter> for Emitter {
    fn from(emitter: pb::Emitter) -> Self {
        let mut field = Vec::new();
        wire::put_bytes_field(&mut field, number::EMITTER, &emitter.encode_to_vec());
        Self(Arc::new(EncodedEmitter { principal: emitter.principal, field }))
    }
}

/// An event that is ready to become a record: all but its place in the log.
#[derive(Debug, Clone)]
pub struct Draft {
    event: Event,
    emitter: Emitter,
}

impl Draft {
    /// Prepares the record of an event that `emitter` handed in.
    pub fn new(event: Event, emitter: &Emitter) -> Self {
        Self { event, emitter: emitter.clone() }
    }

    /// The event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The authenticated principal of the emitter; empty without one.
    pub fn principal(&self) -> &str {
        &self.emitter.0.principal
    }

    /// Key of the event id.
    pub fn id_key(&self) -> u32 {
        self.event.keys.id
    }

    /// Whether both are the same to the log: the same principal and event id.
    pub fn is_same(&self, other: &Draft) -> bool {
        self.event.id_bytes() == other.event.id_bytes() && self.principal() == other.principal()
    }

    /// The most bytes that [`Draft::frame`] may add to the event.
    pub fn frame_len_max(&self) -> usize {
        /// Keys, lengths, sequence, two times, severity, result and
        /// `client_bytes`, generously.
        const REST_BYTES_MAX: usize = 104;
        let [type_start, type_end] = self.event.type_name().map(str::len);
        self.event.bytes.len() + self.emitter.0.field.len() + type_start + type_end + REST_BYTES_MAX
    }

    /// Encodes the record as a frame: key of `records`, length, record. `head`
    /// is scratch space; the frame is handed to `write` in parts. Returns what
    /// the index keeps.
    pub fn frame(
        &self,
        sequence: Sequence,
        accept_time: Time,
        head: &mut Vec<u8>,
        mut write: impl FnMut(&[u8]),
    ) -> Columns {
        let event = &self.event;
        let mut tail = Vec::new();
        if event.time.is_none() {
            event::encode_time(accept_time, &mut tail);
        }
        let event_len = event.bytes.len() + tail.len();
        let [type_start, type_end] = event.type_name();

        head.clear();
        wire::put_varint_field(head, number::SEQUENCE, sequence.0);
        let timestamp = accept_time.timestamp();
        wire::put_bytes_header(head, number::ACCEPT_TIME, timestamp.encoded_len());
        timestamp.encode(head).expect("a vector grows as needed");
        head.extend_from_slice(&self.emitter.0.field);
        wire::put_bytes_header(head, number::TYPE, type_start.len() + type_end.len());
        head.extend_from_slice(type_start.as_bytes());
        head.extend_from_slice(type_end.as_bytes());
        wire::put_varint_field(head, number::SEVERITY, u64::from(event.severity));
        if event.result != 0 {
            wire::put_varint_field(head, number::RESULT, u64::from(event.result));
        }
        if event_len != event.client_len {
            wire::put_varint_field(head, number::CLIENT_BYTES, event.client_len as u64);
        }
        wire::put_bytes_header(head, number::EVENT, event_len);

        let mut prefix = [0_u8; 1 + wire::VARINT_BYTES_MAX];
        write(frame_prefix(head.len() + event_len, &mut prefix));
        write(head);
        write(&event.bytes);
        write(&tail);
        Columns {
            time: event.time.unwrap_or(accept_time),
            id: event.keys.id,
            user: event.keys.user,
            impersonator: event.keys.impersonator,
            session: event.keys.session,
            server: event.keys.server,
            type_id: event.type_id,
            severity: event.severity,
            result: event.result,
        }
    }
}

/// Key and length of a frame.
fn frame_prefix(record_len: usize, out: &mut [u8; 1 + wire::VARINT_BYTES_MAX]) -> &[u8] {
    let mut length = record_len as u64;
    let mut used = 0;
    let mut put = |byte: u8| {
        if let Some(place) = out.get_mut(used) {
            *place = byte;
        }
        used += 1;
    };
    put((number::RECORDS << 3) as u8 | 2);
    while length >= 0x80 {
        put((length as u8 & 0x7f) | 0x80);
        length >>= 7;
    }
    put(length as u8);
    out.get(..used).expect("a key and a varint fit")
}
