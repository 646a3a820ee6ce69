//! Stores tiles and checkpoints in a directory with the layout of C2SP tlog-tiles, so that a static
//! file server can serve it to other tools.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::TileStore;
use crate::proof::minimum::{self, Minimum};
use crate::proof::prover::OpenedTree;
use crate::proof::tile::{self, TilePosition, WIDTH};
use crate::proof::tree::{self, FullTile, Tree};
use crate::proof::{Checkpoint, HASH_BYTES, SignedCheckpoint, TreeKey, VerifierKey, checkpoint};

/// The newest checkpoint: a log that has fewer records was rolled back.
pub use crate::log::disk::CHECKPOINT;
/// The signed minimum index; it does not exist before the first record was removed.
pub const MINIMUM: &str = "minimum";
/// The checkpoint of another gateway, whose tree was not this one.
pub const CONFLICT: &str = "checkpoint-conflict";
/// The extension of a file while it is written.
pub const TEMPORARY_EXTENSION: &str = "new";
/// The most files that are synced individually; for more, the whole file system is synced.
#[cfg(target_os = "linux")]
const SYNCED_EACH_MAX: usize = 16;

/// Why the tree of a directory cannot be continued.
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
    /// The checkpoint is not signed by this key.
    #[error(
        "{}: {error}; a log keeps the key with which it began", path.display()
    )]
    Checkpoint {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        error: checkpoint::Error,
    },
    /// The minimum index is not signed by this key.
    #[error("{}: {error}", path.display())]
    Minimum {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        error: minimum::Error,
    },
}

/// Full tiles, the tiles at the edge of each checkpoint, and the newest
/// checkpoint, in a directory.
///
/// A tile is durable before the checkpoint that covers it. Tiles that were written after the newest
/// checkpoint are rebuilt when the log is opened.
pub struct DiskTileStore {
    folder: PathBuf,
    key: TreeKey,
    unsynced: Mutex<UnsyncedTiles>,
}

/// Files that were written since the last checkpoint.
#[derive(Default)]
struct UnsyncedTiles {
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl DiskTileStore {
    /// Opens the tree in `folder`, the data directory of a log whose checkpoints this key signs.
    ///
    /// # Errors
    /// If the checkpoint cannot be read, or the key did not sign it.
    pub fn open(folder: &Path, key: impl Into<TreeKey>) -> Result<(Self, OpenedTree), Error> {
        let key = key.into();
        let public = key.verifier();
        let signed = read_checkpoint(folder, &public)?;
        let minimum = read_minimum(folder, &public)?.map_or(0, |minimum| minimum.index);
        let tree = signed.as_ref().and_then(|signed| load(folder, signed.checkpoint()));
        let store = Self { folder: folder.to_owned(), key, unsynced: Mutex::default() };
        let conflict = folder.join(CONFLICT).exists();
        Ok((store, OpenedTree { signed, tree, minimum, conflict }))
    }

    /// Writes a file beside and renames it, without making it durable.
    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.folder.join(path);
        let folder = path.parent().unwrap_or(&self.folder);
        if !folder.is_dir() {
            self.make_folder(folder)?;
        }
        let beside = path.with_extension(TEMPORARY_EXTENSION);
        fs::write(&beside, bytes)?;
        fs::rename(&beside, &path)?;
        Ok(path)
    }

    /// Creates a folder, and notes the folders whose entries changed.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let above = folder.ancestors().take_while(|above| *above != self.folder);
        let mut unsynced = self.unsynced.lock();
        unsynced.folders.extend(above.map(Path::to_owned));
        unsynced.folders.insert(self.folder.clone());
        Ok(())
    }

    /// Replaces a file of the directory itself; on return it is durable.
    fn replace(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.folder.join(name);
        let beside = path.with_extension(TEMPORARY_EXTENSION);
        let mut file = File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(&self.folder)?.sync_all()
    }

    fn note(&self, path: PathBuf) {
        let mut unsynced = self.unsynced.lock();
        if let Some(folder) = path.parent() {
            unsynced.folders.insert(folder.to_owned());
        }
        unsynced.files.insert(path);
    }
}

impl TileStore for DiskTileStore {
    fn read(&self, place: TilePosition) -> io::Result<Option<FullTile>> {
        let bytes = read_tile(&self.folder, place, WIDTH)?;
        Ok(bytes.map(FullTile::from))
    }

