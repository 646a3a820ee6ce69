//! Files that bypass the page cache: `O_DIRECT`.
//!
//! What is committed is in the ring, where those who follow the log read it. To have
//! it in the cache as well takes memory twice, and time: to fill a file with zeros
//! takes three times as much of a processor through the cache, and a commit of 300 KB
//! half as much again. A gateway that is sent batches of 256 on 4 connections takes 1.13 times
//! the processor time without this (median of six rounds in turn).
//!
//! Delete it when that is below 1.05, or when the log writes by another way past the cache, such
//! as io_uring with registered buffers.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, OFlags, StatxFlags, statx};

use super::StorageFile;
use crate::log::disk::format::ALIGNMENT;

/// How much is written at once, in bytes.
const BUFFER_BYTES: usize = 1024 * 1024;
/// Where in memory it begins: at a multiple of this, in bytes.
const MEMORY_ALIGNMENT: usize = 4_096;

/// A file that is written both ways: past the cache what is aligned, through it the
/// rest. The system keeps both in step.
pub struct DirectFile<D = fs::File> {
    cached: fs::File,
    direct: D,
    /// Empty until something is written.
    buffer: RefCell<Vec<u8>>,
}

/// Opens a file once more, to write past the cache; `None` if that cannot be done, or
/// not in units of [`ALIGNMENT`].
pub fn open(file: &fs::File, path: &Path) -> Option<fs::File> {
    let found = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok()?;
    let fits = |unit: u32, most: usize| unit > 0 && most.is_multiple_of(unit as usize);
    let can = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::DIOALIGN)
        && fits(found.stx_dio_offset_align, ALIGNMENT)
        && fits(found.stx_dio_mem_align, MEMORY_ALIGNMENT);
    can.then_some(())?;
    let flags = OFlags::DIRECT.bits() as i32;
    fs::OpenOptions::new().write(true).custom_flags(flags).open(path).ok()
}

impl<D: StorageFile> DirectFile<D> {
    /// The same file, opened both ways.
    pub fn new(cached: fs::File, direct: D) -> Self {
        Self { cached, direct, buffer: RefCell::default() }
    }

    fn write_direct(&self, parts: &[&[u8]], mut at: u64) -> io::Result<()> {
        let mut memory = self.buffer.borrow_mut();
        memory.resize(BUFFER_BYTES + MEMORY_ALIGNMENT, 0);
        let start = memory.as_ptr().align_offset(MEMORY_ALIGNMENT);
        let buffer = memory.get_mut(start..start + BUFFER_BYTES).unwrap_or_default();
        let mut filled = 0;
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                let room = buffer.get_mut(filled..).unwrap_or_default();
                let (now, later) = rest.split_at(rest.len().min(room.len()));
                if let Some(room) = room.get_mut(..now.len()) {
                    room.copy_from_slice(now);
                }
                (filled, rest) = (filled + now.len(), later);
                if filled == BUFFER_BYTES {
                    self.direct.write(&[buffer], at)?;
                    (at, filled) = (at + filled as u64, 0);
                }
            }
        }
        self.direct.write(&[buffer.get(..filled).unwrap_or_default()], at)
    }
}

impl<D: StorageFile> StorageFile for DirectFile<D> {
    fn write(&self, parts: &[&[u8]], at: u64) -> io::Result<()> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let is_aligned = bytes.is_multiple_of(ALIGNMENT) && at.is_multiple_of(ALIGNMENT as u64);
        if !is_aligned {
            return self.cached.write(parts, at);
        }
        match self.write_direct(parts, at) {
            // What the system says of a way that it does not offer after all.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.cached.write(parts, at)
            }
            written => written,
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        StorageFile::set_len(&self.cached, bytes)
    }

    /// Of the file, and so of what was written either way.
    fn sync(&self) -> io::Result<()> {
        StorageFile::sync(&self.cached)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Storage as _, SystemStorage, read};
    use super::*;

    #[test]
    fn a_file_is_what_was_written_either_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = SystemStorage.create_uncached(&path).unwrap();
        let mut expected = vec![0; 3 * BUFFER_BYTES + ALIGNMENT];
        file.write(&[&expected], 0).unwrap();
        file.sync().unwrap();
        let mut put = |parts: &[&[u8]], at: usize| {
            let bytes = parts.concat();
            expected[at..at + bytes.len()].copy_from_slice(&bytes);
            file.write(parts, at as u64).unwrap();
            assert!(read(&path).unwrap() == expected, "{} bytes at {at}", bytes.len());
        };
        put(&[&[1; 512]], 512);
        put(&[&[2; 100], &[], &[3; 400], &[0; 12]], 1_024);
        put(&[&[4; 64]], 1_536);
        put(&[&[5; 512]], 1_536);
        put(&[&[6; 64]], 700);
        let large: Vec<u8> = (0..2 * BUFFER_BYTES + 1_024).map(|at| (at % 251) as u8).collect();
        let (one, two) = large.split_at(BUFFER_BYTES - 7);
        put(&[one, two], 4_096);
        put(&[&large[..BUFFER_BYTES]], 512);
        file.set_len(4_096).unwrap();
        file.sync().unwrap();
        assert_eq!(read(&path).unwrap().len(), 4_096);
    }

    /// Without it, nothing would be slower but disks.
    #[test]
    fn where_the_system_can_files_are_opened_past_its_cache() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = fs::File::create(&path).unwrap();
        let found = statx(&file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).unwrap();
        let units = [found.stx_dio_offset_align, found.stx_dio_mem_align];
        if units.iter().any(|unit| *unit == 0 || *unit as usize > ALIGNMENT) {
            eprintln!("SKIPPED: files here are not written past the cache: {units:?}");
            return;
        }
        assert!(open(&file, &path).is_some());
        assert!(open(&file, &folder.path().join("missing")).is_none());
    }

    /// Fails from its second write on, with this error of the system.
    struct Failing {
        file: fs::File,
        error: i32,
        writes: std::cell::Cell<usize>,
    }

    impl StorageFile for Failing {
        fn write(&self, parts: &[&[u8]], at: u64) -> io::Result<()> {
            self.writes.set(self.writes.get() + 1);
            match self.writes.get() {
                1 => StorageFile::write(&self.file, parts, at),
                _ => Err(io::Error::from_raw_os_error(self.error)),
            }
        }

        fn set_len(&self, _bytes: u64) -> io::Result<()> {
            unreachable!("that goes through the cache")
        }

        fn sync(&self) -> io::Result<()> {
            unreachable!("that goes through the cache")
        }
    }

    #[test]
    fn a_way_that_is_refused_amid_a_group_is_not_taken_and_other_errors_are_told() {
        const EIO: i32 = 5;
        const EINVAL: i32 = 22;
        let folder = tempfile::tempdir().unwrap();
        let group: Vec<u8> = (0..3 * BUFFER_BYTES).map(|at| (at % 251) as u8).collect();
        for error in [EINVAL, EIO] {
            let path = folder.path().join(error.to_string());
            let cached = fs::File::create(&path).unwrap();
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            let file = DirectFile::new(cached, Failing { file, error, writes: 0.into() });
            let written = file.write(&[&group], 0);
            if error == EINVAL {
                written.unwrap();
                assert!(read(&path).unwrap() == group);
            } else {
                assert_eq!(written.unwrap_err().raw_os_error(), Some(EIO));
                assert_eq!(read(&path).unwrap().len(), BUFFER_BYTES);
            }
        }
    }
}
