//! The sealed segments of a log on disk. They are read in bounded memory, through their
//! sidecars, and never on a thread of the async runtime.

mod add;
mod cache;
mod damage;
mod find;
mod in_memory;
mod open;
mod open_segments;
mod pick;
mod read_hint;
mod reader;
mod run;
mod sealed_segment;
mod segment_summary;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::filter::TypeSet;
use crate::log::DamagedRange;
use crate::log::disk::bloom::BloomTable;
use crate::log::disk::sidecar::{BloomField, FrameLocation, SegmentRef, key_hash};
use crate::log::disk::storage::Storage;
use crate::log::{BoxFuture, Error, ReadHint, ReadResult, Segment};
use crate::record::{Draft, Sequence};
use crate::time::Time;

use add::SidecarProgress;
use cache::PieceCache;
use find::IdQuery;
use open_segments::OpenSegments;
use read_hint::OwnedReadHint;
use sealed_segment::SealedSegment;

pub use find::{PriorEvent, StoredRecord};

/// The most bytes of records from disk that are kept, so that readers of the same
/// stretch do not each read it.
pub const CACHE_BYTES: usize = 64 * 1024 * 1024;
/// Readers of the disk at any time; more wait.
pub const READERS_MAX: usize = 8;
/// Full segments that are in memory for want of a sidecar: no more are begun
/// before one of them has its own.
pub const FRESH_MAX: usize = 4;

/// A full segment file; nothing is appended to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFile {
    /// Where it lies. Its sidecar is beside it.
    pub path: PathBuf,
    /// Sequence of its first record.
    pub base: Sequence,
    /// Sequence behind its last record: the base of the next file.
    pub end: Sequence,
    /// What it takes on disk, in bytes.
    pub bytes: u64,
    /// Its salt.
    pub salt: u64,
}

/// The sealed segments, oldest first.
pub struct SealedSegments {
    inner: Arc<SealedInner>,
    /// Tells the thread that makes sidecars of each segment that is added.
    added: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// How many sidecars were there when they were opened, and had to be made again.
    renewed: usize,
}

struct SealedInner {
    log_id: Uuid,
    /// Where sidecars are written.
    storage: Arc<dyn Storage>,
    state: ArcSwap<SegmentSet>,
    /// Held by who changes `state`.
    changing: Mutex<()>,
    handles: OpenSegments,
    cache: PieceCache,
    readers: Arc<Semaphore>,
    /// Segments whose sidecar could not be written yet.
    unsaved: Mutex<Vec<Sequence>>,
    /// Held by who writes down damage.
    noting: Mutex<()>,
    progress: SidecarProgress,
}

/// The segments at one moment, oldest first.
#[derive(Clone, Default)]
struct SegmentSet {
    segments: Vec<Arc<SealedSegment>>,
    ids: BloomTable,
    keys: BloomTable,
    /// Those that were added lately, behind the others: they are in memory until
    /// their sidecar is made. Mostly none, and never more than [`FRESH_MAX`].
    pending: Vec<PendingSegment>,
}

/// A full segment whose sidecar does not exist yet.
#[derive(Clone)]
struct PendingSegment {
    file: SegmentFile,
    segment: Arc<Segment>,
    /// Where the frames of its records lie in the file.
    frames: Arc<Vec<FrameLocation>>,
}

impl SegmentFile {
    /// What its sidecar says it is for.
    fn of(&self, log_id: Uuid) -> SegmentRef {
        SegmentRef::new(log_id, (self.base, self.end), self.salt)
    }
}

impl SealedSegments {
    /// Forgets the files before the one that begins at `base`, and removes their
    /// sidecars. Reads on their way may still see them.
    pub fn remove_before(&self, base: Sequence) {
        let mut removed = Vec::new();
        self.inner.change(|state| {
            let gone = state.segments.partition_point(|segment| segment.base() < base);
            removed.extend(state.segments.drain(..gone));
            state.pending.retain(|pending| pending.file.base >= base);
            state.ids.remove_before(base);
            state.keys.remove_before(base);
        });
        for segment in removed {
            self.inner.handles.remove(segment.base());
            // What is left behind means nothing without its segment file.
            drop(self.inner.storage.remove(&segment.sidecar_path()));
        }
        self.inner.cache.remove_before(base);
        self.inner.progress.look_again();
    }

    /// The files.
    pub fn list(&self) -> Vec<SegmentFile> {
        let state = self.inner.state.load();
        let sealed_segment = state.segments.iter().map(|segment| segment.file.clone());
        sealed_segment.chain(state.pending.iter().map(|pending| pending.file.clone())).collect()
    }

    /// Sequence of the first record of the first file; `None` without files.
    pub fn first(&self) -> Option<Sequence> {
        let state = self.inner.state.load();
        let sealed_segment = state.segments.first().map(|segment| segment.base());
        sealed_segment.or_else(|| state.pending.first().map(|pending| pending.file.base))
    }

    /// What the files take on disk, in bytes, without their sidecars.
    pub fn disk_bytes(&self) -> u64 {
        let state = self.inner.state.load();
        let sealed_segment: u64 = state.segments.iter().map(|segment| segment.file.bytes).sum();
        sealed_segment + state.pending.iter().map(|pending| pending.file.bytes).sum::<u64>()
    }

