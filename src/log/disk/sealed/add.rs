//! Adding segments: they are served from memory until a thread of their own has
//! made their sidecars.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::open_segments::OpenSegment;
use super::sealed_segment::SealedSegment;
use super::segment_summary::SegmentSummary;
use super::{FRESH_MAX, PendingSegment, SealedInner, SealedSegments, SegmentFile, SegmentSet};
use crate::log::Segment;
use crate::log::disk::bloom::BloomSlot;
use crate::log::disk::sidecar::FrameLocation;
use crate::record::Sequence;
use crate::time::Time;

/// The interval between attempts to make or write a sidecar.
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// The interval of checks that the thread is alive, while a caller waits for it.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A segment whose Bloom filters are in the table.
pub struct FilteredSegment {
    read: SegmentSummary,
    keys: BloomSlot,
    ids: BloomSlot,
}

impl FilteredSegment {
    /// Places the filters of a segment, `more` of which are to follow.
    pub fn new(state: &SegmentSet, read: SegmentSummary, more: usize) -> Self {
        let keys = state.keys.prepare(&read.keys, more);
        let ids = state.ids.prepare(&read.ids, more);
        Self { read, keys, ids }
    }
}

/// The progress of the sidecar thread.
#[derive(Default)]
pub struct SidecarProgress {
    /// Why the last sidecar could not be made, if it failed.
    failure: Mutex<Option<String>>,
    changed: Condvar,
    /// Called when segments may be added again after a failure.
    relieved: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl SidecarProgress {
    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock()
    }

    /// Wakes callers that wait for fewer pending segments.
    pub fn look_again(&self) {
        drop(self.lock());
        self.changed.notify_all();
    }

    fn note(&self, failure: Option<String>) {
        let is_relief = self.lock().is_some() && failure.is_none();
        *self.lock() = failure;
        self.changed.notify_all();
        if let Some(relieved) = self.relieved.get().filter(|_| is_relief) {
            relieved();
        }
    }
}

impl SealedSegments {
    /// Adds a segment that is full and synced, behind the others. It costs next to
    /// nothing here: the sidecar is made and written by another thread. Until then
    /// the segment is served from memory; if the sidecar cannot be written, it is
    /// made whenever it is needed, and written when that is possible.
    ///
    /// `frames` tells where the frames of the records lie in the file. Where it does
    /// not tell of all, the sidecar is made from the file.
    ///
    /// # Panics
    /// If there is no record in it: the file of the next one has the same name.
    pub fn add(&self, file: SegmentFile, segment: Arc<Segment>, frames: Vec<FrameLocation>) {
        let frames = Arc::new(frames);
        assert!(file.base < file.end, "a segment that is full has records");
        self.inner.change(|state| state.pending.push(PendingSegment { file, segment, frames }));
        if let Some(added) = &self.added {
            // The thread ends only when this handle does.
            let _ = added.send(());
        }
    }

    /// Has `relieved` called whenever segments may be added again after
    /// [`SealedSegments::admit`] may have failed.
    pub fn on_room(&self, relieved: impl Fn() + Send + Sync + 'static) {
        // A later one is not called.
        let _ = self.inner.progress.relieved.set(Box::new(relieved));
    }

    /// Waits until fewer than [`FRESH_MAX`] segments are in memory for want of a
    /// sidecar, so that another one may be begun.
    ///
    /// # Errors
    /// Why that may take long: a sidecar cannot be made. It is tried again, and
    /// again.
    pub fn admit(&self) -> Result<(), String> {
        let mut failure = self.inner.progress.lock();
        while self.inner.state.load().pending.len() >= FRESH_MAX {
            if let Some(why) = &*failure {
                return Err(why.clone());
            }
            if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                return Err("the thread that makes sidecars has ended".to_owned());
            }
            self.inner.progress.changed.wait_for(&mut failure, LOOK_INTERVAL);
        }
        Ok(())
    }
}

