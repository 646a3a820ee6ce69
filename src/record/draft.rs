//! Drafts: validated events that become records, and their frames.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;

use super::{Acceptance, Record, RecordColumns, Sequence, number};
use crate::event::{self, Event};
use crate::proto::pb;
use crate::time::{NANOS_PER_SECOND, Time};
use crate::wire;

/// The identity of an emitter, encoded once for all records of a call; clones share it.
#[derive(Debug, Clone)]
pub struct EmitterIdentity(Arc<EncodedEmitter>);

impl EmitterIdentity {
    /// The authenticated principal; empty without one.
    pub fn principal(&self) -> &str {
        &self.0.principal
    }
}

#[derive(Debug)]
struct EncodedEmitter {
    principal: String,
    /// The field `emitter` of the record, with key and length.
    field: Vec<u8>,
}

impl From<pb::Emitter> for EmitterIdentity {
    fn from(emitter: pb::Emitter) -> Self {
        let mut field = Vec::new();
        wire::put_bytes_field(&mut field, number::EMITTER, &emitter.encode_to_vec());
        Self(Arc::new(EncodedEmitter { principal: emitter.principal, field }))
    }
}

/// An event that is ready to become a record: only its position in the log is missing.
#[derive(Debug, Clone)]
pub struct Draft {
    event: Event,
    emitter: EmitterIdentity,
    /// The fields `amendments` and `clock_skew` of the record, encoded; nearly always
    /// empty.
    notes: Vec<u8>,
}

/// A record without its position in the log, as a shared log sends it to other gateways.
#[derive(Debug, Clone, Copy)]
pub struct UnplacedRecord<'a> {
    /// The fields of the record between its position and the event.
    pub head: &'a [u8],
    /// The event.
    pub event: &'a [u8],
    /// Whether the event has no time, so that it gets the clock's.
    pub is_untimed: bool,
}

/// Scratch space for frames. It caches the fields that records accepted at the same time have in
/// common.
#[derive(Debug, Default)]
pub struct FrameScratch {
    head: Vec<u8>,
    /// When the last records were accepted.
    accepted: Option<Acceptance>,
    /// The encoded fields `accept_time` and `accept_time_raised` for that time.
    accept_time: Vec<u8>,
}

impl FrameScratch {
    /// Returns an empty head and the encoded fields of the accept time.
    fn begin(&mut self, accepted: Acceptance) -> (&mut Vec<u8>, &[u8]) {
        if self.accepted != Some(accepted) {
            let fields = &mut self.accept_time;
            fields.clear();
            wire::put_timestamp_field(fields, number::ACCEPT_TIME, accepted.time);
            if let Some(raised) = accepted.raised() {
                let raised = raised.encode_to_vec();
                wire::put_bytes_field(fields, number::ACCEPT_TIME_RAISED, &raised);
            }
            self.accepted = Some(accepted);
        }
        self.head.clear();
        (&mut self.head, &self.accept_time)
    }
}

impl Draft {
    /// Prepares the record of an event of `emitter`.
    pub fn new(event: Event, emitter: &EmitterIdentity) -> Self {
        let notes = notes(&event);
        Self { event, emitter: emitter.clone(), notes }
    }

    /// The event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The authenticated principal of the emitter; empty without one.
    pub fn principal(&self) -> &str {
        self.emitter.principal()
    }

    /// Key of the event id.
    pub fn id_key(&self) -> u32 {
        self.event.keys.id
    }

    /// Whether both are the same to the log: the same principal and event id.
    pub fn is_same(&self, other: &Draft) -> bool {
        self.event.id_bytes() == other.event.id_bytes() && self.principal() == other.principal()
    }

    /// The changes that the gateway made to the event, as in its record.
    pub fn amendments(&self) -> &[pb::Amendment] {
        self.event.amended.as_ref().map_or(&[], |amended| &amended.amendments)
    }

    /// The encoded content, for comparison with others.
    pub fn content(&self) -> Bytes {
        self.event.bytes.slice(..self.event.client_len)
    }

    /// Whether another draft is the same byte for byte.
    pub fn repeats_draft_exactly(&self, other: &Draft) -> bool {
        self.event.client_bytes() == other.event.client_bytes() && self.is_cut_like_draft(other)
    }

    /// Whether a record has the same content, byte for byte, which is quick to check.
    pub fn repeats_exactly(&self, kept: &Record<'_>) -> bool {
        self.event.client_bytes() == kept.client_bytes()
            && self.is_cut_like(&kept.amendments().collect::<Vec<_>>())
    }

    /// Whether the same texts were cut in a record with these amendments. The kept part of a cut
    /// text is not enough to compare.
    pub fn is_cut_like(&self, kept: &[pb::Amendment]) -> bool {
        cuts(self.amendments()).eq(cuts(kept))
    }

    /// Like [`Draft::is_cut_like`], for another draft.
    pub fn is_cut_like_draft(&self, other: &Draft) -> bool {
        cuts(self.amendments()).eq(cuts(other.amendments()))
    }

    /// The content, redacted again with the key of a record with these amendments; `None` if that
    /// would change nothing, or the key is unknown.
    pub fn redacted_like(&self, kept: &[pb::Amendment]) -> Option<Vec<u8>> {
        let again = self.event.amended.as_ref()?.again.as_ref()?;
        let kept = key_id(kept)?;
        if key_id(self.amendments()) == Some(kept) { None } else { again.with_key(kept) }
    }

