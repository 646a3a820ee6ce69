//! Takes the end of a copy of a shared log out of it: records that the log has lost, so that
//! others take their sequences. Their files are kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::log::DamagedRange;
use crate::log::disk::FrameRun;
use crate::log::disk::directory::Directory;
use crate::log::disk::error::{Error, IoContext as _};
use crate::log::disk::format::{FileHeader, FrameEntry};
use crate::log::disk::identity::EpochEntry;
use crate::log::disk::storage::{self, Storage as _, SystemStorage};
use crate::log::disk::walk::SegmentWalk;
use crate::record::{Record, Sequence};

/// Moves the segment files with records from `epoch.first` on from the closed copy at
/// `path` to `folder`, which lies in it, and begins the epoch. Returns the records of these
/// files that stay: they are to be pushed when the copy is open again. Where that was not
/// done, doing all of it again comes to the same.
///
/// # Errors
/// If the directory is in use, or a file cannot be read or moved, or records that stay are
/// damaged.
pub fn set_aside(path: &Path, epoch: EpochEntry, folder: &Path) -> Result<FrameRun, Error> {
    let storage = Arc::new(SystemStorage);
    let directory = Directory::open(path, storage.clone())?;
    for made in [folder.parent(), Some(folder)].into_iter().flatten() {
        storage.create_directory(made).failed("make", made)?;
        let above = made.parent().unwrap_or(path);
        storage.sync_directory(above).failed("sync", above)?;
    }
    let (bases, _) = directory.list()?;
    for base in bases.into_iter().rev() {
        let file = directory.segment(base);
        if base < epoch.first && frames(&file, base)?.is_none_or(|(_, last)| last < epoch.first) {
            break;
        }
        move_all(&directory.segments(), &file, folder)?;
    }
    storage.sync_directory(folder).failed("sync", folder)?;
    storage.sync_directory(&directory.segments()).failed("sync", path)?;
    let identity_path = directory.identity_path();
    let identity = directory.read_identity()?;
    let mut identity = identity.ok_or(Error::IdentityMissing(identity_path.clone()))?;
    if identity.begin_epoch(epoch) {
        directory.write_identity(&identity).failed("write", &identity_path)?;
    }
    staying(folder, epoch.first)
}

/// The records before `first` in the files of a folder of [`set_aside`].
fn staying(folder: &Path, first: Sequence) -> Result<FrameRun, Error> {
    let mut newest: Option<(Sequence, PathBuf)> = None;
    for entry in fs::read_dir(folder).failed("list", folder)? {
        let path = entry.failed("list", folder)?.path();
        let base = path.file_name().and_then(|name| Directory::base_of(&name.to_string_lossy()));
        let Some(base) = base.filter(|base| *base < first) else { continue };
        if newest.as_ref().is_none_or(|(before, _)| *before < base) {
            newest = Some((base, path));
        }
    }
    let mut stay = FrameRun::default();
    let Some((base, path)) = newest else { return Ok(stay) };
    let Some((all, _)) = frames(&path, base)? else { return Ok(stay) };
    let mut next = base;
    for frame in (0..all.len()).filter_map(|place| all.get(place)) {
        let sequence = Record::read_frame(frame).sequence;
        if sequence >= first {
            break;
        }
        if sequence != next {
            return Err(Error::Damaged(vec![DamagedRange {
                first: next,
                last: sequence.previous(),
            }]));
        }
        next = sequence.next();
        stay.extend(frame);
        stay.end_frame();
    }
    if next < first {
        return Err(Error::Damaged(vec![DamagedRange { first: next, last: first.previous() }]));
    }
    Ok(stay)
}

/// The frames of a segment file, and the last sequence in it, readable or not; `None` if it
/// has none.
fn frames(path: &Path, base: Sequence) -> Result<Option<(FrameRun, Sequence)>, Error> {
    let bytes = storage::read(path).failed("read", path)?;
    let header = FileHeader::decode(&bytes)
        .map_err(|fault| Error::Segment { path: path.to_owned(), fault })?;
    let walk = SegmentWalk::over(&bytes, &header, None);
    let mut run = FrameRun::default();
    for group in &walk.groups {
        let whole = bytes.get(group.at..).unwrap_or_default();
        let table = whole.get(group.header.table()).unwrap_or_default();
        let data = whole.get(group.header.data()).unwrap_or_default();
        for (place, (_, range)) in (0..group.header.records).zip(FrameEntry::decode_all(table)) {
            if group.damaged.binary_search(&place).is_err()
                && let Some(frame) = data.get(range)
            {
                run.extend(frame);
                run.end_frame();
            }
        }
    }
    Ok((walk.next > base).then(|| (run, walk.next.previous())))
}

/// Moves a segment file and what was made from it.
fn move_all(segments: &Path, file: &Path, folder: &Path) -> Result<(), Error> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    for entry in fs::read_dir(segments).failed("list", segments)? {
        let path = entry.failed("list", segments)?.path();
        let Some(name) = path.file_name() else { continue };
        if name.to_string_lossy().starts_with(&*stem) {
            fs::rename(&path, folder.join(name)).failed("move", &path)?;
        }
    }
    Ok(())
}
