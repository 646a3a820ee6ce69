//! The log on disk: append-only segment files. A record is acknowledged, and becomes
//! readable, when it is as durable as [`SyncPolicy`] says.
//!
//! Appending stages records in the newest segment of the ring, under a mutex, and
//! waits. A thread of the log's own takes all that is staged, writes and syncs it
//! as one group, and then shows and acknowledges it: the more wait, the more goes
//! with one sync.

mod append;
mod block_file;
mod bloom;
mod commit;
mod contract;
mod copy_origin;
mod directory;
pub mod directory_lock;
pub mod error;
mod fixed_fields;
pub mod format;
mod group_commit;
pub mod identity;
mod notice;
pub mod open;
mod preallocate;
mod push;
mod retention;
pub mod sealed;
mod set_aside;
pub mod sidecar;
mod stage;
pub mod storage;
pub mod walk;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

use crate::histogram::Histogram;
use crate::log::ring::{Bounds, Comparer, RingReader, RingWriter, SegmentSizes};
use crate::log::{Holds, Identity, State};
use crate::record::Sequence;
use crate::time::Time;
use commit::Committer;
use directory::Directory;
use preallocate::Preallocator;
use sealed::SealedSegments;
use stage::{Stage, capacity};
use storage::Storage;

pub use copy_origin::CopyOrigin;
pub use directory::{CHECKPOINT, known_seed};
pub use group_commit::GroupCommit;
pub use notice::{Notice, NoticeLevel};
pub use push::FrameRun;
pub use retention::Retention;
pub use set_aside::set_aside;

/// The largest segment, in bytes of records, unless one call needs a larger one.
const SEGMENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// When written records are synced to stable storage.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before it is acknowledged: a receipt outlasts any crash.
    #[default]
    Always,
    /// After so long at the latest: a crash of the machine may lose what was
    /// acknowledged since. One of the gateway alone loses nothing.
    Interval(Duration),
    /// When the system does it, and when a segment is full: a crash of the
    /// machine may lose up to a segment.
    None,
}

impl std::fmt::Display for SyncPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::Interval(interval) => write!(f, "interval={}ms", interval.as_millis()),
            Self::None => f.write_str("none"),
        }
    }
}

/// The configuration of a log on disk.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How much of it is in memory, too.
    pub ring: Bounds,
    /// When it is synced.
    pub sync: SyncPolicy,
    /// How much of it is kept.
    pub retain: Retention,
    /// Refuse to open a log with damaged records.
    pub strict: bool,
}

/// A log that keeps its records on disk.
pub struct DiskLog {
    inner: Arc<DiskLogInner>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

/// What the log's threads share.
struct DiskLogInner {
    config: Config,
    sizes: SegmentSizes,
    identity: Identity,
    /// The same, for those who follow it.
    announced: watch::Sender<Identity>,
    directory: Directory,
    stage: Mutex<Stage>,
    /// Wakes the committing thread.
    work: Condvar,
    shared: RingReader,
    comparer: Comparer,
    changed: watch::Sender<()>,
    /// There is another head, or none to be had.
    rolled: Notify,
    sealed: SealedSegments,
    state: Arc<watch::Sender<State>>,
    /// The newest record on stable storage.
    synced: AtomicU64,
    /// How long syncs took.
    syncs: Histogram,
    /// The oldest record kept.
    first: AtomicU64,
    /// When the newest removed record had been accepted, in nanoseconds;
    /// `i64::MIN` as bits before the first removal.
    removed_until: AtomicU64,
    /// Records that were accepted before this time need not be kept.
    kept_since: AtomicI64,
    /// The identity, as it is on disk.
    durable: Mutex<identity::IdentityFile>,
    /// Who is asked before records are removed.
    holds: Holds,
    /// Of the oldest file: when its last record was accepted.
    oldest_accepted: Mutex<Option<(Sequence, Time)>>,
}

impl DiskLog {
    /// Opens the log in the directory at `path`, or makes one there. Returns it
    /// with what the operator should know of how it was found, in sentences. It
    /// takes a while: it reads and writes files.
    ///
    /// # Errors
    /// If the log is in use, cannot be read or written, or is damaged and must
    /// not be.
    ///
    /// # Panics
    /// If a bound of the ring is below its minimum.
    pub fn open(path: &Path, config: Config) -> Result<(Self, Vec<Notice>), error::Error> {
        Self::open_on(path, config, Arc::new(storage::SystemStorage))
    }

    /// As [`DiskLog::open`], on storage of another kind.
    ///
    /// # Errors
    /// As [`DiskLog::open`].
    ///
    /// # Panics
    /// As [`DiskLog::open`].
    pub fn open_on(
        path: &Path,
        config: Config,
        storage: Arc<dyn Storage>,
    ) -> Result<(Self, Vec<Notice>), error::Error> {
        Self::open_with(path, config, storage, None)
    }

    /// Opens a gateway's copy of a shared log, or makes one: records come by
    /// [`DiskLog::push`] only.
    ///
    /// # Errors
    /// As [`DiskLog::open`]; and if the directory is not a copy of this log.
    ///
    /// # Panics
    /// As [`DiskLog::open`].
    pub fn open_copy(
        path: &Path,
        config: Config,
        origin: CopyOrigin,
        storage: Arc<dyn Storage>,
    ) -> Result<(Self, Vec<Notice>), error::Error> {
        Self::open_with(path, config, storage, Some(origin))
    }

