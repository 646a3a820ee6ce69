//! Files of lines, for programs that tail them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use crate::delivery::batch::Batch;
use crate::delivery::destination::{Destination, OpenError, Reply};
use crate::log::BoxFuture;
use crate::log::disk::storage::{DIRECTORY_MODE, FILE_MODE};
use crate::record::Sequence;

/// Prefix and suffix of file names.
const PREFIX: &str = "records-";
const SUFFIX: &str = ".ndjson";
const SEQUENCE_DIGITS: usize = 20;
/// How many bytes of the end of a file are read at a time to find its last line break.
const TAIL_BYTES: u64 = 64 * 1024;
/// Permissions for the group to read and to search.
const GROUP_READ: u32 = 0o040;
const GROUP_SEARCH: u32 = 0o050;

/// Files in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The directory.
    pub directory: PathBuf,
    /// The size at which the next file begins, in bytes.
    pub rotate_bytes: u64,
    /// The age at which the next file begins.
    pub rotate_age: Duration,
    /// Whether the group of the gateway may read the files.
    pub group_readable: bool,
}

/// Appends batches to files.
pub struct FileDestination(Arc<Mutex<FileWriter>>);

#[derive(Debug)]
struct FileWriter {
    config: Config,
    current: Option<CurrentFile>,
}

#[derive(Debug)]
struct CurrentFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    begun: SystemTime,
}

impl FileDestination {
    /// Creates the directory if necessary.
    ///
    /// # Errors
    /// If the directory cannot be created.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let group = if config.group_readable { GROUP_SEARCH } else { 0 };
        let failed = |error: io::Error| {
            OpenError::new("path", format!("{}: {error}", config.directory.display()))
        };
        match DirBuilder::new().mode(DIRECTORY_MODE | group).create(&config.directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            _ => {}
        }
        if !fs::metadata(&config.directory).map_err(failed)?.is_dir() {
            return Err(failed(io::ErrorKind::NotADirectory.into()));
        }
        Ok(Self(Arc::new(Mutex::new(FileWriter { config: config.clone(), current: None }))))
    }
}

impl Destination for FileDestination {
    fn send<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            let mut lines = Vec::with_capacity(batch.byte_size() + batch.len());
            for item in batch.iter() {
                lines.extend_from_slice(item.bytes);
                lines.push(b'\n');
            }
            let (first, _) = batch.range();
            let writer = Arc::clone(&self.0);
            let writing = tokio::task::spawn_blocking(move || writer.lock().append(first, &lines));
            match writing.await {
                Ok(Ok(())) => Reply::ACCEPTED,
                Ok(Err(error)) => Reply::unavailable(format!("cannot write: {error}")),
                Err(error) => Reply::unavailable(error.to_string()),
            }
        })
    }
}

impl FileWriter {
    /// Appends lines. On return they are on stable storage.
    fn append(&mut self, first: Sequence, lines: &[u8]) -> io::Result<()> {
        if self.current.is_none() {
            self.current = self.newest()?;
        }
        let is_over =
            |current: &CurrentFile| current.is_done(&self.config) || !current.is_in_place();
        if self.current.as_ref().is_none_or(is_over) {
            self.current = Some(self.begin(first)?);
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        let written = current.file.write_all(lines).and_then(|()| current.file.sync_data());
        if let Err(error) = written {
            // The lines will be written again, so the written part is removed.
            let _ = current.file.set_len(current.bytes);
            self.current = None;
            return Err(error);
        }
        current.bytes += lines.len() as u64;
        Ok(())
    }

    /// Begins a file, whose name has the sequence of its first record.
    fn begin(&self, first: Sequence) -> io::Result<CurrentFile> {
        let name = format!("{PREFIX}{:0SEQUENCE_DIGITS$}{SUFFIX}", first.0);
        let current = self.open(&self.config.directory.join(name))?;
        File::open(&self.config.directory)?.sync_all()?;
        Ok(current)
    }

    /// Opens the newest file, and removes a partial last line, which a crash may have left.
    fn newest(&self) -> io::Result<Option<CurrentFile>> {
        let mut newest = None;
        for entry in fs::read_dir(&self.config.directory)? {
            let name = entry?.file_name().into_string().unwrap_or_default();
            let digits = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
            if digits.is_some_and(|digits| digits.len() == SEQUENCE_DIGITS) {
                newest = newest.max(Some(name));
            }
        }
        newest.map(|name| self.open(&self.config.directory.join(name))).transpose()
    }

    fn open(&self, path: &Path) -> io::Result<CurrentFile> {
        let group = if self.config.group_readable { GROUP_READ } else { 0 };
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(FILE_MODE | group);
        let mut file = options.open(path)?;
        let bytes = end_of_lines(&mut file)?;
        file.set_len(bytes)?;
        let metadata = file.metadata()?;
        let begun = metadata.created().or_else(|_| metadata.modified())?;
        Ok(CurrentFile { path: path.to_owned(), file, bytes, begun })
    }
}

impl CurrentFile {
    /// Whether the path still leads to this file: text that is appended to a removed file would be
    /// lost.
    fn is_in_place(&self) -> bool {
        let number = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let named = fs::metadata(&self.path).map(number).ok();
        named.is_some() && named == self.file.metadata().map(number).ok()
    }

