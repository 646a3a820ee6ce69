//! The part of a segment that a reader sees.

use std::ops::Range;

use super::BlockFilter;
use crate::log::index::SegmentIndex;
use crate::record::{self, Record, RecordColumns, Sequence};
use crate::time::Time;

/// Records of a segment up to a sequence, as a reader sees them. Positions
/// count the records that the segment has.
#[derive(Clone, Copy)]
pub struct SegmentView<'a> {
    /// The first sequence that the view covers.
    pub base: Sequence,
    /// Their columns.
    pub columns: &'a [RecordColumns],
    pub(super) ends: &'a [u32],
    pub(super) data: &'a [u8],
    pub(super) marks: &'a [BlockFilter],
    pub(super) index: Option<&'a SegmentIndex>,
    /// The offset of each record from `base`, if some records are missing.
    pub(super) offsets: Option<&'a [u32]>,
    /// The offset from `base` of each record that was examined and omitted.
    pub(super) left_out: &'a [u32],
    /// The sequence after the view.
    pub(super) end: Sequence,
}

impl<'a> SegmentView<'a> {
    /// The number of records.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The index, once the segment is full.
    pub fn index(&self) -> Option<&'a SegmentIndex> {
        self.index
    }

    /// The filter of a full block of `BLOCK_RECORDS` records, until the segment has an index.
    pub fn mark(&self, block: usize) -> Option<&'a BlockFilter> {
        self.marks.get(block)
    }

    /// The sequence of the record at `position`; after the last one, the end of the view.
    pub fn sequence(&self, position: usize) -> Sequence {
        match self.offsets {
            None => Sequence(self.base.0 + position as u64),
            Some(offsets) => offsets
                .get(position)
                .map_or(self.end, |offset| Sequence(self.base.0 + u64::from(*offset))),
        }
    }

    /// The sequence at which the reader continues. Earlier records of the log are in the view, or
    /// do not match.
    pub fn end(&self) -> Sequence {
        self.end
    }

    /// The position of the record with this sequence or, if it is missing, of the next one; past
    /// the end for a later one, 0 for an earlier one.
    pub fn position(&self, sequence: Sequence) -> usize {
        let offset = sequence.0.saturating_sub(self.base.0);
        match self.offsets {
            None => usize::try_from(offset).unwrap_or(usize::MAX).min(self.len()),
            Some(offsets) => offsets.partition_point(|own| u64::from(*own) < offset),
        }
    }

    /// The number of records in this range that were examined when the run was read, and omitted
    /// because they do not match.
    pub fn left_out(&self, places: Range<Sequence>) -> u64 {
        let before = |place: Sequence| {
            let offset = place.0.saturating_sub(self.base.0);
            self.left_out.partition_point(|own| u64::from(*own) < offset)
        };
        before(places.end).saturating_sub(before(places.start)) as u64
    }

    /// Whether the record with this sequence is in the view.
    pub fn holds(&self, sequence: Sequence) -> bool {
        let position = self.position(sequence);
        position < self.len() && self.sequence(position) == sequence
    }

    /// The range of the frames of these positions in the segment's data; they are consecutive.
    pub fn frames(&self, positions: Range<usize>) -> Range<usize> {
        let before = |position: usize| match position.checked_sub(1) {
            Some(previous) => {
                *self.ends.get(previous).expect("positions lie within the view") as usize
            }
            None => 0,
        };
        before(positions.start)..before(positions.end)
    }

    /// The frame of the record at `position`.
    pub fn frame(&self, position: usize) -> &'a [u8] {
        self.data.get(self.frames(position..position + 1)).expect("frames lie within the data")
    }

    /// The concatenated frames of these positions.
    pub fn bytes(&self, positions: Range<usize>) -> &'a [u8] {
        self.data.get(self.frames(positions)).expect("frames lie within the data")
    }

    /// The position whose frame holds the byte at `offset` of the segment's data.
    pub fn position_of(&self, offset: usize) -> usize {
        self.ends.partition_point(|end| *end as usize <= offset)
    }

    /// The record at `position`, encoded.
    pub fn record_bytes(&self, position: usize) -> &'a [u8] {
        record::unframed(self.frame(position))
    }

    /// The record at `position`.
    pub fn record(&self, position: usize) -> Record<'a> {
        Record::read_frame(self.frame(position))
    }

    /// The first position whose record was accepted at `time` or later; the
    /// length, if none was.
    pub fn accepted_since(&self, time: Time) -> usize {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = from + (to - from) / 2;
            if self.record(middle).accept_time < time {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        from
    }
}
