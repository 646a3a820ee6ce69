//! A gateway's handle of a shared log: the sequencer is the stream, the store is a copy on
//! disk, which follows it.

mod append;
mod contract;
mod driver;
#[cfg(test)]
pub mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;

use crate::log::disk::{self, CopyOrigin, DiskLog, Notice, SyncPolicy, storage};
use crate::log::shared::machine::{Disagreement, Machine};
use crate::log::shared::mark::{FOLLOWER, FollowerMark};
use crate::log::shared::message::{Basis, ClusterKeys};
use crate::log::shared::publisher::{Ended, PublishTimes, Publisher, UnitOutcome};
use crate::log::shared::resume::{self, Error, ResumePoint};
use crate::log::shared::stream::{Stream, StreamSettings};
use crate::log::shared::tail::Tail;
use crate::log::{Error as Refusal, Identity, State, Store as _};
use crate::record::Sequence;
use driver::Driver;

/// The copy is synced after so long: the stream is the truth.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// The configuration of a shared log.
#[derive(Debug, Clone)]
pub struct Config {
    /// Of the copy. It is synced at intervals, whatever this says.
    pub disk: disk::Config,
    /// Authenticate messages.
    pub keys: ClusterKeys,
    /// How long messages are waited for.
    pub times: PublishTimes,
}

/// A log that many gateways append to.
pub struct SharedLog {
    inner: Arc<SharedLogInner>,
    driver: Mutex<Option<JoinHandle<()>>>,
}

/// What the log's tasks share.
struct SharedLogInner {
    disk: DiskLog,
    stream: Arc<dyn Stream>,
    settings: StreamSettings,
    keys: ClusterKeys,
    core: Mutex<Core>,
    /// Wakes the driver.
    wake: Notify,
    state: watch::Sender<State>,
    identity: watch::Sender<Identity>,
    /// The position and count that the copy has.
    applied: watch::Sender<Basis>,
    is_closing: AtomicBool,
    path: PathBuf,
    counts: Counts,
}

/// What appends and the driver work on.
struct Core {
    machine: Machine,
    tail: Tail,
    publisher: Publisher<Waiter>,
    /// All gateways came to the same state, unless this says otherwise.
    disagreement: Option<Disagreement>,
}

/// Who waits for a unit.
type Waiter = oneshot::Sender<UnitOutcome>;

#[derive(Default)]
struct Counts {
    seen: AtomicU64,
    void: AtomicU64,
    stale: AtomicU64,
    invalid: AtomicU64,
    disagreements: AtomicU64,
}

/// How a shared log does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedReport {
    /// The last message that the copy has.
    pub position: u64,
    /// The newest message of the stream, as far as is known.
    pub stream_end: u64,
    /// Messages of this gateway on their way.
    pub in_flight: usize,
    /// Appends that wait for a message.
    pub pending: usize,
    /// Messages of this gateway that were published again.
    pub repeats: u64,
    /// Records of this gateway that were looked up again since another one had them.
    pub seen: u64,
    /// The same, since their unit is stored as a whole or not at all.
    pub void: u64,
    /// The same, since their basis was too old.
    pub stale: u64,
    /// Messages that no cluster key authenticates, or that are malformed.
    pub invalid: u64,
    /// How often another gateway had another state.
    pub disagreements: u64,
    /// The last time that it had.
    pub disagreement: Option<Disagreement>,
}

