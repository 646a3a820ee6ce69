//! The lock on a directory that one process at a time may use.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::log::disk::storage::FILE_MODE;

/// The file that is locked, in the directory.
pub const LOCK: &str = "lock";
/// Permission to write, of the group and of all others.
const WRITE_BY_OTHERS: u32 = 0o022;

/// The lock on a directory. It ends with the process, however that ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Locks the directory; `None` if another process has locked it.
    ///
    /// # Errors
    /// If the lock file cannot be opened or locked.
    pub fn acquire(directory: &Path) -> io::Result<Option<Self>> {
        let mut options = File::options();
        options.create(true).truncate(false).write(true).mode(FILE_MODE);
        let file = options.open(directory.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Keeps a gateway from starting on the directory for as long as the file is open. A copy may
/// lack the file: `None`.
///
/// # Errors
/// If a gateway has locked it, or the file cannot be opened or locked.
pub fn share(directory: &Path) -> Result<Option<File>, TryLockError> {
    match File::open(directory.join(LOCK)) {
        Ok(file) => file.try_lock_shared().map(|()| Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TryLockError::Error(error)),
    }
}

/// The permissions of a file or directory.
///
/// # Errors
/// If it cannot be looked at.
pub fn mode(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.mode() & 0o7777)
}

/// The permissions of a directory, if they let others than its owner write it: they could
/// replace what it holds.
///
/// # Errors
/// If it cannot be looked at.
pub fn writable_by_others(directory: &Path) -> io::Result<Option<u32>> {
    Ok(Some(mode(directory)?).filter(|mode| mode & WRITE_BY_OTHERS != 0))
}
