//! Files that a command makes, and that must not be there before.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::Error;

/// Mode of a file that only its owner may read.
pub const PRIVATE: u32 = 0o600;
/// Mode of a file that everybody may read.
pub const PUBLIC: u32 = 0o644;

/// Writes a file that must not be there yet, and makes it durable. Where that fails, there
/// is none.
pub fn write_new(file: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let failed = |error| Error::WriteFile { file: file.display().to_string(), error };
    let mut options = OpenOptions::new();
    let mut new = options.write(true).create_new(true).mode(mode).open(file).map_err(failed)?;
    new.write_all(text.as_bytes()).and_then(|()| new.sync_all()).map_err(|error| {
        let _ = std::fs::remove_file(file);
        failed(error)
    })
}
