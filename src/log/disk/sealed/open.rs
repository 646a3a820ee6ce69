//! Opening the full segments of a log: of each, no more is read than the beginning
//! of its sidecar.

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
use super::segment_summary::SegmentSummary;
use super::{CACHE_BYTES, READERS_MAX, SealedInner, SealedSegments, SegmentFile, SegmentSet};
use crate::log::disk::storage::Storage;

/// Segments that are read at once while a log is opened: the filters of so many
/// are in memory twice.
const READ_AHEAD: usize = 64;
/// The number of threads that read segments while a log is opened.
const THREADS: usize = 4;

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
