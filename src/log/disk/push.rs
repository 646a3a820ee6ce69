//! Records whose place in the order was decided elsewhere: the copy of a shared log.

use crate::log::disk::DiskLog;
use crate::log::disk::stage::Stage;
use crate::log::ring::FramedRecord;
use crate::log::{Error, State};
use crate::record::Sequence;

/// Frames of consecutive records.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct FrameRun {
    bytes: Vec<u8>,
    /// Where in `bytes` each ends.
    ends: Vec<usize>,
}

impl FrameRun {
    /// Adds a part of a frame.
    pub fn extend(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
    }

    /// Ends a frame, and returns it.
    pub fn end_frame(&mut self) -> &[u8] {
        let begin = self.ends.last().copied().unwrap_or_default();
        self.ends.push(self.bytes.len());
        self.bytes.get(begin..).unwrap_or_default()
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A frame.
    pub fn get(&self, place: usize) -> Option<&[u8]> {
        let end = *self.ends.get(place)?;
        let begin = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        self.bytes.get(begin.unwrap_or_default()..end)
    }
}

impl DiskLog {
    /// Adds records to a copy of a shared log. On return they have their place, and are
    /// found by id; they are readable after [`DiskLog::committed`]. Records that are there
    /// already are passed over.
    ///
    /// # Errors
    /// If there is no space for all of them, which may be tried again; or nothing is
    /// accepted any more.
    ///
    /// # Panics
    /// If the first of them does not follow on.
    pub async fn push(&self, frames: &FrameRun) -> Result<(), Error> {
        let inner = &*self.inner;
        let records = (0..frames.len()).filter_map(|place| frames.get(place));
        let records: Vec<_> = records.map(FramedRecord::read).collect();
        let mut rest = records.as_slice();
        loop {
            // Before the mutex is taken: whatever comes later is noticed.
            let rolled = inner.rolled.notified();
            {
                let mut stage = inner.lock();
                if stage.closed || stage.stopping {
                    drop(stage);
                    return Err(inner.why_refused());
                }
                if stage.roll.is_none() {
                    stage.writer.touch_frames(rest);
                    while let Some((framed, others)) = rest.split_first() {
                        let (room, staged) = (stage.room, stage.staged());
                        let admit = |need| Stage::admits(room, staged, need);
                        match stage.writer.stage_frame(framed, &inner.shared, admit) {
                            Ok(()) => rest = others,
                            Err(need) => {
                                stage.roll = Some(need);
                                break;
                            }
                        }
                    }
                }
                inner.wake(&stage);
            }
            if rest.is_empty() {
                return Ok(());
            }
            rolled.await;
            if let State::Full(why) = &*inner.state.borrow() {
                return Err(Error::Full { why: why.clone() });
            }
        }
    }

    /// Waits until a record is readable.
    ///
    /// # Errors
    /// If the storage has failed.
    pub async fn committed(&self, sequence: Sequence) -> Result<(), Error> {
        self.inner.committed(Some(sequence)).await
    }
}
