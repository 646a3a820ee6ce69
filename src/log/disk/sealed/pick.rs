//! Reads the records at the positions that an index selected.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Instant;

use super::open_segments::{OpenSegment, ReadFailure};
use super::read_hint::{ColumnMatch, OwnedReadHint};
use super::run::{BYTES_MAX, RecordRun, TIME_MAX};
use super::sealed_segment::SealedSegment;
use crate::log::read::ReadContent;
use crate::log::scan::ScanOrder;
use crate::log::segment::Segment;
use crate::record::{Record, RecordColumns, Sequence};

/// The number of candidates to read before checking whether they are enough.
const BATCH_MIN: usize = 16;
/// The same, at most.
const BATCH_MAX: usize = 8 * 1024;
/// Where no more than one record in so many is a candidate, a block of the table
/// of columns rarely holds two: what its frame says takes less time to read.
const SPARSE_ONE_IN: usize = 64;

/// Picks records at these positions, at least one, until the run is enough.
/// Returns whether all were looked at.
pub fn pick(
    sealed_segment: &SealedSegment,
    handle: &OpenSegment,
    positions: &[u32],
    hint: &OwnedReadHint,
    run: &mut RecordRun,
) -> Result<bool, ReadFailure> {
    let mut rest = positions;
    while !rest.is_empty() {
        let size = match hint.content {
            ReadContent::Columns => BATCH_MAX,
            ReadContent::Frames => run.missing().clamp(BATCH_MIN, BATCH_MAX),
        };
        let now = rest.get(..size.min(rest.len())).unwrap_or_default();
        let batch = PickedBatch::read(handle, now, hint)?;
        let mut looked_at = 0;
        for position in now.iter().take_while(|position| batch.left != Some(**position)) {
            looked_at += 1;
            let sequence = sealed_segment.sequence(*position);
            run.cover(sequence);
            let Some((columns, matched)) = batch.picked.get(position) else {
                if batch.left_out.binary_search(position).is_ok() {
                    run.leave_out(sequence);
                }
                continue;
            };
            run.pick(sequence, *columns, batch.frame(*position), *matched);
            if run.is_enough() {
                return Ok(looked_at == rest.len());
            }
        }
        rest = rest.get(looked_at..).unwrap_or_default();
        if run.is_enough() {
            break;
        }
    }
    Ok(rest.is_empty())
}

/// Picks records that are ahead in the order of the reader, out of some of the
/// segment that were read, until the run is enough. Returns whether all were looked
/// at.
pub fn pick_read(
    records: &Segment,
    ahead: &Range<u32>,
    hint: &OwnedReadHint,
    run: &mut RecordRun,
) -> bool {
    let view = records.view(Sequence(u64::MAX - 1));
    let place = |position: u32| Sequence(records.base().0 + u64::from(position));
    let own = view.position(place(ahead.start))..view.position(place(ahead.end));
    let mut left = own.len();
    let mut take = |at: usize| {
        left -= 1;
        let (Some(columns), frame) = (view.columns.get(at), view.frame(at)) else { return true };
        run.cover(view.sequence(at));
        match hint.match_columns(columns) {
            ColumnMatch::LeftOut => {}
            ColumnMatch::ColumnsOnly => run.pick(view.sequence(at), *columns, &[], true),
            ColumnMatch::Picked(true) => run.pick(view.sequence(at), *columns, frame, true),
            ColumnMatch::Picked(false) => {
                if let Some(matched) = hint.verdict(frame) {
                    run.pick(view.sequence(at), *columns, frame, matched);
                } else if hint.may_read(columns, frame) {
                    run.leave_out(view.sequence(at));
                }
            }
        }
        !run.is_enough()
    };
    match hint.order {
        ScanOrder::Ascending => own.clone().all(&mut take),
        ScanOrder::Descending => own.clone().rev().all(&mut take),
    };
    left == 0
}

/// The content read for some positions.
struct PickedBatch {
    /// Columns of those that are picked, and whether they are known to match.
    picked: HashMap<u32, (RecordColumns, bool), foldhash::fast::RandomState>,
    /// Positions of frames, ascending, and where each ends in `data`.
    framed: Vec<u32>,
    ends: Vec<u32>,
    data: Vec<u8>,
    /// Positions of records that were examined and do not match, ascending.
    left_out: Vec<u32>,
    /// The first position that is left for another batch, since the frames would
    /// be too large together.
    left: Option<u32>,
}

