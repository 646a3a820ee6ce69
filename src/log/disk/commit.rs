//! The commit thread: it takes all staged records, writes them as one group, syncs the
//! file, publishes the records to readers, and acknowledges them. Then it takes the next
//! group.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::log::Segment;
use crate::log::disk::format::{
    ALIGNMENT, ENTRY_BYTES, FileHeader, FrameEntry, GROUP_HEADER_BYTES, GroupHeader, HEADER_BYTES,
    align, checksum,
};
use crate::log::disk::group_commit::GroupCommit;
use crate::log::disk::open::mark;
use crate::log::disk::preallocate::{NoPreparedFile, Preallocator, PreparedFile};
use crate::log::disk::sealed::SegmentFile;
use crate::log::disk::sidecar::FrameLocation;
use crate::log::disk::stage::{SegmentRoom, Stage, StagedBatch, capacity, capacity_for};
use crate::log::disk::storage::{StorageFile, is_full};
use crate::log::disk::{DiskLogInner, State, SyncPolicy};
use crate::log::ring::{SegmentSizes, SpaceNeed};
use crate::record::Sequence;

/// Commits until the log is closed or its storage fails.
pub struct Committer {
    inner: Arc<DiskLogInner>,
    preallocator: Preallocator,
    head: Option<HeadFile>,
    /// When the oldest unsynced record was written.
    unsynced_since: Option<Instant>,
    retention_due: Option<Instant>,
    group_commit: GroupCommit,
    table: Vec<u8>,
}

/// The segment file that is written now.
struct HeadFile {
    file: Box<dyn StorageFile>,
    path: PathBuf,
    base: Sequence,
    salt: u64,
    /// The positions of the written frames.
    frames: Vec<FrameLocation>,
}

/// The next task of the commit thread.
enum CommitTask {
    Commit(StagedBatch),
    Roll(SpaceNeed),
    Sync,
    Retain,
    Stop,
}

/// Why the log became read-only.
struct CommitFailure(String);

impl CommitFailure {
    fn of(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self(format!("{what}: {error}"))
    }
}

/// If the thread panics, the waiting calls are refused.
impl Drop for Committer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.fail(CommitFailure("the thread that commits has panicked".to_owned()));
        }
    }
}

impl Committer {
    pub fn new(inner: Arc<DiskLogInner>, preallocator: Preallocator) -> Self {
        let retention_due =
            inner.config.retain.interval().map(|interval| Instant::now() + interval);
        Self {
            inner,
            preallocator,
            head: None,
            unsynced_since: None,
            retention_due,
            group_commit: GroupCommit::default(),
            table: Vec::new(),
        }
    }

    pub fn run(mut self) {
        loop {
            let done = match self.next_task() {
                CommitTask::Commit(mut batch) => match self.commit(&mut batch) {
                    Ok(()) => Ok(()),
                    Err(failure) => {
                        // Before the batch is dropped: its callers then read the reason from
                        // the state.
                        self.fail(failure);
                        return;
                    }
                },
                CommitTask::Roll(need) => self.roll(need),
                CommitTask::Sync => self.sync(),
                CommitTask::Retain => {
                    self.retain();
                    Ok(())
                }
                CommitTask::Stop => {
                    let closed = self.close();
                    self.inner.refuse_all();
                    if let Err(failure) = closed {
                        self.fail(failure);
                    }
                    return;
                }
            };
            if let Err(failure) = done {
                self.fail(failure);
                return;
            }
        }
    }

    fn fail(&self, CommitFailure(why): CommitFailure) {
        self.inner.state.send_replace(State::Failed(why));
        self.inner.refuse_all();
    }

    fn next_task(&mut self) -> CommitTask {
        let inner = Arc::clone(&self.inner);
        let mut stage = inner.lock();
        loop {
            if stage.writer.last() > stage.taken || !stage.waiting.is_empty() {
                let Some(left) = self.group_delay(&stage) else {
                    return CommitTask::Commit(stage.take());
                };
                (stage.idle, stage.wanted) = (true, self.group_commit.calls);
                inner.work.wait_for(&mut stage, left);
                (stage.idle, stage.wanted) = (false, 0);
                continue;
            }
            if stage.stopping {
                return CommitTask::Stop;
            }
            if let Some(need) = stage.roll {
                return CommitTask::Roll(need);
            }
            let now = Instant::now();
            let sync_due = match inner.config.sync {
                SyncPolicy::Interval(interval) => self.unsynced_since.map(|since| since + interval),
                SyncPolicy::Always | SyncPolicy::None => None,
            };
            if sync_due.is_some_and(|due| due <= now) {
                return CommitTask::Sync;
            }
            if self.retention_due.is_some_and(|due| due <= now) {
                return CommitTask::Retain;
            }
            let due = [sync_due, self.retention_due].into_iter().flatten().min();
            stage.idle = true;
            match due {
                None => inner.work.wait(&mut stage),
                Some(due) => {
                    let wait = due.saturating_duration_since(now).max(Duration::from_millis(1));
                    inner.work.wait_for(&mut stage, wait);
                }
            }
            stage.idle = false;
        }
    }

