//! Reads runs of records from sealed segments, on a thread that may wait.

use std::ops::Range;
use std::sync::Arc;

use super::cache::Key;
use super::cold::Cold;
use super::handle::{Handle, Trouble};
use super::pick::{pick, pick_read};
use super::run::{BYTES_MAX, Run};
use super::{Inner, State};
use crate::filter::{Outcome, Verdict};
use crate::log::disk::sidecar::Located;
use crate::log::read::Content;
use crate::log::scan::{Order, Query};
use crate::log::segment::{Parts, Segment};
use crate::log::{Error, Found, Want};
use crate::record::{Columns, Record, Sequence, unframed};
use crate::time::Time;

/// A chunk of neighbouring records is about so large, in bytes of frames. Readers
/// take 64 KiB at a time: what one of them leaves is cached for its next turn.
const CHUNK_BYTES: u64 = 256 * 1024;
/// A chunk is never larger, in bytes of frames; one larger record alone excepted.
const CHUNK_BYTES_MAX: u64 = 1024 * 1024;
/// The records of a list are read together if they are about as large at most, in
/// bytes of frames.
const LIST_BYTES_MAX: u64 = 64 * 1024;
/// How often a read begins anew, because something turned out to be damaged.
const TRIES_MAX: usize = 64;

/// A [`Want`] that can be handed to another thread.
pub struct Wish {
    query: Option<Query>,
    pub order: Order,
    pub content: Content,
    records: usize,
    /// What the columns say may leave out records that an index lets in.
    pub columns_decide: bool,
}

/// What becomes of a record, by its columns.
pub enum Fate {
    LeftOut,
    ColumnsOnly,
    /// `true` if it is known to match.
    Picked(bool),
}

/// Where a sequence lies.
pub enum Place {
    In(usize),
    /// Between segments: their file is missing.
    Lost(Sequence, Sequence),
    Behind,
}

impl Wish {
    pub fn new(want: Want<'_>) -> Self {
        let Want { query, order, content, records } = want;
        let narrows = |query: &Query| {
            let timed = query.start != Time::MIN || query.end != Time::MAX;
            timed || query.filter.selection().fields() > 1
        };
        let columns_decide = content == Content::Columns || query.is_some_and(narrows);
        Self { query: query.cloned(), order, content, records, columns_decide }
    }

    /// Whether a record that its columns leave open matches, by its frame; `None`
    /// if it does not. Where an expression fails, the reader is to see it fail.
    pub fn verdict(&self, frame: &[u8]) -> Option<bool> {
        let Some(query) = &self.query else { return Some(true) };
        match query.filter.record(unframed(frame)) {
            Outcome::Match => Some(true),
            Outcome::NoMatch => None,
            Outcome::ExpressionFailed => Some(false),
        }
    }

    pub fn fate(&self, columns: &Columns) -> Fate {
        let verdict = self.query.as_ref().map_or(Verdict::Yes, |query| query.columns(columns));
        match (verdict, self.content) {
            (Verdict::No, _) => Fate::LeftOut,
            (Verdict::Yes, Content::Columns) if !columns.type_id.is_custom() => Fate::ColumnsOnly,
            (verdict, _) => Fate::Picked(verdict == Verdict::Yes),
        }
    }
}

impl State {
    pub fn place(&self, at: Sequence) -> Place {
        let after = self.segments.partition_point(|segment| segment.base() <= at);
        // Before the oldest record: as if at it.
        let index = after.saturating_sub(1);
        let next = self.segments.get(index + 1);
        match (self.segments.get(index), next) {
            (None, _) => Place::Behind,
            (Some(segment), _) if at < segment.end() => Place::In(index),
            (Some(segment), Some(next)) => Place::Lost(segment.end(), next.base().previous()),
            (Some(_), None) => Place::Behind,
        }
    }

    /// A run of the segments that are in memory.
    pub fn in_fresh(&self, at: Sequence) -> Option<Found> {
        let fresh = self.fresh.iter().find(|fresh| at < fresh.file.end)?;
        // Between files, one is missing; before the first, all are gone.
        let lost = self.segments.last().map(|before| before.end());
        match lost.filter(|first| *first <= at && at < fresh.file.base) {
            Some(first) => Some(Found::Damaged { first, last: fresh.file.base.previous() }),
            None => Some(Found::Records(Arc::clone(&fresh.segment))),
        }
    }

