//! The log: the totally ordered, gapless sequence of records.
//!
//! [`Log`] is the contract that every kind of log keeps; `conformance` holds
//! the tests that each of them passes. The kinds share the ring: the newest
//! segments, in memory.

mod append_buffer;
pub mod cursor;
pub mod disk;
mod id_table;
mod index;
mod memory;
mod read;
mod ring;
mod scan;
mod segment;

#[cfg(test)]
mod conformance;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use uuid::Uuid;

use crate::filter::TypeSet;
use crate::histogram::HistogramSnapshot;
use crate::record::{Draft, Sequence};
use crate::time::Time;

pub use memory::MemoryLog;
pub use read::{ReadContent, ReadFuture, ReadHint, ReadResult};
pub use ring::{BYTES_MIN, Bounds, RING_BYTES, RING_RECORDS};
pub use scan::{SLICE, ScanEnd, ScanOrder, ScanQuery, ScanStats};
pub use segment::{Segment, SegmentView};

/// A boxed future, so that the trait is dyn-compatible.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What every kind of log does.
///
/// Sequences begin at 1 and have no holes; `accept_time` never decreases along
/// them. What one reader has seen, every later reader sees, until it is evicted
/// from the front.
pub trait Log: Send + Sync + 'static {
    /// Which log this is.
    fn identity(&self) -> Identity;

    /// Appends records, all of them or none, in order. On return each is as
    /// durable as this kind of log makes it, and readable.
    ///
    /// The key of a record is (principal, event id). A draft whose key is kept
    /// already, or comes earlier in the same call, is not stored again: with
    /// the same content it gets the first one's place, marked as a duplicate.
    /// With `commit` false nothing is stored: the checks are all that is done,
    /// and new records get the sequence 0.
    ///
    /// Dropping the future before it is ready leaves it open whether the
    /// records were appended; appending them again is safe.
    ///
    /// # Errors
    /// See [`Error`]; nothing was stored.
    fn append(
        &self,
        drafts: Vec<Draft>,
        commit: bool,
    ) -> BoxFuture<'_, Result<Vec<Placed>, Error>> {
        let placed = self.place(drafts, How { commit, each: false });
        Box::pin(async move { Ok(placed.await?.into_iter().collect::<Result<_, _>>()?) })
    }

    /// Appends records, each by itself: as [`Log::append`], but a draft whose id
    /// is taken by another content is left out, and its place in the result says
    /// so.
    ///
    /// # Errors
    /// See [`Error`], but for conflicts; nothing was stored.
    fn append_each(
        &self,
        drafts: Vec<Draft>,
        commit: bool,
    ) -> BoxFuture<'_, Result<Vec<Result<Placed, Conflict>>, Error>> {
        self.place(drafts, How { commit, each: true })
    }

    /// What [`Log::append`] and [`Log::append_each`] come to: a place for each draft,
    /// or why it has none.
    ///
    /// # Errors
    /// As theirs.
    fn place(
        &self,
        drafts: Vec<Draft>,
        how: How,
    ) -> BoxFuture<'_, Result<Vec<Result<Placed, Conflict>>, Error>>;

    /// What is kept at the moment.
    fn extent(&self) -> Extent;

    /// A run of records that holds `at`; if that is not kept any more, one that
    /// begins with the oldest record that is; `None` past the newest. Of the run,
    /// records that `want` does not match may be left out, though the run covers
    /// them: see [`SegmentView::end`]. Only records up to [`Extent::last`] may be read
    /// from it, and the reader goes on where it ends.
    ///
    /// What is in memory is found at once. A run from disk is of bounded size,
    /// and may cover `at` and nothing else.
    ///
    /// # Errors
    /// If the storage cannot be read.
    fn read<'a>(&'a self, at: Sequence, want: ReadHint<'a>) -> ReadFuture<'a>;

    /// The first record kept that was accepted at `time` or later; the one that
    /// comes next, if none was.
    ///
    /// # Errors
    /// If the storage cannot be read.
    fn accepted_since(&self, time: Time) -> BoxFuture<'_, Result<Sequence, Error>>;

    /// The newest record kept whose event has this id and whose type is one of
    /// these, whoever emitted it.
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

    /// Whether the log accepts events, as that changes; `None` for a log that
    /// always does.
    fn state(&self) -> Option<watch::Receiver<State>> {
        None
    }

    /// How the log is kept on disk; `None` if it is not.
    fn disk(&self) -> Option<Disk> {
        None
    }

    /// Has `keeper` asked from now on before records leave the log for good. A
    /// log has one keeper; a later one is not asked.
    fn keep_for(&self, keeper: Arc<dyn Keeper>);
}

/// Follows a log, and needs each record once before it goes.
pub trait Keeper: Send + Sync {
    /// Whether the records before `first` may go now. A keeper that says so has
    /// done with them. It may write a file first: a log asks where that may be,
    /// and seldom.
    fn release(&self, first: Sequence) -> bool;

