//! Proofs that the log only grows and that a record is in it, for people who do not trust
//! the operator of the gateway.
//!
//! The records, in order, are the entries of a Merkle tree (RFC 6962). The entry of a record is the
//! SHA-256 of its stored bytes; the leaf hash is the SHA-256 of a zero byte and the entry. A signed
//! [`checkpoint`] commits to all records up to one sequence. `docs/PROOF.md` says what that proves,
//! and against whom.
//!
//! The formats are those of C2SP: signed-note, tlog-checkpoint, tlog-tiles, tlog-cosignature and
//! tlog-proof (<https://c2sp.org>), so that other tools can read what this module writes.

pub mod checkpoint;
#[cfg(feature = "server")]
pub mod directory_check;
pub mod key;
pub mod minimum;
pub mod proof_file;
#[cfg(feature = "server")]
pub mod prover;
#[cfg(feature = "server")]
pub mod tile;
#[cfg(feature = "server")]
pub mod tile_store;
#[cfg(feature = "server")]
pub mod tree;
#[cfg(feature = "server")]
mod tree_key;

use sha2::{Digest as _, Sha256};

pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use key::{SigningKey, VerifierKey};
pub use tlog_tiles::Hash;
#[cfg(feature = "server")]
pub use tree_key::{TreeKey, sign_epoch};

/// Length of a hash, in bytes.
pub const HASH_BYTES: usize = tlog_tiles::HASH_SIZE;

/// The entry of a record in the tree: the SHA-256 of its bytes, as they are
/// stored, without the frame's key and length.
pub fn entry(record: &[u8]) -> [u8; HASH_BYTES] {
    Sha256::digest(record).into()
}

/// The leaf hash of an entry.
pub fn leaf(entry: &[u8; HASH_BYTES]) -> Hash {
    tlog_tiles::record_hash(entry)
}

/// Why a proof is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProof {
    /// The leaf lies past the tree.
    #[error("leaf {index} lies past the tree, which has {size} leaves")]
    LeafPastTree {
        /// Index of the leaf, from 0.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The hashes do not lead from the record to the root.
    #[error(
        "the hashes do not lead from the record, as leaf {index}, to the root of {size} leaves"
    )]
    NotIncluded {
        /// Index of the leaf, from 0.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The later tree is smaller.
    #[error(
        "the later checkpoint has {new} records, the earlier one {old}: the log was rolled back"
    )]
    Smaller {
        /// Size of the earlier tree.
        old: u64,
        /// Size of the later tree.
        new: u64,
    },
    /// The later tree does not begin with the earlier one.
    #[error(
        "the {new} records of the later checkpoint do not begin with the {old} of the earlier one: the log was rewritten"
    )]
    Rewritten {
        /// Size of the earlier tree.
        old: u64,
        /// Size of the later tree.
        new: u64,
    },
}

/// Checks that the tree of a checkpoint has a record as leaf `index`.
///
/// # Errors
/// If the hashes do not prove it.
pub fn check_inclusion(
    record: &[u8],
    index: u64,
    hashes: &[Hash],
    checkpoint: &Checkpoint,
) -> Result<(), InvalidProof> {
    let size = checkpoint.size;
    if index >= size {
        return Err(InvalidProof::LeafPastTree { index, size });
    }
    let leaf = leaf(&entry(record));
    tlog_tiles::check_record(&hashes.to_vec(), size, checkpoint.root, index, leaf)
        .map_err(|_| InvalidProof::NotIncluded { index, size })
}

/// Checks that the records of `old` are the first of those of `new`.
///
/// # Errors
/// If the hashes do not prove it.
pub fn check_consistency(
    old: &Checkpoint,
    new: &Checkpoint,
    hashes: &[Hash],
) -> Result<(), InvalidProof> {
    let sizes = (old.size, new.size);
    let rewritten = || InvalidProof::Rewritten { old: sizes.0, new: sizes.1 };
    if new.size < old.size {
        return Err(InvalidProof::Smaller { old: old.size, new: new.size });
    }
    if old.size == 0 {
        // Every tree begins with the empty one, whose root is known.
        let is_right = old.root == tlog_tiles::EMPTY_HASH && hashes.is_empty();
        return if is_right { Ok(()) } else { Err(rewritten()) };
    }
    tlog_tiles::check_tree(&hashes.to_vec(), new.size, new.root, old.size, old.root)
        .map_err(|_| rewritten())
}
