//! A gateway's handle of a shared log: the sequencer is the stream, the store is a copy on
//! disk, which follows it.

mod accept_loss;
mod append;
mod contract;
mod driver;
mod opening;
#[cfg(test)]
pub mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;

use crate::log::disk::storage::{self, Storage};
use crate::log::disk::{self, DiskLog, Notice, SyncPolicy};
use crate::log::shared::machine::{Disagreement, Machine};
use crate::log::shared::mark::FollowerMark;
use crate::log::shared::members::{ClusterMember, Members};
use crate::log::shared::message::{Basis, ClusterKeys, EpochKey, MemberReport};
use crate::log::shared::publisher::{Ended, PublishTimes, Publisher, UnitOutcome};
use crate::log::shared::resume::Error;
use crate::log::shared::stream::{Stream, StreamSettings};
use crate::log::shared::tail::Tail;
use crate::log::{
    CheckpointExchange, CheckpointQueue, Error as Refusal, Identity, PublishedCheckpoint, State,
};
use driver::Driver;
use opening::OpenedCopy;

pub use accept_loss::{AcceptLossError, AcceptedLoss, LossAcceptance, accept_loss, log_id_of};

/// The copy is synced after so long: the stream is the truth.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// The configuration of a shared log.
#[derive(Clone)]
pub struct Config {
    /// Of the copy. It is synced at intervals, whatever this says.
    pub disk: disk::Config,
    /// Authenticate messages.
    pub keys: ClusterKeys,
    /// How long messages are waited for.
    pub times: PublishTimes,
    /// Verifies that the operator has accepted a loss. Without it, a log that has lost
    /// messages does not go on.
    pub epoch_key: Option<Arc<dyn EpochKey>>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("disk", &self.disk).finish_non_exhaustive()
    }
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
    epoch_key: Option<Arc<dyn EpochKey>>,
    /// Signed checkpoints that came.
    checkpoints: CheckpointQueue,
    /// What the driver applies messages with: apart, so that appends do not wait meanwhile. Who
    /// locks both locks it first.
    machine: Mutex<Machine>,
    core: Mutex<Core>,
    /// Wakes the driver.
    wake: Notify,
    state: watch::Sender<State>,
    identity: watch::Sender<Identity>,
    /// The position and count that the copy has.
    applied: watch::Sender<Basis>,
    is_closing: AtomicBool,
    directory: PathBuf,
    storage: Arc<dyn Storage>,
    counts: Counts,
}

/// What appends and the driver work on.
struct Core {
    tail: Tail,
    publisher: Publisher<Waiter>,
    /// All gateways came to the same state, unless this says otherwise.
    disagreement: Option<Disagreement>,
    /// A signed checkpoint, to be published.
    proposal: Option<String>,
    /// What this gateway tells the others of itself.
    profile: Option<MemberReport>,
    /// It has not told that yet.
    is_profile_new: bool,
    members: Members,
    /// In what settings other gateways differ.
    differences: Vec<String>,
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The random number of this process, as others see it.
    pub sender: u64,
    /// The gateways that have told of themselves of late, this one among them.
    pub members: Vec<ClusterMember>,
    /// In what settings others differ from this one, in sentences.
    pub differences: Vec<String>,
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
        Self::open_on(path, config, stream, opening::system_storage()).await
    }

    /// As [`SharedLog::open`], with the copy on storage of another kind.
    async fn open_on(
        path: &Path,
        mut config: Config,
        stream: Arc<dyn Stream>,
        storage: Arc<dyn Storage>,
    ) -> Result<(Self, Vec<Notice>), Error> {
        let settings = stream.settings();
        if config.disk.sync == SyncPolicy::Always {
            config.disk.sync = SyncPolicy::Interval(SYNC_INTERVAL);
        }
        let opened = opening::open_copy(path, &config, &*stream, &storage).await?;
        let OpenedCopy { disk, notices, machine, mark, end, checkpoint } = opened;
        let Config { keys, times, epoch_key, .. } = config;
        let state = mark.state;
        let now = Instant::now();
        let mut tail = Tail::new(state.position + 1, now);
        tail.told(end, now);
        let publisher = Publisher::new(random(), keys.clone(), times);
        let disk_identity = *crate::log::Sequencer::identity(&disk).borrow();
        let behind = State::Away("the copy catches up with the stream".to_owned());
        let checkpoints = CheckpointQueue::default();
        checkpoint.into_iter().for_each(|checkpoint| checkpoints.push(checkpoint));
        let core = Core {
            tail,
            publisher,
            disagreement: None,
            proposal: None,
            profile: None,
            is_profile_new: false,
            members: Members::default(),
            differences: Vec::new(),
        };
        let inner = Arc::new(SharedLogInner {
            disk,
            stream,
            settings,
            keys,
            epoch_key,
            checkpoints,
            machine: Mutex::new(machine),
            core: Mutex::new(core),
            wake: Notify::new(),
            state: watch::Sender::new(behind),
            identity: watch::Sender::new(Identity { kind: "shared", ..disk_identity }),
            applied: watch::Sender::new(state),
            is_closing: AtomicBool::new(false),
            directory: path.to_owned(),
            storage,
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
            sender: core.publisher.sender(),
            members: core.members.all(),
            differences: core.differences.clone(),
        }
    }

    /// From now on tells the other gateways this of itself, at once and every
    /// [`MEMBER_INTERVAL`](crate::log::shared::members::MEMBER_INTERVAL). That leaves a
    /// state in the stream with which gateways can join, too.
    pub fn announce(&self, profile: MemberReport) {
        let mut core = self.inner.lock();
        (core.profile, core.is_profile_new) = (Some(profile), true);
        drop(core);
        self.inner.wake.notify_one();
    }
}

impl CheckpointExchange for SharedLogInner {
    fn publish(&self, checkpoint: String) -> bool {
        let is_ready = self.check_ready().is_ok();
        if is_ready {
            self.lock().proposal = Some(checkpoint);
            self.wake.notify_one();
        }
        is_ready
    }

    fn take(&self) -> Vec<PublishedCheckpoint> {
        self.checkpoints.take()
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.checkpoints.changes()
    }

    fn disagreement(&self) -> Option<String> {
        self.lock().disagreement.map(|disagreement| disagreement.to_string())
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
        match &*self.state.borrow() {
            // A log that failed is closed, too: the reason says more.
            State::Failed(why) => Err(Refusal::Failed { why: why.clone() }),
            _ if self.is_closing.load(Ordering::Acquire) => Err(Refusal::Closed),
            State::Ready => Ok(()),
            State::Full(why) => Err(Refusal::Full { why: why.clone() }),
            State::Away(why) => Err(Refusal::Away { why: why.clone() }),
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
