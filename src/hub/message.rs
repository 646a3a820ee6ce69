//! Encodes the messages of Subscribe. All subscribers that get the same message share
//! its bytes.

use std::ops::Range;

use prost::Message as _;

use crate::hub::Gap;
use crate::log::SegmentView;
use crate::log::cursor::Cursor;
use crate::proto::codec::{Frame, FramedMessage};
use crate::proto::pb;
use crate::record::{self, Record};

/// An encoded message of Subscribe.
#[derive(Debug, Clone)]
pub struct SubscribeMessage {
    /// The encoded `SubscribeResponse`.
    pub response: FramedMessage,
    /// The number of records in it.
    pub records: u64,
    /// Records that the subscriber did not get; they precede those in the message.
    pub gap: Option<Gap>,
    /// The newest record was reached.
    pub caught_up: bool,
    /// Covers this message and all before it.
    pub cursor: Cursor,
}

/// Encoded records that are collected for a message.
#[derive(Default)]
pub(super) struct RecordSlices {
    /// The frame of the message so far.
    frame: Frame,
    /// How many there are.
    pub count: u64,
}

impl RecordSlices {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes they have.
    pub fn byte_size(&self) -> usize {
        self.frame.len()
    }

    /// Adds the records at these positions of a view, ascending.
    pub fn add(&mut self, view: &SegmentView<'_>, runs: &[Range<usize>]) {
        let len = runs.iter().map(|run| view.frames(run.clone()).len()).sum::<usize>();
        if len > 0 {
            self.frame.reserve(len + REST_BYTES);
        }
        for run in runs {
            // `records` is field 1 of the response, and frames carry its key: they are
            // copied as they lie in the segment.
            self.frame.message().extend_from_slice(view.bytes(run.clone()));
            self.count += run.len() as u64;
        }
    }
}

/// What a message has beside its records takes so many bytes at most, as a rule.
const REST_BYTES: usize = 128;

impl SubscribeMessage {
    /// Each of its records, read in place.
    pub fn each_record(&self) -> impl Iterator<Item = Record<'_>> {
        record::in_response(self.response.bytes())
    }

    pub(super) fn new(
        records: Option<RecordSlices>,
        gap: Option<Gap>,
        caught_up: bool,
        cursor: Cursor,
    ) -> Self {
        let rest = pb::SubscribeResponse {
            records: Vec::new(),
            gap: gap.map(pb::Gap::from),
            caught_up,
            cursor: cursor.to_string(),
        };
        let RecordSlices { mut frame, count } = records.unwrap_or_default();
        frame.reserve(rest.encoded_len());
        rest.encode(frame.message()).expect("a vector grows as needed");
        Self { response: frame.finish(), records: count, gap, caught_up, cursor }
    }
}
