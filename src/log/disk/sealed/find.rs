//! Finding records by id and by the time of their acceptance.

use std::sync::Arc;

use super::cold::Cold;
use super::handle::Trouble;
use super::{Fresh, Inner, State};
use crate::filter::TypeSet;
use crate::log::Error;
use crate::log::disk::sidecar::{Keyed, key_hash};
use crate::record::{Draft, Record, Sequence, key};
use crate::time::Time;

/// How often a look-up begins anew, because something turned out to be damaged.
const TRIES_MAX: usize = 8;

/// A record that was found by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its place.
    pub sequence: Sequence,
    /// When it was accepted.
    pub accept_time: Time,
    /// All of it, encoded.
    pub record: Vec<u8>,
}

/// What is known of an event that was accepted before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Earlier {
    /// Its record.
    Kept(Kept),
    /// Its record is damaged: it is the event's by all that the sidecar has of it.
    Damaged(Sequence),
}

impl Earlier {
    /// The record, if it can be read.
    pub fn kept(self) -> Option<Kept> {
        match self {
            Self::Kept(kept) => Some(kept),
            Self::Damaged(_) => None,
        }
    }
}

/// Which of the records with an id are looked for.
#[derive(Clone, Copy)]
enum Whose<'a> {
    /// That of this draft.
    Draft(&'a Draft),
    /// Those of these types, whoever emitted them.
    Types(&'a TypeSet),
}

/// Which record is looked for.
pub struct Wanted<'a> {
    id: &'a str,
    key: u32,
    whose: Whose<'a>,
}

impl<'a> Wanted<'a> {
    /// The record of this draft.
    pub fn of(draft: &'a Draft) -> Self {
        let id = draft.event().id();
        Self { id, key: key(id), whose: Whose::Draft(draft) }
    }

    /// Any record with this id and one of these types.
    pub fn with_id(id: &'a str, types: &'a TypeSet) -> Self {
        Self { id, key: key(id), whose: Whose::Types(types) }
    }

    fn take(&self, frame: &[u8]) -> Option<Kept> {
        let record = Record::read_frame(frame);
        let is_it = record.envelope().id == Some(self.id)
            && match self.whose {
                Whose::Draft(draft) => record.principal() == draft.principal(),
                Whose::Types(types) => types.contains_name(record.type_name),
            };
        is_it.then(|| Kept {
            sequence: record.sequence,
            accept_time: record.accept_time,
            record: record.bytes.to_vec(),
        })
    }
}

impl Inner {
    /// The newest such record before `before`; else a damaged one that must have
    /// been it.
    pub fn find(&self, wanted: &Wanted<'_>, before: Sequence) -> Result<Option<Earlier>, Error> {
        let state = self.state.load_full();
        let fresh = state.fresh.iter().rev().filter(|fresh| fresh.file.base < before);
        if let Some(kept) = fresh.filter_map(|fresh| fresh.find(wanted)).next() {
            return Ok(Some(Earlier::Kept(kept)));
        }
        let mut bases = Vec::new();
        state.ids.find(key_hash(Keyed::Id, wanted.key), |base| bases.push(base));
        let mut damaged = None;
        for base in bases.into_iter().rev().filter(|base| *base < before) {
            let Some(cold) = cold_at(&state, base) else { continue };
            match self.with_tries(cold, |inner| inner.find_in(cold, wanted))? {
                Some(Earlier::Damaged(sequence)) => damaged = damaged.or(Some(sequence)),
                Some(kept) => return Ok(Some(kept)),
                None => {}
            }
        }
        Ok(damaged.map(Earlier::Damaged))
    }

    fn find_in(&self, cold: &Cold, wanted: &Wanted<'_>) -> Result<Option<Earlier>, Trouble> {
        let handle = self.handles.get(cold)?;
        let (positions, damaged): (Vec<u32>, Vec<u32>) = handle
            .sidecar
            .find_id(wanted.key)?
            .into_iter()
            .partition(|position| cold.stretch(*position).is_ok());
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
        let (Whose::Draft(draft), None) = (wanted.whose, &newest) else {
            return Ok(newest.map(Earlier::Kept));
        };
        // The id alone is a key of 32 bits: with the rest, it is this event.
        let columns = handle.sidecar.columns(&damaged)?;
        let lost = damaged.iter().zip(&columns).rev().find(|(_, kept)| draft.has_columns(kept));
        Ok(lost.map(|(position, _)| Earlier::Damaged(cold.sequence(*position))))
    }

    pub fn accepted_since(&self, time: Time) -> Result<Option<Sequence>, Error> {
        let state = self.state.load_full();
        let after = state.segments.partition_point(|segment| segment.accepted.1 < time);
        let Some(cold) = state.segments.get(after) else {
            return Ok(state.fresh.iter().find_map(|fresh| fresh.accepted_since(time)));
        };
        if cold.accepted.0 >= time {
            return Ok(Some(cold.base()));
        }
        let found = self.with_tries(cold, |inner| {
            Ok(Some(inner.handles.get(cold)?.sidecar.accepted_since(time)?))
        })?;
        Ok(Some(found.map_or(cold.end(), |position| cold.sequence(position))))
    }

    /// Tries again where something turned out to be damaged; nothing is found in
    /// what was removed meanwhile.
    fn with_tries<T>(
        &self,
        cold: &Cold,
        work: impl Fn(&Self) -> Result<Option<T>, Trouble>,
    ) -> Result<Option<T>, Error> {
        let unreadable = |why: String| Error::Unreadable { from: cold.base(), why };
        for _ in 0..TRIES_MAX {
            match work(self) {
                Ok(done) => return Ok(done),
                Err(trouble) => {
                    self.cope(cold, trouble).map_err(|error| unreadable(error.to_string()))?;
                    if cold_at(&self.state.load(), cold.base()).is_none() {
                        return Ok(None);
                    }
                }
            }
        }
        Err(unreadable("its files change while they are read".to_owned()))
    }
}

impl Fresh {
    fn find(&self, wanted: &Wanted<'_>) -> Option<Kept> {
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

fn cold_at(state: &State, base: Sequence) -> Option<&Arc<Cold>> {
    let place = state.segments.binary_search_by_key(&base, |segment| segment.base()).ok()?;
    state.segments.get(place)
}
