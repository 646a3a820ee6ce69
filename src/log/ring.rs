//! The ring: the newest segments of a log, in memory. Every kind of log has one.

mod compare;
mod duplicate_check;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;

use crate::log::segment::{SEGMENT_RECORDS_MAX, SegmentParts};
use crate::log::{Error, ReadHint, ScanOrder, Segment};
use crate::record::{Draft, Sequence};
use crate::time::Time;

pub use compare::{CallComparisons, Comparer};
pub use duplicate_check::{ContentMatch, DuplicateCheck, Outside};
pub use writer::{
    AppendAttempt, ConflictCandidate, FramedRecord, RingWriter, SpaceNeed, StageOutcome,
};

/// Default of [`Bounds::bytes`].
pub const RING_BYTES: usize = 256 * 1024 * 1024;
/// Default of [`Bounds::records`].
pub const RING_RECORDS: usize = 1_000_000;
/// Smallest [`Bounds::bytes`].
pub const BYTES_MIN: usize = 1024 * 1024;

/// The fewest segments of a ring, so that eviction leaves most of it.
const SEGMENTS_MIN: usize = 16;

/// The bounds of a ring. When one is reached, the oldest segment is evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most bytes, index and id table included. At least [`BYTES_MIN`].
    pub bytes: usize,
    /// The most records. At least 1.
    pub records: usize,
}

/// The sizes of the segments of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSizes {
    /// Records of a segment.
    pub records: usize,
    /// Bytes of a segment's frames.
    pub bytes: usize,
}

/// The start of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingStart {
    /// The newest record of the log.
    pub last: Sequence,
    /// When that was accepted.
    pub accepted: Time,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes: RING_BYTES, records: RING_RECORDS }
    }
}

impl Default for RingStart {
    fn default() -> Self {
        Self { last: Sequence::ZERO, accepted: Time::MIN }
    }
}

impl Bounds {
    /// The sizes of the segments of such a ring, with at most `bytes_max` of frames each.
    pub fn sizes(self, bytes_max: usize) -> SegmentSizes {
        SegmentSizes {
            records: (self.records / SEGMENTS_MIN).clamp(1, SEGMENT_RECORDS_MAX),
            bytes: (self.bytes / (2 * SEGMENTS_MIN)).min(bytes_max),
        }
    }

    /// The most records of one call: all of them are kept when it returns, even if a whole segment
    /// is evicted.
    fn batch_records_max(self) -> usize {
        (self.records - self.sizes(usize::MAX).records).max(1)
    }

    /// The most bytes of one call, with columns and index.
    fn batch_bytes_max(self) -> usize {
        self.bytes / 2
    }

    /// Checks whether the ring can keep the drafts of one call.
    ///
    /// # Errors
    /// If there are too many, or they are too large.
    pub fn check_size(self, drafts: &[Draft]) -> Result<(), Error> {
        let limit = self.batch_records_max();
        if drafts.len() > limit {
            return Err(Error::TooManyRecords { records: drafts.len(), limit });
        }
        let bytes = drafts.iter().map(writer::size_max).sum();
        let limit = self.batch_bytes_max();
        if bytes > limit {
            return Err(Error::TooManyBytes { bytes, limit });
        }
        Ok(())
    }
}

/// The part of the ring that readers use without a lock.
pub struct RingReader {
    /// The segments, oldest first; the last one is being written.
    segments: ArcSwap<Vec<Arc<Segment>>>,
    /// The newest readable record.
    last: AtomicU64,
    /// Memory of the kept records, in bytes.
    bytes: AtomicUsize,
    /// Accept time of the newest evicted record, in nanoseconds; `i64::MIN` as
    /// bits before the first eviction.
    evicted_until: AtomicU64,
    /// Accept time of the newest record, readable or not, in nanoseconds; `i64::MIN` as
    /// bits before the first.
    last_accepted: AtomicU64,
}

impl RingReader {
    /// The reading side of this writer's ring.
    pub fn new(writer: &RingWriter) -> Self {
        Self {
            segments: ArcSwap::from_pointee(writer.segments()),
            last: AtomicU64::new(writer.last().0),
            bytes: AtomicUsize::new(writer.byte_size()),
            evicted_until: AtomicU64::new(Time::MIN.0 as u64),
            last_accepted: AtomicU64::new(writer.last_accepted().0 as u64),
        }
    }

