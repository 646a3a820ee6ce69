//! Requests and results of reads from a log.

use std::future::{Ready, ready};
use std::sync::Arc;

use futures_util::future::Either;

use crate::log::scan::{ScanOrder, ScanQuery};
use crate::log::segment::Segment;
use crate::log::{BoxFuture, Error};
use crate::record::Sequence;

/// What a reader needs of the records from a position on. It reduces what is read from disk; the
/// reader must still check each record.
#[derive(Debug, Clone, Copy)]
pub struct ReadHint<'a> {
    /// The query: records that do not match may be missing. All records if `None`.
    pub query: Option<&'a ScanQuery>,
    /// The direction in which the reader continues.
    pub order: ScanOrder,
    /// The parts of records that it needs.
    pub content: ReadContent,
    /// The number of matches after which the reader stops.
    pub records: usize,
}

/// The parts of a record that a reader needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadContent {
    /// Columns and frames.
    Frames,
    /// Columns, and frames only of records that they do not decide, and of custom events, whose
    /// name they lack. Other frames may be empty.
    Columns,
}

/// A read at a position of the log. Records in memory need no allocated future, because a search
/// may read at many positions.
pub type ReadFuture<'a> = Either<
    Ready<Result<Option<ReadResult>, Error>>,
    BoxFuture<'a, Result<Option<ReadResult>, Error>>,
>;

/// A read that is complete.
pub fn at_once<'a>(found: Option<ReadResult>) -> ReadFuture<'a> {
    Either::Left(ready(Ok(found)))
}

/// The result of a read at a position of the log.
#[derive(Clone)]
pub enum ReadResult {
    /// A run of records with the position.
    Records(Arc<Segment>),
    /// Records that cannot be read, since their storage is damaged.
    Damaged {
        /// The first of them.
        first: Sequence,
        /// The last of them.
        last: Sequence,
    },
}

impl ReadHint<'static> {
    /// All records from a position on, with their frames.
    pub fn all(order: ScanOrder) -> Self {
        Self { query: None, order, content: ReadContent::Frames, records: usize::MAX }
    }

    /// One record, with its frame.
    pub fn one() -> Self {
        Self { records: 1, ..Self::all(ScanOrder::Ascending) }
    }
}

impl<'a> ReadHint<'a> {
    /// The records that `query` matches, with their frames.
    pub fn matching(query: &'a ScanQuery, order: ScanOrder) -> Self {
        Self { query: Some(query), order, content: ReadContent::Frames, records: usize::MAX }
    }
}
