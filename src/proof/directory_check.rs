//! Verifies a data directory: every frame, hash, tile, sidecar and checkpoint, with only the log's
//! public key.
//!
//! It reads the files by their documented format, not through the log. So people who do
//! not trust the gateway can run it, also on a copy.

mod segments;
mod sidecars;
mod tiles;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::tile_store::disk;
use super::tree::Tree;
use super::{Checkpoint, Hash, SignedCheckpoint, VerifierKey};
use crate::event;
use crate::log::disk::directory_lock::{self, LOCK};
use crate::log::disk::identity::{IDENTITY, IdentityFile};
use crate::log::disk::known_seed;

/// The most findings that are listed; more are counted.
pub const FINDINGS_MAX: usize = 100;

/// The result of a check.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// Sequence of the oldest record that must exist.
    pub first: u64,
    /// Sequence of the newest record.
    pub last: u64,
    /// The number of valid records.
    pub records: u64,
    /// The number of tiles that match the records.
    pub tiles: u64,
    /// The number of sidecars that match the records.
    pub sidecars: u64,
    /// The newest checkpoint of the directory.
    pub checkpoint: Option<SignedCheckpoint>,
    /// The first findings, in the order in which they were found.
    pub findings: Vec<Finding>,
    /// The number of findings.
    pub found: u64,
    /// Bytes at the end of the log that were begun and never acknowledged.
    pub torn: Option<usize>,
}

/// One error that the check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The first record that it concerns, if that is known.
    pub sequence: Option<u64>,
    /// A sentence about it.
    pub what: String,
}

/// Why the check cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// A gateway uses the directory.
    #[error(
        "a gateway runs on {}, and its files change: stop it, check a snapshot, or ask it by --since alone", folder.display()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The directory has no log.
    #[error("{} holds no log of auditgate: the file {} is not there", folder.display(), IDENTITY)]
    NoLog {
        /// The folder.
        folder: PathBuf,
    },
}

impl CheckReport {
    /// Whether there are no findings.
    pub fn is_good(&self) -> bool {
        self.found == 0
    }

    /// The first record with a finding, if known.
    pub fn first_bad(&self) -> Option<u64> {
        self.findings.iter().filter_map(|finding| finding.sequence).min()
    }

    fn find(&mut self, sequence: Option<u64>, what: impl Into<String>) {
        self.found += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { sequence, what: what.into() });
        }
    }
}

/// The tree of the records, and the checkpoints to compare it with.
struct DirectoryCheck<'a> {
    folder: &'a Path,
    report: CheckReport,
    tree: Tree,
    /// Signed checkpoints by size: the one of the directory, and those kept elsewhere.
    heads: Vec<(Checkpoint, String)>,
    /// Records whose hash differs from their tile.
    differing: Vec<u64>,
    /// Whether a hash is missing, so that later ones cannot be compared.
    is_blind: bool,
}

/// Verifies the data directory `folder` of the log whose key this is. Each of `kept` is a
/// checkpoint that was kept elsewhere, with its name in the report.
///
/// # Errors
/// If it cannot be read. Findings are in the report.
pub fn check_directory(
    folder: &Path,
    key: &VerifierKey,
    kept: &[(SignedCheckpoint, String)],
) -> Result<CheckReport, Error> {
    let _lock = lock(folder)?;
    // Sidecars are compared with new ones, which need the same key seed.
    event::key_seed(known_seed(folder));
    let mut audit = DirectoryCheck {
        folder,
        report: CheckReport::default(),
        tree: Tree::default(),
        heads: Vec::new(),
        differing: Vec::new(),
        is_blind: false,
    };
    for (signed, name) in kept {
        audit.heads.push((*signed.checkpoint(), name.clone()));
    }
    let identity = audit.identity()?;
    audit.signed(key, identity.as_ref())?;
    audit.begin()?;
    audit.records(identity.as_ref())?;
    audit.end()?;
    audit.tiles()?;
    Ok(audit.report)
}

/// Locks the directory, so that no gateway starts on it meanwhile. A copy may lack the lock file.
fn lock(folder: &Path) -> Result<Option<File>, Error> {
    directory_lock::share(folder).map_err(|error| match error {
        TryLockError::WouldBlock => Error::InUse { folder: folder.to_owned() },
        TryLockError::Error(error) => Error::Read { path: folder.join(LOCK), error },
    })
}

