//! Finds the records of a segment that match a query. Subscriptions, searches and counts
//! share this implementation.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::filter::{Filter, Outcome, Verdict};
use crate::log::segment::{BLOCK_RECORDS, Segment, SegmentView};
use crate::record::RecordColumns;
use crate::time::Time;

/// How long a reader runs before it yields to other tasks of its thread. A single record takes
/// about as long at most.
pub const SLICE: Duration = Duration::from_millis(2);
/// Steps of a filter between two readings of the clock: measured as a tenth of a slice.
const STEPS_PER_LOOK: u64 = 10_000;
/// Steps after which a slice ends, whatever the clock says.
const STEPS_PER_SLICE: u64 = 10 * STEPS_PER_LOOK;
/// Steps of a record that the reader may not read.
const STEPS_PER_RECORD: u64 = 2;

/// Records that are searched for a text together.
const TEXT_RECORDS: usize = 256;
/// Bytes that are searched for a text together, except for a single larger record.
const TEXT_BYTES: usize = 256 * 1024;

/// A filter and a time range.
#[derive(Debug, Clone)]
pub struct ScanQuery {
    /// Which records.
    pub filter: Arc<Filter>,
    /// Events from this time on.
    pub start: Time,
    /// Events before this time; [`Time::MAX`] for no end.
    pub end: Time,
}

/// The order in which a scan visits the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanOrder {
    /// From the oldest on.
    Ascending,
    /// From the newest on.
    Descending,
}

/// Statistics of a scan.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ScanStats {
    /// Records that the reader may read and that their columns do not rule out: the type, the time,
    /// and the keys of the index. The number does not depend on how the records were found, or on
    /// records that the reader may not read.
    pub examined: u64,
    /// Records on which the expression failed.
    pub expression_errors: u64,
}

/// How a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanEnd {
    /// All positions were examined.
    Whole,
    /// The visitor ended the scan. The position is the last visited one.
    Enough(usize),
    /// The time slice is over. The scan continues after this position.
    Paused(usize),
}

impl ScanQuery {
    /// A query for all records that the filter matches.
    pub fn new(filter: Arc<Filter>) -> Self {
        Self { filter, start: Time::MIN, end: Time::MAX }
    }

    /// Visits the matching positions of `range` in `order`, until the visitor
    /// breaks or a time slice is over.
    pub fn scan(
        &self,
        view: &SegmentView<'_>,
        range: Range<usize>,
        order: ScanOrder,
        stats: &mut ScanStats,
        mut visit: impl FnMut(usize) -> ControlFlow<()>,
    ) -> ScanEnd {
        let mut step =
            Scan { query: self, view, stats, visit: &mut visit, clock: ScanClock::default() };
        match view.index().and_then(|index| index.candidates(self.filter.selection())) {
            Some(candidates) => {
                let from =
                    candidates.partition_point(|position| usize::from(*position) < range.start);
                let to = candidates.partition_point(|position| usize::from(*position) < range.end);
                let within = candidates
                    .get(from..to)
                    .unwrap_or_default()
                    .iter()
                    .map(|position| usize::from(*position));
                step.all(within, order)
            }
            None => step.blocks(range, order),
        }
    }

    /// Whether the index of a segment shows that no record matches.
    pub fn is_ruled_out_in(&self, segment: &Segment) -> bool {
        segment.rules_out(self.start, self.end, self.filter.selection())
    }

    /// Whether block filters may show that no record matches.
    fn is_narrow(&self) -> bool {
        self.is_timed() || !self.filter.selection().is_empty()
    }

    fn is_timed(&self) -> bool {
        self.start != Time::MIN || self.end != Time::MAX
    }

    /// Whether every record matches.
    pub fn matches_all(&self) -> bool {
        self.filter.matches_all() && !self.is_timed()
    }

    /// Checks a record by its columns only.
    #[inline]
    pub fn columns(&self, columns: &RecordColumns) -> Verdict {
        if columns.time < self.start || (columns.time >= self.end && self.end != Time::MAX) {
            return Verdict::No;
        }
        self.filter.columns(columns)
    }

