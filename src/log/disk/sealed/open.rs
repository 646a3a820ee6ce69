//! Opening the full segments of a log: of each, no more is read than the beginning
//! of its sidecar.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, mpsc};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::add::{FilteredSegment, SidecarProgress};
use super::cache::PieceCache;
use super::open_segments::OpenSegments;
use super::sealed_segment::sidecar_path;
use super::{CACHE_BYTES, READERS_MAX, SealedInner, SealedSegments, SegmentFile, SegmentSet};
use crate::log::Segment;
use crate::log::disk::block_file::{BlockFault, BlockSource};
use crate::log::disk::bloom::SegmentBloom;
use crate::log::disk::format::FileHeader;
use crate::log::disk::sidecar::{self, FrameLocation, SegmentRef, Sidecar, SidecarSummary};
use crate::log::disk::storage::{self, Storage};
use crate::log::disk::walk::SegmentWalk;
use crate::record::Sequence;

/// Segments that are read at once while a log is opened: the filters of so many
/// are in memory twice.
const READ_AHEAD: usize = 64;
/// The number of threads that read segments while a log is opened.
const THREADS: usize = 4;

/// What is read of a segment to add it to the others.
pub struct SegmentSummary {
    pub file: SegmentFile,
    pub of: SegmentRef,
    pub summary: SidecarSummary,
    pub keys: SegmentBloom,
    pub ids: SegmentBloom,
    /// Whether the sidecar could not be written.
    pub unsaved: bool,
    /// Whether there was a sidecar that did not match.
    pub renewed: bool,
}

impl SealedSegments {
    /// Opens these files, oldest first, which lie in `folder` and belong to the
    /// log. Sidecars that are missing or damaged are made again.
    ///
    /// # Errors
    /// If a file cannot be read. What is damaged is no error: see
    /// [`SealedSegments::damage`].
    pub fn open(
        folder: &Path,
        log_id: Uuid,
        files: Vec<SegmentFile>,
        storage: Arc<dyn Storage>,
    ) -> io::Result<Self> {
        debug_assert!(files.iter().all(|file| file.path.parent() == Some(folder)), "all lie there");
        let inner = Arc::new(SealedInner {
            log_id,
            state: ArcSwap::default(),
            changing: Mutex::new(()),
            handles: OpenSegments::new(Arc::clone(&storage)),
            storage,
            cache: PieceCache::new(CACHE_BYTES),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
            unsaved: Mutex::default(),
            noting: Mutex::default(),
            progress: SidecarProgress::default(),
        });
        let mut state = SegmentSet::default();
        let (mut more, mut renewed) = (files.len(), 0);
        for batch in files.chunks(READ_AHEAD) {
            for read in read_all(&inner, batch)? {
                more -= 1;
                renewed += usize::from(read.renewed);
                let placed = FilteredSegment::new(&state, read, more);
                inner.take(&mut state, placed);
            }
        }
        inner.state.store(Arc::new(state));
        let (added, made) = mpsc::channel();
        let worker = Arc::clone(&inner);
        let thread = std::thread::Builder::new()
            .name("auditgate-index".into())
            .spawn(move || worker.make_sidecars(&made))?;
        Ok(Self { inner, added: Some(added), thread: Some(thread), renewed })
    }
}

impl SegmentSummary {
    /// Reads the beginning of a segment's sidecar; makes the sidecar if it is
    /// missing or damaged, from what may be in memory of the segment.
    pub fn new(
        inner: &SealedInner,
        file: SegmentFile,
        in_memory: Option<(&Segment, &[FrameLocation])>,
    ) -> io::Result<Self> {
        let of = file.of(inner.log_id);
        let path = sidecar_path(&file.path);
        let saved = File::open(&path)
            .map_err(BlockFault::from)
            .and_then(|source| Self::through(BlockSource::File(source), &of))
            .and_then(|opened| {
                if is_mended(&file, &of, &opened.0)? {
                    Err(BlockFault::Damaged)
                } else {
                    Ok(opened)
                }
            });
        let renewed = matches!(saved, Err(BlockFault::Damaged));
        let (opened, unsaved) = match saved {
            Ok(opened) => (opened, false),
            Err(_) => {
                let encoded = sidecar::make(&file.path, &of, in_memory)?;
                let unsaved = sidecar::save(&*inner.storage, &path, &encoded).is_err();
                let made = Self::through(BlockSource::Memory(encoded), &of);
                (made.map_err(|fault| io::Error::other(fault.to_string()))?, unsaved)
            }
        };
        let (summary, (keys, ids)) = opened;
        Ok(Self { file, of, summary, keys, ids, unsaved, renewed })
    }

    fn through(
        source: BlockSource,
        of: &SegmentRef,
    ) -> Result<(SidecarSummary, (SegmentBloom, SegmentBloom)), BlockFault> {
        let opened = Sidecar::open(source, of)?;
        Ok((opened.summary, opened.sidecar.filters()?))
    }
}

/// Whether a file that had damage is whole now: somebody put it back.
fn is_mended(file: &SegmentFile, of: &SegmentRef, summary: &SidecarSummary) -> io::Result<bool> {
    if summary.damage.is_empty() {
        return Ok(false);
    }
    let header = FileHeader { log_id: of.log_id, base: of.base, capacity: 0, salt: of.salt };
    let end = Sequence(of.base.0 + u64::from(of.covers));
    Ok(SegmentWalk::over(&storage::read(&file.path)?, &header, Some(end)).damage.is_empty())
}

/// Reads segments on several threads.
fn read_all(inner: &SealedInner, files: &[SegmentFile]) -> io::Result<Vec<SegmentSummary>> {
    let per_thread = files.len().div_ceil(THREADS).max(1);
    std::thread::scope(|scope| {
        let read = |part: &[SegmentFile]| -> io::Result<Vec<SegmentSummary>> {
            part.iter().map(|file| SegmentSummary::new(inner, file.clone(), None)).collect()
        };
        let parts = files.chunks(per_thread);
        let workers: Vec<_> = parts.map(|part| scope.spawn(move || read(part))).collect();
        let mut all = Vec::with_capacity(files.len());
        for worker in workers {
            let part = worker.join().map_err(|_| io::Error::other("a reader panicked"))?;
            all.extend(part?);
        }
        Ok(all)
    })
}
