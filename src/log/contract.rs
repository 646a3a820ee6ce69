//! The contract of every kind of log: a sequencer, which puts records into one order, and a store,
//! which keeps them.

use std::sync::Arc;

use tokio::sync::watch;
use uuid::Uuid;

use crate::filter::TypeSet;
use crate::histogram::HistogramSnapshot;
use crate::log::{
    BoxFuture, CheckpointExchange, Conflict, Error, HoldReport, ReadFuture, ReadHint,
    ReplicationReport, RetentionHold,
};
use crate::record::{Acceptance, Draft, Sequence};
use crate::time::Time;

/// A log: a sequencer and the store that it writes to.
///
/// ```text
///          removed            kept                       on its way
///   |------------------|==================|=========|--------------|
///   1               oldest              synced   readable        tail
///                Extent::first      Extent::synced  Extent::last
/// ```
///
/// - Sequences begin at 1 and have no holes; `accept_time` never decreases along them.
/// - `oldest` grows: records are removed from the front, never from the middle.
/// - Records up to `synced` are on stable storage. A later record may be lost.
/// - Records up to `readable` can be read. What one reader has seen, every later reader
///   sees, until it is removed from the front.
/// - `tail` is the newest record in the order. Records between `readable` and `tail` are not
///   acknowledged yet. If other gateways append to the log, too, only [`Sequencer::tail`]
///   knows its tail.
pub trait Log: Sequencer + Store {}

impl<L: Sequencer + Store> Log for L {}

/// Puts records into one order.
pub trait Sequencer: Send + Sync + 'static {
    /// Appends the records of these drafts, in their order. The result has an entry for each draft.
    /// On return, the records are readable, and as durable as this kind of log makes them.
    ///
    /// The key of a record is (principal, event id). A draft whose key is stored already, or occurs
    /// earlier in the same call, is not stored again. With the same content it gets the receipt of
    /// the first one, marked as a duplicate.
    ///
    /// If the future is dropped before it is ready, the records may or may not be appended.
    /// Appending them again is safe.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`], if the records may or may not be appended. All other errors are
    /// refusals: nothing was stored.
    fn append<'a>(
        &'a self,
        drafts: &'a [Draft],
        append: Append,
    ) -> BoxFuture<'a, Result<Vec<Appended>, Error>>;

    /// The newest record in the order.
    ///
    /// # Errors
    /// If the tail is unavailable now.
    fn tail(&self, tail: TailKind) -> BoxFuture<'_, Result<Sequence, Error>>;

    /// Whether other gateways append to the log, too. Then the local tail may be behind that of the
    /// whole log, and every loss raises the epoch.
    fn is_shared(&self) -> bool {
        false
    }

    /// Watches the identity of the log, whose epoch may be raised.
    fn identity(&self) -> watch::Receiver<Identity>;

    /// Watches whether the log accepts events. [`State::Failed`] is final, [`State::Full`] and
    /// [`State::Away`] are not.
    fn state(&self) -> watch::Receiver<State>;

    /// The state of replication; `None` if no other gateway appends.
    fn replication(&self) -> Option<ReplicationReport> {
        None
    }

    /// Ends appending. On return, all acknowledged records are as durable as the log makes them.
    /// Later appends are refused with [`Error::Closed`]; reading continues.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Keeps records, and finds them.
pub trait Store: Send + Sync + 'static {
    /// The range of records that is kept now.
    fn extent(&self) -> Extent;

    /// A run of records with `at`. If `at` is not kept any more, the run begins with the oldest
    /// record; `None` past the newest. Records of the run that `hint` does not match may be
    /// missing, although the run covers them: see
    /// [`SegmentView::end`](crate::log::SegmentView::end). Only records up to [`Extent::last`] may
    /// be read from it, and the reader continues at its end.
    ///
    /// Records in memory are found at once. A run from disk has a bounded size, and may cover only
    /// `at`.
    ///
    /// # Errors
    /// If the storage cannot be read.
    fn read<'a>(&'a self, at: Sequence, hint: ReadHint<'a>) -> ReadFuture<'a>;

    /// The first kept record that was accepted at `time` or later; the sequence of the next record
    /// if there is none.
    ///
    /// # Errors
    /// If the storage cannot be read.
    fn accepted_since(&self, time: Time) -> BoxFuture<'_, Result<Sequence, Error>>;

    /// The newest kept record whose event has this id and whose type is one of these, from any
    /// emitter.
    ///
    /// # Errors
    /// If the storage cannot be read.
    fn find(
        &self,
        id: &str,
        types: &Arc<TypeSet>,
    ) -> BoxFuture<'_, Result<Option<Sequence>, Error>>;

    /// Changes whenever records were appended, after they are readable.
    fn changes(&self) -> watch::Receiver<()>;

    /// The last record of an older epoch that was not lost; `None` for the present epoch.
    fn kept_of_epoch(&self, _epoch: u64) -> Option<Sequence> {
        None
    }

    /// Registers `hold`, which is asked before records are removed.
    fn hold(&self, hold: Arc<dyn RetentionHold>);

    /// The present retention holds.
    fn holds(&self) -> Vec<HoldReport>;

    /// The exchange of checkpoints with other gateways; `None` if no other gateway appends to the
    /// log.
    fn checkpoints(&self) -> Option<Arc<dyn CheckpointExchange>> {
        None
    }

    /// The state of the log's stable storage; `None` if it has none.
    fn storage(&self) -> Option<StorageReport> {
        None
    }
}

