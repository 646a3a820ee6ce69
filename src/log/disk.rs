//! The log on disk: segment files, appended to and never changed. A record is
//! acknowledged, and readers see it, once it is as safe as [`Sync`] says.
//!
//! Appending stages records in the newest segment of the ring, under a mutex, and
//! waits. A thread of the log's own takes all that is staged, writes and syncs it
//! as one group, and then shows and acknowledges it: the more wait, the more goes
//! with one sync.

mod blocks;
mod commit;
mod directory;
pub mod format;
pub mod identity;
pub mod open;
mod retention;
pub mod sealed;
mod sidecar;
mod slices;
mod space;
mod stage;
pub mod storage;
pub mod walk;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};

use crate::log::ring::{Bounds, Known, Shared, Sizes, Staged, Writer};
use crate::log::segment::SEGMENT_RECORDS_MAX;
use crate::log::{
    BoxFuture, Conflict, Disk, Error, Extent, Found, Identity, Keeper, Log, Placed, State, Want,
};
use crate::record::{Draft, Record, Sequence};
use crate::time::Time;
use commit::Committer;
use directory::Directory;
use sealed::Sealed;
use space::Space;
use stage::{Stage, capacity};
use storage::Storage;
use walk::Damage;

pub use retention::Retention;

/// The largest segment, in bytes of records, unless one call needs a larger one.
const SEGMENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// When what is written is brought to stable storage.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
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

impl std::fmt::Display for Sync {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::Interval(interval) => write!(f, "interval={}ms", interval.as_millis()),
            Self::None => f.write_str("none"),
        }
    }
}

/// How a log is kept on disk.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How much of it is in memory, too.
    pub ring: Bounds,
    /// When it is synced.
    pub sync: Sync,
    /// How much of it is kept.
    pub retain: Retention,
    /// Refuse to open a log with damaged records.
    pub strict: bool,
}

/// A log that keeps its records on disk.
pub struct DiskLog {
    inner: Arc<Inner>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

/// What the log's threads share.
struct Inner {
    config: Config,
    sizes: Sizes,
    identity: Identity,
    directory: Directory,
    stage: Mutex<Stage>,
    /// Wakes the committing thread.
    work: Condvar,
    shared: Shared,
    changed: watch::Sender<()>,
    /// There is another head, or none to be had.
    rolled: Notify,
    sealed: Sealed,
    state: Arc<watch::Sender<State>>,
    /// The newest record on stable storage.
    synced: AtomicU64,
    /// The oldest record kept.
    first: AtomicU64,
    /// When the newest removed record had been accepted, in nanoseconds;
    /// `i64::MIN` as bits before the first removal.
    removed_until: AtomicU64,
    /// The identity, as it is on disk.
    durable: Mutex<identity::Identity>,
    /// Is asked before records are removed.
    keeper: OnceLock<Arc<dyn Keeper>>,
    /// Of the oldest file: when its last record was accepted.
    oldest_accepted: Mutex<Option<(Sequence, Time)>>,
}

/// What a pass under the mutex came to.
enum Step {
    Done { placed: Vec<Result<Placed, Conflict>>, committed: Option<oneshot::Receiver<()>> },
    Again,
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
    pub fn open(path: &Path, config: Config) -> Result<(Self, Vec<String>), open::Error> {
        Self::open_on(path, config, Arc::new(storage::System))
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
    ) -> Result<(Self, Vec<String>), open::Error> {
        use open::Failed as _;
        let open::Opened { directory, identity, sealed, start, notices } =
            open::open(path, &config, Arc::clone(&storage))?;
        // A file, and so a head, there will be once something is appended.
        let sizes = config.ring.sizes(SEGMENT_BYTES_MAX);
        let writer = Writer::new(config.ring, Sizes { records: 0, bytes: 0 }, start);
        let state = Arc::new(watch::Sender::new(State::Ready));
        let relieved = Arc::clone(&state);
        let prepared = directory.prepared();
        let space = Space::start(storage, prepared, capacity(sizes), move || {
            relieved.send_if_modified(State::relieve);
        })
        .failed("start a thread for", path)?;
        let inner = Arc::new(Inner {
            config,
            sizes,
            identity: Identity { id: identity.log_id, epoch: identity.epoch(), kind: "disk" },
            directory,
            shared: Shared::new(&writer),
            stage: Mutex::new(Stage::new(writer)),
            work: Condvar::new(),
            changed: watch::Sender::new(()),
            rolled: Notify::new(),
            sealed,
            state,
            synced: AtomicU64::new(start.last.0),
            first: AtomicU64::new(identity.first.0),
            removed_until: AtomicU64::new(identity.removed_until.unwrap_or(Time::MIN).0 as u64),
            durable: Mutex::new(identity),
            keeper: OnceLock::new(),
            oldest_accepted: Mutex::new(None),
        });
        let committer = Committer::new(Arc::clone(&inner), space);
        let committer = std::thread::Builder::new()
            .name("auditgate-commit".into())
            .spawn(move || committer.run())
            .failed("start a thread for", path)?;
        Ok((Self { inner, committer: Mutex::new(Some(committer)) }, notices))
    }