    fn write(&self, place: TilePosition, tile: &FullTile) -> io::Result<()> {
        let path = self.put(&place.path(WIDTH), tile)?;
        // The partial versions of the tile are not needed any more.
        let mut partial = path.clone().into_os_string();
        partial.push(".p");
        match fs::remove_dir_all(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.note(path);
        Ok(())
    }

    fn commit(&self, tree: &Tree, signed: &SignedCheckpoint) -> io::Result<()> {
        for (place, edge) in tree.edges() {
            let path = self.put(&place.path(edge.len() / HASH_BYTES), edge)?;
            self.note(path);
        }
        let unsynced = {
            let mut unsynced = self.unsynced.lock();
            std::mem::take(&mut *unsynced)
        };
        let synced = unsynced.sync(&self.folder);
        if synced.is_err() {
            // Unsynced files must be synced before a later checkpoint.
            let mut again = self.unsynced.lock();
            again.files.extend(unsynced.files);
            again.folders.extend(unsynced.folders);
        }
        synced?;
        self.replace(CHECKPOINT, signed.text())
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn keep_conflict(&self, checkpoint: &str) -> io::Result<()> {
        self.replace(CONFLICT, checkpoint)
    }

    fn release(&self, first: u64, _covered: Option<&Checkpoint>) -> io::Result<()> {
        // A gateway without the signing key cannot sign what it removes.
        let Some(key) = self.key.signing() else { return Ok(()) };
        let index = first.saturating_sub(1);
        let note = Minimum { index }.sign(key).map_err(io::Error::other)?;
        self.replace(MINIMUM, &note)
    }
}

impl UnsyncedTiles {
    fn sync(&self, folder: &Path) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if self.files.len() > SYNCED_EACH_MAX {
            // Each file sync is a commit of the file system's journal, for which the log's own
            // syncs wait. One commit covers a thousand tiles, too.
            let folder = File::open(folder.join(tile::FOLDER))?;
            return Ok(rustix::fs::syncfs(&folder)?);
        }
        for path in self.files.iter().chain(&self.folders) {
            match File::open(path) {
                Ok(file) => file.sync_all()?,
                // The file was a partial tile, which has become a full one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Loads the tree of a checkpoint, if its edges exist and match its root.
fn load(folder: &Path, head: &Checkpoint) -> Option<Tree> {
    let tree = Tree::load(head.size, |place, width| {
        let path = || place.path(width);
        let tile = read_tile(folder, place, width);
        tile.map_err(|error| tree::Error::Read { path: path(), error })?
            .ok_or_else(|| tree::Error::Missing { path: path() })
    });
    tree.ok().filter(|tree| tree.head() == *head)
}

/// The first hashes of a tile: of the partial one of this width, or of the full one. A file that is
/// too short counts as missing.
pub fn read_tile(folder: &Path, place: TilePosition, width: usize) -> io::Result<Option<Vec<u8>>> {
    for width_of in [width, WIDTH] {
        if let Some(mut bytes) = read_file(&folder.join(place.path(width_of)))? {
            let is_whole = bytes.len() == width_of * HASH_BYTES;
            bytes.truncate(width * HASH_BYTES);
            return Ok(Some(bytes).filter(|_| is_whole));
        }
    }
    Ok(None)
}

/// The newest checkpoint of a data directory.
///
/// # Errors
/// If it cannot be read, or is not signed by the key.
pub fn read_checkpoint(
    folder: &Path,
    key: &VerifierKey,
) -> Result<Option<SignedCheckpoint>, Error> {
    let path = folder.join(CHECKPOINT);
    let Some(text) = read_text(&path)? else { return Ok(None) };
    let signed = SignedCheckpoint::verify(&text, key);
    signed.map(Some).map_err(|error| Error::Checkpoint { path, error })
}

/// The minimum index of a data directory.
///
/// # Errors
/// If it cannot be read, or is not signed by the key.
pub fn read_minimum(folder: &Path, key: &VerifierKey) -> Result<Option<Minimum>, Error> {
    let path = folder.join(MINIMUM);
    let Some(text) = read_text(&path)? else { return Ok(None) };
    let minimum = Minimum::verify(&text, key);
    minimum.map(Some).map_err(|error| Error::Minimum { path, error })
}

fn read_text(path: &Path) -> Result<Option<String>, Error> {
    let failed = |error| Error::Read { path: path.to_owned(), error };
    let bytes = read_file(path).map_err(failed)?;
    // Text that is not UTF-8 is refused later, because it is not a note.
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The bytes of a file; `None` if it does not exist.
///
/// # Errors
/// If it cannot be read.
pub fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The tiles that a tree of this size has on disk: level by level, with the
/// width of each.
pub fn tiles(size: u64) -> impl Iterator<Item = (TilePosition, usize)> {
    (0..tile::LEVELS_MAX).flat_map(move |level| {
        let (edge, width) = tile::edge(size, level);
        let full = (0..edge.index).map(move |index| (TilePosition { level, index }, WIDTH));
        full.chain((width > 0).then_some((edge, width)))
    })
}

#[cfg(test)]
mod tests;
