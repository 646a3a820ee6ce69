//! Errors of checkpoints and proofs.

use super::CHECKPOINT_TIME_MAX;
use crate::proof::tree;

/// Why no checkpoint can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointFailure {
    /// The log is shorter than a signed checkpoint.
    #[error(
        "the log has {kept} records, but a checkpoint of {signed} was signed: it was rolled back, and nothing is signed any more"
    )]
    RolledBack {
        /// Size of the checkpoint.
        signed: u64,
        /// The number of records of the log.
        kept: u64,
    },
    /// The log does not match a signed checkpoint.
    #[error(
        "the first {signed} records of the log are not those of the checkpoint that was signed: they were changed, and nothing is signed any more"
    )]
    Rewritten {
        /// Size of the checkpoint.
        signed: u64,
    },
    /// Records are missing that the log did not release.
    #[error(
        "the oldest record is {first}, but only those before {} were released: others removed them, or it was done while no tree was kept; nothing is signed any more", minimum + 1
    )]
    Incomplete {
        /// The oldest record.
        first: u64,
        /// The signed minimum index.
        minimum: u64,
    },
    /// Another gateway of the log signed another tree.
    #[error(
        "another gateway signed another tree of {size} records with the key of this log: the copies of the log differ, and nothing is signed here any more; its checkpoint is in the file checkpoint-conflict"
    )]
    OtherTree {
        /// Size of the tree.
        size: u64,
    },
    /// Another gateway signed another tree before this gateway was started.
    #[error(
        "another gateway had signed another tree before this one was started: nothing is signed here; compare both data directories with auditgate verify, seed the wrong one from the other, and remove the file checkpoint-conflict of the right one"
    )]
    OtherTreeBefore,
    /// Another gateway of the log has other records.
    #[error("nothing is signed here any more, since the copies of the log differ: {0}")]
    Disagreement(String),
    /// A gateway signs with another key.
    #[error(
        "another gateway of this log published a checkpoint that the key of this one does not verify: {0}; all gateways must have the same key"
    )]
    OtherKey(String),
    /// The copy begins in the middle of the log.
    #[error(
        "this gateway joined the log at record {first} and has no tree of the records before it: it proves nothing until its data directory is seeded from another gateway's"
    )]
    Joined {
        /// Its first record.
        first: u64,
    },
    /// A record cannot be hashed.
    #[error(
        "record {sequence} cannot be read, so the tree ends before it, and nothing after it is signed"
    )]
    Unreadable {
        /// Its sequence.
        sequence: u64,
    },
    /// The log cannot be read, or a checkpoint cannot be stored, at the moment.
    #[error("no checkpoint can be made at the moment: {0}")]
    Passing(String),
}

impl CheckpointFailure {
    /// Whether it lasts until an operator repairs the log.
    pub fn is_lasting(&self) -> bool {
        !matches!(self, CheckpointFailure::Passing(_) | CheckpointFailure::OtherKey(_))
    }

    /// Whether earlier signed checkpoints are unreliable.
    pub fn is_denial(&self) -> bool {
        match self {
            CheckpointFailure::RolledBack { .. }
            | CheckpointFailure::Rewritten { .. }
            | CheckpointFailure::Incomplete { .. }
            | CheckpointFailure::OtherTree { .. }
            | CheckpointFailure::OtherTreeBefore
            | CheckpointFailure::Disagreement(_) => true,
            CheckpointFailure::Unreadable { .. }
            | CheckpointFailure::OtherKey(_)
            | CheckpointFailure::Joined { .. }
            | CheckpointFailure::Passing(_) => false,
        }
    }
}

/// Why no proof can be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No checkpoint can be made.
    #[error("{0}")]
    NoCheckpoint(CheckpointFailure),
    /// No checkpoint that covers enough was made in time.
    #[error(
        "no checkpoint of {size} records was made within {} s", CHECKPOINT_TIME_MAX.as_secs()
    )]
    Late {
        /// The number of records that it should cover.
        size: u64,
    },
    /// The caller's checkpoint is larger than the log.
    #[error(
        "old_size is {old}, but the newest checkpoint covers {size} records: the log was rolled back, or the checkpoint is of another log"
    )]
    OldSize {
        /// Size of the caller's checkpoint.
        old: u64,
        /// Size of the newest one.
        size: u64,
    },
    /// The tree that the caller names does not have the record, or does not exist.
    #[error(
        "size is {size}, which must be from {sequence}, the record's sequence, to {newest}, the newest record's"
    )]
    Size {
        /// The requested size.
        size: u64,
        /// The record's sequence.
        sequence: u64,
        /// The newest record's.
        newest: u64,
    },
    /// The hashes are not kept any more.
    #[error(
        "the hashes of this proof are not kept any more: {path}; records and checkpoints from {minimum} on can be proven"
    )]
    Pruned {
        /// The missing tile.
        path: String,
        /// The oldest record.
        minimum: u64,
    },
    /// The tree cannot be read.
    #[error("{0}")]
    Tree(tree::Error),
}
