//! Seeds a data directory with a copy of another gateway's, so that a new gateway has what the
//! stream does not hold any more.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::mark::{FOLLOWER, FollowerMark};
use super::window_file::WINDOW;
use crate::log::disk::directory_lock::{self, LOCK};
use crate::log::disk::identity::{IDENTITY, IdentityFile};
use crate::log::disk::storage::{self, Storage as _, SystemStorage};

/// What is copied. Keys, the state of deliveries, lock and what was set aside are not: they
/// belong to the one gateway.
const COPIED: [&str; 8] =
    [IDENTITY, FOLLOWER, WINDOW, "index-seed", "segments", "checkpoint", "minimum", "tile"];
/// Below `segments`, not copied: filled with zeros for later.
const PREPARED: &str = "next.tmp";

/// Why a directory is not seeded. The new directory does not exist then.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// A file cannot be read or written.
    #[error("cannot {what} {}: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The gateway of the source runs.
    #[error("{} is in use by a gateway: stop it, or take a backup of it", .0.display())]
    InUse(PathBuf),
    /// The source is no copy of a shared log.
    #[error("{} has no copy of a shared log", .0.display())]
    NoCopy(PathBuf),
    /// The source is a copy of another log.
    #[error("{} has a copy of log {found}, but the stream carries log {wanted}", path.display())]
    OtherLog {
        /// The source.
        path: PathBuf,
        /// Its log.
        found: Uuid,
        /// The stream's.
        wanted: Uuid,
    },
    /// The source must be put in order first.
    #[error(
        "{} has records that the log has lost: start its gateway once, which sets them aside", .0.display()
    )]
    Pending(PathBuf),
    /// There is something in the new directory.
    #[error("{} is not empty: name a new directory, or move it away", .0.display())]
    NotEmpty(PathBuf),
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeededCopy {
    /// So many files.
    pub files: u64,
    /// So many bytes.
    pub bytes: u64,
    /// The last message of the stream whose records are in it.
    pub position: u64,
}

/// Copies the data directory `from` of a gateway that does not run to `to`, which does not
/// exist or is empty. `log_id` is the log that the stream carries.
///
/// # Errors
/// If `from` is in use or not a copy of that log, or `to` is not empty.
pub fn seed(from: &Path, to: &Path, log_id: Uuid) -> Result<SeededCopy, SeedError> {
    // A backup may have none. It is held until all is copied.
    let _lock = directory_lock::share(from).map_err(|error| match error {
        fs::TryLockError::WouldBlock => SeedError::InUse(from.to_owned()),
        fs::TryLockError::Error(error) => failed("lock", &from.join(LOCK), error),
    })?;
    let mark = check_source(from, log_id)?;
    let is_there = to.exists();
    if is_there && fs::read_dir(to).map_err(|error| failed("list", to, error))?.next().is_some() {
        return Err(SeedError::NotEmpty(to.to_owned()));
    }
    // Under another name until it is whole.
    let beside = to.with_extension("joining");
    if beside.exists() {
        fs::remove_dir_all(&beside).map_err(|error| failed("remove", &beside, error))?;
    }
    let mut copied = SeededCopy { files: 0, bytes: 0, position: mark.state.position };
    make_folder(&beside)?;
    for name in COPIED {
        let source = from.join(name);
        if source.exists() {
            copy(&source, &beside.join(name), &mut copied)?;
        }
    }
    sync_folder(&beside)?;
    if is_there {
        fs::remove_dir(to).map_err(|error| failed("replace", to, error))?;
    }
    fs::rename(&beside, to).map_err(|error| failed("rename", &beside, error))?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_folder(parent.unwrap_or(Path::new(".")))?;
    Ok(copied)
}

/// The mark of the source, which must be a copy of this log.
fn check_source(from: &Path, log_id: Uuid) -> Result<FollowerMark, SeedError> {
    let no_copy = || SeedError::NoCopy(from.to_owned());
    let read = |name: &str| match storage::read(&from.join(name)) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(no_copy()),
        Err(error) => Err(failed("read", &from.join(name), error)),
    };
    let identity = IdentityFile::decode(&read(IDENTITY)?).ok().filter(|identity| identity.is_copy);
    let found = identity.ok_or_else(no_copy)?.log_id;
    let mark = FollowerMark::decode(&read(FOLLOWER)?).ok_or_else(no_copy)?;
    if found != log_id || mark.log_id != log_id {
        return Err(SeedError::OtherLog { path: from.to_owned(), found, wanted: log_id });
    }
    if mark.pending > 0 {
        return Err(SeedError::Pending(from.to_owned()));
    }
    Ok(mark)
}

/// Copies a file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path, copied: &mut SeededCopy) -> Result<(), SeedError> {
    if !from.is_dir() {
        let bytes = fs::copy(from, to).map_err(|error| failed("copy", from, error))?;
        let synced = fs::File::open(to).and_then(|file| file.sync_all());
        synced.map_err(|error| failed("sync", to, error))?;
        copied.files += 1;
        copied.bytes += bytes;
        return Ok(());
    }
    make_folder(to)?;
    for entry in fs::read_dir(from).map_err(|error| failed("list", from, error))? {
        let name = entry.map_err(|error| failed("list", from, error))?.file_name();
        if name != OsStr::new(PREPARED) {
            copy(&from.join(&name), &to.join(&name), copied)?;
        }
    }
    sync_folder(to)
}

fn make_folder(path: &Path) -> Result<(), SeedError> {
    SystemStorage.create_directory(path).map_err(|error| failed("make", path, error))
}

fn sync_folder(path: &Path) -> Result<(), SeedError> {
    SystemStorage.sync_directory(path).map_err(|error| failed("sync", path, error))
}

fn failed(what: &'static str, path: &Path, error: io::Error) -> SeedError {
    SeedError::Io { what, path: path.to_owned(), error }
}