    fn open_with(
        path: &Path,
        config: Config,
        storage: Arc<dyn Storage>,
        origin: Option<CopyOrigin>,
    ) -> Result<(Self, Vec<Notice>), error::Error> {
        use error::IoContext as _;
        let open::OpenedLog { directory, identity, sealed, start, notices } =
            open::open(path, &config, Arc::clone(&storage), origin)?;
        // A file, and so a head, there will be once something is appended.
        let sizes = config.ring.sizes(SEGMENT_BYTES_MAX);
        let writer = RingWriter::new(config.ring, SegmentSizes { records: 0, bytes: 0 }, start);
        let state = Arc::new(watch::Sender::new(State::Ready));
        let relieved = Arc::clone(&state);
        let prepared = directory.prepared();
        let create: preallocate::CreateFile = match config.sync {
            // What is not synced at once is gathered in the cache.
            SyncPolicy::Always => |storage, path| storage.create_uncached(path),
            SyncPolicy::Interval(_) | SyncPolicy::None => |storage, path| storage.create(path),
        };
        let preallocator =
            Preallocator::start(storage, prepared, capacity(sizes), create, move || {
                relieved.send_if_modified(State::relieve);
            })
            .failed("start a thread for", path)?;
        let relieved = Arc::clone(&state);
        sealed.on_room(move || {
            relieved.send_if_modified(State::relieve);
        });
        let announced = Identity { id: identity.log_id, epoch: identity.epoch(), kind: "disk" };
        let inner = Arc::new(DiskLogInner {
            config,
            sizes,
            identity: announced,
            announced: watch::Sender::new(announced),
            directory,
            shared: RingReader::new(&writer),
            comparer: Comparer::default(),
            stage: Mutex::new(Stage::new(writer)),
            work: Condvar::new(),
            changed: watch::Sender::new(()),
            rolled: Notify::new(),
            sealed,
            state,
            synced: AtomicU64::new(start.last.0),
            syncs: Histogram::default(),
            first: AtomicU64::new(identity.first.0),
            removed_until: AtomicU64::new(identity.removed_until.unwrap_or(Time::MIN).0 as u64),
            kept_since: AtomicI64::new(Time::MIN.0),
            durable: Mutex::new(identity),
            holds: Holds::default(),
            oldest_accepted: Mutex::new(None),
        });
        let committer = Committer::new(Arc::clone(&inner), preallocator);
        let committer = std::thread::Builder::new()
            .name("auditgate-commit".into())
            .spawn(move || committer.run())
            .failed("start a thread for", path)?;
        Ok((Self { inner, committer: Mutex::new(Some(committer)) }, notices))
    }

    /// Begins an epoch of a copy of a shared log, unless it has begun: it has all records
    /// before its first one, and none behind.
    ///
    /// # Errors
    /// If that cannot be brought to stable storage.
    pub fn begin_epoch(&self, epoch: identity::EpochEntry) -> io::Result<()> {
        let mut durable = self.inner.lock_durable();
        let mut begun = durable.clone();
        if begun.begin_epoch(epoch) {
            self.inner.directory.write_identity(&begun)?;
            *durable = begun;
            self.inner.announced.send_modify(|announced| announced.epoch = epoch.number);
        }
        Ok(())
    }

    /// Has what is staged committed, and nothing more taken. Gives the thread that does,
    /// unless somebody waits for it already.
    fn begin_closing(&self) -> Option<JoinHandle<()>> {
        self.inner.lock().stopping = true;
        self.inner.work.notify_all();
        self.committer.lock().take()
    }
}

/// As closing it.
impl Drop for DiskLog {
    fn drop(&mut self) {
        if let Some(thread) = self.begin_closing() {
            let _ = thread.join();
        }
        self.inner.refuse_all();
    }
}

impl DiskLogInner {
    fn lock(&self) -> MutexGuard<'_, Stage> {
        // A panic while staging leaves whole records only.
        self.stage.lock()
    }

    fn lock_durable(&self) -> MutexGuard<'_, identity::IdentityFile> {
        self.durable.lock()
    }

    fn lock_oldest_accepted(&self) -> MutexGuard<'_, Option<(Sequence, Time)>> {
        self.oldest_accepted.lock()
    }

    /// Takes nothing any more; who waits is told.
    fn refuse_all(&self) {
        let mut stage = self.lock();
        stage.closed = true;
        stage.roll = None;
        stage.waiting.clear();
        drop(stage);
        self.rolled.notify_waiters();
    }

    fn synced(&self, last: Sequence) {
        self.synced.store(last.0, Ordering::Release);
    }

    /// All is synced: the next opening need not raise the epoch.
    fn note_closed(&self) -> io::Result<()> {
        let mut durable = self.lock_durable();
        if durable.unsynced {
            let closed = identity::IdentityFile { unsynced: false, ..durable.clone() };
            self.directory.write_identity(&closed)?;
            *durable = closed;
        }
        Ok(())
    }

    fn first(&self) -> Sequence {
        Sequence(self.first.load(Ordering::Acquire))
    }

    /// What the segment files take, in bytes.
    fn disk_bytes(&self) -> u64 {
        let head = self.lock().room.capacity;
        self.sealed.disk_bytes() + head
    }
}
