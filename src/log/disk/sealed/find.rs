//! Finding records by id and by the time of their acceptance.

use std::ops::Range;
use std::sync::Arc;

use super::open_segments::{OpenSegment, ReadFailure};
use super::sealed_segment::SealedSegment;
use super::{PendingSegment, SealedInner, SegmentSet};
use crate::filter::TypeSet;
use crate::log::Error;
use crate::log::disk::sidecar::{BloomField, FrameLocation, key_hash};
use crate::log::scan::ScanQuery;
use crate::record::{Draft, Record, Sequence, key, principal_at};
use crate::time::Time;

/// The maximum number of restarts of a look-up after finding damage.
const TRIES_MAX: usize = 8;

/// A record found by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its place.
    pub sequence: Sequence,
    /// Its accept time.
    pub accept_time: Time,
    /// The encoded record.
    pub record: Vec<u8>,
}

/// What is known of an earlier event with the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PriorEvent {
    /// Its record.
    Kept(StoredRecord),
    /// Its record is damaged: it is the event's by all that the sidecar has of it.
    Damaged(Sequence),
    /// A record of its principal that may be the event's is longer than was to be read.
    Unread(Sequence),
}

impl PriorEvent {
    /// The record, if it can be read.
    pub fn kept(self) -> Option<StoredRecord> {
        match self {
            Self::Kept(kept) => Some(kept),
            Self::Damaged(_) | Self::Unread(_) => None,
        }
    }
}

/// So much of a record is read to see who emitted it, in bytes: what others have stored
/// under the id of a draft must not make it expensive.
const HEAD_BYTES: u32 = 4 * 1024;

/// Which of the records with an id are looked for.
#[derive(Clone, Copy)]
enum IdOwner<'a> {
    /// That of this draft, if it is of so many bytes at most.
    Draft(&'a Draft, u64),
    /// Those of these types, whoever emitted them.
    Types(&'a TypeSet),
}

/// The record to look for.
pub struct IdQuery<'a> {
    id: &'a str,
    key: u32,
    whose: IdOwner<'a>,
}

impl<'a> IdQuery<'a> {
    /// The record of this draft, if it is of so many bytes at most.
    pub fn of(draft: &'a Draft, bytes_max: u64) -> Self {
        Self {
            id: draft.event().id(),
            key: draft.id_key(),
            whose: IdOwner::Draft(draft, bytes_max),
        }
    }

    /// Any record with this id and one of these types.
    pub fn with_id(id: &'a str, types: &'a TypeSet) -> Self {
        Self { id, key: key(id), whose: IdOwner::Types(types) }
    }

    fn take(&self, frame: &[u8]) -> Option<StoredRecord> {
        let record = Record::read_frame(frame);
        let is_it = record.envelope().id == Some(self.id)
            && match self.whose {
                IdOwner::Draft(draft, _) => record.principal() == draft.principal(),
                IdOwner::Types(types) => types.contains_name(record.type_name),
            };
        is_it.then(|| StoredRecord {
            sequence: record.sequence,
            accept_time: record.accept_time,
            record: record.bytes.to_vec(),
        })
    }
}

/// The segments that may have an event with one of some ids.
pub struct IdSegments(Vec<Sequence>);

impl IdSegments {
    /// Whether the segment that begins there is one of them.
    pub fn contains(&self, base: Sequence) -> bool {
        self.0.binary_search(&base).is_ok()
    }
}

impl SegmentSet {
    /// The segments in which a query may match by its ids; `None` if it has none.
    pub fn holding_ids(&self, query: &ScanQuery) -> Option<IdSegments> {
        let keys = query.filter.id_keys()?;
        let mut bases = Vec::new();
        for key in keys {
            self.ids.find(key_hash(BloomField::Id, *key), |base| bases.push(base));
        }
        bases.sort_unstable();
        bases.dedup();
        Some(IdSegments(bases))
    }
}

impl SealedInner {
    /// The newest such record in the files that begin in `bases`; else a damaged one that
    /// must have been it.
    pub fn find(
        &self,
        wanted: &IdQuery<'_>,
        bases: Range<Sequence>,
    ) -> Result<Option<PriorEvent>, Error> {
        let state = self.state.load_full();
        let pending =
            state.pending.iter().rev().filter(|pending| bases.contains(&pending.file.base));
        if let Some(found) = pending.filter_map(|pending| pending.find(wanted)).next() {
            return Ok(Some(found));
        }
        let mut found = Vec::new();
        state.ids.find(key_hash(BloomField::Id, wanted.key), |base| found.push(base));
        let mut damaged = None;
        for base in found.into_iter().rev().filter(|base| bases.contains(base)) {
            let Some(sealed_segment) = cold_at(&state, base) else { continue };
            match self.with_tries(sealed_segment, |inner| inner.find_in(sealed_segment, wanted))? {
                Some(PriorEvent::Damaged(sequence)) => damaged = damaged.or(Some(sequence)),
                Some(kept) => return Ok(Some(kept)),
                None => {}
            }
        }
        Ok(damaged.map(PriorEvent::Damaged))
    }

