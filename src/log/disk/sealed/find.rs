//! Finding records by id and by the time of their acceptance.

use std::sync::Arc;

use super::open_segments::ReadFailure;
use super::sealed_segment::SealedSegment;
use super::{PendingSegment, SealedInner, SegmentSet};
use crate::filter::TypeSet;
use crate::log::Error;
use crate::log::disk::sidecar::{BloomField, key_hash};
use crate::record::{Draft, Record, Sequence, key};
use crate::time::Time;

/// How often a look-up begins anew, because something turned out to be damaged.
const TRIES_MAX: usize = 8;

/// A record that was found by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its place.
    pub sequence: Sequence,
    /// When it was accepted.
    pub accept_time: Time,
    /// All of it, encoded.
    pub record: Vec<u8>,
}

/// What is known of an event that was accepted before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PriorEvent {
    /// Its record.
    Kept(StoredRecord),
    /// Its record is damaged: it is the event's by all that the sidecar has of it.
    Damaged(Sequence),
}

impl PriorEvent {
    /// The record, if it can be read.
    pub fn kept(self) -> Option<StoredRecord> {
        match self {
            Self::Kept(kept) => Some(kept),
            Self::Damaged(_) => None,
        }
    }
}

/// Which of the records with an id are looked for.
#[derive(Clone, Copy)]
enum IdOwner<'a> {
    /// That of this draft.
    Draft(&'a Draft),
    /// Those of these types, whoever emitted them.
    Types(&'a TypeSet),
}

/// Which record is looked for.
pub struct IdQuery<'a> {
    id: &'a str,
    key: u32,
    whose: IdOwner<'a>,
}

impl<'a> IdQuery<'a> {
    /// The record of this draft.
    pub fn of(draft: &'a Draft) -> Self {
        let id = draft.event().id();
        Self { id, key: key(id), whose: IdOwner::Draft(draft) }
    }

    /// Any record with this id and one of these types.
    pub fn with_id(id: &'a str, types: &'a TypeSet) -> Self {
        Self { id, key: key(id), whose: IdOwner::Types(types) }
    }

    fn take(&self, frame: &[u8]) -> Option<StoredRecord> {
        let record = Record::read_frame(frame);
        let is_it = record.envelope().id == Some(self.id)
            && match self.whose {
                IdOwner::Draft(draft) => record.principal() == draft.principal(),
                IdOwner::Types(types) => types.contains_name(record.type_name),
            };
        is_it.then(|| StoredRecord {
            sequence: record.sequence,
            accept_time: record.accept_time,
            record: record.bytes.to_vec(),
        })
    }
}

impl SealedInner {
    /// The newest such record before `before`; else a damaged one that must have
    /// been it.
    pub fn find(
        &self,
        wanted: &IdQuery<'_>,
        before: Sequence,
    ) -> Result<Option<PriorEvent>, Error> {
        let state = self.state.load_full();
        let pending = state.pending.iter().rev().filter(|pending| pending.file.base < before);
        if let Some(kept) = pending.filter_map(|pending| pending.find(wanted)).next() {
            return Ok(Some(PriorEvent::Kept(kept)));
        }
        let mut bases = Vec::new();
        state.ids.find(key_hash(BloomField::Id, wanted.key), |base| bases.push(base));
        let mut damaged = None;
        for base in bases.into_iter().rev().filter(|base| *base < before) {
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
        let located = handle.locate(&positions)?;
        let (mut data, mut ends) = (Vec::new(), Vec::new());
        handle.frames(&located, &mut data, &mut ends)?;
        let mut start = 0;
        let mut newest = None;
        for end in ends {
            let frame = data.get(start..end as usize).unwrap_or_default();
            newest = wanted.take(frame).or(newest);
            start = end as usize;
        }
        let (IdOwner::Draft(draft), None) = (wanted.whose, &newest) else {
            return Ok(newest.map(PriorEvent::Kept));
        };
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

impl PendingSegment {
    fn find(&self, wanted: &IdQuery<'_>) -> Option<StoredRecord> {
        let view = self.segment.view(self.file.end.previous());
        let own = view.columns.iter().enumerate().rev().filter(|(_, row)| row.id == wanted.key);
        own.filter_map(|(position, _)| wanted.take(view.frame(position))).next()
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
