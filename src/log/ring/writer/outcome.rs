//! Outcomes of an attempt to write drafts to the ring.

use std::sync::Arc;

use crate::log::index::SegmentIndex;
use crate::log::segment::{COLUMNS_BYTES, Segment};
use crate::log::{Appended, Conflict, ConflictReason, Receipt, RetentionHold};
use crate::record::{Draft, Sequence};

/// The most that the record of a draft takes in memory, in bytes.
pub fn size_max(draft: &Draft) -> usize {
    draft.frame_len_max() + COLUMNS_BYTES + SegmentIndex::RECORD_BYTES_MAX
}

/// Outcome of one pass under the mutex.
pub enum AppendAttempt {
    /// All drafts that do not conflict have their place.
    Done {
        /// Their receipts, or why they have none.
        appended: Vec<Appended>,
        /// Segments that became full and want an index.
        sealed: Vec<Arc<Segment>>,
    },
    /// Nothing was stored: these must be compared by meaning first.
    Compare(Vec<ConflictCandidate>),
    /// Nothing was stored: this draft cannot be, and so none of them.
    Refused(Conflict),
    /// Nothing was stored: the records before this one must go first, and who holds them
    /// has not done with them.
    Wait(Arc<dyn RetentionHold>, Sequence),
}

/// Outcome of one pass under the mutex of a log that publishes by itself.
pub enum StageOutcome {
    /// All drafts that do not conflict have their place.
    Done(Vec<Appended>),
    /// Nothing was staged: these must be compared by meaning first.
    Compare(Vec<ConflictCandidate>),
    /// Nothing was staged: this draft cannot be, and so none of them.
    Refused(Conflict),
    /// Nothing was staged: the head has no room for so much.
    Full(SpaceNeed),
}

/// What the new records of a call take at most.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct SpaceNeed {
    /// How many there are.
    pub records: usize,
    /// Their frames, in bytes.
    pub frame_bytes: usize,
    /// What they take in memory, with columns and index, in bytes.
    pub bytes: usize,
}

/// A draft and a record that may have its key, with other bytes.
#[derive(Debug, Clone, Copy)]
pub struct ConflictCandidate {
    /// Position of the draft.
    pub position: usize,
    /// The record.
    pub sequence: Sequence,
}

/// What becomes of a draft.
#[derive(Clone, Copy)]
pub(super) enum DraftOutcome {
    /// It cannot be stored because of a record, or of an earlier draft.
    Refused(Option<Sequence>, ConflictReason),
    /// It is stored already.
    Kept(Receipt),
    /// It repeats an earlier draft of the same call.
    AsDraft(usize),
    /// It is stored now.
    New,
}

impl SpaceNeed {
    pub(super) fn of(drafts: &[Draft], outcomes: &[DraftOutcome]) -> Self {
        let new =
            drafts.iter().zip(outcomes).filter(|(_, outcome)| matches!(outcome, DraftOutcome::New));
        new.fold(Self::default(), |need, (draft, _)| Self {
            records: need.records + 1,
            frame_bytes: need.frame_bytes + draft.frame_len_max(),
            bytes: need.bytes + size_max(draft),
        })
    }
}
