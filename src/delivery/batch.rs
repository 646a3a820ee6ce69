//! Batches: encoded items, with the records that they were made from.

use std::sync::Arc;

use bytes::Bytes;

use crate::delivery::format::{DeliveryGap, Format, SourceRecord};
use crate::hub::Gap;
use crate::record::{Record, Sequence};
use crate::time::Time;

/// When a batch is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// The most records.
    pub records: usize,
    /// The most bytes of items, except for a single larger record.
    pub bytes: usize,
    /// How long a record waits for others while another batch is in flight.
    pub time: std::time::Duration,
}

/// Encoded items for a destination, with the records that they report.
#[derive(Debug, Clone)]
pub struct Batch {
    log_id: Arc<str>,
    items: Vec<BatchItem>,
    bytes: Vec<u8>,
    /// Of the records that the items report.
    record_bytes: usize,
}

#[derive(Debug, Clone)]
struct BatchItem {
    /// The end of the item in the bytes.
    end: usize,
    source: ItemSource,
}

/// What an item reports.
#[derive(Debug, Clone)]
pub enum ItemSource {
    /// A record, encoded.
    Record(Bytes),
    /// Records that the destination does not get.
    Gap(Gap),
}

/// A record that the format cannot encode.
#[derive(Debug)]
pub struct Misfit {
    /// The record.
    pub source: ItemSource,
    /// Its stable id.
    pub id: String,
    /// The error.
    pub what: String,
}

/// One item of a batch, borrowed from it.
#[derive(Debug, Clone, Copy)]
pub struct ItemView<'a> {
    /// The encoded item.
    pub bytes: &'a [u8],
    /// What it reports.
    pub source: &'a ItemSource,
    log_id: &'a str,
}

impl<'a> ItemView<'a> {
    /// The record that the item reports; `None` for a gap.
    pub fn record(&self) -> Option<Record<'a>> {
        match self.source {
            ItemSource::Record(bytes) => Some(Record::read(bytes)),
            ItemSource::Gap(_) => None,
        }
    }

    /// The stable id of what it reports.
    pub fn id(&self) -> String {
        self.source.id(self.log_id)
    }

    /// The time of the event; the present for a gap.
    pub fn time(&self) -> Time {
        let Some(record) = self.record() else { return Time::now() };
        let told = record.envelope().time;
        let told = told.and_then(|(seconds, nanos)| Time::from_parts(seconds, nanos));
        told.unwrap_or(record.accept_time)
    }
}

impl ItemSource {
    /// The first record that it reports.
    pub fn sequence(&self) -> Sequence {
        match self {
            Self::Record(bytes) => Record::read(bytes).sequence,
            Self::Gap(gap) => gap.first,
        }
    }

    /// The stable id of what it reports: see [`SourceRecord::id`] and [`DeliveryGap::id`].
    pub fn id(&self, log_id: &str) -> String {
        match self {
            Self::Record(bytes) => SourceRecord { record: &Record::read(bytes), log_id }.id(),
            Self::Gap(gap) => delivery_gap(*gap, "", log_id, Time::EPOCH).id(),
        }
    }

    fn held_bytes(&self) -> usize {
        match self {
            Self::Record(bytes) => bytes.len(),
            Self::Gap(_) => 0,
        }
    }
}

/// The gap as a format encodes it.
fn delivery_gap<'a>(gap: Gap, delivery: &'a str, log_id: &'a str, time: Time) -> DeliveryGap<'a> {
    let Gap { first, last, reason } = gap;
    DeliveryGap { delivery, log_id, first, last, reason, time }
}

impl Batch {
    /// A batch without items.
    pub fn new(log_id: Arc<str>) -> Self {
        Self { log_id, items: Vec::new(), bytes: Vec::new(), record_bytes: 0 }
    }

    /// Id of the log that the records are from.
    pub fn log_id(&self) -> &str {
        &self.log_id
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it has no items.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The bytes of all items.
    pub fn byte_size(&self) -> usize {
        self.bytes.len()
    }

    /// Memory that it takes, in bytes, estimated: the items, and the records that they report.
    pub fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.items.capacity() * size_of::<BatchItem>() + self.record_bytes
    }

    /// Whether a batch with these limits is full.
    pub fn is_full(&self, limits: &BatchLimits) -> bool {
        self.len() >= limits.records || self.byte_size() >= limits.bytes
    }