    /// Closes the log: what is staged is committed, nothing more is taken, all is
    /// synced. Reading goes on.
    pub fn close(&self) {
        self.inner.lock().stopping = true;
        self.inner.work.notify_all();
        let thread = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic there has been printed, and has left the log as a crash
            // would: the next opening puts it in order.
            let _ = thread.join();
        }
        self.inner.refuse_all();
    }

    async fn append_now(
        &self,
        drafts: &[Draft],
        commit: bool,
        each: bool,
    ) -> Result<Vec<Result<Placed, Conflict>>, Error> {
        let inner = &*self.inner;
        inner.config.ring.check_size(drafts)?;
        if drafts.len() > SEGMENT_RECORDS_MAX {
            let (records, limit) = (drafts.len(), SEGMENT_RECORDS_MAX);
            return Err(Error::TooManyRecords { records, limit });
        }
        let mut known = Known::within(drafts);
        let mut searched = Sequence::FIRST;
        loop {
            inner.search(drafts, &mut known, &mut searched).await?;
            if !each && let Some(conflict) = known.first_conflict() {
                // Of records that are not on disk yet, nothing is told.
                inner.committed(conflict.sequence).await?;
                return Err(conflict.into());
            }
            // Before the mutex is taken: whatever comes later is noticed.
            let rolled = inner.rolled.notified();
            match inner.step(drafts, &mut known, commit, searched)? {
                Ok(Step::Again) => {}
                Ok(Step::Done { placed, committed }) => {
                    if let Some(committed) = committed {
                        committed.await.map_err(|_| inner.why_refused())?;
                    }
                    return Ok(placed);
                }
                Err(Full) => {
                    rolled.await;
                    if let State::Full(why) = &*inner.state.borrow() {
                        return Err(Error::Full { why: why.clone() });
                    }
                }
            }
        }
    }
}

/// Waits for another head.
struct Full;