    /// When the last record of the first file was accepted; `None` where that is
    /// not known yet.
    pub fn first_accepted_until(&self) -> Option<(Sequence, Time)> {
        let state = self.inner.state.load();
        state.segments.first().map(|segment| (segment.base(), segment.accepted.1))
    }

    /// Records of these files that are known to be damaged.
    pub fn damage(&self) -> Vec<DamagedRange> {
        let state = self.inner.state.load();
        let mut damage = Vec::new();
        let mut before: Option<Sequence> = None;
        for segment in &state.segments {
            let lost = before.filter(|before| *before < segment.base());
            damage
                .extend(lost.map(|first| DamagedRange { first, last: segment.base().previous() }));
            damage.extend(segment.damage());
            before = Some(segment.end());
        }
        damage
    }

    /// How many sidecars were there when the files were opened, but not as this program
    /// makes them, and were made again.
    pub fn rebuilt(&self) -> usize {
        self.renewed
    }

    /// How many segments are in memory for want of a sidecar.
    #[cfg(test)]
    pub fn pending(&self) -> usize {
        self.inner.state.load().pending.len()
    }

    /// How many sidecars could not be written yet.
    pub fn unsaved(&self) -> usize {
        self.inner.unsaved.lock().len()
    }

    /// What the filters take in memory, in bytes.
    pub fn byte_size(&self) -> usize {
        let state = self.inner.state.load();
        state.ids.byte_size() + state.keys.byte_size()
    }

    /// A run of records at `at`, as [`Log::read`](crate::log::Log::read) gives it;
    /// `None` behind the last of these files. Before the first file, a run of it.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn read(
        &self,
        at: Sequence,
        hint: ReadHint<'_>,
    ) -> BoxFuture<'static, Result<Option<ReadResult>, Error>> {
        if let Some(found) = self.inner.in_memory(at, hint) {
            return Box::pin(std::future::ready(Ok(Some(found))));
        }
        let hint = OwnedReadHint::new(hint);
        self.off_runtime(at, move |inner| inner.read(at, &hint))
    }

    /// The first record that was accepted at `time` or later; `None` if none was.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn accepted_since(
        &self,
        time: Time,
    ) -> BoxFuture<'static, Result<Option<Sequence>, Error>> {
        self.off_runtime(Sequence::ZERO, move |inner| inner.accepted_since(time))
    }

    /// Has what [`SealedSegments::may_hold`] looks at in the cache of the processor, where that
    /// is asked for many keys.
    pub fn touch(&self, keys: impl Iterator<Item = u32> + Clone) {
        self.inner.state.load().ids.touch(keys.map(|key| key_hash(BloomField::Id, key)));
    }

    /// Whether a record before `before` may have an id with this key: mostly not,
    /// if none has. Does not read the disk.
    pub fn may_hold(&self, key: u32, before: Sequence) -> bool {
        let state = self.inner.state.load();
        let mut may = false;
        state.ids.find(key_hash(BloomField::Id, key), |base| may |= base < before);
        may || state.pending.iter().any(|pending| pending.file.base < before && pending.holds(key))
    }

    /// The newest record with the id and the principal of this draft, in the files that
    /// begin in `bases`, if it is of so many bytes at most.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn find_kept(
        &self,
        draft: &Draft,
        bases: Range<Sequence>,
        bytes_max: u64,
    ) -> BoxFuture<'static, Result<Option<PriorEvent>, Error>> {
        let draft = draft.clone();
        self.off_runtime(bases.end, move |inner| inner.find(&IdQuery::of(&draft, bytes_max), bases))
    }

    /// The newest record before `before` with this id and one of these types,
    /// whoever emitted it.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn find(
        &self,
        id: &str,
        types: &Arc<TypeSet>,
        before: Sequence,
    ) -> BoxFuture<'static, Result<Option<Sequence>, Error>> {
        if !self.may_hold(crate::record::key(id), before) {
            return Box::pin(std::future::ready(Ok(None)));
        }
        let (id, types) = (id.to_owned(), Arc::clone(types));
        self.off_runtime(before, move |inner| {
            let found = inner.find(&IdQuery::with_id(&id, &types), Sequence::ZERO..before)?;
            Ok(found.and_then(PriorEvent::kept).map(|kept| kept.sequence))
        })
    }

    /// Does what reads the disk on a thread that may wait. `at` is for the error.
    fn off_runtime<T: Send + 'static>(
        &self,
        at: Sequence,
        work: impl FnOnce(&SealedInner) -> Result<T, Error> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Error>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let readers = Arc::clone(&inner.readers);
            // The permit is held as long as the work goes on, also when nobody
            // waits for it any more.
            let permit = readers.acquire_owned().await;
            let done = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                work(&inner)
            });
            done.await
                .unwrap_or_else(|error| Err(Error::Unreadable { from: at, why: error.to_string() }))
        })
    }
}

impl SealedInner {
    /// Replaces the state by a changed one.
    fn change(&self, change: impl FnOnce(&mut SegmentSet)) {
        let _changing = self.changing.lock();
        let mut state = SegmentSet::clone(&self.state.load());
        change(&mut state);
        self.state.store(Arc::new(state));
    }
}

impl PendingSegment {
    fn holds(&self, key: u32) -> bool {
        let view = self.segment.view(self.file.end.previous());
        view.columns.iter().any(|row| row.id == key)
    }
}

impl Drop for SealedSegments {
    fn drop(&mut self) {
        // The thread makes the sidecars that are missing, and ends.
        drop(self.added.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
