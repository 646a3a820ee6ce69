//! What is known of the drafts of one call before the mutex is taken: which of
//! them repeat others, and which have been compared with records.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::log::id_table::IdTable;
use crate::log::{Append, Conflict, ConflictReason, Receipt};
use crate::record::{Draft, Sequence};

/// What comparing a draft with a record has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentMatch {
    /// The record has another id.
    OtherId,
    /// It has the content of the draft.
    Same,
    /// It has the id of the draft, which cannot be stored.
    Refused(ConflictReason),
}

/// Where the record of a draft is, outside of the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// The draft has the content of a record.
    Kept(Receipt),
    /// It cannot be stored because of the record.
    Refused(Sequence, ConflictReason),
}

/// What is known, so that it need not be found out under the mutex.
#[derive(Debug, Default)]
pub struct DuplicateCheck {
    /// For a draft, the first draft of the call with its key.
    repeats: BTreeMap<usize, usize>,
    /// Drafts whose content is not that of the first draft with their key, behind that.
    differs: BTreeSet<(usize, usize)>,
    /// For a draft and a record of the ring, what comparing has shown.
    verdicts: HashMap<(usize, Sequence), ContentMatch>,
    /// For a draft, its record outside of the ring.
    outside: HashMap<usize, Outside>,
}

impl DuplicateCheck {
    /// Finds drafts with the same key in one call.
    pub fn within(drafts: &[Draft]) -> Self {
        let mut known = Self::default();
        if drafts.len() < 2 {
            return known;
        }
        // The keys settle nearly all: ids are compared only where keys are equal.
        // Positions stand in for sequences.
        let mut seen = IdTable::with_capacity(drafts.len());
        for (position, draft) in drafts.iter().enumerate() {
            let place = Sequence(position as u64);
            let first = seen.find(draft.id_key(), place, |Sequence(earlier)| {
                drafts.get(earlier as usize).is_some_and(|other| other.is_same(draft))
            });
            match first {
                Some(first) => {
                    known.repeats.insert(position, first.0 as usize);
                }
                None => seen.insert(draft.id_key(), place),
            }
        }
        known
    }

    /// The drafts that have the key of an earlier one, with the first of those.
    pub fn repeats(&self) -> Vec<(usize, usize)> {
        self.repeats.iter().map(|(position, first)| (*position, *first)).collect()
    }

    /// The draft has not the content of the first one with its key.
    pub fn differs(&mut self, position: usize) {
        let first = self.repeated_by(position).unwrap_or(position);
        self.differs.insert((first, position));
    }

    /// Whether the drafts can be stored together, as far as that can be told of them
    /// alone.
    ///
    /// # Errors
    /// The first draft that differs from an earlier one with its key, where that refuses
    /// all.
    pub fn check(&self, drafts: &[Draft], append: Append) -> Result<(), Conflict> {
        let first = self.differs.iter().map(|(_, position)| *position).min();
        let Some(position) = first.filter(|_| append.is_all_or_nothing()) else { return Ok(()) };
        let id = drafts.get(position).map_or("", |draft| draft.event().id()).to_owned();
        Err(Conflict { position, id, sequence: None, reason: ConflictReason::Content })
    }

    /// Whether the draft differs from the first one with its key.
    pub fn is_different(&self, position: usize) -> bool {
        let first = self.repeated_by(position);
        first.is_some_and(|first| self.differs.contains(&(first, position)))
    }

    /// The first draft of the call with the key of this one, unless it is the first.
    pub fn repeated_by(&self, position: usize) -> Option<usize> {
        self.repeats.get(&position).copied()
    }

    /// This draft, which is the first with its key, and those that have the key and
    /// another content: each must be compared with what is kept.
    pub fn with_key_of(&self, first: usize) -> Vec<usize> {
        let others = self.differs.range((first, 0)..(first + 1, 0));
        std::iter::once(first).chain(others.map(|(_, position)| *position)).collect()
    }

    /// A draft was compared with a record of the ring.
    pub fn settle(&mut self, position: usize, sequence: Sequence, verdict: ContentMatch) {
        self.verdicts.insert((position, sequence), verdict);
    }

    /// What comparing a draft with a record has shown.
    pub fn verdict(&self, position: usize, sequence: Sequence) -> Option<ContentMatch> {
        self.verdicts.get(&(position, sequence)).copied()
    }

    /// The record of a draft was found outside of the ring.
    pub fn found(&mut self, position: usize, outside: Outside) {
        self.outside.insert(position, outside);
    }

    /// Where the record of a draft is, outside of the ring.
    pub fn outside(&self, position: usize) -> Option<Outside> {
        self.outside.get(&position).copied()
    }
}
