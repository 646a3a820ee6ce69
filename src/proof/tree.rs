//! The Merkle tree: appends leaves, and makes proofs.
//!
//! Only the right edge of the tree is in memory: one tile of each level. A tile store has
//! the full tiles.

use std::cell::RefCell;
use std::sync::Arc;

use tlog_tiles::{Hash, HashReader, Tile};

use super::tile::{self, HEIGHT, TilePosition};
use super::{Checkpoint, HASH_BYTES};

/// The hashes of a full tile.
pub type FullTile = Arc<[u8]>;

/// The right edge of a tree, which is enough to append to it.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    size: u64,
    /// The hashes of the incomplete tile of each level.
    edges: Vec<Vec<u8>>,
}

/// Why a proof cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tile cannot be read.
    #[error("tile {path} cannot be read: {error}")]
    Read {
        /// Its path.
        path: String,
        /// The error.
        error: std::io::Error,
    },
    /// A tile does not exist.
    #[error("tile {path} is not kept")]
    Missing {
        /// Its path.
        path: String,
    },
    /// A tile has changed.
    #[error("a tile of the tree of {size} records is not what was hashed into its root")]
    Damaged {
        /// Size of the tree.
        size: u64,
    },
    /// The tree is smaller.
    #[error("there is no proof from {old} records to {size}")]
    Sizes {
        /// Size of the earlier tree, or index of the leaf.
        old: u64,
        /// Size of the tree.
        size: u64,
    },
}

impl Tree {
    /// Loads the tree of this size; `read` returns its edges by level.
    ///
    /// # Errors
    /// The errors of `read`, or that an edge has a wrong length.
    pub fn load(
        size: u64,
        mut read: impl FnMut(TilePosition, usize) -> Result<Vec<u8>, Error>,
    ) -> Result<Self, Error> {
        let mut edges = Vec::new();
        for level in 0..tile::LEVELS_MAX {
            let (place, width) = tile::edge(size, level);
            let edge = if width == 0 { Vec::new() } else { read(place, width)? };
            if edge.len() != width * HASH_BYTES {
                return Err(Error::Damaged { size });
            }
            edges.push(edge);
        }
        Ok(Self { size, edges })
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf. `full` is called with each tile that it completes, the lowest level first.
    pub fn push(&mut self, leaf: Hash, mut full: impl FnMut(TilePosition, FullTile)) {
        let index = self.size;
        self.size += 1;
        let mut hash = leaf;
        for level in 0..tile::LEVELS_MAX {
            let level_of = usize::from(level);
            if self.edges.len() <= level_of {
                self.edges.push(Vec::with_capacity(tile::BYTES));
            }
            let edge = self.edges.get_mut(level_of).expect("it was added if it was not there");
            edge.extend_from_slice(&hash.0);
            if edge.len() < tile::BYTES {
                return;
            }
            hash = Tile::subtree_hash(edge);
            let place = TilePosition { level, index: tile::hashes(index, level + 1) };
            full(place, Arc::from(edge.as_slice()));
            edge.clear();
        }
    }

    /// Its size and root.
    pub fn head(&self) -> Checkpoint {
        let root = tlog_tiles::tree_hash(self.size, self)
            .expect("the root needs no hashes but those of the edges");
        Checkpoint { size: self.size, root }
    }

    /// The tiles that are not full, with their hashes.
    pub fn edges(&self) -> impl Iterator<Item = (TilePosition, &[u8])> {
        (0..tile::LEVELS_MAX)
            .zip(&self.edges)
            .filter(|(_, edge)| !edge.is_empty())
            .map(|(level, edge)| (tile::edge(self.size, level).0, edge.as_slice()))
    }

    fn edge(&self, place: TilePosition) -> Option<&[u8]> {
        let at_edge = tile::edge(self.size, place.level).0 == place;
        self.edges.get(usize::from(place.level)).filter(|_| at_edge).map(Vec::as_slice)
    }
}

/// Reads the hashes of subtrees from the edges.
impl HashReader for Tree {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let read = |index: &u64| {
            let tile = Tile::from_index(HEIGHT, *index);
            let place = TilePosition { level: tile.level(), index: tile.level_index() };
            let edge = self.edge(place).ok_or(tlog_tiles::Error::IndexesNotInTree)?;
            tile.hash_at_index(edge, *index)
        };
        indexes.iter().map(read).collect()
    }
}

