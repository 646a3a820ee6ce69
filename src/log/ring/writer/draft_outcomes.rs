//! Decides the outcome of each draft of a call: a record of its own and its sequence, the receipt of an
//! earlier record, or a conflict.

use std::sync::Arc;

use super::outcome::{ConflictCandidate, DraftOutcome};
use super::{RingWriter, with_view};
use crate::log::ring::compare::HAS_ID_FIELDS_MAX;
use crate::log::ring::duplicate_check::{ContentMatch, DuplicateCheck, Outside};
use crate::log::segment::Segment;
use crate::log::{Appended, Conflict, ConflictReason, Receipt};
use crate::record::{Acceptance, Draft, Sequence};
use crate::time::Time;

impl RingWriter {
    /// What becomes of each draft; else what must be compared first.
    pub(super) fn outcomes(
        &self,
        drafts: &[Draft],
        known: &DuplicateCheck,
    ) -> Result<Vec<DraftOutcome>, Vec<ConflictCandidate>> {
        if drafts.len() > 1 {
            self.ids.touch(drafts.iter().map(Draft::id_key));
        }
        let mut compare = Vec::new();
        let mut outcomes = Vec::with_capacity(drafts.len());
        for (position, draft) in drafts.iter().enumerate() {
            outcomes.push(if let Some(outside) = known.outside(position) {
                outside.into()
            } else if let Some(first) = known.repeated_by(position) {
                let of_first = outcomes.get(first).copied().unwrap_or(DraftOutcome::New);
                self.outcome_of_repeat(position, first, of_first, known)
            } else {
                self.find_kept(position, draft, known, &mut compare)
            });
        }
        if compare.is_empty() { Ok(outcomes) } else { Err(compare) }
    }

    /// What becomes of a draft that has the key of an earlier one.
    fn outcome_of_repeat(
        &self,
        position: usize,
        first: usize,
        of_first: DraftOutcome,
        known: &DuplicateCheck,
    ) -> DraftOutcome {
        if !known.is_different(position) {
            return if let DraftOutcome::New = of_first {
                DraftOutcome::AsDraft(first)
            } else {
                of_first
            };
        }
        let sequence = match of_first {
            DraftOutcome::Kept(receipt) => Some(receipt.sequence),
            DraftOutcome::Refused(sequence, _) => sequence,
            DraftOutcome::New | DraftOutcome::AsDraft(_) => None,
        };
        let verdict = sequence.and_then(|sequence| known.verdict(position, sequence));
        match (sequence, verdict) {
            (Some(sequence), Some(ContentMatch::Same)) => self.kept(sequence),
            (sequence, Some(ContentMatch::Refused(reason))) => {
                DraftOutcome::Refused(sequence, reason)
            }
            (sequence, _) => DraftOutcome::Refused(sequence, ConflictReason::Content),
        }
    }

    /// A duplicate of a record in the ring.
    fn kept(&self, sequence: Sequence) -> DraftOutcome {
        let accepted = with_view(&self.full, &self.head, sequence, |view, position| {
            view.record(position).accept_time
        });
        DraftOutcome::Kept(Receipt { sequence, accept_time: accepted, duplicate: true })
    }

    /// Gives each new draft the next sequence, and stores it if `commit`.
    pub(super) fn assign_sequences(
        &mut self,
        drafts: &[Draft],
        outcomes: &[DraftOutcome],
        commit: bool,
        sealed: &mut Vec<Arc<Segment>>,
    ) -> Vec<Appended> {
        let accepted = Acceptance::after(self.last_accepted, Time::now());
        let mut appended: Vec<Appended> = Vec::with_capacity(drafts.len());
        for ((position, draft), outcome) in drafts.iter().enumerate().zip(outcomes) {
            appended.push(match *outcome {
                DraftOutcome::Refused(sequence, reason) => {
                    Err(Conflict { position, id: draft.event().id().to_owned(), sequence, reason })
                }
                DraftOutcome::Kept(receipt) => Ok(receipt),
                DraftOutcome::AsDraft(first) => {
                    let first =
                        appended.get(first).expect("a repeat comes after what it repeats").clone();
                    first.map(|first| Receipt { duplicate: true, ..first })
                }
                DraftOutcome::New if commit => {
                    let sequence = self.last.next();
                    self.push(draft, sequence, accepted, sealed);
                    let accept_time = Some(accepted.time);
                    Ok(Receipt { sequence, accept_time, duplicate: false })
                }
                DraftOutcome::New => {
                    Ok(Receipt { sequence: Sequence::ZERO, accept_time: None, duplicate: false })
                }
            });
        }
        appended
    }

    /// What becomes of a draft, by the record that has its key.
    fn find_kept(
        &self,
        position: usize,
        draft: &Draft,
        known: &DuplicateCheck,
        compare: &mut Vec<ConflictCandidate>,
    ) -> DraftOutcome {
        let mut outcome = DraftOutcome::New;
        self.ids.find(draft.id_key(), self.last, |sequence| {
            let found = self.with_record(sequence, draft.id_key(), |record| {
                if record.principal() != draft.principal() {
                    return None;
                }
                let kept =
                    Receipt { sequence, accept_time: Some(record.accept_time), duplicate: true };
                match known.verdict(position, sequence) {
                    Some(ContentMatch::OtherId) => None,
                    Some(ContentMatch::Same) => Some(DraftOutcome::Kept(kept)),
                    Some(ContentMatch::Refused(reason)) => {
                        Some(DraftOutcome::Refused(Some(sequence), reason))
                    }
                    None if draft.repeats_exactly(&record) => Some(DraftOutcome::Kept(kept)),
                    None => {
                        let id = draft.event().id_bytes();
                        // Under the mutex, not all of a long event is read.
                        if record.has_id(id, HAS_ID_FIELDS_MAX) == Some(false) {
                            return None;
                        }
                        compare.push(ConflictCandidate { position, sequence });
                        Some(DraftOutcome::Kept(kept))
                    }
                }
            });
            let found = found.flatten();
            outcome = found.unwrap_or(outcome);
            found.is_some()
        });
        outcome
    }
}

/// The first draft that cannot be stored.
pub(super) fn refused(drafts: &[Draft], outcomes: &[DraftOutcome]) -> Option<Conflict> {
    let mut conflicts = drafts.iter().zip(outcomes).enumerate();
    conflicts.find_map(|(position, (draft, outcome))| match *outcome {
        DraftOutcome::Refused(sequence, reason) => {
            Some(Conflict { position, id: draft.event().id().to_owned(), sequence, reason })
        }
        _ => None,
    })
}

impl From<Outside> for DraftOutcome {
    fn from(outside: Outside) -> Self {
        match outside {
            Outside::Kept(receipt) => Self::Kept(receipt),
            Outside::Refused(sequence, reason) => Self::Refused(Some(sequence), reason),
        }
    }
}