    fn is_done(&self, config: &Config) -> bool {
        self.bytes >= config.rotate_bytes
            || self.begun.elapsed().is_ok_and(|age| age >= config.rotate_age)
    }
}

/// The end of the last complete line of a file.
fn end_of_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    while end > 0 {
        let start = end.saturating_sub(TAIL_BYTES);
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        file.take(end - start).read_to_end(&mut tail)?;
        if let Some(last) = memchr::memrchr(b'\n', &tail) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(directory: &Path, rotate_bytes: u64) -> FileWriter {
        let config = Config {
            directory: directory.to_owned(),
            rotate_bytes,
            rotate_age: Duration::from_secs(3_600),
            group_readable: false,
        };
        FileWriter { config, current: None }
    }

    fn files(directory: &Path) -> Vec<(String, String)> {
        let entries = fs::read_dir(directory).expect("a directory");
        let mut files: Vec<_> = entries
            .map(|entry| {
                let entry = entry.expect("an entry");
                let text = fs::read_to_string(entry.path()).expect("text");
                (entry.file_name().into_string().expect("a name"), text)
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn files_are_named_by_their_first_record_and_rotated() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = writer(folder.path(), 8);
        for (first, lines) in [(1, "one\n"), (2, "two\n"), (3, "three\n")] {
            writer.append(Sequence(first), lines.as_bytes()).expect("it is written");
        }
        let found = files(folder.path());
        let name = |first: u64| format!("records-{first:020}.ndjson");
        let expected = [(name(1), "one\ntwo\n".to_owned()), (name(3), "three\n".to_owned())];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_line_that_a_crash_cut_off_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = folder.path().join(format!("records-{:020}.ndjson", 1));
        fs::write(&first, "one\n{\"id\":").expect("it is written");
        fs::write(folder.path().join("records-x.ndjson"), "other\n").expect("it is written");
        writer(folder.path(), 1_000).append(Sequence(2), b"two\n").expect("it is written");
        assert_eq!(fs::read_to_string(&first).expect("text"), "one\ntwo\n");
        fs::write(&first, "x".repeat(200_000)).expect("it is written");
        writer(folder.path(), 1_000).append(Sequence(2), b"two\n").expect("it is written");
        assert_eq!(fs::read_to_string(&first).expect("text"), "two\n");
    }

    #[test]
    fn a_file_that_was_removed_is_followed_by_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = writer(folder.path(), 1_000);
        writer.append(Sequence(1), b"one\n").expect("it is written");
        let (first, _) = files(folder.path()).remove(0);
        fs::rename(folder.path().join(first), folder.path().join("taken")).expect("it is moved");
        writer.append(Sequence(2), b"two\n").expect("it is written");
        let texts: Vec<_> = files(folder.path()).into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["two\n", "one\n"]);
    }

    #[test]
    fn an_old_file_is_followed_by_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = writer(folder.path(), 1_000);
        writer.append(Sequence(1), b"one\n").expect("it is written");
        writer.config.rotate_age = Duration::ZERO;
        writer.append(Sequence(2), b"two\n").expect("it is written");
        assert_eq!(files(folder.path()).len(), 2);
    }
}
