//! Stores full tiles: in memory while the gateway runs, or in the data directory.

pub mod disk;
mod memory;

use std::io;

use super::tile::TilePosition;
use super::tree::{FullTile, Tree};
use super::{Checkpoint, SignedCheckpoint};

pub use disk::DiskTileStore;
pub use memory::{MemoryTileStore, TILES_BYTES};

/// Stores the full tiles of one tree, and its newest checkpoint.
pub trait TileStore: Send + Sync + 'static {
    /// A full tile; none, if it is not kept any more.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read(&self, place: TilePosition) -> io::Result<Option<FullTile>>;

    /// Keeps a full tile. On return [`TileStore::read`] gives it; it need not be
    /// durable before the next [`TileStore::commit`].
    ///
    /// # Errors
    /// If it cannot be written.
    fn write(&self, place: TilePosition, tile: &FullTile) -> io::Result<()>;

    /// Keeps a checkpoint, and what its proofs need: all full tiles of the tree
    /// that it is of, and the tree's edges. On return all of it is as durable as
    /// the log's records are.
    ///
    /// # Errors
    /// If it cannot be written. Then the checkpoint must not be given out.
    fn commit(&self, tree: &Tree, signed: &SignedCheckpoint) -> io::Result<()>;

    /// Whether what it keeps outlives the process: then records leave the log only
    /// after a checkpoint covers them.
    fn is_durable(&self) -> bool;

    /// Keeps the checkpoint of another gateway, whose tree is not this one, so that it is
    /// known when the log is opened again.
    ///
    /// # Errors
    /// If it cannot be written.
    fn keep_conflict(&self, _checkpoint: &str) -> io::Result<()> {
        Ok(())
    }

    /// The records before `first` have left the log, or are about to. `covered`
    /// is the newest checkpoint, if there is one.
    ///
    /// # Errors
    /// If it cannot be noted: then they must stay.
    fn release(&self, first: u64, covered: Option<&Checkpoint>) -> io::Result<()>;
}
