//! Tiles: runs of 256 hashes, the unit in which a tree is stored (C2SP tlog-tiles).

use super::HASH_BYTES;

/// The folder of tiles.
pub const FOLDER: &str = "tile";
/// Height of a tile, in levels of the tree.
pub const HEIGHT: u8 = 8;
/// Hashes of a full tile.
pub const WIDTH: usize = 1 << HEIGHT;
/// Size of a full tile, in bytes.
pub const BYTES: usize = WIDTH * HASH_BYTES;
/// The most levels of tiles: the tree's size has 64 bits.
pub const LEVELS_MAX: u8 = 8;

/// The level and index of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TilePosition {
    /// Level, from 0: that of the leaves.
    pub level: u8,
    /// Index within the level, from 0.
    pub index: u64,
}

impl TilePosition {
    /// Path of the tile with `width` hashes, such as `tile/0/x001/234.p/17`.
    pub fn path(self, width: usize) -> String {
        let Self { level, index } = self;
        let width = u32::try_from(width.clamp(1, WIDTH)).expect("a tile is 256 hashes wide");
        // The crate's path names the height, which tlog-tiles has fixed.
        let path = tlog_tiles::Tile::new(HEIGHT, level, index, width, false).path();
        path.replacen("tile/8/", "tile/", 1)
    }
}

/// The number of hashes of a tree of this size at a level: one for each full tile of the level
/// below.
pub fn hashes(size: u64, level: u8) -> u64 {
    size.checked_shr(u32::from(HEIGHT) * u32::from(level)).unwrap_or_default()
}

/// The tile at the right edge of the level in a tree of this size, and its number of hashes; 0 if
/// all tiles are full.
pub fn edge(size: u64, level: u8) -> (TilePosition, usize) {
    let hashes = hashes(size, level);
    let width = hashes % WIDTH as u64;
    (TilePosition { level, index: hashes / WIDTH as u64 }, width as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_lie_where_the_specification_says() {
        let path = |level, index, width| TilePosition { level, index }.path(width);
        assert_eq!(path(0, 0, WIDTH), "tile/0/000");
        assert_eq!(path(2, 1_234_067, WIDTH), "tile/2/x001/x234/067");
        assert_eq!(path(1, 1, 17), "tile/1/001.p/17");
    }

    #[test]
    fn the_right_edge_is_that_of_the_specification() {
        // Its example: a tree of size 70,000.
        let edges = |size| (0..3).map(|level| edge(size, level)).collect::<Vec<_>>();
        let place = |level, index| TilePosition { level, index };
        assert_eq!(edges(70_000), [(place(0, 273), 112), (place(1, 1), 17), (place(2, 0), 1)]);
        assert_eq!(edges(256), [(place(0, 1), 0), (place(1, 0), 1), (place(2, 0), 0)]);
    }
}
