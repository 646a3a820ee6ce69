//! What is known of the drafts of one call before the mutex is taken: which of
//! them repeat others, and which have been compared with records.

use std::collections::{BTreeMap, HashMap};

use crate::event::same_content;
use crate::log::Conflict;
use crate::record::{Draft, Sequence};

/// What comparing contents has shown, so that it need not be done under the
/// mutex.
pub struct Known {
    /// For each draft, the earlier draft of the same call with its key.
    first: Vec<Option<usize>>,
    /// For a draft, the record that has its content.
    equal: HashMap<usize, Sequence>,
    /// Drafts that cannot be stored.
    conflicts: BTreeMap<usize, Conflict>,
}

impl Known {
    /// Finds drafts with the same key in one call.
    pub fn within(drafts: &[Draft]) -> Self {
        let mut known = Self {
            first: vec![None; drafts.len()],
            equal: HashMap::new(),
            conflicts: BTreeMap::new(),
        };
        if drafts.len() < 2 {
            return known;
        }
        let mut seen: HashMap<(&str, &str), (usize, &Draft), foldhash::fast::RandomState> =
            HashMap::with_capacity_and_hasher(drafts.len(), foldhash::fast::RandomState::default());
        for ((position, draft), first) in drafts.iter().enumerate().zip(&mut known.first) {
            let key = (draft.principal(), draft.event().id());
            let (earlier, other) = *seen.entry(key).or_insert((position, draft));
            if earlier == position {
                continue;
            }
            if same_content(draft.event().client_bytes(), other.event().client_bytes()) {
                *first = Some(earlier);
            } else {
                let id = draft.event().id().to_owned();
                known.conflicts.insert(position, Conflict { position, id, sequence: None });
            }
        }
        known
    }

    /// The draft has the content of the record, or another one.
    pub fn compared(&mut self, position: usize, draft: &Draft, sequence: Sequence, equal: bool) {
        if equal {
            self.equal.insert(position, sequence);
        } else {
            let id = draft.event().id().to_owned();
            self.conflicts.insert(position, Conflict { position, id, sequence: Some(sequence) });
        }
    }

    /// Why the draft cannot be stored, if that is known.
    pub fn conflict(&self, position: usize) -> Option<&Conflict> {
        self.conflicts.get(&position)
    }

    /// The earlier draft of the call that this one repeats.
    pub fn repeated_by(&self, position: usize) -> Option<usize> {
        self.first.get(position).copied().flatten()
    }

    /// Whether the draft was found to have the content of the record.
    pub fn is_equal(&self, position: usize, sequence: Sequence) -> bool {
        self.equal.get(&position) == Some(&sequence)
    }

    /// The conflict of the first draft that has one.
    pub fn first_conflict(&self) -> Option<Conflict> {
        self.conflicts.values().next().cloned()
    }
}
