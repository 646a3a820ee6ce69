//! Reads and writes the file with a delivery's cursor.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::log::disk::storage::{self, SystemStorage};

/// The version of the file.
const VERSION: u32 = 1;
/// The suffix of the file name, after the name of the delivery.
const SUFFIX: &str = ".cursor";

/// The state of a delivery that survives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    /// The version of the file.
    pub version: u32,
    /// The cursor after the delivered records.
    pub cursor: String,
    /// Where the records went: [`crate::delivery::destination::Config::identity`].
    pub destination: String,
    /// The name of the format.
    pub format: String,
    /// Digest of the filter.
    pub filter: String,
    /// Whether an operator paused the delivery.
    pub paused: bool,
    /// Whether every record of the log was delivered when the gateway stopped.
    pub complete: bool,
}

impl SavedState {
    /// A state after `cursor`.
    pub fn new(cursor: String, destination: String, format: String, filter: String) -> Self {
        Self {
            version: VERSION,
            cursor,
            destination,
            format,
            filter,
            paused: false,
            complete: false,
        }
    }
}

/// The state file of one delivery.
#[derive(Debug, Clone)]
pub struct StateFile(PathBuf);

/// Why the state of a delivery cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Unreadable {
        /// Its path.
        file: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// The file has the wrong content.
    #[error(
        "{} is not the state of a delivery ({what}): restore it, or delete it to begin at `start`",
        file.display()
    )]
    Malformed {
        /// Its path.
        file: PathBuf,
        /// The error.
        what: String,
    },
}

impl StateFile {
    /// The state file of the delivery `name` in a directory.
    pub fn of(directory: &Path, name: &str) -> Self {
        Self(directory.join(format!("{name}{SUFFIX}")))
    }

    /// The state; `None` if the delivery has none yet.
    ///
    /// # Errors
    /// If the file exists and is not valid. The delivery must not begin anew then, because it would
    /// repeat or skip records.
    pub fn read(&self) -> Result<Option<SavedState>, StateError> {
        let bytes = match storage::read(&self.0) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StateError::Unreadable { file: self.0.clone(), error }),
        };
        let malformed = |what: String| StateError::Malformed { file: self.0.clone(), what };
        let state: SavedState =
            serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        match state.version {
            VERSION => Ok(Some(state)),
            other => Err(malformed(format!("version {other}, which is not {VERSION}"))),
        }
    }

    /// Replaces the state: after a crash, the file has this state or the previous one.
    ///
    /// # Errors
    /// The error of the system.
    pub fn write(&self, state: &SavedState) -> io::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(state)?;
        bytes.push(b'\n');
        storage::replace(&SystemStorage, &self.0, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = StateFile::of(folder.path(), "siem");
        assert!(file.read().expect("no error").is_none());
        let mut state =
            SavedState::new("c".into(), "http x".into(), "json".into(), "digest".into());
        file.write(&state).expect("it is written");
        state.paused = true;
        file.write(&state).expect("it is replaced");
        assert_eq!(file.read().expect("it is read"), Some(state));
        let path = folder.path().join("siem.cursor");
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for damaged in ["", "{", "{\"version\":1}", "[]"] {
            std::fs::write(&path, damaged).expect("it is damaged");
            let error = file.read().expect_err("it is no state").to_string();
            assert!(error.contains("delete it to begin at `start`"), "{error}");
        }
    }
}
