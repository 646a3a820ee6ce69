//! What is staged: records that have their place in the head, but are not on
//! disk yet.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::log::Segment;
use crate::log::disk::format::{ALIGNMENT, ENTRY_BYTES, GROUP_HEADER_BYTES, HEADER_BYTES, align};
use crate::log::ring::{RingWriter, SegmentSizes, SpaceNeed};
use crate::record::Sequence;

/// The state that the log's mutex guards.
pub struct Stage {
    /// The ring, with what is staged at its end.
    pub writer: RingWriter,
    /// The newest record that was taken to be committed.
    pub taken: Sequence,
    /// So many bytes of the head's frames were taken.
    pub taken_bytes: usize,
    /// Who waits until what is staged is committed.
    pub waiting: Vec<oneshot::Sender<()>>,
    /// The room of the head's file.
    pub room: SegmentRoom,
    /// The head is full for a call with such a need: nothing is staged until
    /// there is another.
    pub roll: Option<SpaceNeed>,
    /// The committing thread sleeps.
    pub idle: bool,
    /// It does so until so many calls wait.
    pub wanted: usize,
    /// The log is to be closed.
    pub stopping: bool,
    /// Nothing is taken any more.
    pub closed: bool,
}

/// How much of a segment file is used, in bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct SegmentRoom {
    /// Where the next group begins.
    pub end: u64,
    /// Length of the file.
    pub capacity: u64,
}

/// The records of one commit.
pub struct StagedBatch {
    /// The segment that holds them.
    pub segment: Arc<Segment>,
    /// The first of them.
    pub first: Sequence,
    /// The last of them; before the first if there are none.
    pub last: Sequence,
    /// Where in the file they go, in bytes.
    pub at: u64,
    /// Who waits for them.
    pub waiting: Vec<oneshot::Sender<()>>,
}

impl Stage {
    /// Nothing is staged, and there is no file.
    pub fn new(writer: RingWriter) -> Self {
        Self {
            taken: writer.last(),
            taken_bytes: 0,
            waiting: Vec::new(),
            room: SegmentRoom::default(),
            roll: None,
            idle: false,
            wanted: 0,
            stopping: false,
            closed: false,
            writer,
        }
    }

    /// Whether so much more fits into the head's file, in one group with what is
    /// staged.
    pub fn admits(room: SegmentRoom, staged: (usize, usize), need: SpaceNeed) -> bool {
        let (records, bytes) = staged;
        let group = group_bytes(records + need.records, bytes + need.frame_bytes);
        room.end + (group + ALIGNMENT) as u64 <= room.capacity
    }

    /// What the next head is to have room for, where this one has none for `need`. If
    /// this one is empty, for all that it was begun for, too: calls that wait, one with
    /// more records and one with more bytes, would else replace each other's heads.
    pub fn next_need(&self, need: SpaceNeed) -> SpaceNeed {
        let head = self.writer.head();
        if head.len() > 0 {
            return need;
        }
        let (records, frame_bytes) = head.room();
        SpaceNeed {
            records: need.records.max(records),
            frame_bytes: need.frame_bytes.max(frame_bytes),
            ..need
        }
    }

    /// How large the file after the next one is to be, where the head has no room for
    /// `need`: as large as any segment may need, `standard`, unless this segment is
    /// full and has used less of its file. To fill with zeros what is cut off later is
    /// a waste.
    pub fn next_capacity(&self, need: SpaceNeed, standard: u64) -> u64 {
        let is_file_full = !Self::admits(self.room, (0, 0), need);
        if is_file_full || self.writer.head().len() == 0 {
            return standard;
        }
        let used = self.room.end + self.room.end / 16;
        used.clamp(standard / 2, standard).next_multiple_of(ALIGNMENT as u64)
    }

    /// How many records are staged, and the bytes of their frames.
    pub fn staged(&self) -> (usize, usize) {
        let records = (self.writer.last().0 - self.taken.0) as usize;
        (records, self.writer.head().data_len() - self.taken_bytes)
    }

    /// Takes all that is staged.
    pub fn take(&mut self) -> StagedBatch {
        let (records, bytes) = self.staged();
        let batch = StagedBatch {
            segment: Arc::clone(self.writer.head().segment()),
            first: self.taken.next(),
            last: self.writer.last(),
            at: self.room.end,
            waiting: std::mem::take(&mut self.waiting),
        };
        if records > 0 {
            self.room.end += group_bytes(records, bytes) as u64;
        }
        self.taken = batch.last;
        self.taken_bytes += bytes;
        batch
    }
}

/// What a group takes of a file, with what it is filled up by.
fn group_bytes(records: usize, bytes: usize) -> usize {
    align(GROUP_HEADER_BYTES + records * ENTRY_BYTES + bytes)
}

/// How large the file of such a segment is: commits of a few hundred bytes, each
/// filled up, leave part of the segment unused.
pub fn capacity(sizes: SegmentSizes) -> u64 {
    let spare = (sizes.bytes / 4).max(64 * 1024);
    (HEADER_BYTES + group_bytes(sizes.records, sizes.bytes) + align(spare)) as u64
}

/// How large a file is at least that takes so much in one group.
pub fn capacity_for(need: SpaceNeed) -> u64 {
    (HEADER_BYTES + group_bytes(need.records, need.frame_bytes) + ALIGNMENT) as u64
}
