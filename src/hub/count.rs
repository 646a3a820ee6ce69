//! Counts: how many records a query matches, by group and by time.

mod group;

use std::collections::{BTreeMap, HashMap};
use std::ops::{ControlFlow, Range, RangeInclusive};

use crate::catalog::TypeId;
use crate::hub::{Gap, GapReason, Hub, PAGE_BYTES_MAX, TimeSlices, WorkMemory};
use crate::log::{
    self, ReadContent, ReadHint, ReadResult, ScanEnd, ScanOrder, ScanQuery, ScanStats, SegmentView,
};
use crate::record::RecordColumns;
use crate::time::Time;
pub use group::Group;

/// The maximum number of buckets in a result.
pub const BUCKETS_MAX: usize = 10_000;

/// The maximum number of gaps in a result.
const GAPS_MAX: usize = 1_000;
/// The least size of a count in an answer beside its name, and of a bucket, in bytes.
const COUNT_BYTES: usize = 6;
/// Records that are counted before other tasks may run on the thread.
const RECORDS_PER_LOOK: usize = 4 * 1024;
/// Estimated memory of a named count beside its name, and of a bucket, in bytes.
const NAMED_COUNT_BYTES: usize = 96;
const BUCKET_BYTES: usize = 256;

/// A query and its bucket length.
pub struct CountRequest {
    /// Which records are counted.
    pub query: ScanQuery,
    /// Length of a bucket in nanoseconds, positive; `None` for a single bucket.
    pub bucket: Option<i64>,
    /// The group of the counts.
    pub group: Group,
}

/// The counts.
#[derive(Debug, Default)]
pub struct CountResult {
    /// Number of records by group, by the beginning of the bucket; without a bucket
    /// length, that is [`Time::EPOCH`].
    pub buckets: BTreeMap<Time, BTreeMap<String, i64>>,
    /// Records on which the expression failed.
    pub expression_errors: u64,
    /// Records that cannot be read: the first ranges.
    pub gaps: Vec<Gap>,
}

/// Why a count fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The records fall into too many buckets.
    #[error(
        "the records fall into more than {BUCKETS_MAX} buckets: make bucket longer or the time range shorter"
    )]
    TooManyBuckets,
    /// The counts are larger than clients accept.
    #[error(
        "counts are more than {limit} bytes: make bucket longer, or the filter or the time range narrower", limit = PAGE_BYTES_MAX
    )]
    TooLarge,
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] log::Error),
}

/// Counts in progress.
struct CountTables {
    group: Group,
    /// Length of a bucket; `None` for a single one.
    bucket: Option<i64>,
    /// The position in `tables` of the bucket with a number.
    places: HashMap<i64, usize, foldhash::fast::RandomState>,
    tables: Vec<CountTable>,
    /// The bucket that was counted into last, and the times in it. Neighbours in
    /// the log mostly share a bucket, so few records need the division and the
    /// lookup that find another one.
    current: usize,
    times: RangeInclusive<i64>,
    /// Recent counts of that bucket, by number of the group: one table for all buckets, because
    /// most of them have few groups.
    recent: Box<[i64]>,
    /// The positions at which `recent` is not 0.
    touched: Vec<u16>,
    /// The least size of the answer, in bytes.
    answer_bytes: usize,
    /// The number of counts.
    counts: usize,
}

/// The counts of one bucket.
struct CountTable {
    number: i64,
    /// Counts by number of the group, ascending.
    counts: Vec<(u16, i64)>,
    /// Counts of custom types by name.
    custom: BTreeMap<String, i64>,
}

/// Why counting ends early.
type Full = ControlFlow<Error>;

