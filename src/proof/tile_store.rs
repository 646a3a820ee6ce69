//! Stores full tiles: in memory while the gateway runs, or in the data directory.

pub mod disk;
mod memory;
pub mod retired;

use std::io;

use super::tile::TilePosition;
use super::tree::{FullTile, Tree};
use super::{Checkpoint, SignedCheckpoint};

pub use disk::DiskTileStore;
pub use memory::{MemoryTileStore, TILES_BYTES};

/// Stores the full tiles of one tree, and its newest checkpoint.
pub trait TileStore: Send + Sync + 'static {
    /// A full tile; `None` if it is not kept any more.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read(&self, place: TilePosition) -> io::Result<Option<FullTile>>;

    /// Stores a full tile. On return, [`TileStore::read`] returns it; it need not be durable before
    /// the next [`TileStore::commit`].
    ///
    /// # Errors
    /// If it cannot be written.
    fn write(&self, place: TilePosition, tile: &FullTile) -> io::Result<()>;

    /// Stores a checkpoint with everything that its proofs need: all full tiles of its tree, and
    /// the tree's edges. On return, these are as durable as the log's records.
    ///
    /// # Errors
    /// If it cannot be written. Then the checkpoint must not be published.
    fn commit(&self, tree: &Tree, signed: &SignedCheckpoint) -> io::Result<()>;

    /// Whether its content survives the process. Then records are removed from the log only after a
    /// checkpoint covers them.
    fn is_durable(&self) -> bool;

    /// Stores the checkpoint of another gateway with another tree, so that it is known when the log
    /// is opened again.
    ///
    /// # Errors
    /// If it cannot be written.
    fn keep_conflict(&self, _checkpoint: &str) -> io::Result<()> {
        Ok(())
    }

    /// Notes that the records before `first` are being removed from the log. `covered` is the
    /// newest checkpoint, if there is one.
    ///
    /// # Errors
    /// If it cannot be noted; then the records must be kept.
    fn release(&self, first: u64, covered: Option<&Checkpoint>) -> io::Result<()>;
}