    /// How long the staged records wait for more; `None` if they do not wait.
    fn group_delay(&mut self, stage: &Stage) -> Option<Duration> {
        if stage.stopping || stage.roll.is_some() {
            return None;
        }
        let (records, _) = stage.staged();
        self.group_commit.time_left(stage.waiting.len(), records as u64, Instant::now())
    }

    fn commit(&mut self, batch: &mut StagedBatch) -> Result<(), CommitFailure> {
        if batch.last >= batch.first {
            self.write(batch).map_err(CommitFailure::of("a commit could not be written"))?;
            if self.inner.config.sync == SyncPolicy::Always {
                self.sync_head()?;
                self.inner.synced(batch.last);
            } else {
                self.unsynced_since.get_or_insert_with(Instant::now);
            }
            self.inner.shared.publish(batch.last);
            self.inner.changed.send_replace(());
        }
        if self.inner.config.sync == SyncPolicy::Always {
            let records = (batch.last.0 + 1).saturating_sub(batch.first.0);
            let waiting = self.inner.lock().waiting.len();
            self.group_commit =
                GroupCommit::after(records, batch.waiting.len(), waiting, Instant::now());
        }
        for waiting in batch.waiting.drain(..) {
            // A caller that no longer waits loses nothing.
            let _ = waiting.send(());
        }
        self.sync_if_due()
    }

