//! The hub stands between the services and the log: it appends, fans out to
//! subscriptions, moves them from replay to live, searches and counts.

pub mod count;
mod filter_group;
mod gap;
mod message;
mod notifier;
pub mod path;
mod position;
mod rate_meter;
pub mod search;
mod start;
mod subscribers;
mod subscription;
pub mod top;

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::catalog::TypeId;
use crate::counters::Counters;
use crate::filter::TypeSet;
use crate::log::{
    Append, Appended, Error, Extent, HoldReport, Identity, Log, ReadHint, ReadResult,
    ReplicationReport, RetentionHold, SLICE, State, StorageReport,
};
use crate::proto::pb::ErrorReason;
use crate::record::{Draft, Record, Sequence};
use crate::time::Time;

pub use count::{BUCKETS_MAX, CountRequest, CountResult, Group};
pub use gap::{Gap, GapReason};
pub use message::SubscribeMessage;
pub use position::{LogPosition, POSITION_WAIT_MAX, PositionReport, Reach};
pub use rate_meter::{RateMeter, Rates};
pub use search::{PAGE_BYTES_MAX, SearchPage, SearchRequest, query_digest};
pub use start::{SubscribeError, SubscriptionStart};
pub use subscribers::SubscriberState;
pub use subscription::{LAST_READ_TIME_MAX, MESSAGE_BYTES_MAX, PROGRESS_INTERVAL, Subscription};
pub use top::{Top, TopValues};

/// The key of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKey<'a> {
    /// By the id of its event.
    Id(&'a str),
    /// By its position.
    Sequence(Sequence),
}

/// Totals since the start.
#[derive(Debug, Default)]
pub struct HubCounters {
    /// Events accepted.
    pub accepted: AtomicU64,
    /// Duplicates: events received again with the same content.
    pub duplicates: AtomicU64,
    /// Refused Emit calls, stream events and streams, by reason.
    pub refused: Counters<ErrorReason>,
    /// Records delivered to subscribers.
    pub delivered: AtomicU64,
    /// Gaps sent to subscribers.
    pub gaps: Counters<GapReason>,
    /// Events accepted, by type.
    pub by_type: Counters<TypeId>,
    /// Bytes of the accepted events.
    pub accepted_bytes: AtomicU64,
}

/// Appends to a log and serves its readers.
pub struct Hub {
    log: Arc<dyn Log>,
    identity: watch::Receiver<Identity>,
    state: watch::Receiver<State>,
    counters: Arc<HubCounters>,
    meter: RateMeter,
    subscribers: Arc<subscribers::SubscriberRegistry>,
    groups: Arc<filter_group::FilterGroups>,
    notifier: Arc<notifier::Notifier>,
    positions: position::PositionWaits,
    started: Time,
    stopping: CancellationToken,
    /// How long a lagging stream continues when the gateway stops.
    last_read: Duration,
    /// One permit a processor, for calls that use more than one time slice.
    turns: Arc<Semaphore>,
    /// Ends the tasks of the hub when it is dropped.
    _running: DropGuard,
}

