//! Counts: how many records of each type a query matches, by time.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use crate::catalog::{self, TypeId};
use crate::hub::{Hub, Turns};
use crate::log::{self, Order, Query, Scanned, Tally, View};
use crate::time::Time;

/// The most buckets that a count returns.
pub const BUCKETS_MAX: usize = 10_000;

/// What to count.
pub struct Count {
    /// Which records.
    pub query: Query,
    /// Length of a bucket in nanoseconds, positive; `None` for a single bucket.
    pub bucket: Option<i64>,
}

/// The counts.
#[derive(Debug, Default)]
pub struct Buckets {
    /// Number of records by event type, by the beginning of the bucket; without
    /// a bucket length, that is [`Time::EPOCH`].
    pub buckets: BTreeMap<Time, BTreeMap<String, i64>>,
    /// Records on which the expression failed.
    pub expression_errors: u64,
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

/// Counts on their way: by position in the catalog, custom types by name.
#[derive(Default)]
struct Tables {
    by_bucket: HashMap<i64, Table, foldhash::fast::RandomState>,
    too_many: bool,
}

#[derive(Default)]
struct Table {
    catalog: Vec<i64>,
    custom: BTreeMap<String, i64>,
}

impl Hub {
    /// Counts records.
    ///
    /// # Errors
    /// If there are more than [`BUCKETS_MAX`] buckets, or the log cannot be read.
    pub async fn count(&self, count: &Count) -> Result<Buckets, Error> {
        let extent = self.log.extent();
        let mut next = extent.first;
        let mut tally = Tally::default();
        let mut tables = Tables::default();
        let mut turns = Turns::new();
        while next <= extent.last {
            let Some(segment) = self.log.segment(next).await? else { break };
            let view = segment.view(extent.last);
            let range = view.position(next)..view.len();
            let scanned =
                count.query.scan(&view, range, Order::Ascending, &mut tally, |position| {
                    tables.add(count.bucket, &view, position);
                    if tables.too_many { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
            if tables.too_many {
                return Err(Error::TooManyBuckets);
            }
            next = match scanned {
                Scanned::Paused(position) | Scanned::Enough(position) => {
                    view.sequence(position).next()
                }
                Scanned::Whole => view.sequence(view.len()),
            };
            drop(segment);
            turns.pass().await;
        }
        Ok(tables.finish(count.bucket.unwrap_or(0), tally.expression_errors))
    }
}

impl Tables {
    fn add(&mut self, bucket: Option<i64>, view: &View<'_>, position: usize) {
        let Some(columns) = view.columns.get(position) else { return };
        let number = bucket.map_or(0, |length| columns.time.0.div_euclid(length));
        if self.by_bucket.len() >= BUCKETS_MAX && !self.by_bucket.contains_key(&number) {
            self.too_many = true;
            return;
        }
        let table = self.by_bucket.entry(number).or_default();
        if columns.type_id.is_custom() {
            let name = view.record(position).type_name;
            *table.custom.entry(name.to_owned()).or_default() += 1;
        } else {
            table.catalog.resize(catalog::EVENT_TYPES.len(), 0);
            if let Some(count) = table.catalog.get_mut(usize::from(columns.type_id.0)) {
                *count += 1;
            }
        }
    }

    fn finish(self, bucket: i64, expression_errors: u64) -> Buckets {
        let buckets = self.by_bucket.into_iter().map(|(number, table)| {
            let named = table.catalog.into_iter().enumerate().filter(|(_, count)| *count > 0);
            let named = named
                .map(|(position, count)| (TypeId(position as u16).get().name.to_owned(), count));
            (Time(number.saturating_mul(bucket)), named.chain(table.custom).collect())
        });
        Buckets { buckets: buckets.collect(), expression_errors }
    }
}
