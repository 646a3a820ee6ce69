//! Reading: what a reader asks a log for, and what it gets.

use std::future::{Ready, ready};
use std::sync::Arc;

use futures_util::future::Either;

use crate::log::scan::{ScanOrder, ScanQuery};
use crate::log::segment::Segment;
use crate::log::{BoxFuture, Error};
use crate::record::Sequence;

/// What a reader wants of the records from a place on. It narrows what has to
/// be read from disk: who reads must still look at each record that it gets.
#[derive(Debug, Clone, Copy)]
pub struct ReadHint<'a> {
    /// Which records: those that it does not match may be left out. All, if
    /// `None`.
    pub query: Option<&'a ScanQuery>,
    /// In which direction the reader goes on.
    pub order: ScanOrder,
    /// What it looks at.
    pub content: ReadContent,
    /// It has enough when so many match.
    pub records: usize,
}

/// The parts of a record that a reader needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadContent {
    /// Columns and frames.
    Frames,
    /// Columns; frames only of records that they do not decide on, and of custom
    /// events, whose name they lack. The other frames may be empty.
    Columns,
}

/// Reading at a place of the log. What is in memory is there at once, and takes no
/// future that has to be allocated: a search may read at many places.
pub type ReadFuture<'a> = Either<
    Ready<Result<Option<ReadResult>, Error>>,
    BoxFuture<'a, Result<Option<ReadResult>, Error>>,
>;

/// What was read at once.
pub fn at_once<'a>(found: Option<ReadResult>) -> ReadFuture<'a> {
    Either::Left(ready(Ok(found)))
}

/// The result of a read at a position of the log.
#[derive(Clone)]
pub enum ReadResult {
    /// A run of records with that place in it.
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
    /// All records from a place on, with their frames.
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