impl Drop for DiskLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Stage> {
        // A panic while staging leaves whole records only.
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_durable(&self) -> MutexGuard<'_, identity::Identity> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_oldest_accepted(&self) -> MutexGuard<'_, Option<(Sequence, Time)>> {
        self.oldest_accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for the drafts in what is not in the ring, as far as that was not
    /// done before: `searched` is where the ring began then.
    async fn search(
        &self,
        drafts: &[Draft],
        known: &mut Known,
        searched: &mut Sequence,
    ) -> Result<(), Error> {
        let first = self.shared.first();
        if first == *searched {
            return Ok(());
        }
        for (position, draft) in drafts.iter().enumerate() {
            let settled = known.conflict(position).is_some()
                || known.kept(position).is_some()
                || known.repeated_by(position).is_some();
            if settled || !self.sealed.may_hold(draft.id_key(), first) {
                continue;
            }
            let id = draft.event().id();
            let Some(kept) = self.sealed.find_kept(id, draft.principal(), first).await? else {
                continue;
            };
            if draft.repeats_record(&Record::read(&kept.record)) {
                let accept_time = Some(kept.accept_time);
                let placed = Placed { sequence: kept.sequence, accept_time, duplicate: true };
                known.found(position, placed);
            } else {
                known.compared(position, draft, kept.sequence, false);
            }
        }
        *searched = first;
        Ok(())
    }

    /// One pass under the mutex.
    fn step(
        &self,
        drafts: &[Draft],
        known: &mut Known,
        commit: bool,
        searched: Sequence,
    ) -> Result<Result<Step, Full>, Error> {
        let mut stage = self.lock();
        if stage.closed || (stage.stopping && commit) {
            drop(stage);
            return Err(self.why_refused());
        }
        if self.shared.first() != searched {
            return Ok(Ok(Step::Again));
        }
        if stage.roll.is_some() {
            return Ok(Err(Full));
        }
        let (room, staged) = (stage.room, stage.staged());
        let admit = |need| Stage::admits(room, staged, need);
        match stage.writer.stage(drafts, known, commit, &self.shared, admit) {
            Staged::Done(placed) => {
                let committed = self.await_commit(&mut stage, &placed);
                Ok(Ok(Step::Done { placed, committed }))
            }
            Staged::Compare(pairs) => {
                drop(stage);
                known.compare(drafts, pairs);
                Ok(Ok(Step::Again))
            }
            Staged::Full(need) => {
                stage.roll = Some(need);
                self.wake(&stage);
                Ok(Err(Full))
            }
        }
    }

    /// Tells when all of these are committed; `None` if they are.
    fn await_commit(
        &self,
        stage: &mut Stage,
        placed: &[Result<Placed, Conflict>],
    ) -> Option<oneshot::Receiver<()>> {
        let sequences = placed.iter().map(|placed| match placed {
            Ok(placed) => placed.sequence,
            Err(conflict) => conflict.sequence.unwrap_or_default(),
        });
        let newest = sequences.max().unwrap_or_default();
        if newest <= self.shared.last() {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        stage.waiting.push(sender);
        self.wake(stage);
        Some(receiver)
    }

    fn wake(&self, stage: &Stage) {
        if stage.idle {
            self.work.notify_one();
        }
    }

    /// Waits until the record is committed.
    async fn committed(&self, sequence: Option<Sequence>) -> Result<(), Error> {
        let Some(sequence) = sequence else { return Ok(()) };
        let placed = Placed { sequence, accept_time: None, duplicate: true };
        let committed = {
            let mut stage = self.lock();
            if stage.closed { None } else { self.await_commit(&mut stage, &[Ok(placed)]) }
        };
        match committed {
            Some(committed) => committed.await.map_err(|_| self.why_refused()),
            None if sequence > self.shared.last() => Err(self.why_refused()),
            None => Ok(()),
        }
    }

    /// Why nothing is taken any more.
    fn why_refused(&self) -> Error {
        match &*self.state.borrow() {
            State::Failed(why) => Error::Failed { why: why.clone() },
            State::Ready | State::Full(_) => Error::Closed,
        }
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
            let closed = identity::Identity { unsynced: false, ..durable.clone() };
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

    /// What lies before the ring.
    async fn read_sealed(&self, at: Sequence, want: Want<'_>) -> Result<Option<Found>, Error> {
        let at = at.max(self.first());
        let found = self.sealed.read(at, want).await?;
        // Before the first file: it was there, and is not any more.
        let begins = self.sealed.first().unwrap_or(self.shared.first());
        if at < begins && begins > self.first() {
            return Ok(Some(Found::Damaged { first: self.first(), last: begins.previous() }));
        }
        Ok(found)
    }
}

impl Log for DiskLog {
    fn identity(&self) -> Identity {
        self.inner.identity
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
        let inner = &*self.inner;
        // The oldest record before the newest: see the log in memory.
        let first = inner.first();
        let synced = Sequence(inner.synced.load(Ordering::Acquire));
        let last = inner.shared.last();
        let removed_until = Time(inner.removed_until.load(Ordering::Acquire) as i64);
        Extent {
            first,
            last,
            synced: synced.min(last),
            bytes: inner.shared.byte_size(),
            bytes_max: inner.config.ring.bytes,
            records_max: inner.config.ring.records,
            evicted_until: (removed_until != Time::MIN).then_some(removed_until),
        }
    }

    fn read<'a>(
        &'a self,
        at: Sequence,
        want: Want<'a>,
    ) -> BoxFuture<'a, Result<Option<Found>, Error>> {
        Box::pin(async move {
            let inner = &*self.inner;
            loop {
                let Some(segment) = inner.shared.read(at, &want) else { return Ok(None) };
                if segment.base() <= at {
                    return Ok(Some(Found::Records(segment)));
                }
                if let Some(found) = inner.read_sealed(at, want).await? {
                    return Ok(Some(found));
                }
                // What was oldest in the ring a moment ago.
                if inner.shared.first() == segment.base() {
                    return Ok(Some(Found::Records(segment)));
                }
            }
        })
    }

    fn accepted_since(&self, time: Time) -> BoxFuture<'_, Result<Sequence, Error>> {
        Box::pin(async move {
            let inner = &*self.inner;
            let in_ring = inner.shared.accepted_since(time);
            if in_ring > inner.shared.first() {
                return Ok(in_ring);
            }
            let on_disk = inner.sealed.accepted_since(time).await?;
            Ok(on_disk.map_or(in_ring, |on_disk| on_disk.min(in_ring)).max(inner.first()))
        })
    }

    fn find(&self, id: &str) -> BoxFuture<'_, Result<Option<Sequence>, Error>> {
        let id = id.to_owned();
        Box::pin(async move {
            let inner = &*self.inner;
            let first = inner.shared.first();
            let in_ring = inner.lock().writer.find(&id, inner.shared.last());
            let found = match in_ring {
                Some(found) => Some(found),
                None => inner.sealed.find(&id, first).await?,
            };
            Ok(found.filter(|found| *found >= inner.first()))
        })
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.inner.changed.subscribe()
    }

    fn keep_for(&self, keeper: Arc<dyn Keeper>) {
        // A later one is not asked.
        let _ = self.inner.keeper.set(keeper);
    }

    fn kept_of_epoch(&self, epoch: u64) -> Option<Sequence> {
        self.inner.lock_durable().kept_of_epoch(epoch)
    }

    fn state(&self) -> Option<watch::Receiver<State>> {
        Some(self.inner.state.subscribe())
    }

    fn disk(&self) -> Option<Disk> {
        let inner = &*self.inner;
        Some(Disk {
            sync: inner.config.sync.to_string(),
            bytes: inner.disk_bytes(),
            damage: inner.damage(),
            state: inner.state.borrow().clone(),
        })
    }
}

impl Inner {
    /// Records that cannot be read.
    fn damage(&self) -> Vec<Damage> {
        let mut damage = self.sealed.damage();
        let begins = self.sealed.first().unwrap_or(self.shared.first());
        if self.first() < begins {
            damage.insert(0, Damage { first: self.first(), last: begins.previous() });
        }
        damage
    }
}
