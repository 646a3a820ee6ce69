//! Allocates the memory of segments, and reuses that of evicted ones.

use std::sync::{Arc, OnceLock};

use super::{BLOCK_RECORDS, BlockFilter, Segment, SegmentWriter};
use crate::log::append_buffer::{self, AppendBuffer};
use crate::record::{FrameScratch, RecordColumns, Sequence};

/// The memory of a segment. Fresh memory costs a page fault for every 4 KiB, as much as writing a
/// dozen records, so the memory of evicted segments is reused.
pub struct SegmentBuffers {
    data: (append_buffer::AppendBufferWriter<u8>, AppendBuffer<u8>),
    ends: (append_buffer::AppendBufferWriter<u32>, AppendBuffer<u32>),
    columns: (append_buffer::AppendBufferWriter<RecordColumns>, AppendBuffer<RecordColumns>),
    marks: (append_buffer::AppendBufferWriter<BlockFilter>, AppendBuffer<BlockFilter>),
}

impl SegmentBuffers {
    /// Fresh memory for this many bytes and records.
    pub fn new(bytes: usize, records: usize) -> Self {
        Self {
            data: append_buffer::new(bytes),
            ends: append_buffer::new(records),
            columns: append_buffer::new(records),
            marks: append_buffer::new(records / BLOCK_RECORDS),
        }
    }

    /// The buffers of a segment without readers; `None` while it has readers.
    pub fn of(segment: Arc<Segment>) -> Option<Self> {
        let Segment { data, ends, columns, marks, .. } = Arc::into_inner(segment)?;
        Some(Self {
            data: data.reuse()?,
            ends: ends.reuse()?,
            columns: columns.reuse()?,
            marks: marks.reuse()?,
        })
    }

    /// Whether they have the sizes that [`SegmentBuffers::new`] would allocate.
    pub fn are_for(&self, bytes: usize, records: usize) -> bool {
        (self.data.1.capacity(), self.columns.1.capacity()) == (bytes, records)
    }

    /// An empty segment in these buffers that begins at `base`, and its writer.
    pub fn begin(self, base: Sequence) -> SegmentWriter {
        let Self { data, ends, columns, marks } = self;
        let segment = Arc::new(Segment {
            base,
            data: data.1,
            ends: ends.1,
            columns: columns.1,
            marks: marks.1,
            index: OnceLock::new(),
            sparse: None,
            compared: Default::default(),
        });
        let mark = Box::new(BlockFilter::EMPTY);
        SegmentWriter {
            segment,
            data: data.0,
            ends: ends.0,
            columns: columns.0,
            marks: marks.0,
            mark,
            scratch: FrameScratch::default(),
        }
    }
}