impl PickedBatch {
    /// `positions` are in the order of the reader.
    fn read(
        handle: &OpenSegment,
        positions: &[u32],
        hint: &OwnedReadHint,
    ) -> Result<Self, ReadFailure> {
        let mut ascending = positions.to_vec();
        ascending.sort_unstable();
        let mut batch = Self {
            picked: HashMap::default(),
            framed: Vec::new(),
            ends: Vec::new(),
            data: Vec::new(),
            left_out: Vec::new(),
            left: None,
        };
        let known = hint.columns_decide || !is_sparse(&ascending);
        if known {
            batch.read_columns(handle, &ascending, hint)?;
        } else {
            batch.framed = ascending;
        }
        batch.read_frames(handle, hint)?;
        batch.judge(hint, known);
        Ok(batch)
    }

    fn read_columns(
        &mut self,
        handle: &OpenSegment,
        ascending: &[u32],
        hint: &OwnedReadHint,
    ) -> Result<(), ReadFailure> {
        for (position, columns) in ascending.iter().zip(handle.sidecar.columns(ascending)?) {
            match hint.match_columns(&columns) {
                ColumnMatch::LeftOut => {}
                ColumnMatch::ColumnsOnly => drop(self.picked.insert(*position, (columns, true))),
                ColumnMatch::Picked(matched) => {
                    self.picked.insert(*position, (columns, matched));
                    self.framed.push(*position);
                }
            }
        }
        Ok(())
    }

    /// Reads the requested frames, as far as they fit.
    fn read_frames(
        &mut self,
        handle: &OpenSegment,
        hint: &OwnedReadHint,
    ) -> Result<(), ReadFailure> {
        let mut located = handle.locate(&self.framed)?;
        if hint.order == ScanOrder::Descending {
            located.reverse();
        }
        let mut bytes = 0;
        let fit = located.iter().take_while(|(_, own)| {
            let before = bytes;
            bytes += own.map_or(0, |own| own.entry.len as usize);
            before == 0 || bytes <= BYTES_MAX
        });
        let fit = fit.count();
        self.left = located.get(fit).map(|(position, _)| *position);
        located.truncate(fit);
        located.sort_unstable_by_key(|(position, _)| *position);
        self.framed = located.iter().map(|(position, _)| *position).collect();
        handle.frames(&located, &mut self.data, &mut self.ends)
    }

    /// Decides by the frames: so that a run holds no more than the reader wants.
    fn judge(&mut self, hint: &OwnedReadHint, known: bool) {
        let started = Instant::now();
        let mut left_out = Vec::new();
        for position in &self.framed {
            let frame = self.frame(*position);
            let columns = match self.picked.get(position) {
                Some((_, true)) => continue,
                Some((columns, false)) => *columns,
                None if known => continue,
                None => RecordColumns::of(&Record::read_frame(frame)),
            };
            let matched = match hint.match_columns(&columns) {
                ColumnMatch::LeftOut => None,
                ColumnMatch::ColumnsOnly | ColumnMatch::Picked(true) => Some(true),
                // The rest is left to the reader, who looks at it again in any case, and
                // may have gone by now.
                ColumnMatch::Picked(false) if started.elapsed() >= TIME_MAX => Some(false),
                ColumnMatch::Picked(false) => {
                    let verdict = hint.verdict(frame);
                    if verdict.is_none() && hint.may_read(&columns, frame) {
                        left_out.push(*position);
                    }
                    verdict
                }
            };
            match matched {
                Some(matched) => drop(self.picked.insert(*position, (columns, matched))),
                None => drop(self.picked.remove(position)),
            }
        }
        self.left_out = left_out;
    }

    /// The frame at a position; empty where it was not read.
    fn frame(&self, position: u32) -> &[u8] {
        let place = self.framed.binary_search(&position).ok();
        let end_of = |place: usize| self.ends.get(place).map(|end| *end as usize);
        let range = place.and_then(|place| {
            let before = place.checked_sub(1).map_or(Some(0), end_of)?;
            Some(before..end_of(place)?)
        });
        range.and_then(|range| self.data.get(range)).unwrap_or_default()
    }
}

/// Whether these positions, which are ascending, lie far apart.
fn is_sparse(positions: &[u32]) -> bool {
    let span = positions.last().zip(positions.first()).map_or(0, |(last, first)| last - first);
    positions.len() * SPARSE_ONE_IN <= span as usize + 1
}