    fn matches(
        &self,
        view: &SegmentView<'_>,
        position: usize,
        stats: &mut ScanStats,
        clock: &mut ScanClock,
    ) -> bool {
        let Some(columns) = view.columns.get(position) else { return false };
        match self.columns(columns) {
            Verdict::No => false,
            Verdict::Yes => {
                stats.examined += 1;
                true
            }
            Verdict::Unsure => {
                let record = view.record_bytes(position);
                clock.steps += STEPS_PER_RECORD;
                if !self.filter.may_read(columns, record) {
                    return false;
                }
                stats.examined += 1;
                let (outcome, steps) = self.filter.record_metered(record);
                clock.steps += steps;
                match outcome {
                    Outcome::Match => true,
                    Outcome::NoMatch => false,
                    Outcome::ExpressionFailed => {
                        stats.expression_errors += 1;
                        false
                    }
                }
            }
        }
    }
}

/// One running scan.
struct Scan<'a, 'v, V> {
    query: &'a ScanQuery,
    view: &'a SegmentView<'v>,
    stats: &'a mut ScanStats,
    visit: &'a mut V,
    clock: ScanClock,
}

impl<V: FnMut(usize) -> ControlFlow<()>> Scan<'_, '_, V> {
    fn all(
        &mut self,
        positions: impl DoubleEndedIterator<Item = usize>,
        order: ScanOrder,
    ) -> ScanEnd {
        match order {
            ScanOrder::Ascending => self.each(positions),
            ScanOrder::Descending => self.each(positions.rev()),
        }
    }

    /// Scans records without an index, and skips blocks whose filter shows that none matches.
    fn blocks(&mut self, range: Range<usize>, order: ScanOrder) -> ScanEnd {
        let query = self.query;
        if range.is_empty() || !query.is_narrow() {
            return self.block(range, order);
        }
        let (first, last) = (range.start / BLOCK_RECORDS, (range.end - 1) / BLOCK_RECORDS);
        for number in 0..=last - first {
            let block = match order {
                ScanOrder::Ascending => first + number,
                ScanOrder::Descending => last - number,
            };
            let selection = query.filter.selection();
            let mark = self.view.mark(block);
            if mark.is_some_and(|mark| mark.rules_out(query.start, query.end, selection)) {
                continue;
            }
            let begin = block * BLOCK_RECORDS;
            let own = begin.max(range.start)..(begin + BLOCK_RECORDS).min(range.end);
            match self.block(own, order) {
                ScanEnd::Whole => {}
                ended => return ended,
            }
        }
        ScanEnd::Whole
    }

    /// Scans records that neither an index nor a block filter excludes. A column that must have one
    /// value is checked first.
    fn block(&mut self, range: Range<usize>, order: ScanOrder) -> ScanEnd {
        fn only<T: Copy>(values: Option<&Vec<T>>) -> Option<T> {
            values.and_then(|values| if let [only] = **values { Some(only) } else { None })
        }
        let columns = self.view.columns;
        let selection = self.query.filter.selection();
        if self.query.filter.has_text() {
            self.text(range, order)
        } else if let Some(session) = only(selection.sessions.as_ref()) {
            self.all(range.filter(|at| has(columns, *at, |row| row.session == session)), order)
        } else if let Some(user) = only(selection.users.as_ref()) {
            let is_user = |row: &RecordColumns| row.user == user || row.impersonator == user;
            self.all(range.filter(|at| has(columns, *at, is_user)), order)
        } else if let Some(server) = only(selection.servers.as_ref()) {
            self.all(range.filter(|at| has(columns, *at, |row| row.server == server)), order)
        } else if let Some(type_id) = only(selection.types.as_ref()) {
            self.all(range.filter(|at| has(columns, *at, |row| row.type_id == type_id)), order)
        } else {
            self.all(range, order)
        }
    }

