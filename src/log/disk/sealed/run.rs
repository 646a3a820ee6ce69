//! A run of records on its way to a reader: which places it covers, and which
//! records of these it has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::log::scan::ScanOrder;
use crate::log::segment::{Segment, SegmentParts};
use crate::record::{RecordColumns, Sequence};

/// The size at which a run is complete, in bytes of frames.
pub const BYTES_MAX: usize = 256 * 1024;
/// The number of segments at which a run is complete.
const SEGMENTS_MAX: usize = 32;
/// The time after which a run is complete.
pub const TIME_MAX: Duration = Duration::from_millis(20);
/// The number of records at which a run is complete.
const RECORDS_MAX: usize = 64 * 1024;

/// A run that covers so many places goes to its reader: offsets in it are 32 bits
/// wide.
const PLACES_MAX: u64 = 1 << 31;

/// Records that were picked from one or more segments.
pub struct RecordRun {
    order: ScanOrder,
    from: Sequence,
    /// The next place to look at, in the order of the run.
    pub next: Sequence,
    /// Nothing is left in the order of the run.
    pub is_over: bool,
    picks: Vec<PickedRecords>,
    data: Vec<u8>,
    /// Records that were examined and left out, in the order of the run.
    left_out: Vec<Sequence>,
    /// How many picked records are known to match.
    matched: usize,
    wanted: usize,
    opened: usize,
    started: Instant,
}

struct PickedRecords {
    sequence: Sequence,
    columns: RecordColumns,
    /// Where in `data` the frame is; empty where it was not wanted.
    start: u32,
    end: u32,
}

impl RecordRun {
    pub fn new(from: Sequence, order: ScanOrder, wanted: usize) -> Self {
        Self {
            order,
            from,
            next: from,
            is_over: false,
            picks: Vec::new(),
            data: Vec::new(),
            left_out: Vec::new(),
            matched: 0,
            wanted,
            opened: 0,
            started: Instant::now(),
        }
    }

    /// Whether it covers no place yet.
    pub fn is_empty(&self) -> bool {
        self.next == self.from && !self.is_over
    }

    /// Whether its reader should have it as it is.
    pub fn is_enough(&self) -> bool {
        self.matched >= self.wanted
            || self.data.len() >= BYTES_MAX
            || self.picks.len() + self.left_out.len() >= RECORDS_MAX
            || self.opened >= SEGMENTS_MAX
            || self.from.0.abs_diff(self.next.0) >= PLACES_MAX
            || self.started.elapsed() >= TIME_MAX
    }

    /// How many more records are wanted.
    pub fn missing(&self) -> usize {
        self.wanted.saturating_sub(self.matched)
    }

    /// Takes note that one more segment was read.
    pub fn open(&mut self) {
        self.opened += 1;
    }

    /// Covers the places up to and with this one.
    pub fn cover(&mut self, place: Sequence) {
        match self.order {
            ScanOrder::Ascending => self.next = place.next(),
            ScanOrder::Descending => {
                self.is_over = place <= Sequence::FIRST;
                self.next = place.previous();
            }
        }
    }

    /// Adds a record; `matched` if it is known to match.
    pub fn pick(
        &mut self,
        sequence: Sequence,
        columns: RecordColumns,
        frame: &[u8],
        matched: bool,
    ) {
        let start = self.data.len() as u32;
        self.data.extend_from_slice(frame);
        let end = self.data.len() as u32;
        self.picks.push(PickedRecords { sequence, columns, start, end });
        self.matched += usize::from(matched);
    }

    /// Takes note of a record that was examined and does not match.
    pub fn leave_out(&mut self, sequence: Sequence) {
        self.left_out.push(sequence);
    }

    /// The run, as readers have it.
    pub fn finish(mut self) -> Arc<Segment> {
        let (base, end) = match self.order {
            ScanOrder::Ascending => (self.from, self.next),
            ScanOrder::Descending if self.is_over => (Sequence::FIRST, self.from.next()),
            ScanOrder::Descending => (self.next.next(), self.from.next()),
        };
        if self.order == ScanOrder::Descending {
            self.picks.reverse();
            self.left_out.reverse();
        }
        let left_out = self.left_out.iter().map(|own| (own.0 - base.0) as u32).collect();
        let mut parts = SegmentParts { left_out, ..SegmentParts::default() };
        for pick in &self.picks {
            parts.offsets.push((pick.sequence.0 - base.0) as u32);
            parts.columns.push(pick.columns);
        }
        match self.order {
            ScanOrder::Ascending => {
                parts.ends = self.picks.iter().map(|pick| pick.end).collect();
                parts.data = self.data;
            }
            ScanOrder::Descending => {
                parts.data.reserve_exact(self.data.len());
                for pick in &self.picks {
                    let frame = self.data.get(pick.start as usize..pick.end as usize);
                    parts.data.extend_from_slice(frame.unwrap_or_default());
                    parts.ends.push(parts.data.len() as u32);
                }
            }
        }
        let covers = u32::try_from(end.0 - base.0).expect("a run covers at most its segments");
        Arc::new(Segment::of_parts(base, covers, parts))
    }
}
