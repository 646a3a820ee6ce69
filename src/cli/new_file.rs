//! Writes new files, and replaces files in one step.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
#[cfg(feature = "server")]
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::Error;

/// Mode of a file that only its owner may read.
pub const PRIVATE: u32 = 0o600;
/// Mode of a file that everybody may read.
pub const PUBLIC: u32 = 0o644;

/// Writes a file that must not exist yet, and syncs it. After an error, the file does not exist.
pub fn write_new(file: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let failed = |error| Error::WriteFile { file: file.display().to_string(), error };
    let mut options = OpenOptions::new();
    let mut new = options.write(true).create_new(true).mode(mode).open(file).map_err(failed)?;
    new.write_all(text.as_bytes()).and_then(|()| new.sync_all()).map_err(|error| {
        let _ = std::fs::remove_file(file);
        failed(error)
    })
}

/// Replaces a file in one step: readers see the old text or the new one. The file keeps its
/// owner's group where that is allowed.
#[cfg(feature = "server")]
pub fn replace(file: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let failed = |error| Error::WriteFile { file: file.display().to_string(), error };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let temporary = file.with_file_name(format!(".{name}-{:016x}.tmp", fastrand::u64(..)));
    let old = std::fs::metadata(file);
    let mode = old.as_ref().map_or(mode, |old| old.permissions().mode() & 0o7777);
    write_new(&temporary, text, mode)?;
    if let Ok(old) = &old {
        // Only root can change the owner; for others the group may be kept.
        let _ = std::os::unix::fs::chown(&temporary, Some(old.uid()), Some(old.gid()));
    }
    std::fs::rename(&temporary, file).map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        failed(error)
    })
}
