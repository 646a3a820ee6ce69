//! Reads runs of records from sealed segments, on a blocking thread.

use std::ops::Range;
use std::sync::Arc;

use super::cache::PieceKey;
use super::open_segments::{OpenSegment, ReadFailure};
use super::pick::{pick, pick_read};
use super::read_hint::OwnedReadHint;
use super::run::{BYTES_MAX, RecordRun};
use super::sealed_segment::SealedSegment;
use super::{SealedInner, SegmentSet};
use crate::log::disk::sidecar::FrameLocation;
use crate::log::read::ReadContent;
use crate::log::scan::ScanOrder;
use crate::log::segment::{Segment, SegmentParts};
use crate::log::{Error, ReadResult};
use crate::record::{Record, RecordColumns, Sequence};

/// A chunk of neighbouring records is about so large, in bytes of frames. Readers
/// take 64 KiB at a time: what one of them leaves is cached for its next turn.
const CHUNK_BYTES: u64 = 256 * 1024;
/// A chunk is never larger, in bytes of frames; one larger record alone excepted.
const CHUNK_BYTES_MAX: u64 = 1024 * 1024;
/// The records of a list are read together if they are about as large at most, in
/// bytes of frames.
const LIST_BYTES_MAX: u64 = 64 * 1024;
/// The maximum number of restarts of a read after finding damage.
const TRIES_MAX: usize = 64;

/// The location of a sequence.
pub enum SequenceLocation {
    In(usize),
    /// Between segments, whose file is missing.
    Lost(Sequence, Sequence),
    Behind,
}

impl SegmentSet {
    pub fn locate(&self, at: Sequence) -> SequenceLocation {
        let after = self.segments.partition_point(|segment| segment.base() <= at);
        // Before the oldest record: as if at it.
        let index = after.saturating_sub(1);
        let next = self.segments.get(index + 1);
        match (self.segments.get(index), next) {
            (None, _) => SequenceLocation::Behind,
            (Some(segment), _) if at < segment.end() => SequenceLocation::In(index),
            (Some(segment), Some(next)) => {
                SequenceLocation::Lost(segment.end(), next.base().previous())
            }
            (Some(_), None) => SequenceLocation::Behind,
        }
    }

    /// A run of the segments that are in memory.
    pub fn in_pending(&self, at: Sequence) -> Option<ReadResult> {
        let pending = self.pending.iter().find(|pending| at < pending.file.end)?;
        // Between files, one is missing; before the first, all are gone.
        let lost = self.segments.last().map(|before| before.end());
        match lost.filter(|first| *first <= at && at < pending.file.base) {
            Some(first) => Some(ReadResult::Damaged { first, last: pending.file.base.previous() }),
            None => Some(ReadResult::Records(Arc::clone(&pending.segment))),
        }
    }

    /// The segment next to this one in `order`, if no record is lost in between.
    pub fn neighbour(&self, index: usize, order: ScanOrder) -> Option<usize> {
        let (older, newer) = match order {
            ScanOrder::Ascending => (index, index.checked_add(1)?),
            ScanOrder::Descending => (index.checked_sub(1)?, index),
        };
        let adjoin = self.segments.get(older)?.end() == self.segments.get(newer)?.base();
        adjoin.then_some(if order == ScanOrder::Ascending { newer } else { older })
    }
}

impl SealedInner {
    /// See [`SealedSegments::read`](super::SealedSegments::read).
    pub fn read(&self, at: Sequence, hint: &OwnedReadHint) -> Result<Option<ReadResult>, Error> {
        let unreadable = |why: String| Error::Unreadable { from: at, why };
        for _ in 0..TRIES_MAX {
            let state = self.state.load_full();
            let index = match state.locate(at) {
                SequenceLocation::In(index) => index,
                SequenceLocation::Lost(first, last) => {
                    return Ok(Some(ReadResult::Damaged { first, last }));
                }
                SequenceLocation::Behind => return Ok(state.in_pending(at)),
            };
            let first =
                state.segments.get(index).map_or(at, |sealed_segment| sealed_segment.base());
            let mut reached = index;
            match self.run(&state, at.max(first), &mut reached, hint) {
                Ok(found) => return Ok(Some(found)),
                Err(failure) => {
                    let Some(sealed_segment) = state.segments.get(reached) else { break };
                    self.recover(sealed_segment, failure)
                        .map_err(|error| unreadable(error.to_string()))?;
                }
            }
        }
        Err(unreadable("its files change while they are read".to_owned()))
    }

