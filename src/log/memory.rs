//! The log in memory: the ring and nothing else.

mod known;
mod writer;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use uuid::Uuid;

use crate::event::same_content;
use crate::log::segment::SEGMENT_RECORDS_MAX;
use crate::log::{
    BoxFuture, Conflict, Error, Extent, Found, Identity, Keeper, Log, Placed, Segment, Want,
};
use crate::record::{Draft, Sequence};
use crate::time::Time;
use known::Known;
use writer::{Attempt, Writer};

/// Default of [`Bounds::bytes`].
pub const RING_BYTES: usize = 256 * 1024 * 1024;
/// Default of [`Bounds::records`].
pub const RING_RECORDS: usize = 1_000_000;
/// Smallest [`Bounds::bytes`].
pub const BYTES_MIN: usize = 1024 * 1024;

/// The largest segment, in bytes of records.
const SEGMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A ring is at least so many segments, so that eviction leaves most of it.
const SEGMENTS_MIN: usize = 16;

/// How much a ring keeps. When either bound is met, the oldest segment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most bytes, index and id table included. At least [`BYTES_MIN`].
    pub bytes: usize,
    /// The most records. At least 1.
    pub records: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes: RING_BYTES, records: RING_RECORDS }
    }
}

impl Bounds {
    /// Records of a segment.
    fn segment_records(self) -> usize {
        (self.records / SEGMENTS_MIN).clamp(1, SEGMENT_RECORDS_MAX)
    }

    /// Bytes of a segment's records.
    fn segment_bytes(self) -> usize {
        (self.bytes / (2 * SEGMENTS_MIN)).min(SEGMENT_BYTES_MAX)
    }

    /// The most records of one call: all of them are kept when it returns,
    /// though a whole segment may go to make room.
    fn batch_records_max(self) -> usize {
        (self.records - self.segment_records()).max(1)
    }

    /// The most bytes of one call, with columns and index.
    fn batch_bytes_max(self) -> usize {
        self.bytes / 2
    }
}

/// A log that keeps its newest records in memory, for as long as it runs.
pub struct MemoryLog {
    identity: Identity,
    bounds: Bounds,
    writer: Mutex<Writer>,
    shared: Shared,
    changed: watch::Sender<()>,
}

/// What readers look at without a lock.
struct Shared {
    /// The segments, oldest first; the last one is being written.
    segments: ArcSwap<Vec<Arc<Segment>>>,
    /// The newest readable record.
    last: AtomicU64,
    /// What is kept takes so many bytes.
    bytes: AtomicUsize,
    /// Accept time of the newest evicted record, in nanoseconds; `i64::MIN` as
    /// bits before the first eviction.
    evicted_until: AtomicU64,
    /// Is asked before records are evicted.
    keeper: OnceLock<Arc<dyn Keeper>>,
}