impl Hub {
    /// Counts records. `memory` learns how much memory the count holds.
    ///
    /// # Errors
    /// If there are more than [`BUCKETS_MAX`] buckets, the answer would be larger than
    /// [`PAGE_BYTES_MAX`], or the log cannot be read.
    pub async fn count(
        &self,
        count: &CountRequest,
        memory: &impl WorkMemory,
    ) -> Result<CountResult, Error> {
        let extent = self.log.extent();
        let mut next = extent.first;
        let mut stats = ScanStats::default();
        let mut tables = CountTables::new(count.bucket, count.group);
        let mut gaps = Vec::new();
        let mut turns = TimeSlices::begin();
        while next <= extent.last {
            let hint = ReadHint {
                content: ReadContent::Columns,
                ..ReadHint::matching(&count.query, ScanOrder::Ascending)
            };
            let segment = match self.log.read(next, hint).await? {
                None => break,
                Some(ReadResult::Records(segment)) => segment,
                Some(ReadResult::Damaged { first, last }) => {
                    next = last.next();
                    if gaps.len() < GAPS_MAX {
                        let last = last.min(extent.last);
                        gaps.push(Gap { first, last, reason: GapReason::Damaged });
                    }
                    continue;
                }
            };
            let view = segment.view(extent.last);
            let start = view.position(next);
            let part = start..view.len().min(start + RECORDS_PER_LOOK);
            let is_last = part.end == view.len();
            let mut full = None;
            let scanned = if count.query.matches_all() {
                full = tables.add_all(&view, part.clone()).break_value();
                ScanEnd::Whole
            } else {
                let add = |at| match tables.add(&view, at) {
                    ControlFlow::Continue(()) => ControlFlow::Continue(()),
                    ControlFlow::Break(error) => {
                        full = Some(error);
                        ControlFlow::Break(())
                    }
                };
                count.query.scan(&view, part.clone(), ScanOrder::Ascending, &mut stats, add)
            };
            if let Some(error) = full {
                return Err(error);
            }
            next = match scanned {
                ScanEnd::Enough(position) | ScanEnd::Paused(position) => {
                    view.sequence(position).next()
                }
                ScanEnd::Whole if is_last => view.end(),
                ScanEnd::Whole => view.sequence(part.end),
            };
            drop(segment);
            memory.holds(tables.held_bytes());
            turns.yield_now(&self.turns).await;
        }
        let expression_errors = stats.expression_errors;
        let mut buckets = BTreeMap::new();
        for table in tables.finish()? {
            let time = Time(table.number.saturating_mul(count.bucket.unwrap_or(0)));
            buckets.insert(time, table.named(count.group));
            turns.yield_now(&self.turns).await;
        }
        Ok(CountResult { buckets, expression_errors, gaps })
    }
}

impl CountTables {
    fn new(bucket: Option<i64>, group: Group) -> Self {
        // No time is in the bucket of the first record until it is found.
        #[allow(clippy::reversed_empty_ranges, reason = "it is meant to be empty")]
        let times = 1..=0;
        Self {
            group,
            bucket,
            places: HashMap::default(),
            tables: Vec::new(),
            current: 0,
            times,
            recent: vec![0; group.len()].into(),
            touched: Vec::new(),
            answer_bytes: 0,
            counts: 0,
        }
    }

    /// Counts all records of a range, like [`CountTables::add`] for each, but looks up the table
    /// once for consecutive records of a bucket.
    fn add_all(&mut self, view: &SegmentView<'_>, range: Range<usize>) -> Full {
        let mut at = range.start;
        while let Some(rows) = view.columns.get(at..range.end).filter(|rows| !rows.is_empty()) {
            // The first record may switch to another bucket.
            self.add(view, at)?;
            at += 1 + match self.group {
                Group::Type => self.add_run(rows, |row| Group::Type.number(row)),
                Group::Category => self.add_run(rows, |row| Group::Category.number(row)),
                Group::Severity => self.add_run(rows, |row| Group::Severity.number(row)),
                Group::Result => self.add_run(rows, |row| Group::Result.number(row)),
            };
        }
        Full::Continue(())
    }

    /// Counts the rows after the first one that are in the same bucket, until one is not or has a
    /// named group. Returns their number.
    #[inline]
    fn add_run(
        &mut self,
        rows: &[RecordColumns],
        number: impl Fn(&RecordColumns) -> Option<u16>,
    ) -> usize {
        let (first, last) = (*self.times.start(), *self.times.end());
        let mut counted = 0;
        for row in rows.get(1..).unwrap_or_default() {
            let is_other = row.time.0 < first || row.time.0 > last;
            let Some(number) = number(row).filter(|_| !is_other) else { break };
            self.count(number);
            counted += 1;
        }
        counted
    }