impl DirectoryCheck<'_> {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.folder.join(name);
        disk::read_file(&path).map_err(|error| Error::Read { path, error })
    }

    fn identity(&mut self) -> Result<Option<IdentityFile>, Error> {
        let Some(bytes) = self.read(IDENTITY)? else {
            return Err(Error::NoLog { folder: self.folder.to_owned() });
        };
        match IdentityFile::decode(&bytes) {
            Ok(identity) => {
                self.report.first = identity.first.0;
                Ok(Some(identity))
            }
            Err(fault) => {
                self.report.first = 1;
                self.report.find(None, format!("the file {IDENTITY} {fault}"));
                Ok(None)
            }
        }
    }

    /// Reads the checkpoint and the minimum index.
    fn signed(&mut self, key: &VerifierKey, identity: Option<&IdentityFile>) -> Result<(), Error> {
        match disk::read_checkpoint(self.folder, key) {
            Ok(Some(signed)) => {
                let name = format!("the file {}", disk::CHECKPOINT);
                self.heads.push((*signed.checkpoint(), name));
                self.report.checkpoint = Some(signed);
            }
            Ok(None) => self
                .report
                .find(None, "there is no checkpoint: nothing was signed, or it was removed"),
            Err(disk::Error::Read { path, error }) => return Err(Error::Read { path, error }),
            Err(error) => self.report.find(None, error.to_string()),
        }
        let minimum = match disk::read_minimum(self.folder, key) {
            Ok(minimum) => minimum.map_or(0, |minimum| minimum.index),
            Err(disk::Error::Read { path, error }) => return Err(Error::Read { path, error }),
            Err(error) => {
                self.report.find(None, error.to_string());
                0
            }
        };
        let first = identity.map_or(minimum + 1, |identity| identity.first.0);
        self.report.first = first;
        if first > minimum + 1 {
            let last = first - 1;
            self.report.find(
                Some(minimum + 1),
                format!(
                    "records {} to {last} are gone, and the log did not sign that they may be",
                    minimum + 1
                ),
            );
        }
        self.heads.sort_by_key(|(head, _)| head.size);
        Ok(())
    }

    /// Takes the hashes of removed records from their tiles. The root shows whether they are right.
    fn begin(&mut self) -> Result<(), Error> {
        self.check_heads();
        while self.tree.size() + 1 < self.report.first {
            let index = self.tree.size();
            let Some(leaf) = self.leaf_of_tile(index)? else {
                self.report.find(
                    Some(index + 1),
                    format!("record {} was removed, and no tile has its hash any more", index + 1),
                );
                self.end_comparing();
                return Ok(());
            };
            self.push(leaf)?;
        }
        Ok(())
    }

    /// Notes that a hash is missing from here on.
    fn end_comparing(&mut self) {
        self.is_blind = true;
        self.heads.clear();
    }

    /// Appends a leaf, and compares the tiles that it completes.
    fn push(&mut self, leaf: Hash) -> Result<(), Error> {
        if self.is_blind {
            return Ok(());
        }
        let mut full = Vec::new();
        self.tree.push(leaf, |place, tile| full.push((place, tile)));
        for (place, tile) in full {
            self.compare_full(place, &tile)?;
        }
        self.check_heads();
        Ok(())
    }

    /// Compares the tree with the checkpoints of its size.
    fn check_heads(&mut self) {
        let size = self.tree.size();
        while self.heads.first().is_some_and(|(head, _)| head.size == size) {
            let (head, name) = self.heads.remove(0);
            if self.tree.head() != head {
                let sequence = self.differing.first().copied();
                let records = if size == 0 {
                    "no records".to_owned()
                } else {
                    format!("records 1 to {size}")
                };
                self.report.find(sequence, format!("{records} are not those of {name}"));
            } else {
                // If record and tile differ, the tile is wrong, because the root matches the
                // record.
                for sequence in self.differing.drain(..) {
                    self.report.find(
                        None,
                        format!("the tile of record {sequence} has another hash than the record, which is the one that was signed"),
                    );
                }
            }
        }
    }

    /// Reports checkpoints of more records than the log has.
    fn end(&mut self) -> Result<(), Error> {
        let last = self.report.last;
        for (head, name) in std::mem::take(&mut self.heads) {
            self.report.find(
                Some(last + 1),
                format!("the log ends with record {last}, but {name} says that there were {}: the end was cut off, or the log was replaced by an older copy", head.size),
            );
        }
        for sequence in std::mem::take(&mut self.differing) {
            self.report.find(
                Some(sequence),
                format!("record {sequence} does not have the hash that its tile says"),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
