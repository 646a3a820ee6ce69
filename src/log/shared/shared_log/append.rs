//! Appending: looks up the ids in the copy, publishes what is new, and waits until the copy
//! has it.

use std::collections::HashMap;

use tokio::sync::{oneshot, watch};

use super::SharedLogInner;
use crate::log::shared::machine::Placement;
use crate::log::shared::message::Basis;
use crate::log::shared::message::group::{EncodedUnit, EventKey, RECORD_OVERHEAD_BYTES};
use crate::log::shared::publisher::{StagedUnit, UnitOutcome};
use crate::log::shared::stream::StreamError;
use crate::log::{Append, Appended, Error, Receipt, Sequencer as _};
use crate::record::{Draft, Sequence};

/// What is left of the largest message for headers.
const SPARE_BYTES: usize = 64 * 1024;

/// The drafts of a call that the copy does not have.
struct NewDrafts {
    drafts: Vec<NewDraft>,
    unit: EncodedUnit,
}

#[derive(Clone, Copy)]
struct NewDraft {
    /// Its position in the call.
    position: usize,
    key: EventKey,
}

/// What a call has stored, by the position of the draft; empty as long as it is nothing.
#[derive(Default)]
struct StoredDrafts(Vec<Option<Receipt>>);

impl SharedLogInner {
    pub(super) async fn append_all(
        &self,
        drafts: &[Draft],
        append: Append,
    ) -> Result<Vec<Appended>, Error> {
        if append.validate_only() {
            self.check_ready()?;
            return self.disk.append(drafts, append).await;
        }
        let check = match append {
            Append::AllOrNothing { .. } => Append::AllOrNothing { validate_only: true },
            Append::Each { .. } => Append::Each { validate_only: true },
        };
        // What this call has stored itself is no duplicate.
        let mut stored = StoredDrafts::default();
        loop {
            self.check_ready().map_err(|error| refusal(error, &stored))?;
            let (basis, checked) = with_basis(&self.applied, self.disk.append(drafts, check)).await;
            let mut appended = checked.map_err(|error| refusal(error, &stored))?;
            let NewDrafts { drafts: new, unit } =
                new_drafts(drafts, &appended, append.is_all_or_nothing());
            if !new.is_empty() {
                let bytes = unit.byte_len();
                let limit = self.settings.message_bytes_max.saturating_sub(SPARE_BYTES);
                if bytes > limit {
                    return Err(refusal(Error::TooManyBytes { bytes, limit }, &stored));
                }
                let (waiter, outcome) = oneshot::channel();
                if self.lock().publisher.stage(StagedUnit { unit, basis, waiter }) {
                    self.wake.notify_one();
                }
                let outcome = outcome.await.map_err(|_| Error::OutcomeUnknown {
                    why: "the log was closed meanwhile".to_owned(),
                })?;
                if !take_outcome(outcome, &new, drafts.len(), &mut stored)? {
                    continue;
                }
            }
            settle(&mut appended, drafts, &new, &stored);
            return Ok(appended);
        }
    }
}

/// Looks something up in the copy, and returns at which state: one from before it was looked
/// up, of which the copy has all.
async fn with_basis<T>(
    applied: &watch::Sender<Basis>,
    look_up: impl Future<Output = T>,
) -> (Basis, T) {
    let basis = *applied.borrow();
    (basis, look_up.await)
}