    /// Whether the record with these columns may be that of this draft: its event has the same id,
    /// time, type, user, session and server, by their keys. Only these are known of a record whose
    /// bytes are lost.
    pub fn has_columns(&self, kept: &RecordColumns) -> bool {
        let own = self.columns(kept.time);
        // Severity and result also depend on the catalog, and so may change with it.
        own == RecordColumns { severity: own.severity, result: own.result, ..*kept }
    }

    /// The columns of the record.
    fn columns(&self, clock: Time) -> RecordColumns {
        let event = &self.event;
        RecordColumns {
            time: event.time.unwrap_or(clock),
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

    /// The most bytes that [`Draft::frame`] may add to the event.
    pub fn frame_len_max(&self) -> usize {
        /// Keys, lengths, sequence, two times, a duration, severity, result and
        /// `client_bytes`, generously.
        const REST_BYTES_MAX: usize = 104;
        let [type_start, type_end] = self.event.type_name().map(str::len);
        let described = self.emitter.0.field.len() + type_start + type_end + self.notes.len();
        self.event.bytes.len() + described + REST_BYTES_MAX
    }

    /// Encodes the record as a frame: key of `records`, length, record. The frame is passed to
    /// `write` in parts. Returns the columns. An event without a time gets the clock's.
    pub fn frame(
        &self,
        sequence: Sequence,
        accepted: impl Into<Acceptance>,
        scratch: &mut FrameScratch,
        mut write: impl FnMut(&[u8]),
    ) -> RecordColumns {
        let accepted = accepted.into();
        let (event, is_untimed) = (&self.event.bytes, self.is_untimed());
        write_frame(sequence, accepted, event, is_untimed, scratch, &mut write, |head| {
            self.describe(head);
        });
        self.columns(accepted.clock)
    }

    /// Whether the event has no time of its own.
    pub fn is_untimed(&self) -> bool {
        self.event.time.is_none()
    }

    /// Encodes the fields of the record between its position and the event:
    /// [`UnplacedRecord::head`].
    pub fn describe(&self, head: &mut Vec<u8>) {
        let event = &self.event;
        let [type_start, type_end] = event.type_name();
        head.extend_from_slice(&self.emitter.0.field);
        wire::put_bytes_header(head, number::TYPE, type_start.len() + type_end.len());
        head.extend_from_slice(type_start.as_bytes());
        head.extend_from_slice(type_end.as_bytes());
        wire::put_varint_field(head, number::SEVERITY, u64::from(event.severity));
        if event.result != 0 {
            wire::put_varint_field(head, number::RESULT, u64::from(event.result));
        }
        if self.is_untimed() || event.bytes.len() != event.client_len {
            wire::put_varint_field(head, number::CLIENT_BYTES, event.client_len as u64);
        }
        head.extend_from_slice(&self.notes);
    }
}

impl UnplacedRecord<'_> {
    /// Encodes the record as a frame: the same as [`Draft::frame`] of its draft.
    pub fn frame(
        &self,
        sequence: Sequence,
        accepted: Acceptance,
        scratch: &mut FrameScratch,
        mut write: impl FnMut(&[u8]),
    ) {
        let Self { head, event, is_untimed } = *self;
        write_frame(sequence, accepted, event, is_untimed, scratch, &mut write, |out| {
            out.extend_from_slice(head);
        });
    }
}

/// Passes a frame to `write` in parts; `describe` adds the fields before the event.
fn write_frame(
    sequence: Sequence,
    accepted: Acceptance,
    event: &[u8],
    is_untimed: bool,
    scratch: &mut FrameScratch,
    write: &mut impl FnMut(&[u8]),
    describe: impl FnOnce(&mut Vec<u8>),
) {
    let mut tail = Vec::new();
    if is_untimed {
        event::encode_time(accepted.clock, &mut tail);
    }
    let event_len = event.len() + tail.len();
    let (head, encoded_accept_time) = scratch.begin(accepted);
    wire::put_varint_field(head, number::SEQUENCE, sequence.0);
    head.extend_from_slice(encoded_accept_time);
    describe(head);
    wire::put_bytes_header(head, number::EVENT, event_len);

    let mut prefix = [0_u8; 1 + wire::VARINT_BYTES_MAX];
    write(frame_prefix(head.len() + event_len, &mut prefix));
    write(head);
    write(event);
    if !tail.is_empty() {
        write(&tail);
    }
}

/// The encoded fields `amendments` and `clock_skew` of an event.
fn notes(event: &Event) -> Vec<u8> {
    let mut notes = Vec::new();
    for amendment in event.amended.iter().flat_map(|amended| &amended.amendments) {
        wire::put_bytes_field(&mut notes, number::AMENDMENTS, &amendment.encode_to_vec());
    }
    if let Some(nanos) = event.clock_skew {
        let skew = duration(nanos).encode_to_vec();
        wire::put_bytes_field(&mut notes, number::CLOCK_SKEW, &skew);
    }
    notes
}

fn duration(nanos: i64) -> prost_types::Duration {
    prost_types::Duration {
        seconds: nanos / NANOS_PER_SECOND,
        nanos: (nanos % NANOS_PER_SECOND) as i32,
    }
}

/// The cut texts: path and digest of the original.
fn cuts(amendments: &[pb::Amendment]) -> impl Iterator<Item = (&str, &[u8])> {
    let cut = amendments.iter().filter(|amendment| !amendment.original_sha256.is_empty());
    cut.map(|amendment| (amendment.path.as_str(), amendment.original_sha256.as_slice()))
}

/// The key of the HMACs.
fn key_id(amendments: &[pb::Amendment]) -> Option<&str> {
    amendments.iter().map(|amendment| amendment.key_id.as_str()).find(|id| !id.is_empty())
}

/// The key and length of a frame.
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