    fn find_in(
        &self,
        sealed_segment: &SealedSegment,
        wanted: &IdQuery<'_>,
    ) -> Result<Option<PriorEvent>, ReadFailure> {
        let handle = self.handles.get(sealed_segment)?;
        let (positions, damaged): (Vec<u32>, Vec<u32>) = handle
            .sidecar
            .find_id(wanted.key)?
            .into_iter()
            .partition(|position| sealed_segment.stretch(*position).is_ok());
        // One at a time: there may be many, and large ones.
        for located in handle.locate(&positions)?.into_iter().rev() {
            let len = located.1.map_or(0, |own| own.entry.len);
            if let IdOwner::Draft(draft, bytes_max) = wanted.whose {
                if len > HEAD_BYTES && handle.is_of_another(located, draft)? {
                    continue;
                }
                if u64::from(len) > bytes_max {
                    return Ok(Some(PriorEvent::Unread(sealed_segment.sequence(located.0))));
                }
            }
            let (mut frame, mut ends) = (Vec::new(), Vec::new());
            handle.frames(&[located], &mut frame, &mut ends)?;
            if let Some(kept) = wanted.take(&frame) {
                return Ok(Some(PriorEvent::Kept(kept)));
            }
        }
        let IdOwner::Draft(draft, _) = wanted.whose else { return Ok(None) };
        // The id alone is a key of 32 bits: with the rest, it is this event.
        let columns = handle.sidecar.columns(&damaged)?;
        let lost = damaged.iter().zip(&columns).rev().find(|(_, kept)| draft.has_columns(kept));
        Ok(lost.map(|(position, _)| PriorEvent::Damaged(sealed_segment.sequence(*position))))
    }

    pub fn accepted_since(&self, time: Time) -> Result<Option<Sequence>, Error> {
        let state = self.state.load_full();
        let after = state.segments.partition_point(|segment| segment.accepted.1 < time);
        let Some(sealed_segment) = state.segments.get(after) else {
            return Ok(state.pending.iter().find_map(|pending| pending.accepted_since(time)));
        };
        if sealed_segment.accepted.0 >= time {
            return Ok(Some(sealed_segment.base()));
        }
        let found = self.with_tries(sealed_segment, |inner| {
            Ok(Some(inner.handles.get(sealed_segment)?.sidecar.accepted_since(time)?))
        })?;
        Ok(Some(found.map_or(sealed_segment.end(), |position| sealed_segment.sequence(position))))
    }

    /// Tries again where something turned out to be damaged; nothing is found in
    /// what was removed meanwhile.
    fn with_tries<T>(
        &self,
        sealed_segment: &SealedSegment,
        work: impl Fn(&Self) -> Result<Option<T>, ReadFailure>,
    ) -> Result<Option<T>, Error> {
        let unreadable = |why: String| Error::Unreadable { from: sealed_segment.base(), why };
        for _ in 0..TRIES_MAX {
            match work(self) {
                Ok(done) => return Ok(done),
                Err(failure) => {
                    self.recover(sealed_segment, failure)
                        .map_err(|error| unreadable(error.to_string()))?;
                    if cold_at(&self.state.load(), sealed_segment.base()).is_none() {
                        return Ok(None);
                    }
                }
            }
        }
        Err(unreadable("its files change while they are read".to_owned()))
    }
}

impl OpenSegment {
    /// Whether a record is surely none of the draft's principal. Reads its beginning, which
    /// no checksum covers alone: the bits of a damaged name would have to be those of
    /// another one.
    fn is_of_another(
        &self,
        (_, located): (u32, Option<FrameLocation>),
        draft: &Draft,
    ) -> Result<bool, ReadFailure> {
        let Some(located) = located else { return Ok(false) };
        let head = self.head(&located, HEAD_BYTES.min(located.entry.len) as usize)?;
        Ok(principal_at(&head).is_some_and(|principal| principal != draft.principal()))
    }
}

impl PendingSegment {
    fn find(&self, wanted: &IdQuery<'_>) -> Option<PriorEvent> {
        let view = self.segment.view(self.file.end.previous());
        let own = view.columns.iter().enumerate().rev().filter(|(_, row)| row.id == wanted.key);
        own.filter_map(|(position, _)| {
            let frame = view.frame(position);
            if let IdOwner::Draft(draft, bytes_max) = wanted.whose {
                if Record::read_frame(frame).principal() != draft.principal() {
                    return None;
                }
                if frame.len() as u64 > bytes_max {
                    return Some(PriorEvent::Unread(view.sequence(position)));
                }
            }
            wanted.take(frame).map(PriorEvent::Kept)
        })
        .next()
    }

    fn accepted_since(&self, time: Time) -> Option<Sequence> {
        let view = self.segment.view(self.file.end.previous());
        let since = view.accepted_since(time);
        (since < view.len()).then(|| view.sequence(since))
    }
}

fn cold_at(state: &SegmentSet, base: Sequence) -> Option<&Arc<SealedSegment>> {
    let place = state.segments.binary_search_by_key(&base, |segment| segment.base()).ok()?;
    state.segments.get(place)
}
