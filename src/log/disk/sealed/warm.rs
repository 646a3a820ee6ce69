//! What is in memory of sealed segments, and needs no thread that may wait: hand-over
//! to one takes longer than many a search.

use super::cache::Key;
use super::cold::Cold;
use super::reader::{Place, chunk_of, holds};
use super::run::Run;
use super::{Inner, State};
use crate::log::disk::sidecar::Listed;
use crate::log::read::Content;
use crate::log::scan::{Order, Query};
use crate::log::{Found, Want};
use crate::record::Sequence;

/// Segments that are passed over at once.
const PASSED_MAX: usize = 1_024;

impl Inner {
    /// What is in memory already, without reading.
    pub fn in_memory(&self, at: Sequence, want: Want<'_>) -> Option<Found> {
        let state = self.state.load();
        let behind = state.segments.last().is_none_or(|segment| at >= segment.end());
        if behind {
            return state.in_fresh(at);
        }
        let Place::In(index) = state.place(at) else { return None };
        let cold = state.segments.get(index)?;
        match want.query.filter(|query| !query.filter.selection().is_empty()) {
            Some(query) if at >= cold.base() => {
                self.listed(cold, query).or_else(|| passed(&state, index, at, query, want.order))
            }
            None if want.content == Content::Frames => {
                let position = cold.position(at);
                let chunk = chunk_of(cold, position, &cold.stretch(position).ok()?);
                let run = self.cache.get(Key::Chunk(cold.sequence(chunk.start)));
                run.filter(|run| holds(run, at)).map(Found::Records)
            }
            _ => None,
        }
    }

    /// All records of a segment that a query may match, if they were read lately
    /// and none is damaged.
    fn listed(&self, cold: &Cold, query: &Query) -> Option<Found> {
        if cold.has_damage() {
            return None;
        }
        let mut lists = Listed::any_of(query.filter.selection());
        lists.find_map(|list| self.cache.get(Key::List(cold.base(), list))).map(Found::Records)
    }
}

/// The segments from this one on in which no record matches, by what is in memory,
/// and none is damaged: an empty run in their place.
fn passed(state: &State, index: usize, at: Sequence, query: &Query, order: Order) -> Option<Found> {
    let ruled_out = |index: &usize| {
        let cold = state.segments.get(*index);
        cold.filter(|cold| !cold.has_damage() && !cold.may_match(query))
    };
    let mut run = Run::new(at, order, usize::MAX);
    let mut next = Some(index);
    for _ in 0..PASSED_MAX {
        let Some(index) = next.filter(|_| !run.is_over) else { break };
        let Some(cold) = ruled_out(&index) else { break };
        run.cover(match order {
            Order::Ascending => cold.end().previous(),
            Order::Descending => cold.base(),
        });
        next = state.beside(index, order);
    }
    (!run.is_empty()).then(|| Found::Records(run.finish()))
}
