//! Storage that simulates a crash: it loses unsynced writes, or keeps them in another
//! order.
//!
//! What is written goes to real files at once, as into the system's memory: that
//! is what the running log reads. Beside that, the storage remembers what is
//! synced and what is not, sector by sector and name by name, and writes down, on
//! demand, one of the states in which a crash may leave a disk.
#![allow(missing_docs, reason = "only tests see it")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::{Storage, StorageFile, SystemStorage};

/// What a disk writes as a whole or not at all, in bytes.
const SECTOR_BYTES: usize = 512;

/// The disk of a machine that will crash.
pub struct CrashingStorage(Arc<Mutex<CrashingDisk>>);

#[derive(Default)]
struct CrashingDisk {
    files: Vec<Inode>,
    /// Which names there are on stable storage.
    durable: BTreeMap<PathBuf, usize>,
    /// Changes of names since their directory was synced, in order.
    pending: Vec<UnsyncedChange>,
    /// Which names there are now.
    names: BTreeMap<PathBuf, usize>,
}

/// A file, whatever its name.
#[derive(Default, Clone)]
struct Inode {
    synced: Vec<u8>,
    pending: Vec<UnsyncedWrite>,
}

#[derive(Clone)]
enum UnsyncedWrite {
    Bytes { at: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Clone)]
enum UnsyncedChange {
    Create(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl UnsyncedChange {
    fn directory(&self) -> &Path {
        let (Self::Create(path, _) | Self::Rename(path, _) | Self::Remove(path)) = self;
        path.parent().unwrap()
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Create(path, file) => {
                names.insert(path.clone(), *file);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

impl CrashingStorage {
    /// The disk with what is in `folder`, all of it synced.
    pub fn of(folder: &Path) -> Self {
        let mut disk = CrashingDisk::default();
        disk.take_in(folder);
        Self(Arc::new(Mutex::new(disk)))
    }

    /// Writes into `target` what a crash at this moment may leave of `source`.
    pub fn crash(&self, source: &Path, target: &Path, random: &mut fastrand::Rng) {
        let disk = self.lock();
        let mut names = disk.durable.clone();
        // File systems keep the order of changes of names, or do not.
        let in_order = random.bool();
        let kept = random.usize(..=disk.pending.len());
        for (place, change) in disk.pending.iter().enumerate() {
            if if in_order { place < kept } else { random.bool() } {
                change.apply(&mut names);
            }
        }
        fs::create_dir_all(target.join("segments")).unwrap();
        for (path, file) in names {
            let Ok(relative) = path.strip_prefix(source) else { continue };
            fs::write(target.join(relative), disk.files[file].after_crash(random)).unwrap();
        }
    }

    fn lock(&self) -> MutexGuard<'_, CrashingDisk> {
        self.0.lock()
    }

    fn file(&self, file: Box<dyn StorageFile>, number: usize) -> Box<dyn StorageFile> {
        Box::new(CrashingFile { file, number, disk: Arc::clone(&self.0) })
    }

    fn change(&self, change: UnsyncedChange) {
        let mut disk = self.lock();
        change.apply(&mut disk.names);
        disk.pending.push(change);
    }
}

impl CrashingDisk {
    fn take_in(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.take_in(&path);
                continue;
            }
            let inode = Inode { synced: fs::read(&path).unwrap(), pending: Vec::new() };
            self.durable.insert(path.clone(), self.files.len());
            self.names.insert(path, self.files.len());
            self.files.push(inode);
        }
    }
}

impl Inode {
    fn apply(bytes: &mut Vec<u8>, write: &UnsyncedWrite, mut keep: impl FnMut() -> bool) {
        match write {
            UnsyncedWrite::Length(length) => {
                if keep() {
                    bytes.resize(*length, 0);
                }
            }
            UnsyncedWrite::Bytes { at, bytes: written } => {
                let mut from = 0;
                while from < written.len() {
                    let here = at + from;
                    let to = (from + SECTOR_BYTES - here % SECTOR_BYTES).min(written.len());
                    if keep() {
                        bytes.resize(bytes.len().max(at + to), 0);
                        bytes[here..at + to].copy_from_slice(&written[from..to]);
                    }
                    from = to;
                }
            }
        }
    }

    /// What is synced, and by chance some of the rest.
    fn after_crash(&self, random: &mut fastrand::Rng) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        // All, none, or each sector by itself.
        let mode = random.u8(..3);
        for write in &self.pending {
            Self::apply(&mut bytes, write, || mode == 0 || (mode == 1 && random.bool()));
        }
        bytes
    }
}

impl Storage for CrashingStorage {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let file = SystemStorage.create(path)?;
        let mut disk = self.lock();
        let existing = disk.names.get(path).copied();
        let number = existing.unwrap_or(disk.files.len());
        match existing {
            Some(number) => disk.files[number].pending.push(UnsyncedWrite::Length(0)),
            None => disk.files.push(Inode::default()),
        }
        drop(disk);
        if existing.is_none() {
            self.change(UnsyncedChange::Create(path.to_owned(), number));
        }
        Ok(self.file(file, number))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let file = SystemStorage.open(path)?;
        let number = self.lock().names[path];
        Ok(self.file(file, number))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemStorage.rename(from, to)?;
        self.change(UnsyncedChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemStorage.remove(path)?;
        self.change(UnsyncedChange::Remove(path.to_owned()));
        Ok(())
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        SystemStorage.create_directory(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        let (synced, pending) = std::mem::take(&mut disk.pending)
            .into_iter()
            .partition(|change| change.directory() == path);
        disk.pending = pending;
        let synced: Vec<UnsyncedChange> = synced;
        let mut durable = std::mem::take(&mut disk.durable);
        synced.iter().for_each(|change| change.apply(&mut durable));
        disk.durable = durable;
        Ok(())
    }
}

struct CrashingFile {
    file: Box<dyn StorageFile>,
    number: usize,
    disk: Arc<Mutex<CrashingDisk>>,
}

impl CrashingFile {
    fn pending(&self, write: UnsyncedWrite) {
        self.disk.lock().files[self.number].pending.push(write);
    }
}

impl StorageFile for CrashingFile {
    fn write(&self, parts: &[&[u8]], at: u64) -> io::Result<()> {
        // Before the write: a crash amid it may keep any part of it.
        self.pending(UnsyncedWrite::Bytes { at: at as usize, bytes: parts.concat() });
        self.file.write(parts, at)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.pending(UnsyncedWrite::Length(bytes as usize));
        self.file.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let inode = &mut disk.files[self.number];
        for write in std::mem::take(&mut inode.pending) {
            Inode::apply(&mut inode.synced, &write, || true);
        }
        Ok(())
    }
}
