//! The memory of a segment, which serves several one after the other.

use std::sync::{Arc, OnceLock};

use super::{BLOCK_RECORDS, Mark, Segment, Writer};
use crate::log::prefix::{self, Prefix};
use crate::record::{Columns, Scratch, Sequence};

/// Room for a segment. Fresh memory costs a page fault for every 4 KiB, which is
/// as much as to write a dozen records: what was evicted is used again.
pub struct Buffers {
    data: (prefix::Writer<u8>, Prefix<u8>),
    ends: (prefix::Writer<u32>, Prefix<u32>),
    columns: (prefix::Writer<Columns>, Prefix<Columns>),
    marks: (prefix::Writer<Mark>, Prefix<Mark>),
}

impl Buffers {
    /// Fresh memory for so many bytes and records.
    pub fn new(bytes: usize, records: usize) -> Self {
        Self {
            data: prefix::new(bytes),
            ends: prefix::new(records),
            columns: prefix::new(records),
            marks: prefix::new(records / BLOCK_RECORDS),
        }
    }

    /// The buffers of a segment that nobody reads any more; `None` while somebody
    /// does.
    pub fn of(segment: Arc<Segment>) -> Option<Self> {
        let Segment { data, ends, columns, marks, .. } = Arc::into_inner(segment)?;
        Some(Self {
            data: data.reuse()?,
            ends: ends.reuse()?,
            columns: columns.reuse()?,
            marks: marks.reuse()?,
        })
    }

    /// Whether [`Buffers::new`] would make them just as large.
    pub fn are_for(&self, bytes: usize, records: usize) -> bool {
        (self.data.1.capacity(), self.columns.1.capacity()) == (bytes, records)
    }

    /// An empty segment in these buffers that begins at `base`, and its writer.
    pub fn begin(self, base: Sequence) -> Writer {
        let Self { data, ends, columns, marks } = self;
        let segment = Arc::new(Segment {
            base,
            data: data.1,
            ends: ends.1,
            columns: columns.1,
            marks: marks.1,
            index: OnceLock::new(),
            sparse: None,
        });
        let mark = Box::new(Mark::EMPTY);
        Writer {
            segment,
            data: data.0,
            ends: ends.0,
            columns: columns.0,
            marks: marks.0,
            mark,
            scratch: Scratch::default(),
        }
    }
}