    /// The oldest record in the ring; the sequence of the next one if it is empty.
    pub fn first(&self) -> Sequence {
        self.segments.load().first().map_or(Sequence::FIRST, |segment| segment.base())
    }

    /// The newest readable record.
    pub fn last(&self) -> Sequence {
        Sequence(self.last.load(Ordering::Acquire))
    }

    /// Memory of the kept records, in bytes.
    pub fn byte_size(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// When the newest evicted record had been accepted.
    pub fn evicted_until(&self) -> Option<Time> {
        let evicted_until = Time(self.evicted_until.load(Ordering::Relaxed) as i64);
        (evicted_until != Time::MIN).then_some(evicted_until)
    }

    /// The accept time of the newest record, readable or not; `None` before the first.
    pub fn last_accepted(&self) -> Option<Time> {
        let last_accepted = Time(self.last_accepted.load(Ordering::Relaxed) as i64);
        (last_accepted != Time::MIN).then_some(last_accepted)
    }

    /// Notes the accept time of the newest record.
    fn note_accepted(&self, last_accepted: Time) {
        self.last_accepted.store(last_accepted.0 as u64, Ordering::Relaxed);
    }

    /// Makes the records up to `last` readable.
    pub fn publish(&self, last: Sequence) {
        self.last.store(last.0, Ordering::Release);
    }

    /// The segment with the record at `at`. If that is not kept any more, the oldest segment;
    /// `None` past the newest record. If indexes rule out the reader's query, an empty run replaces
    /// the segment and the following ones that are ruled out, too.
    pub fn read(&self, at: Sequence, hint: &ReadHint<'_>) -> Option<Arc<Segment>> {
        // Read before the segments, so that these have at least the records up to here.
        let last = self.last();
        if at > last {
            return None;
        }
        let segments = self.segments.load();
        let place = segments.partition_point(|segment| segment.base() <= at).saturating_sub(1);
        let found = segments.get(place)?;
        let Some(query) = hint.query.filter(|_| found.base() <= at) else {
            return Some(Arc::clone(found));
        };
        let is_ruled_out = |place: usize| {
            segments.get(place).is_some_and(|segment| query.is_ruled_out_in(segment))
        };
        if !is_ruled_out(place) {
            return Some(Arc::clone(found));
        }
        let (mut first, mut end) = (place, place + 1);
        match hint.order {
            ScanOrder::Ascending => {
                while is_ruled_out(end) {
                    end += 1;
                }
            }
            ScanOrder::Descending => {
                while first > 0 && is_ruled_out(first - 1) {
                    first -= 1;
                }
            }
        }
        let base = segments.get(first)?.base();
        let behind = segments.get(end).map_or(last.next(), |segment| segment.base());
        match u32::try_from(behind.0.saturating_sub(base.0)) {
            Ok(covers) if covers > 0 => {
                Some(Arc::new(Segment::of_parts(base, covers, SegmentParts::default())))
            }
            _ => Some(Arc::clone(found)),
        }
    }

    /// The segment with a record, readable or not; `None` if it is not kept any more.
    pub fn segment(&self, at: Sequence) -> Option<Arc<Segment>> {
        let segments = self.segments.load();
        let behind = segments.partition_point(|segment| segment.base() <= at);
        segments.get(behind.checked_sub(1)?).cloned()
    }

    /// The first record in the ring that was accepted at `time` or later; the sequence of the next
    /// record if there is none.
    pub fn accepted_since(&self, time: Time) -> Sequence {
        let segments = self.segments.load();
        let last = self.last();
        // The last segment that begins earlier, because accept times never decrease.
        let after = segments.partition_point(|segment| {
            let view = segment.view(last);
            !view.is_empty() && view.record(0).accept_time < time
        });
        match after.checked_sub(1).and_then(|place| segments.get(place)) {
            Some(segment) => {
                let view = segment.view(last);
                view.sequence(view.accepted_since(time))
            }
            None => segments.first().map_or(Sequence::FIRST, |segment| segment.base()),
        }
    }
}
