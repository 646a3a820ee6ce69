//! Reads files with secrets, and refuses files that other users may access.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The permissions that others than the owner of the file must not have.
const MODE_OF_OTHERS: u32 = 0o077;
/// The group may read.
const MODE_READ_BY_GROUP: u32 = 0o040;

/// Why a secret file is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// Others than its owner may use the file.
    #[error("users other than its owner may access the file, mode {mode:04o}: run chmod 600")]
    Exposed {
        /// Its permissions.
        mode: u32,
    },
}

/// Opens a file that only its owner may access. If another user owns it, its group may read it,
/// too: a mounted secret belongs to root, and the gateway reads it as a member of the group.
///
/// # Errors
/// If it cannot be opened, or others may use it.
pub fn open(path: &Path) -> Result<File, Error> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mode = metadata.mode() & 0o7777;
    let is_own = metadata.uid() == rustix::process::geteuid().as_raw();
    let of_others = if is_own { MODE_OF_OTHERS } else { MODE_OF_OTHERS & !MODE_READ_BY_GROUP };
    if mode & of_others != 0 { Err(Error::Exposed { mode }) } else { Ok(file) }
}

/// Reads the text of such a file, at most `bytes_max` bytes.
///
/// # Errors
/// If it cannot be read, or others may use it.
#[cfg(feature = "server")]
pub fn read(path: &Path, bytes_max: u64) -> Result<String, Error> {
    use std::io::Read as _;

    let mut text = String::new();
    open(path)?.take(bytes_max).read_to_string(&mut text)?;
    Ok(text)
}