    /// Syncs in time even if records arrive without a pause.
    fn sync_if_due(&mut self) -> Result<(), CommitFailure> {
        match (self.inner.config.sync, self.unsynced_since) {
            (SyncPolicy::Interval(interval), Some(since)) if since.elapsed() >= interval => {
                self.sync()
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, batch: &StagedBatch) -> io::Result<()> {
        let head = self.head.as_mut().ok_or_else(|| io::Error::other("there is no file"))?;
        let view = batch.segment.view(batch.last);
        let positions = view.position(batch.first)..view.len();
        let table_bytes = positions.len() * ENTRY_BYTES;
        let mut offset = batch.at + (GROUP_HEADER_BYTES + table_bytes) as u64;
        self.table.clear();
        for position in positions.clone() {
            let entry = FrameEntry::of(view.frame(position));
            self.table.extend_from_slice(&entry.encode());
            // A frame beyond 4 GiB is omitted: the sidecar is then made from the file.
            if let Ok(offset) = u32::try_from(offset) {
                head.frames.push(FrameLocation { offset, entry });
            }
            offset += u64::from(entry.len);
        }
        let data = batch.segment.bytes(view.frames(positions.clone()));
        let header = GroupHeader {
            salt: head.salt,
            first: batch.first,
            records: positions.len() as u32,
            data_len: data.len() as u32,
            table_checksum: checksum(&self.table),
            follows_synced: self.unsynced_since.is_none(),
        };
        // Pads to a whole sector, so that the write can bypass the cache.
        let rest = align(header.len()) - header.len();
        let rest = [0; ALIGNMENT].get(..rest).unwrap_or_default();
        head.file.write(&[&header.encode(), &self.table, data, rest], batch.at)
    }

    fn sync_head(&self) -> Result<(), CommitFailure> {
        let Some(head) = &self.head else { return Ok(()) };
        let begun = Instant::now();
        head.file.sync().map_err(CommitFailure::of("a commit could not be synced"))?;
        self.inner.syncs.record(begun.elapsed());
        Ok(())
    }

    /// Syncs the records that were written since the last sync.
    fn sync(&mut self) -> Result<(), CommitFailure> {
        if self.unsynced_since.is_some() {
            self.sync_head()?;
            self.unsynced_since = None;
            self.inner.synced(self.inner.shared.last());
            // Those who vouch for what is synced wait for it.
            self.inner.changed.send_replace(());
        }
        Ok(())
    }

    /// Begins the next file, and a head with room for `need`. They replace an empty head.
    fn roll(&mut self, need: SpaceNeed) -> Result<(), CommitFailure> {
        self.sync()?;
        if let Err(why) = self.inner.sealed.admit() {
            self.refuse(why);
            return Ok(());
        }
        let standard = self.inner.sizes;
        let (need, next) = {
            let stage = self.inner.lock();
            (stage.next_need(need), stage.next_capacity(need, capacity(standard)))
        };
        let sizes = SegmentSizes {
            records: standard.records.max(need.records),
            bytes: standard.bytes.max(need.frame_bytes),
        };
        let prepared = match self.preallocator.take(capacity_for(need), next) {
            Ok(prepared) => prepared,
            Err(NoPreparedFile::Full(why)) => {
                self.refuse(why);
                return Ok(());
            }
            Err(NoPreparedFile::Failed(why)) => {
                return Err(CommitFailure(format!("the next file could not be prepared: {why}")));
            }
        };
        // Nothing is staged until there is a head.
        let base = self.inner.shared.last().next();
        let room = SegmentRoom { end: HEADER_BYTES as u64, capacity: prepared.capacity };
        match self.begin_file(prepared, base) {
            Ok(head) => {
                self.preallocator.settled();
                self.begin_head(head, sizes, room);
                self.retain();
                Ok(())
            }
            Err(error) if is_full(&error) => {
                self.preallocator.give_up(error.to_string());
                self.refuse(error.to_string());
                Ok(())
            }
            Err(error) => Err(CommitFailure::of("the next file could not be begun")(error)),
        }
    }

    /// Writes the header of a prepared file and renames it; both are on stable storage before
    /// it is used.
    fn begin_file(&self, prepared: PreparedFile, base: Sequence) -> io::Result<HeadFile> {
        let PreparedFile { file, capacity } = prepared;
        let directory = &self.inner.directory;
        let salt = fastrand::u64(1..);
        let header = FileHeader { log_id: self.inner.identity.id, base, capacity, salt };
        file.write(&[&header.encode()], 0)?;
        file.sync()?;
        let path = directory.segment(base);
        directory.storage().rename(&directory.prepared(), &path)?;
        directory.storage().sync_directory(&directory.segments())?;
        Ok(HeadFile { file, path, base, salt, frames: Vec::new() })
    }

    fn begin_head(&mut self, head: HeadFile, sizes: SegmentSizes, room: SegmentRoom) {
        let before = self.head.replace(head);
        let (full, used) = {
            let mut stage = self.inner.lock();
            let used = std::mem::replace(&mut stage.room, room);
            (Arc::clone(stage.writer.head().segment()), used)
        };
        let file = before.map(|head| self.seal(head, used.end, full));
        // Until now nothing was staged, since a roll was asked for.
        let mut stage = self.inner.lock();
        stage.writer.begin(sizes);
        stage.writer.list(&self.inner.shared);
        stage.taken_bytes = 0;
        stage.roll = None;
        drop(stage);
        self.inner.state.send_if_modified(|state| state.relieve());
        self.inner.rolled.notify_waiters();
        let Some(file) = file else { return };
        self.preallocator.add_job(Box::new(move |_| {
            // It need not be synced: a reader passes over what lies behind the
            // groups. If it fails, the room is not given back yet.
            let _ = file.set_len(used.end);
        }));
    }

    /// Adds a full head to the sealed segments, before the ring may evict it, and returns
    /// its file; `bytes` is the length of the file. This takes a while, so the caller must
    /// not hold the log's mutex.
    fn seal(&self, head: HeadFile, bytes: u64, segment: Arc<Segment>) -> Box<dyn StorageFile> {
        let end = self.inner.shared.last().next();
        let HeadFile { file, path, base, salt, frames } = head;
        // The new file took the name of an empty head, so an empty head is not a segment.
        if base < end {
            self.inner.sealed.add(SegmentFile { path, base, end, bytes, salt }, segment, frames);
        }
        file
    }

    /// Reports that there is no space for a new head.
    fn refuse(&self, why: String) {
        self.inner.state.send_if_modified(|state| state.fill(why));
        self.inner.lock().roll = None;
        self.inner.rolled.notify_waiters();
    }

    fn retain(&mut self) {
        if let Some(interval) = self.inner.config.retain.interval() {
            self.retention_due = Some(Instant::now() + interval);
            let inner = Arc::clone(&self.inner);
            self.preallocator.add_job(Box::new(move |_| inner.retain()));
        }
    }

    /// Closes the log so that the next opening has nothing to repair.
    fn close(&mut self) -> Result<(), CommitFailure> {
        if let Some(head) = self.head.take() {
            self.unsynced_since = None;
            let end = self.inner.lock().room.end;
            let last = self.inner.shared.last();
            let finish = || {
                head.file.sync()?;
                head.file.write(&[&mark(head.salt, last.next())], end)?;
                head.file.set_len(end + ALIGNMENT as u64)?;
                head.file.sync()
            };
            finish().map_err(CommitFailure::of("the log could not be closed"))?;
            self.inner.synced(last);
        }
        self.inner.note_closed().map_err(CommitFailure::of("the log could not be closed"))
    }
}