/// How drafts are appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Append {
    /// All of them or none: a conflict refuses all.
    AllOrNothing {
        /// Whether drafts are only checked: nothing is stored, and new records get the sequence 0.
        validate_only: bool,
    },
    /// Each by itself: a draft with a conflict is skipped, and its entry in the result is the
    /// conflict.
    Each {
        /// As for all or nothing.
        validate_only: bool,
    },
}

/// The outcome of a draft.
pub type Appended = Result<Receipt, Conflict>;

/// Which tail is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TailKind {
    /// The local tail.
    Fast,
    /// The tail of the whole log, all gateways included.
    Consistent,
}

/// The position and time of an accepted record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Its sequence; 0 if it was only checked.
    pub sequence: Sequence,
    /// When it was accepted; `None` if it was only checked.
    pub accept_time: Option<Time>,
    /// Whether it had been accepted before.
    pub duplicate: bool,
}

/// Which log a record or cursor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Unique to the log, for its whole life.
    pub id: Uuid,
    /// Raised when the log is opened after it may have lost records that a reader had seen.
    pub epoch: u64,
    /// Kind of log: `memory`, `disk` or `shared`.
    pub kind: &'static str,
}

/// The records that a log keeps at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The oldest record kept; the next one's sequence if none is.
    pub first: Sequence,
    /// The newest record; 0 if there was none.
    pub last: Sequence,
    /// The newest record on stable storage. For a log in memory it is the newest record.
    pub synced: Sequence,
    /// Memory of the records in memory, with index and id table, in bytes.
    pub bytes: usize,
    /// The most that they may take, in bytes.
    pub bytes_max: usize,
    /// The most records in memory.
    pub records_max: usize,
    /// The number of records in memory.
    pub in_memory: u64,
    /// When the newest record that was evicted had been accepted.
    pub evicted_until: Option<Time>,
    /// The accept time of the newest record, readable or not; `None` before the first.
    pub last_accepted: Option<Time>,
}

/// Whether a log accepts events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It accepts events.
    Ready,
    /// There is no space, with the reason. It accepts events again when there is space.
    Full(String),
    /// It cannot be reached, with the reason. It accepts events again by itself.
    Away(String),
    /// Its storage has failed, with the reason. It is read-only until it is opened again.
    Failed(String),
}

/// The state of a log's stable storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageReport {
    /// When records are synced: `always`, `interval=100ms` or `none`.
    pub sync: String,
    /// Size of the records, in bytes.
    pub bytes: u64,
    /// Their largest size, in bytes; `None` without a limit.
    pub bytes_max: Option<u64>,
    /// Records that cannot be read, ascending.
    pub damage: Vec<DamagedRange>,
    /// Times that the sync of a commit took.
    pub syncs: HistogramSnapshot,
}

/// Records that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DamagedRange {
    /// The first of them.
    pub first: Sequence,
    /// The last of them.
    pub last: Sequence,
}

impl Append {
    /// Whether drafts are only checked.
    pub fn validate_only(self) -> bool {
        match self {
            Self::AllOrNothing { validate_only } | Self::Each { validate_only } => validate_only,
        }
    }

    /// Whether a conflict refuses all drafts.
    pub fn is_all_or_nothing(self) -> bool {
        matches!(self, Self::AllOrNothing { .. })
    }
}

impl Extent {
    /// The number of kept records.
    pub fn records(&self) -> u64 {
        (self.last.0 + 1).saturating_sub(self.first.0)
    }

    /// By how much the accept time of the next record would be raised now: [`Acceptance::raised`].
    pub fn accept_time_ahead(&self) -> Option<prost_types::Duration> {
        Acceptance::after(self.last_accepted?, Time::now()).raised()
    }

    /// The number of evicted records.
    pub fn evicted(&self) -> u64 {
        self.first.0.saturating_sub(1)
    }
}

impl State {
    /// Notes that there is space. Returns whether the state has changed.
    pub(super) fn relieve(&mut self) -> bool {
        let was_full = matches!(self, Self::Full(_));
        if was_full {
            *self = Self::Ready;
        }
        was_full
    }

    /// Notes that there is no space. Returns whether the state has changed.
    pub(super) fn fill(&mut self, why: String) -> bool {
        let was_ready = *self == Self::Ready;
        if was_ready {
            *self = Self::Full(why);
        }
        was_ready
    }
}