    /// The segment next to this one in `order`, if no record is lost in between.
    pub fn beside(&self, index: usize, order: Order) -> Option<usize> {
        let (older, newer) = match order {
            Order::Ascending => (index, index.checked_add(1)?),
            Order::Descending => (index.checked_sub(1)?, index),
        };
        let adjoin = self.segments.get(older)?.end() == self.segments.get(newer)?.base();
        adjoin.then_some(if order == Order::Ascending { newer } else { older })
    }
}

impl Inner {
    /// See [`Sealed::read`](super::Sealed::read).
    pub fn read(&self, at: Sequence, wish: &Wish) -> Result<Option<Found>, Error> {
        let unreadable = |why: String| Error::Unreadable { from: at, why };
        for _ in 0..TRIES_MAX {
            let state = self.state.load_full();
            let index = match state.place(at) {
                Place::In(index) => index,
                Place::Lost(first, last) => return Ok(Some(Found::Damaged { first, last })),
                Place::Behind => return Ok(state.in_fresh(at)),
            };
            let first = state.segments.get(index).map_or(at, |cold| cold.base());
            let mut reached = index;
            match self.run(&state, at.max(first), &mut reached, wish) {
                Ok(found) => return Ok(Some(found)),
                Err(trouble) => {
                    let Some(cold) = state.segments.get(reached) else { break };
                    self.cope(cold, trouble).map_err(|error| unreadable(error.to_string()))?;
                }
            }
        }
        Err(unreadable("its files change while they are read".to_owned()))
    }

    /// Makes it possible to read again, or says why it is not.
    pub fn cope(&self, cold: &Cold, trouble: Trouble) -> Result<(), std::io::Error> {
        match trouble {
            Trouble::Damage(positions) => {
                self.report_damage(cold, &positions);
                Ok(())
            }
            Trouble::Sidecar => {
                self.handles.remove(cold.base());
                let path = cold.sidecar_path();
                tracing::warn!("{} is not what was written: it is made again", path.display());
                match self.storage.remove(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                }
            }
            // Removed meanwhile, with its records.
            Trouble::Io(error) => {
                let kept = self.state.load();
                let is_kept = kept.segments.iter().any(|own| own.base() == cold.base());
                if is_kept { Err(error) } else { Ok(()) }
            }
        }
    }

    /// `reached` is the segment at hand.
    fn run(
        &self,
        state: &State,
        at: Sequence,
        reached: &mut usize,
        wish: &Wish,
    ) -> Result<Found, Trouble> {
        let mut run = Run::new(at, wish.order, wish.records);
        while let Some(cold) = state.segments.get(*reached) {
            let position = cold.position(run.next);
            let stretch = match cold.stretch(position) {
                Ok(stretch) => stretch,
                Err((first, last)) if run.is_empty() => {
                    let (first, last) = (cold.sequence(first), cold.sequence(last));
                    return Ok(Found::Damaged { first, last });
                }
                Err(_) => break,
            };
            let ahead = match wish.order {
                Order::Ascending => position..stretch.end,
                Order::Descending => stretch.start..position + 1,
            };
            if wish.query.as_ref().is_none_or(|query| cold.may_match(query)) {
                let handle = self.handles.get(cold)?;
                run.open();
                let all_seen = match self.candidates(cold, &handle, wish, &ahead)? {
                    Candidates::Read(records) => pick_read(&records, &ahead, wish, &mut run),
                    Candidates::At(positions) => pick(cold, &handle, &positions, wish, &mut run)?,
                    Candidates::All if run.is_empty() => {
                        let chunk = chunk_of(cold, position, &stretch);
                        return self.chunk(cold, &handle, position, chunk).map(Found::Records);
                    }
                    Candidates::All => break,
                };
                if !all_seen {
                    break;
                }
            }
            let edge = match wish.order {
                Order::Ascending => ahead.end - 1,
                Order::Descending => ahead.start,
            };
            run.cover(cold.sequence(edge));
            let whole = edge == 0 && wish.order == Order::Descending
                || edge + 1 == cold.covers() && wish.order == Order::Ascending;
            let beside = state.beside(*reached, wish.order).filter(|_| whole);
            match beside {
                Some(beside) if !run.is_enough() && !run.is_over => *reached = beside,
                _ => break,
            }
        }
        Ok(Found::Records(run.finish()))
    }

