//! Sets space aside: a thread that fills the next segment file with zeros ahead,
//! and does what else need not be waited for.
//!
//! Here alone the log asks the file system for room. A file that was filled and
//! synced has all of its blocks, so that committing to it changes no metadata,
//! and cannot fail for want of space.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::log::disk::storage::{Storage, StorageFile, is_full};

/// The number of zeros in one write, in bytes.
const FILL_BYTES: usize = 1024 * 1024;
/// The interval between attempts when there is no space.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// The interval of checks that the thread is alive, while a caller waits for it.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A file of zeros that are on stable storage.
pub struct PreparedFile {
    /// The file.
    pub file: Box<dyn StorageFile>,
    /// Its length, in bytes.
    pub capacity: u64,
}

/// Why there is no prepared file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoPreparedFile {
    /// There is no space. The thread keeps trying.
    Full(String),
    /// The storage failed.
    Failed(String),
}

/// How files are created: a method of [`Storage`].
pub type CreateFile = fn(&dyn Storage, &Path) -> io::Result<Box<dyn StorageFile>>;

/// A job for the thread beside preallocation.
pub type BackgroundJob = Box<dyn FnOnce(&dyn Storage) + Send>;

/// The handle of the preallocation thread.
pub struct Preallocator {
    shared: Arc<PreallocatorShared>,
    thread: Option<JoinHandle<()>>,
}

struct PreallocatorShared {
    storage: Arc<dyn Storage>,
    create: CreateFile,
    path: PathBuf,
    slot: Mutex<PreallocatorState>,
    changed: Condvar,
    /// Called when there is space again.
    relieved: Box<dyn Fn() + Send + Sync>,
}

struct PreallocatorState {
    ready: Option<PreparedFile>,
    /// The taken file still has the name of the prepared file.
    lent: bool,
    lack: Option<NoPreparedFile>,
    /// The size of the next file, in bytes.
    capacity: u64,
    jobs: VecDeque<BackgroundJob>,
    stopping: bool,
}

/// What the thread does next.
enum PreallocatorTask {
    Prepare(u64),
    Chore(BackgroundJob),
    Stop,
}

impl Preallocator {
    /// Begins to prepare a file of `capacity` bytes at `path`, which `create` makes.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(
        storage: Arc<dyn Storage>,
        path: PathBuf,
        capacity: u64,
        create: CreateFile,
        relieved: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let slot = PreallocatorState {
            ready: None,
            lent: false,
            lack: None,
            capacity,
            jobs: VecDeque::new(),
            stopping: false,
        };
        let shared = Arc::new(PreallocatorShared {
            storage,
            create,
            path,
            slot: Mutex::new(slot),
            changed: Condvar::new(),
            relieved: Box::new(relieved),
        });
        let own = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("auditgate-space".into()).spawn(move || own.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Takes the prepared file, which has at least `capacity` bytes; waits for
    /// it. The next one is to have `next_capacity`, and is prepared once the one
    /// that was taken is [`Preallocator::settled`] or given up.
    ///
    /// # Errors
    /// If there is none at the moment.
    pub fn take(&self, capacity: u64, next_capacity: u64) -> Result<PreparedFile, NoPreparedFile> {
        let mut slot = self.shared.lock();
        slot.capacity = slot.capacity.max(capacity);
        loop {
            if let Some(ready) = slot.ready.take_if(|ready| ready.capacity >= capacity) {
                slot.capacity = next_capacity;
                slot.lent = true;
                return Ok(ready);
            }
            if let Some(lack) = &slot.lack {
                let lack = lack.clone();
                slot.capacity = next_capacity;
                return Err(lack);
            }
            // A file that is too small is replaced.
            slot.ready = None;
            self.shared.changed.notify_all();
            if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                let why = "the thread that prepares files has ended".to_owned();
                return Err(NoPreparedFile::Failed(why));
            }
            self.shared.changed.wait_for(&mut slot, LOOK_INTERVAL);
        }
    }

    /// Tells the thread that the taken file was renamed.
    pub fn settled(&self) {
        self.shared.lock().lent = false;
        self.shared.changed.notify_all();
    }

    /// Discards a taken file for lack of space; the thread prepares a new one.
    pub fn give_up(&self, why: String) {
        let mut slot = self.shared.lock();
        slot.lent = false;
        slot.lack = Some(NoPreparedFile::Full(why));
        self.shared.changed.notify_all();
    }

    /// Adds a job for the thread.
    pub fn add_job(&self, job: BackgroundJob) {
        self.shared.lock().jobs.push_back(job);
        self.shared.changed.notify_all();
    }
}

/// Waits until all added jobs are done.
impl Drop for Preallocator {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}

impl PreallocatorShared {
    fn lock(&self) -> MutexGuard<'_, PreallocatorState> {
        self.slot.lock()
    }

    fn run(&self) {
        loop {
            match self.next_task() {
                PreallocatorTask::Prepare(capacity) => {
                    let prepared = self.prepare(capacity);
                    self.settle(prepared);
                }
                PreallocatorTask::Chore(job) => job(&*self.storage),
                PreallocatorTask::Stop => {
                    // The prepared file is not needed any more.
                    let _ = self.storage.remove(&self.path);
                    return;
                }
            }
        }
    }

    fn next_task(&self) -> PreallocatorTask {
        let mut slot = self.lock();
        loop {
            let may_prepare =
                slot.ready.is_none() && !slot.lent && slot.lack.is_none() && !slot.stopping;
            if may_prepare {
                return PreallocatorTask::Prepare(slot.capacity);
            }
            if let Some(job) = slot.jobs.pop_front() {
                return PreallocatorTask::Chore(job);
            }
            if slot.stopping {
                return PreallocatorTask::Stop;
            }
            let retry = matches!(slot.lack, Some(NoPreparedFile::Full(_)));
            if !retry {
                self.changed.wait(&mut slot);
                continue;
            }
            let waited = self.changed.wait_for(&mut slot, RETRY_INTERVAL);
            if waited.timed_out() && !slot.stopping {
                slot.ready = None;
                return PreallocatorTask::Prepare(slot.capacity);
            }
        }
    }

    fn settle(&self, prepared: io::Result<PreparedFile>) {
        let mut slot = self.lock();
        let mut relieved = false;
        match prepared {
            Ok(prepared) => {
                slot.ready = Some(prepared);
                relieved = slot.lack.take().is_some();
            }
            Err(error) if is_full(&error) => {
                slot.lack = Some(NoPreparedFile::Full(error.to_string()))
            }
            Err(error) => slot.lack = Some(NoPreparedFile::Failed(error.to_string())),
        }
        drop(slot);
        self.changed.notify_all();
        if relieved {
            (self.relieved)();
        }
    }

    fn prepare(&self, capacity: u64) -> io::Result<PreparedFile> {
        let filled = self.fill(capacity);
        if filled.is_err() {
            // What little there is of it is left to others.
            let _ = self.storage.remove(&self.path);
        }
        filled
    }

    fn fill(&self, capacity: u64) -> io::Result<PreparedFile> {
        let file = (self.create)(&*self.storage, &self.path)?;
        let zeros = vec![0; FILL_BYTES];
        let mut at = 0;
        while at < capacity {
            let len = usize::try_from(capacity - at).unwrap_or(FILL_BYTES).min(FILL_BYTES);
            file.write(&[zeros.get(..len).expect("no more than was made")], at)?;
            at += len as u64;
        }
        file.sync()?;
        Ok(PreparedFile { file, capacity })
    }
}
