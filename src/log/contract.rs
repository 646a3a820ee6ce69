//! The contract that every kind of log keeps: a sequencer, which puts records into one
//! order, and a store, which keeps them.

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
/// - Records up to `synced` are on stable storage. Nothing vouches for a record behind it.
/// - Records up to `readable` can be read. What one reader has seen, every later reader
///   sees, until it is removed from the front.
/// - `tail` is the newest record that has a place in the order. Records between `readable`
///   and `tail` are not acknowledged yet. The tail of a log that other gateways write to,
///   too, may be known only after [`Sequencer::tail`] asked for it.
pub trait Log: Sequencer + Store {}

impl<L: Sequencer + Store> Log for L {}

/// Puts records into one order.
pub trait Sequencer: Send + Sync + 'static {
    /// Appends the records of these drafts, in their order. The result has a place for
    /// each draft: on return its record is as durable as this kind of log makes it, and
    /// readable.
    ///
    /// The key of a record is (principal, event id). A draft whose key is kept already, or
    /// comes earlier in the same call, is not stored again: with the same content it gets
    /// the receipt of the first one, marked as a duplicate.
    ///
    /// Dropping the future before it is ready leaves it open whether the records were
    /// appended; appending them again is safe.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`], if it is open whether the records were appended. All
    /// other errors are refusals: nothing was stored.
    fn append<'a>(
        &'a self,
        drafts: &'a [Draft],
        append: Append,
    ) -> BoxFuture<'a, Result<Vec<Appended>, Error>>;

    /// The newest record that has a place in the order.
    ///
    /// # Errors
    /// If the order cannot be asked for at the moment.
    fn tail(&self, tail: TailKind) -> BoxFuture<'_, Result<Sequence, Error>>;

    /// Whether other gateways append to the log, too. Then the tail that is known here may be
    /// behind that of the whole log, and every loss raises the epoch.
    fn is_shared(&self) -> bool {
        false
    }

    /// Which log this is, as that changes: the epoch may be raised.
    fn identity(&self) -> watch::Receiver<Identity>;

    /// Whether the log accepts events, as that changes. [`State::Failed`] is final,
    /// [`State::Full`] and [`State::Away`] are not.
    fn state(&self) -> watch::Receiver<State>;

    /// How the order is agreed on with others; `None` if nobody else appends.
    fn replication(&self) -> Option<ReplicationReport> {
        None
    }

    /// Ends appending: on return all that was acknowledged is as durable as the log makes
    /// it, and what is appended later is refused with [`Error::Closed`]. Reading goes on.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Keeps records, and finds them.
pub trait Store: Send + Sync + 'static {
    /// What is kept at the moment.
    fn extent(&self) -> Extent;

    /// A run of records that holds `at`; if that is not kept any more, one that
    /// begins with the oldest record that is; `None` past the newest. Of the run,
    /// records that `want` does not match may be left out, though the run covers
    /// them: see [`SegmentView::end`](crate::log::SegmentView::end). Only records up to [`Extent::last`]
    /// may be read from it, and the reader goes on where it ends.
    ///
    /// What is in memory is found at once. A run from disk is of bounded size,
    /// and may cover `at` and nothing else.
    ///
    /// # Errors
    /// If the storage cannot be read.
    fn read<'a>(&'a self, at: Sequence, hint: ReadHint<'a>) -> ReadFuture<'a>;

    /// The first record kept that was accepted at `time` or later; the one that
    /// comes next, if none was.
    ///
    /// # Errors
    /// If the storage cannot be read.
    fn accepted_since(&self, time: Time) -> BoxFuture<'_, Result<Sequence, Error>>;

    /// The newest record kept whose event has this id and whose type is one of
    /// these, whoever emitted it.
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

    /// The last record that an older epoch gave out and that was not lost since;
    /// `None` for the present epoch.
    fn kept_of_epoch(&self, _epoch: u64) -> Option<Sequence> {
        None
    }

    /// From now on asks `hold` before records are removed.
    fn hold(&self, hold: Arc<dyn RetentionHold>);

    /// What holds records at the moment.
    fn holds(&self) -> Vec<HoldReport>;

    /// Where this gateway agrees with others on checkpoints; `None` if no other one writes
    /// to the log.
    fn checkpoints(&self) -> Option<Arc<dyn CheckpointExchange>> {
        None
    }

    /// How the log is kept on stable storage; `None` if it is not.
    fn storage(&self) -> Option<StorageReport> {
        None
    }
}

