//! Reads and writes the file with a cursor.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::cli::Error;

/// Reads the cursor in a file; `None` if the file does not exist. Also checks that the file can be
/// replaced, so that this does not fail after records were shown.
///
/// # Errors
/// If it cannot be read or replaced, or is empty: a program that was interrupted while writing
/// leaves an empty file.
pub fn open(file: &Path) -> Result<Option<String>, Error> {
    let cursor = read(file)?;
    let beside = beside(file);
    let replaceable = OpenOptions::new().write(true).create(true).truncate(false).open(&beside);
    replaceable
        .and_then(|_| std::fs::remove_file(&beside))
        .map_err(|error| Error::WriteFile { file: file.display().to_string(), error })?;
    Ok(cursor)
}

fn read(file: &Path) -> Result<Option<String>, Error> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::Read { file: file.display().to_string(), error }),
    };
    match text.trim() {
        "" => Err(Error::Usage(format!(
            "{}: the file is empty and has no cursor\ndelete the file to start anew",
            file.display()
        ))),
        cursor => Ok(Some(cursor.to_owned())),
    }
}

fn beside(file: &Path) -> PathBuf {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    beside.into()
}

/// Replaces the file in one step: a reader sees the old cursor or the new one, also after a crash.
pub fn write(file: &Path, cursor: &str) -> Result<(), Error> {
    let beside = beside(file);
    let written = std::fs::File::create(&beside).and_then(|mut new| {
        writeln!(new, "{cursor}")?;
        new.sync_all()?;
        std::fs::rename(&beside, file)
    });
    written.map_err(|error| Error::WriteFile { file: file.display().to_string(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("cursor");
        assert_eq!(read(&file).expect("no error"), None);
        write(&file, "one").expect("it is written");
        write(&file, "two").expect("it is written");
        assert_eq!(read(&file).expect("it is read"), Some("two".into()));
        let names = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(names, 1, "nothing is left beside it");
        let refused = write(&folder.path().join("absent/cursor"), "x").expect_err("no folder");
        assert!(refused.to_string().contains("absent/cursor"), "{refused}");
    }
}