    /// Waits until it is worth asking again.
    fn released(&self, first: Sequence) -> BoxFuture<'_, ()>;
}

/// Which log a record or cursor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Unique to the log, for its whole life.
    pub id: Uuid,
    /// Raised when the log is opened after it may have lost records that
    /// somebody had seen.
    pub epoch: u64,
    /// Kind of log: `memory` or `disk`.
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
}

impl Extent {
    /// How many records are kept.
    pub fn records(&self) -> u64 {
        (self.last.0 + 1).saturating_sub(self.first.0)
    }

    /// How many records were evicted.
    pub fn evicted(&self) -> u64 {
        self.first.0.saturating_sub(1)
    }
}

/// Whether a log takes events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It does.
    Ready,
    /// There is no space for more. It goes on when there is.
    Full(String),
    /// Its storage has failed: it takes none any more. Reading goes on.
    Failed(String),
}

impl State {
    /// There is space again. Returns whether that is news.
    fn relieve(&mut self) -> bool {
        let was_full = matches!(self, Self::Full(_));
        if was_full {
            *self = Self::Ready;
        }
        was_full
    }

    /// There is no space. Returns whether that is news.
    fn fill(&mut self, why: String) -> bool {
        let was_ready = *self == Self::Ready;
        if was_ready {
            *self = Self::Full(why);
        }
        was_ready
    }
}

/// How a log is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// When it is synced: `always`, `interval=100ms` or `none`.
    pub sync: String,
    /// What its segment files take, in bytes.
    pub bytes: u64,
    /// The most that they may take, in bytes; `None` without a limit.
    pub bytes_max: Option<u64>,
    /// Records that cannot be read, ascending.
    pub damage: Vec<disk::walk::DamagedRange>,
    /// Whether it takes events.
    pub state: State,
    /// How long it took to sync the records of a commit.
    pub syncs: HistogramSnapshot,
}

/// How drafts are appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    /// They are stored, and not only checked.
    pub commit: bool,
    /// Those that conflict are left out; otherwise one of them refuses all.
    pub each: bool,
}

/// Where a record stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its position; 0 where it was only checked.
    pub sequence: Sequence,
    /// When it was accepted; `None` where it was only checked.
    pub accept_time: Option<Time>,
    /// It had been accepted before.
    pub duplicate: bool,
}

/// Why a draft is not stored although nothing is wrong with it: its id is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("id {id:?} was accepted before{}", what(*.sequence, *.reason))]
pub struct Conflict {
    /// Position of the draft in the call.
    pub position: usize,
    /// The id.
    pub id: String,
    /// The record with that id; `None` if it is another draft of the call.
    pub sequence: Option<Sequence>,
    /// What is known of the record.
    pub reason: ConflictReason,
}

/// Why a draft whose id is taken is not a duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConflictReason {
    /// The record has another content.
    Content,
    /// The record is damaged, so that its content cannot be compared. What is left
    /// of it says that it is this event's.
    Damaged,
    /// To compare the content would exceed the budget of the call.
    Unchecked,
}

/// Why a log refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The id is taken by an event with another content.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The log keeps fewer records than were handed in at once.
    #[error("{records} events are more than this log takes at once, limit {limit}")]
    TooManyRecords {
        /// How many were handed in.
        records: usize,
        /// The most that it takes.
        limit: usize,
    },
    /// The log keeps fewer bytes than were handed in at once.
    #[error("{bytes} bytes, index included, are more than this log takes at once, limit {limit}")]
    TooManyBytes {
        /// What the records would take.
        bytes: usize,
        /// The most that it takes.
        limit: usize,
    },
    /// There is no space on disk.
    #[error("no space for more events: {why}; retry when there is")]
    Full {
        /// What the system says.
        why: String,
    },
    /// The storage has failed.
    #[error("the log is read-only since its storage failed: {why}")]
    Failed {
        /// What failed.
        why: String,
    },
    /// The log was closed.
    #[error("the log is closed and accepts no events")]
    Closed,
    /// A record cannot be read, since its storage is damaged.
    #[error("record {sequence} is damaged on disk")]
    Damaged {
        /// The record.
        sequence: Sequence,
    },
    /// The storage cannot be read.
    #[error("records from {from} on cannot be read from disk: {why}")]
    Unreadable {
        /// Where the reader stands.
        from: Sequence,
        /// What the system says.
        why: String,
    },
}

fn what(sequence: Option<Sequence>, reason: ConflictReason) -> String {
    let Some(sequence) = sequence else {
        return " with a different content in the same batch".to_owned();
    };
    match reason {
        ConflictReason::Content => format!(" with a different content as record {sequence}"),
        ConflictReason::Damaged => {
            format!(" as record {sequence}, which is damaged on disk: it is not stored twice")
        }
        ConflictReason::Unchecked => format!(
            " as record {sequence}: comparing the contents takes more than this call may use; \
             emit fewer events with ids of large records in one call"
        ),
    }
}
