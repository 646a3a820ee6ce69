//! Open segment files with their sidecars.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};

use super::sealed_segment::SealedSegment;
use crate::log::disk::block_file::{BlockFault, BlockSource};
use crate::log::disk::format::checksum;
use crate::log::disk::sidecar::{self, FrameLocation, Sidecar};
use crate::log::disk::storage::Storage;
use crate::record::Sequence;

/// The maximum number of open segments: two files each.
const OPEN_MAX: usize = 64;
/// The most bytes of open segments that are in memory: sidecars that could not be
/// written, and tables that were asked for often. One segment alone excepted.
const MEMORY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The number of look-ups after which the whole table is kept.
const LOCATED_OFTEN: u32 = 4;
/// The maximum distance of frames that are read together, in bytes.
const NEAR_BYTES: usize = 8 * 1024;

/// An open segment.
pub struct OpenSegment {
    file: File,
    pub sidecar: Sidecar,
    /// Whether the sidecar is only in memory.
    pub unsaved: bool,
    /// The number of look-ups of frames.
    located: AtomicU32,
    /// Where all frames are, once that was asked for often enough.
    all_located: OnceLock<Vec<Option<FrameLocation>>>,
}

/// The open segments.
pub struct OpenSegments {
    storage: Arc<dyn Storage>,
    /// The most recently used segment is last.
    open: Mutex<Vec<(Sequence, Arc<OpenSegment>)>>,
}

impl OpenSegment {
    /// Opens a segment; rebuilds its sidecar if it is missing or damaged.
    pub fn open(sealed_segment: &SealedSegment, storage: &dyn Storage) -> Result<Self, BlockFault> {
        let file = File::open(&sealed_segment.file.path)?;
        let path = sealed_segment.sidecar_path();
        let saved = File::open(&path)
            .map_err(BlockFault::from)
            .and_then(|source| Sidecar::open(BlockSource::File(source), &sealed_segment.of));
        match saved {
            Ok(opened) => Ok(Self::new(file, opened.sidecar, false)),
            Err(BlockFault::Io(error)) if error.kind() != io::ErrorKind::NotFound => {
                Err(BlockFault::Io(error))
            }
            Err(fault) => {
                if matches!(fault, BlockFault::Damaged) {
                    tracing::warn!("sidecar {} is corrupt; rebuilding it", path.display());
                }
                let encoded = sidecar::make(&sealed_segment.file.path, &sealed_segment.of, None)?;
                let unsaved = sidecar::save(storage, &path, &encoded).is_err();
                let opened = Sidecar::open(BlockSource::Memory(encoded), &sealed_segment.of)?;
                Ok(Self::new(file, opened.sidecar, unsaved))
            }
        }
    }

    fn new(file: File, sidecar: Sidecar, unsaved: bool) -> Self {
        let (located, all_located) = (AtomicU32::new(0), OnceLock::new());
        Self { file, sidecar, unsaved, located, all_located }
    }

    /// The memory that it uses, in bytes.
    fn memory_size(&self) -> usize {
        let located = self.all_located.get().map_or(0, |all| size_of_val(&**all));
        self.sidecar.memory_size() + located
    }

    /// Where the frames of these positions, which are ascending, lie.
    pub fn locate(
        &self,
        positions: &[u32],
    ) -> Result<Vec<(u32, Option<FrameLocation>)>, BlockFault> {
        let often = self.located.fetch_add(1, Ordering::Relaxed) >= LOCATED_OFTEN;
        if often && self.all_located.get().is_none() {
            let all = self.sidecar.all_frames()?;
            let _ = self.all_located.set(all);
        }
        let Some(all) = self.all_located.get() else {
            let located = self.sidecar.frames(positions)?;
            return Ok(positions.iter().copied().zip(located).collect());
        };
        let of = |position: &u32| (*position, all.get(*position as usize).copied().flatten());
        Ok(positions.iter().map(of).collect())
    }

