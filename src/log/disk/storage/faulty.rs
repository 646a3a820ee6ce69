//! Storage that fails on demand, for tests.
#![allow(missing_docs, reason = "only tests see it")]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Storage, StorageFile, SystemStorage};

/// What fails.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// So many writes succeed before all fail.
    writes: Option<u64>,
    /// So many syncs succeed before all fail.
    syncs: Option<u64>,
    /// There is no space: no file can be filled with zeros.
    full: bool,
    /// Each write takes so much longer.
    write_time: Duration,
}

impl Faults {
    pub fn fail_write(after: u64) -> Self {
        Self { writes: Some(after), ..Self::default() }
    }

    pub fn fail_sync(after: u64) -> Self {
        Self { syncs: Some(after), ..Self::default() }
    }

    pub fn full() -> Self {
        Self { full: true, ..Self::default() }
    }

    pub fn slow_writes(write_time: Duration) -> Self {
        Self { write_time, ..Self::default() }
    }

    /// Counts down; an error when it is time.
    fn count(left: &mut Option<u64>) -> io::Result<()> {
        match left {
            Some(0) => Err(io::Error::from_raw_os_error(5)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// The file system, with injected faults.
pub struct FaultyStorage(Arc<Mutex<Faults>>);

impl FaultyStorage {
    pub fn new(faults: Faults) -> Self {
        Self(Arc::new(Mutex::new(faults)))
    }

    pub fn set(&self, faults: Faults) {
        *self.0.lock() = faults;
    }

    fn file(&self, file: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        Box::new(FaultyFile { file, faults: Arc::clone(&self.0) })
    }
}

impl Storage for FaultyStorage {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.file(SystemStorage.create(path)?))
    }

    fn create_uncached(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.file(SystemStorage.create_uncached(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.file(SystemStorage.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemStorage.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemStorage.remove(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        SystemStorage.create_directory(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        SystemStorage.sync_directory(path)
    }
}

struct FaultyFile {
    file: Box<dyn StorageFile>,
    faults: Arc<Mutex<Faults>>,
}

impl StorageFile for FaultyFile {
    fn write(&self, parts: &[&[u8]], at: u64) -> io::Result<()> {
        let is_filling = parts.iter().all(|part| part.iter().all(|byte| *byte == 0));
        let mut faults = self.faults.lock();
        if faults.full && is_filling {
            return Err(io::Error::from_raw_os_error(28));
        }
        if !is_filling {
            Faults::count(&mut faults.writes)?;
        }
        let write_time = faults.write_time;
        drop(faults);
        std::thread::sleep(write_time);
        self.file.write(parts, at)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        Faults::count(&mut self.faults.lock().syncs)?;
        self.file.sync()
    }
}