    /// Adds a record. On an error, the batch is unchanged.
    ///
    /// # Errors
    /// If the format cannot encode the record.
    pub fn add_record(&mut self, record: Bytes, format: &dyn Format) -> Result<(), Misfit> {
        let before = self.bytes.len();
        let read = Record::read(&record);
        let source = SourceRecord { record: &read, log_id: &self.log_id };
        if let Err(error) = format.record(&source, &mut self.bytes) {
            self.bytes.truncate(before);
            let source = ItemSource::Record(record);
            return Err(Misfit { id: source.id(&self.log_id), source, what: error.what });
        }
        self.record_bytes += record.len();
        self.items.push(BatchItem { end: self.bytes.len(), source: ItemSource::Record(record) });
        Ok(())
    }

    /// Adds a gap.
    pub fn add_gap(&mut self, gap: Gap, delivery: &str, format: &dyn Format) {
        let log_id = Arc::clone(&self.log_id);
        format.gap(&delivery_gap(gap, delivery, &log_id, Time::now()), &mut self.bytes);
        self.items.push(BatchItem { end: self.bytes.len(), source: ItemSource::Gap(gap) });
    }

    /// The items, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ItemView<'_>> + Clone {
        (0..self.items.len()).map(|position| self.item(position))
    }

    /// The item at a position.
    ///
    /// # Panics
    /// If there is none.
    pub fn item(&self, position: usize) -> ItemView<'_> {
        let item = self.items.get(position).expect("positions lie within the batch");
        let before = position.checked_sub(1).and_then(|before| self.items.get(before));
        let start = before.map_or(0, |before| before.end);
        let bytes = self.bytes.get(start..item.end).expect("items lie within the bytes");
        ItemView { bytes, source: &item.source, log_id: &self.log_id }
    }

    /// The first and the last record that the batch reports.
    pub fn range(&self) -> (Sequence, Sequence) {
        let first = self.items.first().map_or(Sequence::ZERO, |item| item.source.sequence());
        let last = self.items.last().map_or(Sequence::ZERO, |item| item.source.sequence());
        (first, last)
    }

    /// When the first of its records was accepted.
    pub fn accepted_since(&self) -> Option<Time> {
        self.iter().find_map(|item| item.record()).map(|record| record.accept_time)
    }

    /// A batch of the items at these positions, ascending.
    pub fn select(&self, positions: impl Iterator<Item = usize>) -> Self {
        let mut selected = Self::new(Arc::clone(&self.log_id));
        for position in positions {
            let item = self.item(position);
            selected.bytes.extend_from_slice(item.bytes);
            selected.record_bytes += item.source.held_bytes();
            let end = selected.bytes.len();
            selected.items.push(BatchItem { end, source: item.source.clone() });
        }
        selected
    }

    /// The first half and the second half; neither is empty if there are two items or more.
    pub fn halves(&self) -> (Self, Self) {
        let middle = self.len() / 2;
        (self.select(0..middle), self.select(middle..self.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::format::{FormatName, testing};
    use crate::hub::GapReason;

    fn batch(sequences: std::ops::RangeInclusive<u64>) -> Batch {
        let mut batch = Batch::new("log".into());
        let format = FormatName::Json.format();
        for sequence in sequences {
            batch.add_record(testing::record(sequence).into(), &*format).expect("it has a form");
        }
        batch
    }

    #[test]
    fn parts_of_a_batch_have_the_same_items() {
        let whole = batch(1..=5);
        let ids = |batch: &Batch| batch.iter().map(|item| item.id()).collect::<Vec<_>>();
        assert_eq!(whole.range(), (Sequence(1), Sequence(5)));
        let (first, second) = whole.halves();
        assert_eq!(ids(&first), ["log/1", "log/2"]);
        assert_eq!(ids(&second), ["log/3", "log/4", "log/5"]);
        let some = whole.select([0, 3].into_iter());
        assert_eq!(ids(&some), ["log/1", "log/4"]);
        assert_eq!(some.item(1).bytes, whole.item(3).bytes);
        assert!(whole.is_full(&BatchLimits {
            records: 5,
            bytes: usize::MAX,
            time: Default::default()
        }));
        assert!(!whole.is_full(&BatchLimits {
            records: 6,
            bytes: usize::MAX,
            time: Default::default()
        }));
    }

    #[test]
    fn a_gap_is_an_item() {
        let mut batch = batch(1..=1);
        let gap = Gap { first: Sequence(2), last: Sequence(9), reason: GapReason::Evicted };
        batch.add_gap(gap, "siem", &*FormatName::Json.format());
        assert_eq!(batch.item(1).id(), "log/2-9");
        assert!(batch.item(1).record().is_none());
        assert_eq!((gap.records(), batch.len()), (8, 2));
    }
}