    /// The first bytes of a frame, as they lie in the file: they may be damaged.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn head(&self, located: &FrameLocation, len: usize) -> io::Result<Vec<u8>> {
        let mut head = vec![0; len];
        let read = read_up_to(&self.file, &mut head, u64::from(located.offset))?;
        head.truncate(read);
        Ok(head)
    }

    /// The frames of these positions, which are ascending, one behind the other
    /// in `data`, and where each ends.
    ///
    /// # Errors
    /// The positions whose frames are damaged, or the read error.
    pub fn frames(
        &self,
        located: &[(u32, Option<FrameLocation>)],
        data: &mut Vec<u8>,
        ends: &mut Vec<u32>,
    ) -> Result<(), ReadFailure> {
        let mut damaged = Vec::new();
        let end_of = |of: &FrameLocation| of.offset as usize + of.entry.len as usize;
        let near = |one: &Option<FrameLocation>, next: &Option<FrameLocation>| match (one, next) {
            (Some(one), Some(next)) => {
                next.offset as usize >= end_of(one)
                    && next.offset as usize - end_of(one) <= NEAR_BYTES
            }
            _ => false,
        };
        let mut bytes = Vec::new();
        for run in located.chunk_by(|one, next| near(&one.1, &next.1)) {
            let first = run.first().and_then(|(_, located)| *located);
            let last = run.last().and_then(|(_, located)| *located);
            let (Some(first), Some(last)) = (first, last) else {
                damaged.extend(run.iter().map(|(position, _)| *position));
                continue;
            };
            let start = first.offset as usize;
            bytes.resize(end_of(&last) - start, 0);
            let read = read_up_to(&self.file, &mut bytes, start as u64)?;
            let whole = bytes.get(..read).unwrap_or_default();
            for (position, own) in run {
                let frame = own.and_then(|own| {
                    let at = own.offset as usize - start;
                    let frame = whole.get(at..at + own.entry.len as usize)?;
                    (checksum(frame) == own.entry.checksum).then_some(frame)
                });
                match frame {
                    Some(frame) => {
                        data.extend_from_slice(frame);
                        ends.push(data.len() as u32);
                    }
                    None => damaged.push(*position),
                }
            }
        }
        if damaged.is_empty() { Ok(()) } else { Err(ReadFailure::Damage(damaged)) }
    }
}

/// Why a read must be retried, or fails.
#[derive(Debug)]
pub enum ReadFailure {
    /// These positions are damaged.
    Damage(Vec<u32>),
    /// The sidecar is damaged.
    Sidecar,
    /// The file cannot be read.
    Io(io::Error),
}

impl From<io::Error> for ReadFailure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<BlockFault> for ReadFailure {
    fn from(fault: BlockFault) -> Self {
        match fault {
            BlockFault::Damaged => Self::Sidecar,
            BlockFault::Io(error) => Self::Io(error),
        }
    }
}

/// Reads until `out` is full or the file ends; returns how much was read.
fn read_up_to(file: &File, out: &mut [u8], at: u64) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = out.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

impl OpenSegments {
    /// Nothing is open. Sidecars that are made are written to `storage`.
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, open: Mutex::default() }
    }

    /// The open segment; opens it if necessary.
    pub fn get(&self, sealed_segment: &SealedSegment) -> Result<Arc<OpenSegment>, BlockFault> {
        if let Some(handle) = self.touch(sealed_segment.base()) {
            return Ok(handle);
        }
        let handle = Arc::new(OpenSegment::open(sealed_segment, &*self.storage)?);
        let mut open = self.lock();
        open.push((sealed_segment.base(), Arc::clone(&handle)));
        let memory = |open: &[(Sequence, Arc<OpenSegment>)]| -> usize {
            open.iter().map(|(_, handle)| handle.memory_size()).sum()
        };
        while open.len() > OPEN_MAX || (memory(&open) > MEMORY_BYTES_MAX && open.len() > 1) {
            open.remove(0);
        }
        Ok(handle)
    }

    /// Closes a segment when its last reader has finished.
    pub fn remove(&self, base: Sequence) {
        self.lock().retain(|(own, _)| *own != base);
    }

    fn touch(&self, base: Sequence) -> Option<Arc<OpenSegment>> {
        let mut open = self.lock();
        let place = open.iter().rposition(|(own, _)| *own == base)?;
        let entry = open.remove(place);
        let handle = Arc::clone(&entry.1);
        open.push(entry);
        Some(handle)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Sequence, Arc<OpenSegment>)>> {
        self.open.lock()
    }
}
