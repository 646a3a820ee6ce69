//! A run of records on its way to a reader: which places it covers, and which
//! records of these it has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::log::scan::Order;
use crate::log::segment::{Parts, Segment};
use crate::record::{Columns, Sequence};

/// A run that has so many bytes of frames goes to its reader.
pub const BYTES_MAX: usize = 256 * 1024;
/// A run that was read from so many segments goes to its reader.
const SEGMENTS_MAX: usize = 32;
/// A run that has taken so long goes to its reader.
pub const TIME_MAX: Duration = Duration::from_millis(20);
/// A run that has so many records goes to its reader.
const RECORDS_MAX: usize = 64 * 1024;

/// A run that covers so many places goes to its reader: offsets in it are 32 bits
/// wide.
const PLACES_MAX: u64 = 1 << 31;

/// Records that were picked from one or more segments.
pub struct Run {
    order: Order,
    from: Sequence,
    /// The next place to look at, in the order of the run.
    pub next: Sequence,
    /// Nothing is left in the order of the run.
    pub is_over: bool,
    picks: Vec<Pick>,
    data: Vec<u8>,
    /// How many picked records are known to match.
    matched: usize,
    wanted: usize,
    opened: usize,
    started: Instant,
}

struct Pick {
    sequence: Sequence,
    columns: Columns,
    /// Where in `data` the frame is; empty where it was not wanted.
    start: u32,
    end: u32,
}

impl Run {
    pub fn new(from: Sequence, order: Order, wanted: usize) -> Self {
        Self {
            order,
            from,
            next: from,
            is_over: false,
            picks: Vec::new(),
            data: Vec::new(),
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
            || self.picks.len() >= RECORDS_MAX
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
            Order::Ascending => self.next = place.next(),
            Order::Descending => {
                self.is_over = place <= Sequence::FIRST;
                self.next = place.previous();
            }
        }
    }

    /// Adds a record; `matched` if it is known to match.
    pub fn pick(&mut self, sequence: Sequence, columns: Columns, frame: &[u8], matched: bool) {
        let start = self.data.len() as u32;
        self.data.extend_from_slice(frame);
        let end = self.data.len() as u32;
        self.picks.push(Pick { sequence, columns, start, end });
        self.matched += usize::from(matched);
    }

    /// The run, as readers have it.
    pub fn finish(mut self) -> Arc<Segment> {
        let (base, end) = match self.order {
            Order::Ascending => (self.from, self.next),
            Order::Descending if self.is_over => (Sequence::FIRST, self.from.next()),
            Order::Descending => (self.next.next(), self.from.next()),
        };
        if self.order == Order::Descending {
            self.picks.reverse();
        }
        let mut parts = Parts::default();
        for pick in &self.picks {
            parts.offsets.push((pick.sequence.0 - base.0) as u32);
            parts.columns.push(pick.columns);
        }
        match self.order {
            Order::Ascending => {
                parts.ends = self.picks.iter().map(|pick| pick.end).collect();
                parts.data = self.data;
            }
            Order::Descending => {
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
