//! The most frequent values of fields, over the records that a query matches.

mod keys;
mod table;
mod uniform;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::Instant;

use crate::hub::path::Path;
use crate::hub::{Gap, GapReason, Hub, PAGE_BYTES_MAX, TimeSlices, WorkMemory};
use crate::log::{
    Error, ReadHint, ReadResult, SLICE, ScanEnd, ScanOrder, ScanQuery, ScanStats, SegmentView,
};
use crate::record::Sequence;
use table::Tables;
use uniform::Uniform;

/// The most fields.
pub const FIELDS_MAX: usize = 8;
/// The most values of a field that are returned.
pub const VALUES_MAX: usize = 1_000;
/// The default number of values of a field.
pub const VALUES: usize = 10;
/// The longest value, in bytes, and the longest prefix. Longer values are cut.
pub const VALUE_BYTES_MAX: usize = 1_024;
/// Time limit; a longer count is incomplete.
const TIME_MAX: Duration = Duration::from_millis(500);
/// Records that are read before other tasks may run on the thread.
const RECORDS_PER_LOOK: usize = 1_024;
/// Bytes of records between two readings of the clock.
const BYTES_PER_LOOK: usize = 32 * 1024;
/// The work of a record beside its bytes, in bytes.
const RECORD_WORK: usize = 256;
/// The most gaps that are returned.
const GAPS_MAX: usize = 1_000;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Which values to count.
pub struct TopValues {
    /// The query of the records.
    pub query: ScanQuery,
    /// The fields.
    pub fields: Vec<Path>,
    /// The most values of each field that are returned.
    pub limit: usize,
    /// The prefix of the values that are returned.
    pub prefix: String,
}

/// The most frequent values.
#[derive(Debug, Default)]
pub struct Top {
    /// The values of each field.
    pub fields: Vec<Values>,
    /// The number of matching records that were counted.
    pub examined: u64,
    /// Whether only the newest records were counted.
    pub partial: bool,
    /// Records on which the expression failed.
    pub expression_errors: u64,
    /// Records that cannot be read, the first ranges of them.
    pub gaps: Vec<Gap>,
}

/// The values of one field.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// The values, the most frequent first.
    pub values: Vec<Counted>,
    /// The number of records without a value.
    pub absent: u64,
    /// The number of records with a value that is not listed.
    pub others: u64,
}

/// A value with its count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The value, as text.
    pub value: String,
    /// The number of records with this value.
    pub count: u64,
    /// Whether the value was cut.
    pub cut: bool,
}

impl Hub {
    /// Counts values, from the newest record back. `memory` learns how much memory the count holds.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub async fn top_values(
        &self,
        asked: &TopValues,
        memory: &impl WorkMemory,
    ) -> Result<Top, Error> {
        let extent = self.log.extent();
        let by_columns = asked.query.matches_all()
            && asked.fields.iter().all(|path| path.keyed().is_some() || is_group(path));
        let mut tables = Tables::new(asked);
        let mut top = Top::default();
        let mut stats = ScanStats::default();
        let mut next = extent.last;
        let mut turns = TimeSlices::begin();
        while next >= extent.first && next > Sequence::ZERO {
            if tables.is_full() || turns.elapsed() >= TIME_MAX {
                top.partial = true;
                break;
            }
            let hint = ReadHint::matching(&asked.query, ScanOrder::Descending);
            let segment = match self.log.read(next, hint).await? {
                None => break,
                Some(ReadResult::Records(segment)) => segment,
                Some(ReadResult::Damaged { first, .. }) => {
                    if top.gaps.len() < GAPS_MAX {
                        let first = first.max(extent.first);
                        top.gaps.push(Gap { first, last: next, reason: GapReason::Damaged });
                    }
                    next = first.previous();
                    continue;
                }
            };
            let view = segment.view(extent.last);
            if view.base > next {
                // Older records were evicted meanwhile.
                break;
            }
            let end = view.position(next.next());
            match by_columns.then(|| tables.uniform(&segment, &view)) {
                Some(Uniform::NotYet) => {}
                Some(Uniform::Yes) => {
                    let start = tables.count_columns(&segment, &view, end);
                    top.examined += (end - start) as u64;
                    next = before(&view, start);
                }
                Some(Uniform::No) | None => {
                    let start = end.saturating_sub(RECORDS_PER_LOOK);
                    let mut slice = WorkSlice::begin();
                    let count = |position| {
                        top.examined += 1;
                        tables.count_record(&view.record(position));
                        slice.worked(view.record_bytes(position).len())
                    };
                    let range = start..end;
                    let order = ScanOrder::Descending;
                    next = match asked.query.scan(&view, range, order, &mut stats, count) {
                        ScanEnd::Enough(position) | ScanEnd::Paused(position) => {
                            view.sequence(position).previous()
                        }
                        ScanEnd::Whole => before(&view, start),
                    };
                }
            }
            drop(segment);
            memory.holds(tables.held_bytes());
            turns.yield_now(&self.turns).await;
        }
        top.expression_errors = stats.expression_errors;
        top.partial |= tables.is_full();
        let bytes_max = PAGE_BYTES_MAX / 2 / asked.fields.len().max(1);
        for table in tables.into_fields() {
            top.fields.push(table.finish(asked.limit, bytes_max));
            turns.yield_now(&self.turns).await;
        }
        Ok(top)
    }
}

/// The record before the one at `start` of a view.
fn before(view: &SegmentView<'_>, start: usize) -> Sequence {
    if start == 0 { view.base.previous() } else { view.sequence(start).previous() }
}

/// Reads the clock from time to time, by the number of processed bytes.
struct WorkSlice {
    began: Instant,
    bytes: usize,
}

impl WorkSlice {
    fn begin() -> Self {
        Self { began: Instant::now(), bytes: 0 }
    }

    /// Breaks when the time slice is over.
    fn worked(&mut self, bytes: usize) -> ControlFlow<()> {
        self.bytes += bytes + RECORD_WORK;
        if self.bytes < BYTES_PER_LOOK {
            return ControlFlow::Continue(());
        }
        self.bytes = 0;
        if self.began.elapsed() >= SLICE {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

fn is_group(path: &Path) -> bool {
    matches!(path, Path::Group(_))
}

#[cfg(test)]
mod tests;