impl SealedInner {
    /// The loop of the sidecar thread; ends when all handles to `added` are dropped and no work
    /// is left.
    pub fn make_sidecars(&self, added: &Receiver<()>) {
        let mut is_open = true;
        let mut failed = false;
        while is_open {
            let delay = if self.is_behind() { RETRY_DELAY } else { Duration::MAX };
            is_open = match added.recv_timeout(delay) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => false,
            };
            if failed && is_open {
                // Other sidecars are likely to fail, too, so they wait as well.
                std::thread::sleep(Duration::from_millis(100));
            }
            failed = self.catch_up().is_err();
        }
    }

    fn is_behind(&self) -> bool {
        let unsaved = self.unsaved.lock().len();
        unsaved > 0 || !self.state.load().pending.is_empty()
    }

    /// Makes the sidecars that are missing.
    fn catch_up(&self) -> io::Result<()> {
        loop {
            let pending = self.state.load().pending.first().cloned();
            let Some(PendingSegment { file, segment, frames }) = pending else { break };
            // Readers of the ring are served by the index, too.
            segment.seal();
            let (base, path) = (file.base, file.path.clone());
            match SegmentSummary::new(self, file, Some((&segment, &frames))) {
                Ok(read) => self.settle(read),
                // The segment was removed meanwhile, with its file.
                Err(_) if !self.is_pending(base) => {}
                Err(error) => {
                    let why = format!("{} cannot be indexed: {error}", path.display());
                    self.progress.note(Some(why));
                    return Err(error);
                }
            }
            self.progress.note(None);
        }
        self.save_another()
    }

    fn is_pending(&self, base: Sequence) -> bool {
        self.state.load().pending.iter().any(|pending| pending.file.base == base)
    }

    /// Replaces a pending segment by the segment with its sidecar.
    fn settle(&self, read: SegmentSummary) {
        // Who adds a segment waits for changes to end: so all that takes long is done
        // before. Others only remove meanwhile.
        let placed = FilteredSegment::new(&self.state.load(), read, 0);
        let base = placed.read.file.base;
        self.change(|state| {
            // Unless it was removed meanwhile.
            if state.pending.first().is_some_and(|pending| pending.file.base == base) {
                state.pending.remove(0);
                self.take(state, placed);
            } else {
                drop(
                    self.storage
                        .remove(&super::sealed_segment::sidecar_path(&placed.read.file.path)),
                );
            }
        });
    }

    /// Adds a segment after the others.
    pub fn take(&self, state: &mut SegmentSet, placed: FilteredSegment) {
        let FilteredSegment { read, keys, ids } = placed;
        let SegmentSummary { file, of, summary, unsaved, .. } = read;
        let before = state.segments.last().map_or(Time::MIN, |segment| segment.accepted.1);
        state.keys.add(file.base, &keys);
        state.ids.add(file.base, &ids);
        if unsaved {
            self.unsaved.lock().push(file.base);
        }
        state.segments.push(Arc::new(SealedSegment::new(file, of, summary, keys, before)));
    }

    /// Writes the sidecars that could not be written before, as far as possible.
    fn save_another(&self) -> io::Result<()> {
        let next = || self.unsaved.lock().last().copied();
        while let Some(base) = next() {
            let state = self.state.load_full();
            if let Some(sealed_segment) = state.segments.iter().find(|own| own.base() == base) {
                // Opening it makes and writes what is missing.
                self.handles.remove(base);
                let handle = OpenSegment::open(sealed_segment, &*self.storage)
                    .map_err(|fault| io::Error::other(fault.to_string()))?;
                if handle.unsaved {
                    return Err(io::ErrorKind::StorageFull.into());
                }
            }
            self.forget_unsaved(base);
        }
        Ok(())
    }

    fn forget_unsaved(&self, base: Sequence) {
        self.unsaved.lock().retain(|own| *own != base);
    }
}