    /// A chunk of neighbouring records with this position in it.
    fn chunk(
        &self,
        cold: &Cold,
        handle: &Handle,
        position: u32,
        mut chunk: Range<u32>,
    ) -> Result<Arc<Segment>, Trouble> {
        let cached = self.cache.get(Key::Chunk(cold.sequence(chunk.start)));
        if let Some(run) = cached.filter(|run| holds(run, cold.sequence(position))) {
            return Ok(run);
        }
        let positions: Vec<u32> = chunk.clone().collect();
        let mut located = handle.locate(&positions)?;
        let len = |located: &[(u32, Option<Located>)]| -> u64 {
            located.iter().filter_map(|(_, own)| *own).map(|own| u64::from(own.entry.len)).sum()
        };
        // Where records are much larger here than elsewhere.
        while len(&located) > CHUNK_BYTES_MAX && chunk.len() > 1 {
            let middle = chunk.start + chunk.len() as u32 / 2;
            chunk = if position < middle { chunk.start..middle } else { middle..chunk.end };
            located.retain(|(own, _)| chunk.contains(own));
        }
        let positions: Vec<u32> = chunk.clone().collect();
        let mut parts = Parts {
            offsets: (0..chunk.len() as u32).collect(),
            columns: handle.sidecar.columns(&positions)?,
            ..Parts::default()
        };
        handle.frames(&located, &mut parts.data, &mut parts.ends)?;
        let base = cold.sequence(chunk.start);
        let run = Arc::new(Segment::of_parts(base, chunk.len() as u32, parts));
        self.cache.put(Key::Chunk(base), &run);
        Ok(run)
    }

    /// The records ahead that may match. Where a list names few in a segment, all of
    /// them are read and kept: the next search for the same value finds them in
    /// memory.
    fn candidates(
        &self,
        cold: &Cold,
        handle: &Handle,
        wish: &Wish,
        ahead: &Range<u32>,
    ) -> Result<Candidates, Trouble> {
        let lists = match &wish.query {
            Some(query) => handle.sidecar.narrowest(query.filter.selection(), &cold.summary)?,
            None => None,
        };
        let mut positions = match (lists, wish.content) {
            (Some(lists), _) => {
                let mut positions = handle.sidecar.positions(&lists)?;
                let is_short = lists.len * cold.frame_bytes() <= LIST_BYTES_MAX;
                let listed = lists.listed.filter(|_| is_short && !cold.has_damage());
                if let Some(listed) = listed {
                    let key = Key::List(cold.base(), listed);
                    return self.list(cold, handle, key, &positions).map(Candidates::Read);
                }
                positions.retain(|position| ahead.contains(position));
                positions
            }
            (None, Content::Columns) => ahead.clone().collect(),
            (None, Content::Frames) => return Ok(Candidates::All),
        };
        if wish.order == Order::Descending {
            positions.reverse();
        }
        Ok(Candidates::At(positions))
    }

    /// The records of a segment that a list names.
    fn list(
        &self,
        cold: &Cold,
        handle: &Handle,
        key: Key,
        positions: &[u32],
    ) -> Result<Arc<Segment>, Trouble> {
        if let Some(records) = self.cache.get(key) {
            return Ok(records);
        }
        let mut parts = Parts { offsets: positions.to_vec(), ..Parts::default() };
        handle.frames(&handle.locate(positions)?, &mut parts.data, &mut parts.ends)?;
        let mut start = 0;
        for end in &parts.ends {
            let frame = parts.data.get(start..*end as usize).unwrap_or_default();
            parts.columns.push(Columns::of(&Record::read_frame(frame)));
            start = *end as usize;
        }
        let records = Arc::new(Segment::of_parts(cold.base(), cold.covers(), parts));
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
pub fn chunk_of(cold: &Cold, position: u32, stretch: &Range<u32>) -> Range<u32> {
    let records = u64::from(cold.covers());
    let per_chunk = (records * CHUNK_BYTES) / cold.summary.data_len.max(1);
    let per_chunk = per_chunk.clamp(1, records.max(1)) as u32;
    let start = position / per_chunk * per_chunk;
    start.max(stretch.start)..(start + per_chunk).min(stretch.end)
}

const _: () = assert!(CHUNK_BYTES as usize <= BYTES_MAX, "a chunk is no larger than a run");
