//! The file that keeps a cursor.

use std::io::Write as _;
use std::path::Path;

use crate::cli::Error;

/// The cursor in a file; none if it is not there yet.
pub fn read(file: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|cursor| !cursor.is_empty())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Read { file: file.display().to_string(), error }),
    }
}

/// Replaces the file as a whole: whoever reads it, and after whatever crash,
/// finds the old cursor or the new one.
pub fn write(file: &Path, cursor: &str) -> Result<(), Error> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
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
        assert!(write(&folder.path().join("absent/cursor"), "x").is_err());
    }
}
