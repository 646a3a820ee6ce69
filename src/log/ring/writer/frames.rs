//! Records that another gateway framed: their place in the order was decided before.

use super::outcome::SpaceNeed;
use super::{RingReader, RingWriter};
use crate::log::index::SegmentIndex;
use crate::log::segment::COLUMNS_BYTES;
use crate::record::{Record, RecordColumns};

/// A record that another gateway framed, with its columns: to read these takes longer than to
/// write the frame, so it is done before the mutex is taken.
pub struct FramedRecord<'a> {
    frame: &'a [u8],
    record: Record<'a>,
    columns: RecordColumns,
}

impl<'a> FramedRecord<'a> {
    /// Reads a frame.
    pub fn read(frame: &'a [u8]) -> Self {
        let record = Record::read_frame(frame);
        Self { frame, record, columns: RecordColumns::of(&record) }
    }
}

impl RingWriter {
    /// Reads the places of these records in the id table, which are then in the cache.
    pub fn touch_frames(&self, records: &[FramedRecord<'_>]) {
        self.ids.touch(records.iter().map(|framed| framed.columns.id));
    }

    /// Writes a frame to the head without making it readable, if the head has room for it
    /// and `admit` agrees. A record that the log has already is passed over.
    ///
    /// # Errors
    /// What the head has no room for.
    ///
    /// # Panics
    /// If the record does not follow on, or was accepted before the newest one.
    pub fn stage_frame(
        &mut self,
        framed: &FramedRecord<'_>,
        shared: &RingReader,
        admit: impl FnOnce(SpaceNeed) -> bool,
    ) -> Result<(), SpaceNeed> {
        let FramedRecord { frame, record, columns } = framed;
        if record.sequence <= self.last {
            return Ok(());
        }
        assert!(record.sequence == self.last.next(), "sequences have no holes");
        assert!(record.accept_time >= self.last_accepted, "accept times never decrease");
        let need = SpaceNeed {
            records: 1,
            frame_bytes: frame.len(),
            bytes: frame.len() + COLUMNS_BYTES + SegmentIndex::RECORD_BYTES_MAX,
        };
        if !self.head_takes(need) || !admit(need) {
            return Err(need);
        }
        let made = self.make_room(need, shared, None);
        assert!(made.is_ok(), "what leaves this ring is on disk: nobody is asked");
        self.head.append_frame(frame, *columns);
        self.head.publish();
        self.last = record.sequence;
        self.last_accepted = record.accept_time;
        self.ids.insert(columns.id, record.sequence);
        shared.note_accepted(self.last_accepted);
        Ok(())
    }
}
