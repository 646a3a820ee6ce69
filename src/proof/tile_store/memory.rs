//! Stores tiles in memory.

use std::collections::VecDeque;
use std::io;

use parking_lot::RwLock;

use super::TileStore;
use crate::proof::tile::{self, TilePosition, WIDTH};
use crate::proof::tree::{FullTile, Tree};
use crate::proof::{Checkpoint, SignedCheckpoint};

/// Bytes of tiles that are kept beyond those of kept records, so that checkpoints stay provable
/// when their records have left the ring. A record takes 32 bytes in its leaf tile and an eighth of
/// a byte in higher levels.
pub const TILES_BYTES: usize = 64 * 1024 * 1024;

/// Full tiles, bounded: beyond [`TILES_BYTES`], the oldest tiles whose records have left the log
/// are dropped. No proof about a kept record needs them.
#[derive(Default)]
pub struct MemoryTileStore {
    levels: RwLock<TileLevels>,
}

#[derive(Default)]
struct TileLevels {
    /// Tiles by level: the index of the first one that is kept, and the tiles.
    levels: Vec<(u64, VecDeque<FullTile>)>,
    tiles: usize,
}

impl TileLevels {
    /// Drops the oldest leaf tiles as far as allowed and needed, and the higher tiles that only
    /// they need.
    fn prune(&mut self, first: u64, bytes_max: usize) {
        let released = first.saturating_sub(1);
        while self.tiles * tile::BYTES > bytes_max {
            let Some((index, tiles)) = self.levels.first_mut() else { return };
            let end = (*index + 1) * WIDTH as u64;
            if end > released || tiles.pop_front().is_none() {
                return;
            }
            *index += 1;
            self.tiles -= 1;
            for (level, (index, tiles)) in (1_u8..).zip(self.levels.iter_mut().skip(1)) {
                while *index < tile::hashes(end, level + 1) && tiles.pop_front().is_some() {
                    *index += 1;
                    self.tiles -= 1;
                }
            }
        }
    }
}

impl MemoryTileStore {
    /// Memory of the tiles, in bytes.
    pub fn byte_size(&self) -> usize {
        self.levels.read().tiles * tile::BYTES
    }
}

impl TileStore for MemoryTileStore {
    fn read(&self, place: TilePosition) -> io::Result<Option<FullTile>> {
        let kept = self.levels.read();
        let tile = kept.levels.get(usize::from(place.level)).and_then(|(first, tiles)| {
            let position = usize::try_from(place.index.checked_sub(*first)?).ok()?;
            tiles.get(position).cloned()
        });
        Ok(tile)
    }

    fn write(&self, place: TilePosition, tile: &FullTile) -> io::Result<()> {
        let mut kept = self.levels.write();
        let level = usize::from(place.level);
        while kept.levels.len() <= level {
            kept.levels.push((0, VecDeque::new()));
        }
        if let Some((_, tiles)) = kept.levels.get_mut(level) {
            tiles.push_back(tile.clone());
        }
        kept.tiles += 1;
        Ok(())
    }

    fn commit(&self, _tree: &Tree, _signed: &SignedCheckpoint) -> io::Result<()> {
        Ok(())
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn release(&self, first: u64, _covered: Option<&Checkpoint>) -> io::Result<()> {
        let mut kept = self.levels.write();
        kept.prune(first, TILES_BYTES);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::tree::{Error, TreeProver};
    use crate::proof::{Hash, check_consistency};

    #[test]
    fn what_is_kept_is_bounded_and_stays_provable() {
        const SIZE: u64 = 3 * 65_536 + 1_000;
        let kept = MemoryTileStore::default();
        let mut tree = Tree::default();
        let mut heads = Vec::new();
        for number in 0..SIZE {
            if number % 1_000 == 0 {
                heads.push(tree.head());
            }
            let leaf = crate::proof::leaf(&crate::proof::entry(&number.to_be_bytes()));
            tree.push(leaf, |place, tile| kept.write(place, &tile).unwrap());
        }
        let all = kept.byte_size();
        let first = 2 * 65_536 + 500;
        // No need to drop anything, so nothing is.
        kept.release(first, Some(&tree.head())).unwrap();
        assert_eq!(kept.byte_size(), all);
        kept.levels.write().prune(first, 0);
        // One leaf tile is partly released; the edge is not among the tiles.
        let leaves = (SIZE / 256 - (first - 1) / 256) as usize;
        assert_eq!(kept.byte_size(), (leaves + 1) * tile::BYTES, "and one of level 1");

        let prover = TreeProver::new(&tree, |place| {
            let found = kept.read(place).map_err(|_| Error::Damaged { size: 0 })?;
            found.ok_or_else(|| Error::Missing { path: place.path(WIDTH) })
        });
        let head = tree.head();
        for index in (first - 1..SIZE).step_by(997) {
            let record = index.to_be_bytes();
            let leaf = crate::proof::leaf(&crate::proof::entry(&record));
            let path: Vec<Hash> = prover.inclusion(leaf, index, &head).unwrap();
            assert_eq!(crate::proof::check_inclusion(&record, index, &path, &head), Ok(()));
        }
        for old in &heads {
            match prover.consistency(old.size, &head) {
                Ok(steps) => assert_eq!(check_consistency(old, &head, &steps), Ok(())),
                Err(error) => assert!(old.size < first - 1, "{}: {error}", old.size),
            }
        }
        assert!(matches!(prover.consistency(100, &head), Err(Error::Missing { .. })));
    }
}