    #[inline]
    fn count(&mut self, number: u16) {
        if let Some(count) = self.recent.get_mut(usize::from(number)) {
            if *count == 0 {
                self.touched.push(number);
            }
            *count += 1;
        }
    }

    /// Counts a record; breaks if that needs too many buckets or names.
    fn add(&mut self, view: &SegmentView<'_>, position: usize) -> Full {
        let Some(columns) = view.columns.get(position) else { return Full::Continue(()) };
        if !self.times.contains(&columns.time.0) {
            self.turn_to(columns.time.0)?;
        }
        if let Some(number) = self.group.number(columns) {
            self.count(number);
            return Full::Continue(());
        }
        let Some(table) = self.tables.get_mut(self.current) else { return Full::Continue(()) };
        let name = view.record(position).type_name;
        if let Some(count) = table.custom.get_mut(name) {
            *count += 1;
            return Full::Continue(());
        }
        table.custom.insert(name.to_owned(), 1);
        self.counts += 1;
        self.take(name.len() + COUNT_BYTES)
    }

    /// Adds to the size of the answer; breaks if it is too large.
    fn take(&mut self, bytes: usize) -> Full {
        self.answer_bytes += bytes;
        if self.answer_bytes > PAGE_BYTES_MAX {
            Full::Break(Error::TooLarge)
        } else {
            Full::Continue(())
        }
    }

    /// Adds the recent counts to the table of their bucket.
    fn settle(&mut self) -> Full {
        let Some(table) = self.tables.get_mut(self.current) else { return Full::Continue(()) };
        let mut bytes = 0;
        for number in self.touched.drain(..) {
            let Some(recent) = self.recent.get_mut(usize::from(number)) else { continue };
            let recent = std::mem::take(recent);
            match table.counts.binary_search_by_key(&number, |(own, _)| *own) {
                Ok(place) => {
                    if let Some((_, count)) = table.counts.get_mut(place) {
                        *count += recent;
                    }
                }
                Err(place) => {
                    table.counts.insert(place, (number, recent));
                    self.counts += 1;
                    bytes += COUNT_BYTES;
                    if self.group == Group::Type {
                        bytes += TypeId(number).get().name.len();
                    }
                }
            }
        }
        self.take(bytes)
    }

    /// Makes the bucket of this time the current one.
    fn turn_to(&mut self, time: i64) -> Full {
        self.settle()?;
        let number = self.bucket.map_or(0, |length| time.div_euclid(length));
        self.times = self.bucket.map_or(i64::MIN..=i64::MAX, |length| {
            let begin = |number: i64| number.saturating_mul(length);
            begin(number)..=begin(number.saturating_add(1)).saturating_sub(1)
        });
        self.current = match self.places.get(&number) {
            Some(place) => *place,
            None if self.tables.len() >= BUCKETS_MAX => return Full::Break(Error::TooManyBuckets),
            None => {
                self.tables.push(CountTable {
                    number,
                    counts: Vec::new(),
                    custom: BTreeMap::new(),
                });
                self.places.insert(number, self.tables.len() - 1);
                self.take(COUNT_BYTES)?;
                self.tables.len() - 1
            }
        };
        Full::Continue(())
    }

    /// Estimated memory of the counts, in bytes, names included.
    fn held_bytes(&self) -> usize {
        self.tables.len() * BUCKET_BYTES + self.counts * NAMED_COUNT_BYTES + self.answer_bytes
    }

    fn finish(mut self) -> Result<Vec<CountTable>, Error> {
        match self.settle() {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(self.tables),
        }
    }
}

impl CountTable {
    /// The counts by name.
    fn named(self, group: Group) -> BTreeMap<String, i64> {
        let mut named = self.custom;
        named.extend(self.counts.into_iter().map(|(number, count)| (group.name(number), count)));
        named
    }
}

#[cfg(test)]
mod tests;