impl Hub {
    /// A hub on `log`. It starts to measure rates and to wake subscriptions, which end when
    /// `stopping` is cancelled.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(log: Arc<dyn Log>, stopping: CancellationToken) -> Arc<Self> {
        Self::ending(log, stopping, LAST_READ_TIME_MAX)
    }

    /// Like [`Hub::new`]. Subscriptions that lag when `stopping` is cancelled continue for at most
    /// `last_read`.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn ending(
        log: Arc<dyn Log>,
        stopping: CancellationToken,
        last_read: Duration,
    ) -> Arc<Self> {
        let counters = Arc::new(HubCounters::default());
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let running = stopping.child_token();
        let meter = RateMeter::start(Arc::clone(&counters), running.clone());
        let notifier = notifier::Notifier::start(Arc::clone(&log) as _, running.clone());
        Arc::new(Self {
            identity: log.identity(),
            state: log.state(),
            log,
            counters,
            meter,
            subscribers: Arc::default(),
            groups: Arc::default(),
            notifier,
            positions: position::PositionWaits::new(),
            started: Time::now(),
            stopping,
            last_read,
            turns: Arc::new(Semaphore::new(processors)),
            _running: running.drop_guard(),
        })
    }

    /// Appends records, or only validates them: see
    /// [`Sequencer::append`](crate::log::Sequencer::append).
    ///
    /// # Errors
    /// The errors of the log.
    pub async fn append(&self, drafts: &[Draft], append: Append) -> Result<Vec<Appended>, Error> {
        let appended = self.log.append(drafts, append).await?;
        if !append.validate_only() {
            self.tally(drafts, &appended);
        }
        Ok(appended)
    }

    fn tally(&self, drafts: &[Draft], appended: &[Appended]) {
        let (mut accepted, mut duplicates, mut bytes) = (0, 0, 0);
        for (draft, appended) in drafts.iter().zip(appended) {
            match appended {
                Ok(receipt) if receipt.duplicate => duplicates += 1,
                Ok(_) => {
                    accepted += 1;
                    bytes += draft.event().bytes.len() as u64;
                    self.counters.by_type.increment(draft.event().type_id);
                }
                Err(_) => {}
            }
        }
        self.counters.accepted_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.counters.accepted.fetch_add(accepted, Ordering::Relaxed);
        self.counters.duplicates.fetch_add(duplicates, Ordering::Relaxed);
    }

    /// Yields if the time slice of `turns` is over, and returns when it has a permit again. The
    /// caller must not hold a permit while it waits for something else.
    pub async fn yield_now(&self, turns: &mut TimeSlices) {
        turns.yield_now(&self.turns).await;
    }

    /// Cancelled when the gateway stops.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// The frame of one record, if it is stored and has one of these types. Of several records
    /// with an id, the newest one.
    ///
    /// # Errors
    /// The errors of the log.
    pub async fn record(
        &self,
        key: RecordKey<'_>,
        types: &Arc<TypeSet>,
    ) -> Result<Option<Bytes>, Error> {
        let sequence = match key {
            RecordKey::Id(id) => self.log.find(id, types).await?,
            RecordKey::Sequence(sequence) => Some(sequence),
        };
        let Some(sequence) = sequence else { return Ok(None) };
        match self.log.read(sequence, ReadHint::one()).await? {
            None => Ok(None),
            Some(ReadResult::Damaged { first, .. }) if first > sequence => Ok(None),
            Some(ReadResult::Damaged { .. }) => Err(Error::Damaged { sequence }),
            Some(ReadResult::Records(segment)) => {
                let view = segment.view(self.log.extent().last);
                if !view.holds(sequence) {
                    return Ok(None);
                }
                let frame = view.frame(view.position(sequence));
                let is_of_types = types.contains_name(Record::read_frame(frame).type_name);
                Ok(is_of_types.then(|| Bytes::copy_from_slice(frame)))
            }
        }
    }

    /// The identity of the log.
    pub fn identity(&self) -> Identity {
        *self.identity.borrow()
    }

    /// The extent of the log.
    pub fn extent(&self) -> Extent {
        self.log.extent()
    }

    /// The state of the log's stable storage; `None` if it has none.
    pub fn storage(&self) -> Option<StorageReport> {
        self.log.storage()
    }

    /// The state of a shared log; `None` if the log is not shared.
    pub fn replication(&self) -> Option<ReplicationReport> {
        self.log.replication()
    }

    /// Whether the log accepts events.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Watches whether the log accepts events.
    pub fn states(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Whether other gateways append to the log, too.
    pub fn is_shared(&self) -> bool {
        self.log.is_shared()
    }

    /// Registers `hold`: from now on the log asks it before it removes records.
    pub fn hold(&self, hold: Arc<dyn RetentionHold>) {
        self.log.hold(hold);
    }

    /// The retention holds of the log.
    pub fn holds(&self) -> Vec<HoldReport> {
        self.log.holds()
    }

    /// Totals since the start.
    pub fn counters(&self) -> &HubCounters {
        &self.counters
    }

    /// The rates over the last ten seconds.
    pub fn rates(&self) -> Rates {
        self.meter.rates()
    }

    /// The open subscriptions.
    pub fn subscribers(&self) -> Vec<Arc<SubscriberState>> {
        self.subscribers.list()
    }

    /// When the hub was created.
    pub fn started(&self) -> Time {
        self.started
    }
}

/// Learns how much memory the work on a call holds.
pub trait WorkMemory: Sync {
    /// Sets the number of bytes that the work holds from now on.
    fn holds(&self, bytes: usize);
}

/// Work that is charged to no account.
impl WorkMemory for () {
    fn holds(&self, _: usize) {}
}

/// Makes a call yield to other tasks when its time slice is over. For each further slice, the call
/// waits in a queue. So calls with little work are not delayed, however many calls have much.
pub struct TimeSlices {
    began: Instant,
    since: Instant,
    now: Instant,
    turn: Option<OwnedSemaphorePermit>,
}

impl TimeSlices {
    /// Begins the first time slice.
    pub fn begin() -> Self {
        let now = Instant::now();
        Self { began: now, since: now, now, turn: None }
    }

    /// How long the current time slice has run.
    fn elapsed(&self) -> Duration {
        self.now - self.began
    }

    async fn yield_now(&mut self, line: &Arc<Semaphore>) {
        self.now = Instant::now();
        if self.now - self.since >= SLICE {
            self.turn = None;
            tokio::task::yield_now().await;
            let turn = Arc::clone(line).acquire_owned().await;
            self.turn = Some(turn.expect("the semaphore is never closed"));
            self.now = Instant::now();
            self.since = self.now;
        }
    }
}
