//! Segments: runs of consecutive records, encoded, with their columns.

mod block_filters;
mod buffers;
mod view;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::filter::Selection;
use crate::log::append_buffer::{self, AppendBuffer};
use crate::log::index::SegmentIndex;
use crate::record::{Acceptance, Draft, FrameScratch, RecordColumns, Sequence};
use crate::time::Time;

pub use block_filters::{BLOCK_RECORDS, BlockFilter};
pub use buffers::SegmentBuffers;
pub use view::SegmentView;

/// The most records that a segment holds: positions in it are 16 bits wide.
pub const SEGMENT_RECORDS_MAX: usize = u16::MAX as usize;
/// Memory of the columns of one record, in bytes, with its share of a block filter.
pub const COLUMNS_BYTES: usize = size_of::<RecordColumns>()
    + size_of::<u32>()
    + size_of::<BlockFilter>().div_ceil(BLOCK_RECORDS);

/// A run of records, whose published part never changes. In memory the records are consecutive; a
/// run that was read from disk may lack records that the reader does not need.
pub struct Segment {
    base: Sequence,
    /// Concatenated frames: see [`Draft::frame`].
    data: AppendBuffer<u8>,
    /// The end of each frame in `data`.
    ends: AppendBuffer<u32>,
    columns: AppendBuffer<RecordColumns>,
    /// The filter of each full block.
    marks: AppendBuffer<BlockFilter>,
    index: OnceLock<SegmentIndex>,
    sparse: Option<SparseFrames>,
    compared: [Compared; 3],
}

/// The position up to which records with equal keys in a column are known to have equal values.
/// Readers extend it for later readers.
#[derive(Debug)]
pub struct Compared(Mutex<Option<ComparedRecords>>);

/// Records whose keys have one value each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ComparedRecords {
    /// The position after them.
    pub until: usize,
    /// A digest of their keys with the values, for the readers that extend it.
    pub digest: u64,
}

impl Default for Compared {
    fn default() -> Self {
        Self(Mutex::new(Some(ComparedRecords::default())))
    }
}

impl Compared {
    /// The compared records; `None` if some key has several values, or comparing is not worthwhile.
    pub fn get(&self) -> Option<ComparedRecords> {
        *self.0.lock()
    }

    /// Replaces `known` by `more`, after the following records were compared. Of several readers
    /// that do so, one succeeds.
    pub fn extend(&self, known: ComparedRecords, more: ComparedRecords) {
        let mut compared = self.0.lock();
        if *compared == Some(known) {
            *compared = Some(more);
        }
    }

    /// Notes that comparing is not worthwhile.
    pub fn give_up(&self) {
        *self.0.lock() = None;
    }
}

/// The offsets of the records of a run that lacks some.
struct SparseFrames {
    /// The offset of each record from the first sequence of the run, ascending.
    offsets: Box<[u32]>,
    /// The number of sequences that the run covers.
    covers: u32,
    /// See [`SegmentParts::left_out`].
    left_out: Box<[u32]>,
}

/// Records that were read from disk, to become a segment.
#[derive(Default)]
pub struct SegmentParts {
    /// The offset of each record from the base, ascending.
    pub offsets: Vec<u32>,
    /// Their columns.
    pub columns: Vec<RecordColumns>,
    /// Their concatenated frames.
    pub data: Vec<u8>,
    /// The end of each frame in `data`.
    pub ends: Vec<u32>,
    /// The offset from the base of each record that was examined and omitted, because it does not
    /// match; ascending.
    pub left_out: Vec<u32>,
}

/// The writing side of a segment, until it is full.
pub struct SegmentWriter {
    segment: Arc<Segment>,
    data: append_buffer::AppendBufferWriter<u8>,
    ends: append_buffer::AppendBufferWriter<u32>,
    columns: append_buffer::AppendBufferWriter<RecordColumns>,
    marks: append_buffer::AppendBufferWriter<BlockFilter>,
    /// The filter of the block that is being written.
    mark: Box<BlockFilter>,
    scratch: FrameScratch,
}

