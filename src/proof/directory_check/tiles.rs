//! Compares tiles with the records.

use std::path::{Path, PathBuf};

use super::{DirectoryCheck, Error};
use crate::proof::tile::{self, TilePosition, WIDTH};
use crate::proof::tile_store::disk;
use crate::proof::{HASH_BYTES, Hash};

impl DirectoryCheck<'_> {
    /// The leaf hash of a record in its tile; `None` if no tile has it.
    pub(super) fn leaf_of_tile(&self, index: u64) -> Result<Option<Hash>, Error> {
        let place = TilePosition { level: 0, index: index / WIDTH as u64 };
        let position = (index % WIDTH as u64) as usize;
        let mut widths = vec![WIDTH];
        if let Some(signed) = &self.report.checkpoint {
            let (edge, width) = tile::edge(signed.size(), 0);
            if edge == place {
                widths.push(width);
            }
        }
        for width in widths.into_iter().filter(|width| position < *width) {
            let found = disk::read_tile(self.folder, place, width);
            let found = found.map_err(|error| self.unreadable(place, width, error))?;
            let range = position * HASH_BYTES..(position + 1) * HASH_BYTES;
            let leaf = found.and_then(|tile| Some(Hash(tile.get(range)?.try_into().ok()?)));
            if leaf.is_some() {
                return Ok(leaf);
            }
        }
        Ok(None)
    }

    fn unreadable(&self, place: TilePosition, width: usize, error: std::io::Error) -> Error {
        Error::Read { path: self.folder.join(place.path(width)), error }
    }

    /// Compares a full tile with its file.
    pub(super) fn compare_full(&mut self, place: TilePosition, made: &[u8]) -> Result<(), Error> {
        let covered = self.report.checkpoint.as_ref().map_or(0, |signed| signed.size());
        let path = place.path(WIDTH);
        match self.read(&path)? {
            None if tile::hashes(covered, place.level) / (WIDTH as u64) > place.index => {
                self.report
                    .find(None, format!("{path} is not there, though a checkpoint covers it"));
            }
            None => {}
            Some(found) => self.compare(place, &path, made, &found),
        }
        Ok(())
    }

    fn compare(&mut self, place: TilePosition, path: &str, made: &[u8], found: &[u8]) {
        if made == found {
            self.report.tiles += 1;
            return;
        }
        if place.level > 0 || made.len() != found.len() {
            self.report.find(None, format!("{path} does not match the records"));
            return;
        }
        let first = place.index * WIDTH as u64 + 1;
        let (made, _) = made.as_chunks::<HASH_BYTES>();
        let (found, _) = found.as_chunks::<HASH_BYTES>();
        let differing =
            (first..).zip(made.iter().zip(found)).filter(|(_, (made, found))| made != found);
        let sequences: Vec<u64> = differing.map(|(sequence, _)| sequence).collect();
        self.differing.extend(sequences);
    }

    /// Compares the incomplete tiles, and finds files that are not tiles of this log.
    pub(super) fn tiles(&mut self) -> Result<(), Error> {
        let mut folders = vec![PathBuf::from(tile::FOLDER)];
        while let Some(folder) = folders.pop() {
            let path = self.folder.join(&folder);
            let failed = |error| Error::Read { path: path.clone(), error };
            let entries = match std::fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            for entry in entries {
                let entry = entry.map_err(failed)?;
                let below = folder.join(entry.file_name());
                if entry.file_type().map_err(failed)?.is_dir() {
                    folders.push(below);
                } else {
                    self.tile(&below)?;
                }
            }
        }
        let Some(signed) = &self.report.checkpoint else { return Ok(()) };
        for level in 0..tile::LEVELS_MAX {
            let (place, width) = tile::edge(signed.size(), level);
            if width == 0 {
                continue;
            }
            let found = disk::read_tile(self.folder, place, width);
            if found.map_err(|error| self.unreadable(place, width, error))?.is_none() {
                let path = place.path(width);
                self.report
                    .find(None, format!("{path} is not there, though a checkpoint covers it"));
                return Ok(());
            }
        }
        Ok(())
    }

    /// Checks one tile file at a relative path.
    fn tile(&mut self, path: &Path) -> Result<(), Error> {
        let text = path.to_string_lossy().into_owned();
        if path.extension().is_some_and(|ending| ending == disk::TEMPORARY_EXTENSION) {
            return Ok(());
        }
        let Some((place, width)) = parse(&text) else {
            self.report.find(None, format!("{text} is not a tile"));
            return Ok(());
        };
        let hashes = tile::hashes(self.tree.size(), place.level);
        let end = place.index.saturating_mul(WIDTH as u64).saturating_add(width as u64);
        if end > hashes {
            let after = Some(self.report.last + 1).filter(|_| place.level == 0);
            self.report.find(
                after,
                format!("{text} has hashes of more records than the log has: its end was cut off"),
            );
            return Ok(());
        }
        if width == WIDTH {
            // A full tile was compared when the records completed it.
            return Ok(());
        }
        let found = self.read(&text)?.unwrap_or_default();
        let made = match self.tree.edges().find(|(edge, _)| *edge == place) {
            Some((_, edge)) => edge.get(..width * HASH_BYTES).unwrap_or_default().to_vec(),
            None => {
                let full = disk::read_tile(self.folder, place, WIDTH);
                let full = full.map_err(|error| self.unreadable(place, WIDTH, error))?;
                full.and_then(|full| Some(full.get(..width * HASH_BYTES)?.to_vec()))
                    .unwrap_or_default()
            }
        };
        if made == found {
            self.report.tiles += 1;
        } else {
            self.report.find(None, format!("{text} does not match the records"));
        }
        Ok(())
    }
}

/// The position and width of the tile at a path.
fn parse(path: &str) -> Option<(TilePosition, usize)> {
    let rest = path.strip_prefix("tile/")?;
    let tile = tlog_tiles::Tile::from_path(&format!("tile/{}/{rest}", tile::HEIGHT)).ok()?;
    let place = TilePosition { level: tile.level(), index: tile.level_index() };
    let width = usize::try_from(tile.width()).ok().filter(|width| *width > 0)?;
    Some((place, width))
}