    /// Searches for a text in the bytes of many records at once, and examines only records in which
    /// it may occur.
    fn text(&mut self, range: Range<usize>, order: ScanOrder) -> ScanEnd {
        let (mut readable, mut found) = (Vec::new(), Vec::new());
        let mut rest = range;
        while !rest.is_empty() {
            let part = self.text_part(&rest, order);
            let last = match order {
                ScanOrder::Ascending => {
                    rest.start = part.end;
                    part.end - 1
                }
                ScanOrder::Descending => {
                    rest.end = part.start;
                    part.start
                }
            };
            readable.clear();
            self.find_readable(part, &mut readable);
            found.clear();
            self.find_text(&readable, &mut found);
            let before = self.stats.examined;
            let ended = self.all(found.iter().copied(), order);
            // Records without the text count as examined, too, as far as the scan has come.
            let examined = match (ended, order) {
                (ScanEnd::Whole, _) => readable.len(),
                (ScanEnd::Enough(at) | ScanEnd::Paused(at), ScanOrder::Ascending) => {
                    readable.partition_point(|own| *own <= at)
                }
                (ScanEnd::Enough(at) | ScanEnd::Paused(at), ScanOrder::Descending) => {
                    readable.len() - readable.partition_point(|own| *own < at)
                }
            };
            self.stats.examined = before + examined as u64;
            match ended {
                ScanEnd::Whole => {}
                ended => return ended,
            }
            self.clock.steps += STEPS_PER_LOOK;
            if self.clock.is_over() {
                return ScanEnd::Paused(last);
            }
        }
        ScanEnd::Whole
    }

    /// The next records of `rest`, at least one, to search for a text together.
    fn text_part(&self, rest: &Range<usize>, order: ScanOrder) -> Range<usize> {
        let mut count = rest.len().min(TEXT_RECORDS);
        loop {
            let part = match order {
                ScanOrder::Ascending => rest.start..rest.start + count,
                ScanOrder::Descending => rest.end - count..rest.end,
            };
            if count <= 1 || self.view.frames(part.clone()).len() <= TEXT_BYTES {
                return part;
            }
            count /= 2;
        }
    }

    /// Adds the positions of records that may be read and that the columns do not rule
    /// out, ascending.
    fn find_readable(&mut self, part: Range<usize>, readable: &mut Vec<usize>) {
        let query = self.query;
        if !query.is_timed() && query.filter.columns_rule_out_nothing() {
            readable.extend(part);
            return;
        }
        for position in part {
            let Some(columns) = self.view.columns.get(position) else { return };
            let record = self.view.record_bytes(position);
            if query.columns(columns) != Verdict::No && query.filter.may_read(columns, record) {
                readable.push(position);
            }
        }
    }

    /// Adds those of these positions at which the text may occur, ascending. Other records are not
    /// read.
    fn find_text(&mut self, readable: &[usize], found: &mut Vec<usize>) {
        for run in readable.chunk_by(|one, next| one + 1 == *next) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let start = self.view.frames(*first..first + 1).start;
            let bytes = self.view.bytes(*first..last + 1);
            let mut from = 0;
            while let Some(at) = self.query.filter.find_text(bytes, from) {
                let position = self.view.position_of(start + at);
                found.push(position);
                // The next occurrence is in a later record.
                from = self.view.frames(position..position + 1).end - start;
            }
        }
    }

    fn each(&mut self, positions: impl Iterator<Item = usize>) -> ScanEnd {
        let every = self.query.matches_all();
        for position in positions {
            self.stats.examined += u64::from(every);
            let matches =
                every || self.query.matches(self.view, position, self.stats, &mut self.clock);
            if matches && (self.visit)(position).is_break() {
                return ScanEnd::Enough(position);
            }
            if self.clock.is_over() {
                return ScanEnd::Paused(position);
            }
        }
        ScanEnd::Whole
    }
}

fn has(
    columns: &[RecordColumns],
    position: usize,
    matches: impl Fn(&RecordColumns) -> bool,
) -> bool {
    columns.get(position).is_some_and(matches)
}

/// Reads the clock from time to time, by the number of steps. Scanning columns is not counted,
/// because those of a segment take much less than a slice.
#[derive(Default)]
struct ScanClock {
    /// Steps since the last reading.
    steps: u64,
    /// Steps before it.
    steps_before: u64,
    started: Option<Instant>,
}

impl ScanClock {
    fn is_over(&mut self) -> bool {
        if self.steps < STEPS_PER_LOOK {
            return false;
        }
        self.steps_before += std::mem::take(&mut self.steps);
        // The clock starts at the first reading; the work before it is known by its steps.
        let time = self.started.get_or_insert_with(Instant::now).elapsed();
        self.steps_before >= STEPS_PER_SLICE || time >= SLICE
    }
}

#[cfg(test)]
mod tests;