impl Segment {
    /// An empty segment that begins at `base`, and its writer.
    ///
    /// # Panics
    /// If `bytes` does not fit 32 bits, or `records` is more than
    /// 65,535.
    pub fn create(base: Sequence, bytes: usize, records: usize) -> SegmentWriter {
        assert!(u32::try_from(bytes).is_ok(), "offsets in a segment are 32 bits wide");
        assert!(records <= SEGMENT_RECORDS_MAX, "positions in a segment are 16 bits wide");
        SegmentBuffers::new(bytes, records).begin(base)
    }

    /// A segment of records that were read from disk, covering `covers` sequences from `base`.
    ///
    /// # Panics
    /// If the parts are not of the same length, or a record lies past the end.
    pub fn of_parts(base: Sequence, covers: u32, parts: SegmentParts) -> Self {
        let records = parts.columns.len();
        assert!(
            parts.offsets.len() == records && parts.ends.len() == records,
            "each record has offset, end and columns"
        );
        assert!(parts.offsets.last().is_none_or(|last| *last < covers), "records lie in the run");
        let is_whole = records == covers as usize;
        let left_out = parts.left_out.into();
        let sparse =
            (!is_whole).then(|| SparseFrames { offsets: parts.offsets.into(), covers, left_out });
        Self {
            base,
            data: append_buffer::full(parts.data),
            ends: append_buffer::full(parts.ends),
            columns: append_buffer::full(parts.columns),
            marks: append_buffer::full(Vec::new()),
            index: OnceLock::new(),
            sparse,
            compared: Default::default(),
        }
    }

    /// The compared records of a column, by its number below 3.
    pub fn compared(&self, column: usize) -> &Compared {
        let [first, second, third] = &self.compared;
        match column {
            0 => first,
            1 => second,
            _ => third,
        }
    }

    /// The first sequence that the run covers.
    pub fn base(&self) -> Sequence {
        self.base
    }

    /// The number of published records.
    pub fn len(&self) -> usize {
        self.columns.as_slice().len()
    }

    /// Whether no record is published.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Builds the index of a full segment, which may be read meanwhile.
    pub fn seal(&self) {
        self.index.get_or_init(|| SegmentIndex::build(self.columns.as_slice()));
    }

    /// Whether the index shows that no record matches; a segment that is not full has no index.
    pub fn rules_out(&self, start: Time, end: Time, selection: &Selection) -> bool {
        self.index.get().is_some_and(|index| index.rules_out(start, end, selection))
    }

    /// Memory of the published records, in bytes; an index that is not built yet counts with its
    /// largest size.
    pub fn byte_size(&self) -> usize {
        let records = self.len();
        let index = self
            .index
            .get()
            .map_or(records * SegmentIndex::RECORD_BYTES_MAX, SegmentIndex::byte_size);
        self.data.as_slice().len() + records * COLUMNS_BYTES + index
    }

    /// The records up to and with `last`.
    pub fn view(&self, last: Sequence) -> SegmentView<'_> {
        let wanted =
            usize::try_from((last.0 + 1).saturating_sub(self.base.0)).unwrap_or(usize::MAX);
        let columns = self.columns.as_slice();
        let ends = self.ends.as_slice();
        let (visible, covered) = match &self.sparse {
            None => {
                let visible = wanted.min(columns.len()).min(ends.len());
                (visible, visible as u64)
            }
            Some(sparse) => {
                let covered = (sparse.covers as usize).min(wanted);
                let before = |offset: &u32| (*offset as usize) < covered;
                (sparse.offsets.partition_point(before), covered as u64)
            }
        };
        let ends = ends.get(..visible).unwrap_or_default();
        let data_end = ends.last().map_or(0, |end| *end as usize);
        SegmentView {
            base: self.base,
            columns: columns.get(..visible).unwrap_or_default(),
            ends,
            data: self.data.as_slice().get(..data_end).expect("data is published before the ends"),
            marks: self.marks.as_slice(),
            index: self.index.get(),
            offsets: self
                .sparse
                .as_ref()
                .map(|sparse| sparse.offsets.get(..visible).unwrap_or_default()),
            left_out: self.sparse.as_ref().map_or(&[], |sparse| &sparse.left_out),
            end: Sequence(self.base.0 + covered),
        }
    }

    /// The bytes of `range` of the segment's data.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.data.as_slice().get(range).expect("ranges come from a view of this segment")
    }
}