impl SharedLog {
    /// Opens a gateway's copy of the log of a stream in the directory at `path`, or makes
    /// one there, and follows the stream. It is [`State::Away`] until it has caught up.
    /// Must be called within a runtime.
    ///
    /// # Errors
    /// If the copy cannot be opened, does not belong to the stream, or the stream does not
    /// have what the copy lacks.
    ///
    /// # Panics
    /// If a bound of the ring is below its minimum.
    pub async fn open(
        path: &Path,
        config: Config,
        stream: Arc<dyn Stream>,
    ) -> Result<(Self, Vec<Notice>), Error> {
        let settings = stream.settings();
        let Config { mut disk, keys, times } = config;
        if disk.sync == SyncPolicy::Always {
            disk.sync = SyncPolicy::Interval(SYNC_INTERVAL);
        }
        let mark_path = path.join(FOLLOWER);
        let mark = read_mark(&mark_path)?;
        let ResumePoint { machine, mark, end } = resume::resume(&*stream, &keys, mark).await?;
        let state = mark.state;
        let origin = CopyOrigin { log_id: settings.log_id, first: Sequence(state.count + 1) };
        let directory = path.to_owned();
        let opened =
            tokio::task::spawn_blocking(move || DiskLog::open_copy(&directory, disk, origin));
        let (disk, notices) = opened.await.expect("opening does not panic")?;
        let last = disk.extent().last;
        if last.0 < state.count {
            return Err(Error::CopyLost { last: last.0, wanted: state.count });
        }
        write_mark(&mark_path, &mark)?;
        let now = Instant::now();
        let mut tail = Tail::new(state.position + 1, now);
        tail.told(end, now);
        let publisher = Publisher::new(random(), keys.clone(), times);
        let disk_identity = *crate::log::Sequencer::identity(&disk).borrow();
        let behind = State::Away("the copy catches up with the stream".to_owned());
        let inner = Arc::new(SharedLogInner {
            disk,
            stream,
            settings,
            keys,
            core: Mutex::new(Core { machine, tail, publisher, disagreement: None }),
            wake: Notify::new(),
            state: watch::Sender::new(behind),
            identity: watch::Sender::new(Identity { kind: "shared", ..disk_identity }),
            applied: watch::Sender::new(state),
            is_closing: AtomicBool::new(false),
            path: mark_path,
            counts: Counts::default(),
        });
        let driver = tokio::spawn(Driver::new(Arc::clone(&inner), mark).run());
        Ok((Self { inner, driver: Mutex::new(Some(driver)) }, notices))
    }

    /// How it does.
    pub fn report(&self) -> SharedReport {
        let inner = &*self.inner;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let position = inner.applied.borrow().position;
        let core = inner.lock();
        SharedReport {
            position,
            stream_end: core.tail.seen().max(position),
            in_flight: core.publisher.in_flight(),
            pending: core.publisher.pending(),
            repeats: core.publisher.repeats(),
            seen: count(&inner.counts.seen),
            void: count(&inner.counts.void),
            stale: count(&inner.counts.stale),
            invalid: count(&inner.counts.invalid),
            disagreements: count(&inner.counts.disagreements),
            disagreement: core.disagreement,
        }
    }
}

/// The tasks end; what is on its way is left open.
impl Drop for SharedLog {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.lock().take() {
            driver.abort();
        }
    }
}

impl SharedLogInner {
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock()
    }

    /// Refuses, unless events are accepted.
    fn check_ready(&self) -> Result<(), Refusal> {
        if self.is_closing.load(Ordering::Acquire) {
            return Err(Refusal::Closed);
        }
        match &*self.state.borrow() {
            State::Ready => Ok(()),
            State::Full(why) => Err(Refusal::Full { why: why.clone() }),
            State::Away(why) => Err(Refusal::Away { why: why.clone() }),
            State::Failed(why) => Err(Refusal::Failed { why: why.clone() }),
        }
    }

    /// Tells those who wait.
    fn end(&self, ended: Ended<Waiter>) {
        for (waiter, outcome) in ended {
            // A caller that no longer waits loses nothing.
            let _ = waiter.send(outcome);
        }
    }
}

/// A number that no other process has.
fn random() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    u64::from_le_bytes(bytes)
}

fn read_mark(path: &Path) -> Result<Option<FollowerMark>, Error> {
    let failed = |error| Error::Mark { path: path.to_owned(), error };
    match storage::read(path) {
        Ok(bytes) => match FollowerMark::decode(&bytes) {
            Some(mark) => Ok(Some(mark)),
            None => Err(failed(std::io::Error::other(
                "is damaged: empty the data directory to join anew",
            ))),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn write_mark(path: &Path, mark: &FollowerMark) -> Result<(), Error> {
    storage::replace(&storage::SystemStorage, path, &mark.encode())
        .map_err(|error| Error::Mark { path: path.to_owned(), error })
}