    /// Prepares a retry after a failure, or returns the error.
    pub fn recover(
        &self,
        sealed_segment: &SealedSegment,
        failure: ReadFailure,
    ) -> Result<(), std::io::Error> {
        match failure {
            ReadFailure::Damage(positions) => {
                self.report_damage(sealed_segment, &positions);
                Ok(())
            }
            ReadFailure::Sidecar => {
                self.handles.remove(sealed_segment.base());
                let path = sealed_segment.sidecar_path();
                tracing::warn!("sidecar {} is corrupt; rebuilding it", path.display());
                match self.storage.remove(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                }
            }
            // Removed meanwhile, with its records.
            ReadFailure::Io(error) => {
                let kept = self.state.load();
                let is_kept = kept.segments.iter().any(|own| own.base() == sealed_segment.base());
                if is_kept { Err(error) } else { Ok(()) }
            }
        }
    }

    /// `reached` is the current segment.
    fn run(
        &self,
        state: &SegmentSet,
        at: Sequence,
        reached: &mut usize,
        hint: &OwnedReadHint,
    ) -> Result<ReadResult, ReadFailure> {
        let mut run = RecordRun::new(at, hint.order, hint.records);
        let ids = hint.query.as_ref().and_then(|query| state.holding_ids(query));
        let may_match = |sealed_segment: &SealedSegment| {
            hint.query.as_ref().is_none_or(|query| sealed_segment.may_match(query))
                && ids.as_ref().is_none_or(|ids| ids.contains(sealed_segment.base()))
        };
        while let Some(sealed_segment) = state.segments.get(*reached) {
            let position = sealed_segment.position(run.next);
            let stretch = match sealed_segment.stretch(position) {
                Ok(stretch) => stretch,
                Err((first, last)) if run.is_empty() => {
                    let (first, last) =
                        (sealed_segment.sequence(first), sealed_segment.sequence(last));
                    return Ok(ReadResult::Damaged { first, last });
                }
                Err(_) => break,
            };
            let ahead = match hint.order {
                ScanOrder::Ascending => position..stretch.end,
                ScanOrder::Descending => stretch.start..position + 1,
            };
            if may_match(sealed_segment) {
                let handle = self.handles.get(sealed_segment)?;
                run.open();
                let all_seen = match self.candidates(sealed_segment, &handle, hint, &ahead)? {
                    Candidates::Read(records) => pick_read(&records, &ahead, hint, &mut run),
                    Candidates::At(positions) => {
                        pick(sealed_segment, &handle, &positions, hint, &mut run)?
                    }
                    Candidates::All if run.is_empty() => {
                        let chunk = chunk_of(sealed_segment, position, &stretch);
                        return self
                            .chunk(sealed_segment, &handle, position, chunk)
                            .map(ReadResult::Records);
                    }
                    Candidates::All => break,
                };
                if !all_seen {
                    break;
                }
            }
            let edge = match hint.order {
                ScanOrder::Ascending => ahead.end - 1,
                ScanOrder::Descending => ahead.start,
            };
            run.cover(sealed_segment.sequence(edge));
            let whole = edge == 0 && hint.order == ScanOrder::Descending
                || edge + 1 == sealed_segment.covers() && hint.order == ScanOrder::Ascending;
            let beside = state.neighbour(*reached, hint.order).filter(|_| whole);
            match beside {
                Some(beside) if !run.is_enough() && !run.is_over => *reached = beside,
                _ => break,
            }
        }
        Ok(ReadResult::Records(run.finish()))
    }

