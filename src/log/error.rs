//! Errors of appending to a log and of reading it.

use crate::record::Sequence;

/// Why a valid draft is not stored: its id is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("id {id:?} was accepted before{}", what(*.sequence, *.reason))]
pub struct Conflict {
    /// Position of the draft in the call.
    pub position: usize,
    /// The id.
    pub id: String,
    /// The record with that id; `None` if it is another draft of the call.
    pub sequence: Option<Sequence>,
    /// Why it is not a duplicate.
    pub reason: ConflictReason,
}

/// Why a draft whose id is taken is not a duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConflictReason {
    /// The record has another content.
    Content,
    /// The record is damaged, so its content cannot be compared. Its index shows that it has the
    /// id.
    Damaged,
    /// Comparing the content would exceed the budget of the call.
    Unchecked,
}

/// Why a log refuses an append or a read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The id is taken by an event with another content.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The log cannot keep that many records of one call.
    #[error("{records} events are more than this log takes at once, limit {limit}")]
    TooManyRecords {
        /// The number of records in the call.
        records: usize,
        /// The largest number.
        limit: usize,
    },
    /// The log cannot keep that many bytes of one call.
    #[error("{bytes} bytes, index included, are more than this log takes at once, limit {limit}")]
    TooManyBytes {
        /// The size of the records.
        bytes: usize,
        /// The largest size.
        limit: usize,
    },
    /// There is no space on disk.
    #[error("no space for more events: {why}; retry when there is")]
    Full {
        /// The error of the system.
        why: String,
    },
    /// The log is not reachable, or not up to date.
    #[error("the log accepts no events at the moment: {why}; retry later")]
    Away {
        /// The reason.
        why: String,
    },
    /// The storage has failed.
    #[error("the log is read-only since its storage failed: {why}")]
    Failed {
        /// What failed.
        why: String,
    },
    /// Whether the records were stored is not known: the storage failed while they were
    /// written.
    #[error(
        "it is not known whether the events were stored: {why}; emit them again with the same ids"
    )]
    OutcomeUnknown {
        /// The reason.
        why: String,
    },
    /// The log was closed.
    #[error("the log is closed and accepts no events")]
    Closed,
    /// This process does not have a record that the log may have: another gateway has
    /// appended it.
    #[error(
        "record {sequence} has not reached this gateway: {why}; retry, or ask another gateway of the log"
    )]
    Behind {
        /// The record.
        sequence: Sequence,
        /// The reason.
        why: String,
    },
    /// A record cannot be read, since its storage is damaged.
    #[error("record {sequence} is damaged on disk")]
    Damaged {
        /// The record.
        sequence: Sequence,
    },
    /// The storage cannot be read.
    #[error("records from {from} on cannot be read from disk: {why}")]
    Unreadable {
        /// The position of the reader.
        from: Sequence,
        /// The error of the system.
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