/// How drafts are appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Append {
    /// All of them or none: a conflict refuses all.
    AllOrNothing {
        /// Nothing is stored: the checks are all that is done, and new records get the
        /// sequence 0.
        validate_only: bool,
    },
    /// Each by itself: a draft with a conflict is left out, and its place in the result
    /// says so.
    Each {
        /// As above.
        validate_only: bool,
    },
}

/// What became of a draft.
pub type Appended = Result<Receipt, Conflict>;

/// Which tail is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TailKind {
    /// What is known here.
    Fast,
    /// That of the whole log, whoever appends to it.
    Consistent,
}

/// Where a record stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Its position; 0 where it was only checked.
    pub sequence: Sequence,
    /// When it was accepted; `None` where it was only checked.
    pub accept_time: Option<Time>,
    /// It had been accepted before.
    pub duplicate: bool,
}

/// Which log a record or cursor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Unique to the log, for its whole life.
    pub id: Uuid,
    /// Raised when the log is opened after it may have lost records that
    /// somebody had seen.
    pub epoch: u64,
    /// Kind of log: `memory`, `disk` or `shared`.
    pub kind: &'static str,
}

/// What a log keeps at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The oldest record kept; the next one's sequence if none is.
    pub first: Sequence,
    /// The newest record; 0 if there was none.
    pub last: Sequence,
    /// The newest record that is on stable storage: what may be vouched for. A
    /// log in memory has none better than itself, so there it is the newest.
    pub synced: Sequence,
    /// What the records in memory take, with index and id table, in bytes.
    pub bytes: usize,
    /// The most that they may take, in bytes.
    pub bytes_max: usize,
    /// The most records that are kept; of a log on disk, as the bytes above, in memory.
    pub records_max: usize,
    /// How many records are in memory: of a log in memory, all that are kept.
    pub in_memory: u64,
    /// When the newest record that was evicted had been accepted.
    pub evicted_until: Option<Time>,
    /// The accept time of the newest record, readable or not; `None` before the first.
    pub last_accepted: Option<Time>,
}

/// Whether a log accepts events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It does.
    Ready,
    /// There is no space for more, and why. It goes on when there is.
    Full(String),
    /// Its order cannot be asked for, and why: it accepts events again by itself.
    Away(String),
    /// Its storage has failed, and why: it is read-only until it is opened anew.
    Failed(String),
}

/// How a log is kept on stable storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageReport {
    /// When records are brought there: `always`, `interval=100ms` or `none`.
    pub sync: String,
    /// What the records take there, in bytes.
    pub bytes: u64,
    /// The most that they may take, in bytes; `None` without a limit.
    pub bytes_max: Option<u64>,
    /// Records that cannot be read, ascending.
    pub damage: Vec<DamagedRange>,
    /// How long it took to sync the records of a commit.
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
    /// Nothing is stored.
    pub fn validate_only(self) -> bool {
        match self {
            Self::AllOrNothing { validate_only } | Self::Each { validate_only } => validate_only,
        }
    }

    /// A conflict refuses all.
    pub fn is_all_or_nothing(self) -> bool {
        matches!(self, Self::AllOrNothing { .. })
    }
}

impl Extent {
    /// How many records are kept.
    pub fn records(&self) -> u64 {
        (self.last.0 + 1).saturating_sub(self.first.0)
    }

    /// By how much the accept time of the next record is raised, if it is accepted now:
    /// [`Acceptance::raised`].
    pub fn accept_time_ahead(&self) -> Option<prost_types::Duration> {
        Acceptance::after(self.last_accepted?, Time::now()).raised()
    }

    /// How many records were evicted.
    pub fn evicted(&self) -> u64 {
        self.first.0.saturating_sub(1)
    }
}

impl State {
    /// There is space again. Returns whether that is news.
    pub(super) fn relieve(&mut self) -> bool {
        let was_full = matches!(self, Self::Full(_));
        if was_full {
            *self = Self::Ready;
        }
        was_full
    }

    /// There is no space. Returns whether that is news.
    pub(super) fn fill(&mut self, why: String) -> bool {
        let was_ready = *self == Self::Ready;
        if was_ready {
            *self = Self::Full(why);
        }
        was_ready
    }
}