    /// A chunk of neighbouring records with this position in it.
    fn chunk(
        &self,
        sealed_segment: &SealedSegment,
        handle: &OpenSegment,
        position: u32,
        mut chunk: Range<u32>,
    ) -> Result<Arc<Segment>, ReadFailure> {
        let cached = self.cache.get(PieceKey::Chunk(sealed_segment.sequence(chunk.start)));
        if let Some(run) = cached.filter(|run| holds(run, sealed_segment.sequence(position))) {
            return Ok(run);
        }
        let positions: Vec<u32> = chunk.clone().collect();
        let mut located = handle.locate(&positions)?;
        let len = |located: &[(u32, Option<FrameLocation>)]| -> u64 {
            located.iter().filter_map(|(_, own)| *own).map(|own| u64::from(own.entry.len)).sum()
        };
        // Where records are much larger here than elsewhere.
        while len(&located) > CHUNK_BYTES_MAX && chunk.len() > 1 {
            let middle = chunk.start + chunk.len() as u32 / 2;
            chunk = if position < middle { chunk.start..middle } else { middle..chunk.end };
            located.retain(|(own, _)| chunk.contains(own));
        }
        let positions: Vec<u32> = chunk.clone().collect();
        let mut parts = SegmentParts {
            offsets: (0..chunk.len() as u32).collect(),
            columns: handle.sidecar.columns(&positions)?,
            ..SegmentParts::default()
        };
        handle.frames(&located, &mut parts.data, &mut parts.ends)?;
        let base = sealed_segment.sequence(chunk.start);
        let run = Arc::new(Segment::of_parts(base, chunk.len() as u32, parts));
        self.cache.put(PieceKey::Chunk(base), &run);
        Ok(run)
    }

    /// The records ahead that may match. Where a list names few in a segment, all of
    /// them are read and kept: the next search for the same value finds them in
    /// memory.
    fn candidates(
        &self,
        sealed_segment: &SealedSegment,
        handle: &OpenSegment,
        hint: &OwnedReadHint,
        ahead: &Range<u32>,
    ) -> Result<Candidates, ReadFailure> {
        let lists = match &hint.query {
            Some(query) => {
                handle.sidecar.narrowest(query.filter.selection(), &sealed_segment.summary)?
            }
            None => None,
        };
        let mut positions = match (lists, hint.content) {
            (Some(lists), _) => {
                let mut positions = handle.sidecar.positions(&lists)?;
                let is_short = lists.len * sealed_segment.frame_bytes() <= LIST_BYTES_MAX;
                let listed = lists.listed.filter(|_| is_short && !sealed_segment.has_damage());
                if let Some(listed) = listed {
                    let key = PieceKey::List(sealed_segment.base(), listed);
                    return self
                        .list(sealed_segment, handle, key, &positions)
                        .map(Candidates::Read);
                }
                positions.retain(|position| ahead.contains(position));
                positions
            }
            (None, ReadContent::Columns) => ahead.clone().collect(),
            (None, ReadContent::Frames) => return Ok(Candidates::All),
        };
        if hint.order == ScanOrder::Descending {
            positions.reverse();
        }
        Ok(Candidates::At(positions))
    }

    /// The records of a segment that a list names.
    fn list(
        &self,
        sealed_segment: &SealedSegment,
        handle: &OpenSegment,
        key: PieceKey,
        positions: &[u32],
    ) -> Result<Arc<Segment>, ReadFailure> {
        if let Some(records) = self.cache.get(key) {
            return Ok(records);
        }
        let mut parts = SegmentParts { offsets: positions.to_vec(), ..SegmentParts::default() };
        handle.frames(&handle.locate(positions)?, &mut parts.data, &mut parts.ends)?;
        let mut start = 0;
        for end in &parts.ends {
            let frame = parts.data.get(start..*end as usize).unwrap_or_default();
            parts.columns.push(RecordColumns::of(&Record::read_frame(frame)));
            start = *end as usize;
        }
        let records =
            Arc::new(Segment::of_parts(sealed_segment.base(), sealed_segment.covers(), parts));
        self.cache.put(key, &records);
        Ok(records)
    }
}

/// Records of a segment that may match.
enum Candidates {
    /// All of them that a list names, read.
    Read(Arc<Segment>),
    /// Those at these positions, in the order of the reader.
    At(Vec<u32>),
    /// So many that chunks are to be read.
    All,
}

/// Whether the run has a record.
pub fn holds(run: &Segment, at: Sequence) -> bool {
    at >= run.base() && at.0 - run.base().0 < run.len() as u64
}

/// The chunk that holds `position`: always the same ones, so that they can be
/// cached, but for what damage cuts off.
pub fn chunk_of(sealed_segment: &SealedSegment, position: u32, stretch: &Range<u32>) -> Range<u32> {
    let records = u64::from(sealed_segment.covers());
    let per_chunk = (records * CHUNK_BYTES) / sealed_segment.summary.data_len.max(1);
    let per_chunk = per_chunk.clamp(1, records.max(1)) as u32;
    let start = position / per_chunk * per_chunk;
    start.max(stretch.start)..(start + per_chunk).min(stretch.end)
}

const _: () = assert!(CHUNK_BYTES as usize <= BYTES_MAX, "a chunk is no larger than a run");
