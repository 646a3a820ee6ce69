//! A read hint that another thread can own.

use crate::filter::{Outcome, Verdict};
use crate::log::ReadHint;
use crate::log::read::ReadContent;
use crate::log::scan::{ScanOrder, ScanQuery};
use crate::record::{RecordColumns, unframed};
use crate::time::Time;

/// A [`ReadHint`] that can be handed to another thread.
pub struct OwnedReadHint {
    pub query: Option<ScanQuery>,
    pub order: ScanOrder,
    pub content: ReadContent,
    pub records: usize,
    /// What the columns say may leave out records that an index lets in.
    pub columns_decide: bool,
}

/// What the columns of a record decide.
pub enum ColumnMatch {
    LeftOut,
    ColumnsOnly,
    /// `true` if it is known to match.
    Picked(bool),
}

impl OwnedReadHint {
    pub fn new(hint: ReadHint<'_>) -> Self {
        let ReadHint { query, order, content, records } = hint;
        let narrows = |query: &ScanQuery| {
            let timed = query.start != Time::MIN || query.end != Time::MAX;
            timed || query.filter.selection().fields() > 1
        };
        let columns_decide = content == ReadContent::Columns || query.is_some_and(narrows);
        Self { query: query.cloned(), order, content, records, columns_decide }
    }

    /// Whether a record that its columns leave open matches, by its frame; `None`
    /// if it does not. Where an expression fails, the reader is to see it fail.
    pub fn verdict(&self, frame: &[u8]) -> Option<bool> {
        let Some(query) = &self.query else { return Some(true) };
        match query.filter.record(unframed(frame)) {
            Outcome::Match => Some(true),
            Outcome::NoMatch => None,
            Outcome::ExpressionFailed => Some(false),
        }
    }

    /// Whether the reader may read a record that its columns leave open.
    pub fn may_read(&self, columns: &RecordColumns, frame: &[u8]) -> bool {
        let filter = self.query.as_ref().map(|query| &query.filter);
        filter.is_none_or(|filter| filter.may_read(columns, unframed(frame)))
    }

    pub fn match_columns(&self, columns: &RecordColumns) -> ColumnMatch {
        let verdict = self.query.as_ref().map_or(Verdict::Yes, |query| query.columns(columns));
        match (verdict, self.content) {
            (Verdict::No, _) => ColumnMatch::LeftOut,
            (Verdict::Yes, ReadContent::Columns) if !columns.type_id.is_custom() => {
                ColumnMatch::ColumnsOnly
            }
            (verdict, _) => ColumnMatch::Picked(verdict == Verdict::Yes),
        }
    }
}
