//! Reads of sealed segments that memory can answer. They need no blocking thread: handing
//! a read to one takes longer than many searches.

use super::cache::PieceKey;
use super::reader::{SequenceLocation, chunk_of, holds};
use super::run::RecordRun;
use super::sealed_segment::SealedSegment;
use super::{SealedInner, SegmentSet};
use crate::log::disk::sidecar::ListRef;
use crate::log::read::ReadContent;
use crate::log::scan::{ScanOrder, ScanQuery};
use crate::log::{ReadHint, ReadResult};
use crate::record::Sequence;

/// The number of segments to skip in one step.
const PASSED_MAX: usize = 1_024;

impl SealedInner {
    /// Answers a read from memory, without reading files.
    pub fn in_memory(&self, at: Sequence, hint: ReadHint<'_>) -> Option<ReadResult> {
        let state = self.state.load();
        let behind = state.segments.last().is_none_or(|segment| at >= segment.end());
        if behind {
            return state.in_pending(at);
        }
        let SequenceLocation::In(index) = state.locate(at) else { return None };
        let sealed_segment = state.segments.get(index)?;
        let narrows = |query: &&ScanQuery| {
            !query.filter.selection().is_empty() || query.filter.id_keys().is_some()
        };
        match hint.query.filter(narrows) {
            Some(query) if at >= sealed_segment.base() => self
                .listed(sealed_segment, query)
                .or_else(|| passed(&state, index, at, query, hint.order)),
            None if hint.content == ReadContent::Frames => {
                let position = sealed_segment.position(at);
                let chunk =
                    chunk_of(sealed_segment, position, &sealed_segment.stretch(position).ok()?);
                let run = self.cache.get(PieceKey::Chunk(sealed_segment.sequence(chunk.start)));
                run.filter(|run| holds(run, at)).map(ReadResult::Records)
            }
            _ => None,
        }
    }

    /// All records of a segment that a query may match, if they were read lately
    /// and none is damaged.
    fn listed(&self, sealed_segment: &SealedSegment, query: &ScanQuery) -> Option<ReadResult> {
        if sealed_segment.has_damage() {
            return None;
        }
        let mut lists = ListRef::any_of(query.filter.selection());
        lists
            .find_map(|list| self.cache.get(PieceKey::List(sealed_segment.base(), list)))
            .map(ReadResult::Records)
    }
}

/// The segments from this one on in which no record matches, by what is in memory,
/// and none is damaged: an empty run in their place.
fn passed(
    state: &SegmentSet,
    index: usize,
    at: Sequence,
    query: &ScanQuery,
    order: ScanOrder,
) -> Option<ReadResult> {
    let ids = state.holding_ids(query);
    let ruled_out = |index: &usize| {
        let sealed_segment = state.segments.get(*index);
        sealed_segment.filter(|sealed_segment| {
            let lacks_ids = ids.as_ref().is_some_and(|ids| !ids.contains(sealed_segment.base()));
            !sealed_segment.has_damage() && (lacks_ids || !sealed_segment.may_match(query))
        })
    };
    let mut run = RecordRun::new(at, order, usize::MAX);
    let mut next = Some(index);
    for _ in 0..PASSED_MAX {
        let Some(index) = next.filter(|_| !run.is_over) else { break };
        let Some(sealed_segment) = ruled_out(&index) else { break };
        run.cover(match order {
            ScanOrder::Ascending => sealed_segment.end().previous(),
            ScanOrder::Descending => sealed_segment.base(),
        });
        next = state.neighbour(index, order);
    }
    (!run.is_empty()).then(|| ReadResult::Records(run.finish()))
}
