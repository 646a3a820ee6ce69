//! Drafts: records on their way into the log, and their frames.

use prost::Message as _;

use super::{Columns, Sequence, key, key_of, number};
use crate::event::{self, Envelope, Event};
use crate::proto::pb;
use crate::time::Time;
use crate::wire;

/// An event that is ready to become a record: all but its place in the log.
#[derive(Debug, Clone)]
pub struct Draft {
    event: Event,
    principal: String,
    /// Fields 3 to 6 of the record, encoded.
    middle: Vec<u8>,
    columns: Columns,
}

impl Draft {
    /// Prepares the record of an event that `emitter` handed in.
    pub fn new(event: Event, emitter: &pb::Emitter) -> Self {
        let type_name = event.type_name();
        let mut middle = Vec::with_capacity(64);
        wire::put_bytes_header(&mut middle, number::EMITTER, emitter.encoded_len());
        emitter.encode(&mut middle).expect("a vector grows as needed");
        wire::put_bytes_field(&mut middle, number::TYPE, type_name.as_bytes());
        wire::put_varint_field(&mut middle, number::SEVERITY, u64::from(event.severity));
        if event.result != 0 {
            wire::put_varint_field(&mut middle, number::RESULT, u64::from(event.result));
        }
        let envelope = Envelope::read(&event.bytes);
        let columns = Columns {
            time: event.time.unwrap_or_default(),
            id: key(event.id()),
            user: key_of(envelope.user),
            impersonator: key_of(envelope.impersonator),
            session: key_of(envelope.session_id),
            server: key_of(envelope.server_id),
            type_id: event.type_id,
            severity: event.severity,
            result: event.result,
        };
        Self { principal: emitter.principal.clone(), event, middle, columns }
    }

    /// The event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The authenticated principal of the emitter; empty without one.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// Key of the event id.
    pub fn id_key(&self) -> u32 {
        self.columns.id
    }

    /// The most bytes that [`Draft::frame`] may add to the event.
    pub fn frame_len_max(&self) -> usize {
        /// Keys, lengths, sequence, two times and `client_bytes`, generously.
        const REST_BYTES_MAX: usize = 96;
        self.event.bytes.len() + self.middle.len() + REST_BYTES_MAX
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
        let mut tail = Vec::new();
        let mut columns = self.columns;
        if self.event.time.is_none() {
            event::encode_time(accept_time, &mut tail);
            columns.time = accept_time;
        }
        let event_len = self.event.bytes.len() + tail.len();

        head.clear();
        wire::put_varint_field(head, number::SEQUENCE, sequence.0);
        let accept_time = accept_time.timestamp();
        wire::put_bytes_header(head, number::ACCEPT_TIME, accept_time.encoded_len());
        accept_time.encode(head).expect("a vector grows as needed");
        head.extend_from_slice(&self.middle);
        if event_len != self.event.client_len {
            wire::put_varint_field(head, number::CLIENT_BYTES, self.event.client_len as u64);
        }
        wire::put_bytes_header(head, number::EVENT, event_len);

        let mut prefix = [0_u8; 1 + wire::VARINT_BYTES_MAX];
        write(frame_prefix(head.len() + event_len, &mut prefix));
        write(head);
        write(&self.event.bytes);
        write(&tail);
        columns
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