impl SegmentWriter {
    /// The segment that is being written.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// The number of written records, published or not.
    pub fn len(&self) -> usize {
        self.columns.written()
    }

    /// Memory of the written records, published or not, without an index, in bytes.
    pub fn byte_size(&self) -> usize {
        self.data.written() + self.len() * COLUMNS_BYTES
    }

    /// Bytes of the frames that were written.
    pub fn data_len(&self) -> usize {
        self.data.written()
    }

    /// The free space: records, and bytes of frames.
    pub fn room(&self) -> (usize, usize) {
        (self.columns.room(), self.data.room())
    }

    /// Whether one more record of at most `frame_len` bytes fits.
    pub fn fits(&self, frame_len: usize) -> bool {
        self.columns.room() > 0 && self.data.room() >= frame_len
    }

    /// Writes a record, not yet readable.
    ///
    /// # Panics
    /// If it does not fit: see [`SegmentWriter::fits`].
    pub fn append(&mut self, draft: &Draft, sequence: Sequence, accepted: impl Into<Acceptance>) {
        let data = &mut self.data;
        let columns = draft.frame(sequence, accepted, &mut self.scratch, |part| data.extend(part));
        self.end_record(columns);
    }

    /// Writes a record that was framed before, not yet readable.
    ///
    /// # Panics
    /// If it does not fit: see [`SegmentWriter::fits`].
    pub fn append_frame(&mut self, frame: &[u8], columns: RecordColumns) {
        self.data.extend(frame);
        self.end_record(columns);
    }

    #[inline]
    fn end_record(&mut self, columns: RecordColumns) {
        self.columns.extend(&[columns]);
        self.mark.add(&columns);
        if self.columns.written().is_multiple_of(BLOCK_RECORDS) {
            self.marks.extend(&[*self.mark]);
            *self.mark = BlockFilter::EMPTY;
        }
        self.ends.extend(&[self.data.written() as u32]);
        if self.columns.room() == 0 {
            self.data.give_back();
        }
    }

    /// Makes the written records readable.
    pub fn publish(&mut self) {
        self.data.publish();
        self.columns.publish();
        self.marks.publish();
        self.ends.publish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    /// Ten places from 100 on, of which the records 102, 105 and 106 are there.
    fn sparse() -> Segment {
        let columns = RecordColumns {
            time: Time(0),
            id: 1,
            user: 0,
            impersonator: 0,
            session: 0,
            server: 0,
            type_id: crate::catalog::TypeId(0),
            severity: 0,
            result: 0,
        };
        let parts = SegmentParts {
            offsets: vec![2, 5, 6],
            columns: vec![columns; 3],
            data: b"aabbbc".to_vec(),
            ends: vec![2, 5, 6],
            left_out: vec![1, 7],
        };
        Segment::of_parts(Sequence(100), 10, parts)
    }

    #[test]
    fn a_run_that_lacks_records_knows_which_it_has() {
        let segment = sparse();
        let view = segment.view(Sequence(1_000));
        assert_eq!((view.base, view.end(), view.len()), (Sequence(100), Sequence(110), 3));
        let sequences: Vec<u64> = (0..=3).map(|position| view.sequence(position).0).collect();
        assert_eq!(sequences, [102, 105, 106, 110]);
        let positions =
            [99, 100, 102, 103, 106, 107, 200].map(|place| view.position(Sequence(place)));
        assert_eq!(positions, [0, 0, 0, 1, 2, 3, 3]);
        assert_eq!(view.frame(1), b"bbb");
        assert!(view.holds(Sequence(105)) && !view.holds(Sequence(104)));
        assert!(!view.holds(Sequence(110)));
        let left_out = [100..101, 101..102, 100..110, 102..107, 107..108]
            .map(|places| view.left_out(Sequence(places.start)..Sequence(places.end)));
        assert_eq!(left_out, [0, 1, 2, 0, 1]);
    }

    #[test]
    fn a_view_of_such_a_run_ends_where_the_log_does() {
        let segment = sparse();
        let ends = [99, 101, 105, 109].map(|last| {
            let view = segment.view(Sequence(last));
            (view.len(), view.end().0)
        });
        assert_eq!(ends, [(0, 100), (0, 102), (2, 106), (3, 110)]);
    }
}
