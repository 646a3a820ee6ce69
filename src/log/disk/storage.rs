//! The file operations of the log. They are few, so that tests can make each of them fail,
//! or lose unsynced writes.

#[cfg(test)]
pub mod crashing;
#[cfg(target_os = "linux")]
mod direct_io;
#[cfg(test)]
pub mod faulty;

use std::fs;
use std::io::{self, IoSlice};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Storage for files. All changes go through this trait; reads do not.
pub trait Storage: Send + Sync + 'static {
    /// Makes an empty file, in place of what has that name.
    ///
    /// # Errors
    /// What the system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// As [`Storage::create`], for a file that is synced after each write. Where the
    /// system can, what is aligned to
    /// [`ALIGNMENT`](crate::log::disk::format::ALIGNMENT) goes to the disk past its
    /// cache.
    ///
    /// # Errors
    /// What the system says.
    fn create_uncached(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.create(path)
    }

    /// Opens a file that exists, to change it.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Gives a file another name within its directory, in place of what has that
    /// name. It lasts once the directory is synced.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. It lasts once the directory is synced.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory, unless there is one. It lasts once the directory that
    /// it is in is synced.
    ///
    /// # Errors
    /// What the system says.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Brings a directory's names to stable storage.
    ///
    /// # Errors
    /// What the system says.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// An open file that can be changed.
pub trait StorageFile: Send {
    /// Writes the parts one behind the other, all of them, from `at` on.
    ///
    /// # Errors
    /// What the system says; how much was written is then not known.
    fn write(&self, parts: &[&[u8]], at: u64) -> io::Result<()>;

    /// Cuts the file off, or fills it up with zeros.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Brings what was written to stable storage, and the file's length.
    ///
    /// # Errors
    /// What the system says. Whatever was written since the last sync that
    /// succeeded may then be lost, whatever a later sync says.
    fn sync(&self) -> io::Result<()>;
}

/// Permissions of files that are made: events are for the gateway alone.
pub const FILE_MODE: u32 = 0o600;
/// Permissions of directories that are made.
pub const DIRECTORY_MODE: u32 = 0o700;

/// The file system.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemStorage;

impl Storage for SystemStorage {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(create(path)?))
    }

    #[cfg(target_os = "linux")]
    fn create_uncached(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let file = create(path)?;
        Ok(match direct_io::open(&file, path) {
            Some(direct) => Box::new(direct_io::DirectFile::new(file, direct)),
            None => Box::new(file),
        })
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(fs::OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        match fs::DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            made => made,
        }
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }
}

/// Makes a file, or empties the one that is there.
fn create(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(FILE_MODE).open(path)
}

impl StorageFile for fs::File {
    fn write(&self, parts: &[&[u8]], mut at: u64) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = slices.as_mut_slice();
        // Parts without bytes would make the last call write nothing.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match rustix::io::pwritev(self, rest, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    at += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        fs::File::set_len(self, bytes)
    }

    /// `fdatasync`, which leaves out only what reading does not need.
    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Writes a file as a whole: whoever opens it, now or after a crash, finds what
/// it was or what it is to be.
///
/// # Errors
/// What the system says; the file may then be either.
pub fn replace(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    let file = storage.create(beside)?;
    file.write(&[bytes], 0)?;
    file.sync()?;
    storage.rename(beside, path)?;
    storage.sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Reads a file as a whole.
///
/// # Errors
/// What the system says.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
}

/// Reads as many of a file's first bytes as there are, up to `len`.
///
/// # Errors
/// What the system says.
pub fn read_start(path: &Path, len: usize) -> io::Result<Vec<u8>> {
    let file = fs::File::open(path)?;
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Whether an error says that there is no room.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_written_one_behind_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = SystemStorage.create(&path).unwrap();
        file.write(&[b"one", b"", b"two", b""], 2).unwrap();
        file.write(&[b""], 0).unwrap();
        file.sync().unwrap();
        assert_eq!(read(&path).unwrap(), b"\0\0onetwo");
        assert_eq!(read_start(&path, 4).unwrap(), b"\0\0on");
        assert_eq!(read_start(&path, 100).unwrap().len(), 8);
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&SystemStorage, &path, b"first, and longer").unwrap();
        replace(&SystemStorage, &path, b"second").unwrap();
        assert_eq!(read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
