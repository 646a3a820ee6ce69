//! What is known of the drafts of one call before the mutex is taken: which of
//! them repeat others, and which have been compared with records.

use std::collections::{BTreeMap, HashMap};

use crate::log::id_table::IdTable;
use crate::log::ring::ConflictCandidate;
use crate::log::{Conflict, Placed};
use crate::record::{Draft, Record, Sequence};

/// What comparing contents has shown, so that it need not be done under the
/// mutex.
pub struct DuplicateCheck {
    /// For a draft, the earlier draft of the same call with its key.
    repeats: HashMap<usize, usize>,
    /// For a draft, the record that has its content.
    equal: HashMap<usize, Sequence>,
    /// For a draft, its record outside of the ring.
    kept: HashMap<usize, Placed>,
    /// Drafts that cannot be stored.
    conflicts: BTreeMap<usize, Conflict>,
}

impl DuplicateCheck {
    /// Finds drafts with the same key in one call.
    pub fn within(drafts: &[Draft]) -> Self {
        let mut known = Self {
            repeats: HashMap::new(),
            equal: HashMap::new(),
            kept: HashMap::new(),
            conflicts: BTreeMap::new(),
        };
        if drafts.len() < 2 {
            return known;
        }
        // The keys settle nearly all: ids are compared only where keys are equal.
        // Positions stand in for sequences.
        let mut seen = IdTable::with_capacity(drafts.len());
        for (position, draft) in drafts.iter().enumerate() {
            let place = Sequence(position as u64);
            let mut first = None;
            seen.find(draft.id_key(), place, |Sequence(earlier)| {
                let other = drafts.get(earlier as usize);
                first = other.filter(|other| other.is_same(draft)).map(|other| (earlier, other));
                first.is_some()
            });
            let Some((earlier, other)) = first else {
                seen.insert(draft.id_key(), place);
                continue;
            };
            if draft.repeats(other) {
                known.repeats.insert(position, earlier as usize);
            } else {
                let id = draft.event().id().to_owned();
                let conflict = Conflict { position, id, sequence: None, damaged: false };
                known.conflicts.insert(position, conflict);
            }
        }
        known
    }

    /// The draft has the content of the record, or another one.
    pub fn compared(&mut self, position: usize, draft: &Draft, sequence: Sequence, equal: bool) {
        if equal {
            self.equal.insert(position, sequence);
        } else {
            self.refuse(position, draft, sequence, false);
        }
    }

    /// The draft is kept already, to all that can be told of the record, which is
    /// damaged.
    pub fn lost(&mut self, position: usize, draft: &Draft, sequence: Sequence) {
        self.refuse(position, draft, sequence, true);
    }

    fn refuse(&mut self, position: usize, draft: &Draft, sequence: Sequence, damaged: bool) {
        let id = draft.event().id().to_owned();
        let conflict = Conflict { position, id, sequence: Some(sequence), damaged };
        self.conflicts.insert(position, conflict);
    }

    /// Compares drafts by meaning with the records that have their keys.
    pub fn compare(&mut self, drafts: &[Draft], pairs: Vec<ConflictCandidate>) {
        for pair in pairs {
            let draft = drafts.get(pair.position).expect("positions are those of the drafts");
            let equal = draft.repeats_record(&Record::read(&pair.kept));
            self.compared(pair.position, draft, pair.sequence, equal);
        }
    }

    /// The draft is kept already, outside of the ring.
    pub fn found(&mut self, position: usize, placed: Placed) {
        self.kept.insert(position, placed);
    }

    /// The place of a draft that is kept outside of the ring.
    pub fn kept(&self, position: usize) -> Option<Placed> {
        self.kept.get(&position).copied()
    }

    /// Why the draft cannot be stored, if that is known.
    pub fn conflict(&self, position: usize) -> Option<&Conflict> {
        self.conflicts.get(&position)
    }

    /// The earlier draft of the call that this one repeats.
    pub fn repeated_by(&self, position: usize) -> Option<usize> {
        self.repeats.get(&position).copied()
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