impl StoredDrafts {
    fn get(&self, position: usize) -> Option<Receipt> {
        *self.0.get(position)?
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn insert(&mut self, position: usize, drafts: usize, receipt: Receipt) {
        self.0.resize(drafts, None);
        if let Some(place) = self.0.get_mut(position) {
            *place = Some(receipt);
        }
    }
}

/// Takes what became of the new ones of so many drafts. Returns whether all of them are stored.
fn take_outcome(
    outcome: UnitOutcome,
    new: &[NewDraft],
    drafts: usize,
    stored: &mut StoredDrafts,
) -> Result<bool, Error> {
    match outcome {
        UnitOutcome::Placed { placements, accept_time } => {
            let mut are_all = placements.len() == new.len();
            for (draft, placement) in new.iter().zip(placements) {
                if let Placement::Stored(sequence) = placement {
                    let accept_time = Some(accept_time);
                    let receipt = Receipt { sequence, accept_time, duplicate: false };
                    stored.insert(draft.position, drafts, receipt);
                } else {
                    are_all = false;
                }
            }
            Ok(are_all)
        }
        UnitOutcome::Refused(error) => Err(refusal(
            match error {
                StreamError::Full(why) => Error::Full { why },
                StreamError::Unknown(why) | StreamError::Refused(why) | StreamError::Unfit(why) => {
                    Error::Away { why }
                }
            },
            stored,
        )),
        UnitOutcome::Unknown(why) => Err(Error::OutcomeUnknown { why }),
    }
}

/// The drafts that are new, each key once.
fn new_drafts(drafts: &[Draft], appended: &[Appended], is_all_or_none: bool) -> NewDrafts {
    let is_new = |appended: &Appended| {
        matches!(appended, Ok(Receipt { sequence: Sequence::ZERO, duplicate: false, .. }))
    };
    let new = || drafts.iter().zip(appended).enumerate().filter(|(_, (_, at))| is_new(at));
    let bytes = new().map(|(_, (draft, _))| RECORD_OVERHEAD_BYTES + draft.frame_len_max()).sum();
    let mut unit = EncodedUnit::with_capacity(is_all_or_none, bytes);
    let (mut of_unit, mut head) = (Vec::new(), Vec::new());
    for (position, (draft, _)) in new() {
        let key = key(draft);
        head.clear();
        draft.describe(&mut head);
        let is_added = unit.add(key, draft.is_untimed(), &head, &draft.event().bytes);
        assert!(is_added, "a log accepts at most 65,535 records at once");
        of_unit.push(NewDraft { position, key });
    }
    NewDrafts { drafts: of_unit, unit }
}

/// What the drafts get: of what was new, the receipts that came since.
fn settle(appended: &mut [Appended], drafts: &[Draft], new: &[NewDraft], stored: &StoredDrafts) {
    // Few calls repeat an event.
    let mut by_key: Option<HashMap<EventKey, usize>> = None;
    for (position, (appended, draft)) in appended.iter_mut().zip(drafts).enumerate() {
        let Ok(receipt) = appended else { continue };
        if let Some(own) = stored.get(position) {
            *receipt = own;
        } else if receipt.sequence == Sequence::ZERO {
            let by_key = by_key
                .get_or_insert_with(|| new.iter().map(|new| (new.key, new.position)).collect());
            let first = by_key.get(&key(draft)).and_then(|position| stored.get(*position));
            if let Some(first) = first {
                *receipt = Receipt { duplicate: true, ..first };
            }
        }
    }
}

fn key(draft: &Draft) -> EventKey {
    EventKey::of(draft.principal(), draft.event().id_bytes())
}

/// A refusal says that nothing was stored: where something was, it is open.
fn refusal(error: Error, stored: &StoredDrafts) -> Error {
    if stored.is_empty() { error } else { Error::OutcomeUnknown { why: error.to_string() } }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record that is applied while its id is looked up may not be found: the machine has to
    /// see that it lies behind the basis.
    #[tokio::test]
    async fn a_basis_is_from_before_the_ids_are_looked_up() {
        let before = Basis { position: 7, ..Basis::default() };
        let applied = watch::Sender::new(before);
        let look_up = async { applied.send_replace(Basis { position: 8, ..before }).position };
        assert_eq!(with_basis(&applied, look_up).await, (before, 7));
        assert_eq!(with_basis(&applied, async {}).await.0.position, 8);
    }
}