/// Makes proofs from a tree, at its size or any earlier one, and its full tiles.
///
/// A stored tile may be damaged, so each proof is checked before it is returned.
/// (`tlog_tiles::TileHashReader` would check the tiles, but where a tree's right edge has several
/// subtrees in one tile it leaves some out.)
pub struct TreeProver<'a, R> {
    tree: &'a Tree,
    read: R,
    failed: RefCell<Option<Error>>,
}

impl<'a, R: Fn(TilePosition) -> Result<FullTile, Error>> TreeProver<'a, R> {
    /// A prover for a tree; `read` returns its full tiles.
    pub fn new(tree: &'a Tree, read: R) -> Self {
        Self { tree, read, failed: RefCell::default() }
    }

    /// The path from a leaf, at `index`, to the root of `head`.
    ///
    /// # Errors
    /// If there is no such leaf, or tiles are missing or damaged.
    pub fn inclusion(&self, leaf: Hash, index: u64, head: &Checkpoint) -> Result<Vec<Hash>, Error> {
        let Checkpoint { size, root } = *head;
        if index >= size {
            return Err(Error::Sizes { old: index, size });
        }
        let path = tlog_tiles::prove_record(size, index, self).map_err(|_| self.failure(size))?;
        tlog_tiles::check_record(&path, size, root, index, leaf)
            .map_err(|_| Error::Damaged { size })?;
        Ok(path)
    }

    /// The proof that the tree of `head` begins with that of `old` leaves.
    ///
    /// # Errors
    /// If the tree is smaller, or tiles are missing or damaged.
    pub fn consistency(&self, old: u64, head: &Checkpoint) -> Result<Vec<Hash>, Error> {
        let Checkpoint { size, root } = *head;
        if old > size {
            return Err(Error::Sizes { old, size });
        }
        if old == 0 {
            return Ok(Vec::new());
        }
        let steps = tlog_tiles::prove_tree(size, old, self).map_err(|_| self.failure(size))?;
        let old_root = self.head(old)?.root;
        tlog_tiles::check_tree(&steps, size, root, old, old_root)
            .map_err(|_| Error::Damaged { size })?;
        Ok(steps)
    }

    /// Size and root of the tree when it had `size` leaves.
    ///
    /// # Errors
    /// If tiles are missing.
    pub fn head(&self, size: u64) -> Result<Checkpoint, Error> {
        let root = tlog_tiles::tree_hash(size, self).map_err(|_| self.failure(size))?;
        Ok(Checkpoint { size, root })
    }

    fn failure(&self, size: u64) -> Error {
        self.failed.take().unwrap_or(Error::Damaged { size })
    }

    fn hash(&self, index: u64) -> Result<Hash, Error> {
        let size = self.tree.size;
        let tile = Tile::from_index(HEIGHT, index);
        let place = TilePosition { level: tile.level(), index: tile.level_index() };
        let hash = match self.tree.edge(place) {
            Some(edge) => tile.hash_at_index(edge, index),
            None => tile.hash_at_index(&(self.read)(place)?, index),
        };
        hash.map_err(|_| Error::Damaged { size })
    }
}

impl<R: Fn(TilePosition) -> Result<FullTile, Error>> HashReader for TreeProver<'_, R> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let read: Result<_, _> = indexes.iter().map(|index| self.hash(*index)).collect();
        read.map_err(|error| {
            self.failed.replace(Some(error));
            tlog_tiles::Error::InconsistentTile
        })
    }
}

#[cfg(test)]
mod tests;
