//! Encodes the messages of Subscribe. All subscribers that get the same message share
//! its bytes.

use std::ops::Range;

use prost::Message as _;

use crate::hub::Gap;
use crate::log::Segment;
use crate::log::cursor::Cursor;
use crate::proto::codec::FramedMessage;
use crate::proto::pb;

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

/// Runs of records in a segment.
pub(super) struct RecordSlices<'a> {
    pub segment: &'a Segment,
    /// Ranges of the segment's data, in order.
    pub runs: Vec<Range<usize>>,
    pub count: u64,
}

impl RecordSlices<'_> {
    fn parts(&self) -> impl Iterator<Item = (&Segment, Range<usize>)> {
        self.runs.iter().map(|run| (self.segment, run.clone()))
    }
}

impl SubscribeMessage {
    pub(super) fn new(
        records: Option<RecordSlices<'_>>,
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
        let parts = records.iter().flat_map(RecordSlices::parts);
        let len = parts.map(|(_, run)| run.len()).sum::<usize>() + rest.encoded_len();
        let response = FramedMessage::new(len, |out| {
            // `records` is field 1 of the response, and frames include its key, so they are
            // copied unchanged.
            for (segment, run) in records.iter().flat_map(RecordSlices::parts) {
                out.extend_from_slice(segment.bytes(run));
            }
            rest.encode(out).expect("a vector grows as needed");
        });
        let records = records.map_or(0, |records| records.count);
        Self { response, records, gap, caught_up, cursor }
    }
}
