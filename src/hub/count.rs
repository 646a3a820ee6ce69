//! Counts the records that match a query, by type and time bucket.

use std::collections::{BTreeMap, HashMap};
use std::ops::{ControlFlow, Range, RangeInclusive};

use crate::catalog::{self, TypeId};
use crate::hub::{Gap, GapReason, Hub, TimeSlices};
use crate::log::{
    self, ReadContent, ReadHint, ReadResult, ScanEnd, ScanOrder, ScanQuery, ScanStats, SegmentView,
};
use crate::time::Time;

/// The maximum number of buckets in a result.
pub const BUCKETS_MAX: usize = 10_000;

/// The maximum number of gaps in a result.
const GAPS_MAX: usize = 1_000;

/// A query and its bucket length.
pub struct CountRequest {
    /// Which records.
    pub query: ScanQuery,
    /// Length of a bucket in nanoseconds, positive; `None` for a single bucket.
    pub bucket: Option<i64>,
}

/// The counts.
#[derive(Debug, Default)]
pub struct CountResult {
    /// Number of records by event type, by the beginning of the bucket; without
    /// a bucket length, that is [`Time::EPOCH`].
    pub buckets: BTreeMap<Time, BTreeMap<String, i64>>,
    /// Records on which the expression failed.
    pub expression_errors: u64,
    /// Records that cannot be read: the first ranges.
    pub gaps: Vec<Gap>,
}

/// Why there is no count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The records fall into too many buckets.
    #[error(
        "the records fall into more than {BUCKETS_MAX} buckets: make bucket longer or the time range shorter"
    )]
    TooManyBuckets,
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] log::Error),
}

/// Counts while the scan runs.
struct CountTables {
    /// Length of a bucket; `None` for a single one.
    bucket: Option<i64>,
    /// Where in `tables` the bucket with a number is.
    places: HashMap<i64, usize, foldhash::fast::RandomState>,
    tables: Vec<CountTable>,
    /// The bucket that was counted into last, and the times in it. Neighbours in
    /// the log mostly share a bucket, so few records need the division and the
    /// lookup that find another one.
    current: usize,
    times: RangeInclusive<i64>,
}

/// The counts of one bucket.
struct CountTable {
    number: i64,
    /// By position in the catalog.
    catalog: Box<[i64]>,
    /// Custom types by name.
    custom: BTreeMap<String, i64>,
}

impl Hub {
    /// Counts records.
    ///
    /// # Errors
    /// If there are more than [`BUCKETS_MAX`] buckets, or the log cannot be read.
    pub async fn count(&self, count: &CountRequest) -> Result<CountResult, Error> {
        let extent = self.log.extent();
        let mut next = extent.first;
        let mut stats = ScanStats::default();
        let mut tables = CountTables::new(count.bucket);
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
            let range = view.position(next)..view.len();
            let scanned = if count.query.matches_all() {
                tables.add_all(&view, range)
            } else {
                let add = |at| tables.add(&view, at);
                count.query.scan(&view, range, ScanOrder::Ascending, &mut stats, add)
            };
            next = match scanned {
                ScanEnd::Enough(_) => return Err(Error::TooManyBuckets),
                ScanEnd::Paused(position) => view.sequence(position).next(),
                ScanEnd::Whole => view.end(),
            };
            drop(segment);
            turns.yield_now(&self.turns).await;
        }
        let expression_errors = stats.expression_errors;
        Ok(CountResult { buckets: tables.finish(), expression_errors, gaps })
    }
}

impl CountTables {
    fn new(bucket: Option<i64>) -> Self {
        // No time is in the bucket of the first record until it is found.
        #[allow(clippy::reversed_empty_ranges, reason = "it is meant to be empty")]
        let times = 1..=0;
        Self { bucket, places: HashMap::default(), tables: Vec::new(), current: 0, times }
    }

    /// Counts all records of a range: as [`CountTables::add`] of each, but a table is
    /// looked for once for all that follow each other in its bucket.
    fn add_all(&mut self, view: &SegmentView<'_>, range: Range<usize>) -> ScanEnd {
        let mut at = range.start;
        while let Some(rows) = view.columns.get(at..range.end).filter(|rows| !rows.is_empty()) {
            // The first record may switch to another bucket.
            if self.add(view, at).is_break() {
                return ScanEnd::Enough(at);
            }
            let Some(table) = self.tables.get_mut(self.current) else { break };
            let (first, last) = (*self.times.start(), *self.times.end());
            let mut counted = 1;
            for row in rows.get(1..).unwrap_or_default() {
                let is_other = row.time.0 < first || row.time.0 > last || row.type_id.is_custom();
                let count = table.catalog.get_mut(usize::from(row.type_id.0));
                let Some(count) = count.filter(|_| !is_other) else { break };
                *count += 1;
                counted += 1;
            }
            at += counted;
        }
        ScanEnd::Whole
    }

    /// Counts a record; breaks if that needs too many buckets.
    fn add(&mut self, view: &SegmentView<'_>, position: usize) -> ControlFlow<()> {
        let Some(columns) = view.columns.get(position) else { return ControlFlow::Continue(()) };
        if !self.times.contains(&columns.time.0) {
            self.turn_to(columns.time.0)?;
        }
        let Some(table) = self.tables.get_mut(self.current) else {
            return ControlFlow::Continue(());
        };
        if columns.type_id.is_custom() {
            let name = view.record(position).type_name;
            *table.custom.entry(name.to_owned()).or_default() += 1;
        } else if let Some(count) = table.catalog.get_mut(usize::from(columns.type_id.0)) {
            *count += 1;
        }
        ControlFlow::Continue(())
    }

    /// Makes the bucket of this time the current one.
    fn turn_to(&mut self, time: i64) -> ControlFlow<()> {
        let number = self.bucket.map_or(0, |length| time.div_euclid(length));
        self.times = self.bucket.map_or(i64::MIN..=i64::MAX, |length| {
            let begin = |number: i64| number.saturating_mul(length);
            begin(number)..=begin(number.saturating_add(1)).saturating_sub(1)
        });
        self.current = match self.places.get(&number) {
            Some(place) => *place,
            None if self.tables.len() >= BUCKETS_MAX => return ControlFlow::Break(()),
            None => {
                let catalog = vec![0; catalog::EVENT_TYPES.len()].into();
                self.tables.push(CountTable { number, catalog, custom: BTreeMap::new() });
                self.places.insert(number, self.tables.len() - 1);
                self.tables.len() - 1
            }
        };
        ControlFlow::Continue(())
    }

    fn finish(self) -> BTreeMap<Time, BTreeMap<String, i64>> {
        let bucket = self.bucket.unwrap_or(0);
        let buckets = self.tables.into_iter().map(|table| {
            let named = table.catalog.into_iter().enumerate().filter(|(_, count)| *count > 0);
            let named = named
                .map(|(position, count)| (TypeId(position as u16).get().name.to_owned(), count));
            (Time(table.number.saturating_mul(bucket)), named.chain(table.custom).collect())
        });
        buckets.collect()
    }
}