impl MemoryLog {
    /// An empty log with a new identity.
    ///
    /// # Panics
    /// If a bound is below its minimum.
    pub fn new(bounds: Bounds) -> Self {
        assert!(bounds.records >= 1, "a ring keeps at least one record");
        assert!(bounds.bytes >= BYTES_MIN, "a ring has at least {BYTES_MIN} bytes");
        let writer = Writer::new(bounds);
        let shared = Shared {
            segments: ArcSwap::from_pointee(writer.segments()),
            last: AtomicU64::new(0),
            bytes: AtomicUsize::new(writer.byte_size()),
            evicted_until: AtomicU64::new(Time::MIN.0 as u64),
            keeper: OnceLock::new(),
        };
        Self {
            identity: Identity { id: Uuid::now_v7(), epoch: 1, kind: "memory" },
            bounds,
            writer: Mutex::new(writer),
            shared,
            changed: watch::Sender::new(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        // A panic while appending leaves whole records only: what was not
        // published is written over.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self) -> Sequence {
        Sequence(self.shared.last.load(Ordering::Acquire))
    }

    /// With `each`, conflicting drafts are left out; without, they refuse all.
    async fn append_now(
        &self,
        drafts: &[Draft],
        commit: bool,
        each: bool,
    ) -> Result<Vec<Result<Placed, Conflict>>, Error> {
        self.check_size(drafts)?;
        let mut known = Known::within(drafts);
        loop {
            if !each && let Some(conflict) = known.first_conflict() {
                return Err(conflict.into());
            }
            let attempt = self.lock().append(drafts, &known, commit, &self.shared);
            match attempt {
                Attempt::Done { placed, sealed } => {
                    if commit {
                        self.changed.send_replace(());
                    }
                    // Outside of the lock: it takes milliseconds.
                    sealed.iter().for_each(|segment| segment.seal());
                    return Ok(placed);
                }
                Attempt::Wait(first) => {
                    if let Some(keeper) = self.shared.keeper.get() {
                        keeper.released(first).await;
                    }
                }
                Attempt::Compare(pairs) => {
                    for pair in pairs {
                        let draft =
                            drafts.get(pair.position).expect("positions are those of the drafts");
                        let equal = same_content(draft.event().client_bytes(), &pair.kept);
                        known.compared(pair.position, draft, pair.sequence, equal);
                    }
                }
            }
        }
    }

    fn check_size(&self, drafts: &[Draft]) -> Result<(), Error> {
        let limit = self.bounds.batch_records_max();
        if drafts.len() > limit {
            return Err(Error::TooManyRecords { records: drafts.len(), limit });
        }
        let bytes = drafts.iter().map(writer::size_max).sum();
        let limit = self.bounds.batch_bytes_max();
        if bytes > limit {
            return Err(Error::TooManyBytes { bytes, limit });
        }
        Ok(())
    }

    fn segment_now(&self, at: Sequence) -> Option<Arc<Segment>> {
        if at > self.last() {
            return None;
        }
        let segments = self.shared.segments.load();
        let after = segments.partition_point(|segment| segment.base() <= at);
        segments.get(after.saturating_sub(1)).cloned()
    }

    fn accepted_since_now(&self, time: Time) -> Sequence {
        let segments = self.shared.segments.load();
        let last = self.last();
        // The last segment that begins earlier: accept times never decrease.
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

    fn find_now(&self, id: &str) -> Option<Sequence> {
        self.lock().find(id)
    }
}

impl Log for MemoryLog {
    fn identity(&self) -> Identity {
        self.identity
    }

    fn append(
        &self,
        drafts: Vec<Draft>,
        commit: bool,
    ) -> BoxFuture<'_, Result<Vec<Placed>, Error>> {
        Box::pin(async move {
            let placed = self.append_now(&drafts, commit, false).await?;
            Ok(placed.into_iter().collect::<Result<_, _>>()?)
        })
    }

    fn append_each(
        &self,
        drafts: Vec<Draft>,
        commit: bool,
    ) -> BoxFuture<'_, Result<Vec<Result<Placed, Conflict>>, Error>> {
        Box::pin(async move { self.append_now(&drafts, commit, true).await })
    }

    fn extent(&self) -> Extent {
        // The segments before the newest record: a segment that is dropped in
        // between makes the extent smaller, never larger than it was.
        let segments = self.shared.segments.load();
        let first = segments.first().map_or(Sequence::FIRST, |segment| segment.base());
        let evicted_until = Time(self.shared.evicted_until.load(Ordering::Relaxed) as i64);
        let last = self.last();
        Extent {
            first,
            last,
            synced: last,
            bytes: self.shared.bytes.load(Ordering::Relaxed),
            bytes_max: self.bounds.bytes,
            records_max: self.bounds.records,
            evicted_until: (evicted_until != Time::MIN).then_some(evicted_until),
        }
    }

    fn read<'a>(
        &'a self,
        at: Sequence,
        _want: Want<'a>,
    ) -> BoxFuture<'a, Result<Option<Found>, Error>> {
        let found = self.segment_now(at).map(Found::Records);
        Box::pin(std::future::ready(Ok(found)))
    }

    fn accepted_since(&self, time: Time) -> BoxFuture<'_, Result<Sequence, Error>> {
        let found = self.accepted_since_now(time);
        Box::pin(std::future::ready(Ok(found)))
    }

    fn find(&self, id: &str) -> BoxFuture<'_, Result<Option<Sequence>, Error>> {
        let found = self.find_now(id);
        Box::pin(std::future::ready(Ok(found)))
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn keep_for(&self, keeper: Arc<dyn Keeper>) {
        // A later one is not asked.
        let _ = self.shared.keeper.set(keeper);
    }
}
