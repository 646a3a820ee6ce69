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
use crate::time::Time;

/// What is left of the largest message for headers.
const SPARE_BYTES: usize = 64 * 1024;

/// Records that need not be stored together become units of at most so many bytes, unless one is
/// larger. Smaller ones are not better: what a message costs is for the most part the same for all.
const UNIT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The drafts of a call that the copy does not have.
struct NewDrafts {
    drafts: Vec<NewDraft>,
    /// The same, encoded.
    units: Vec<EncodedUnit>,
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
            let limit = self.settings.message_bytes_max.saturating_sub(SPARE_BYTES);
            let unit_bytes = (!append.is_all_or_nothing()).then_some(limit.min(UNIT_BYTES_MAX));
            let NewDrafts { drafts: new, units } = new_drafts(drafts, &appended, unit_bytes);
            if !new.is_empty() {
                let bytes = units.iter().map(EncodedUnit::byte_len).max().unwrap_or_default();
                if bytes > limit {
                    return Err(refusal(Error::TooManyBytes { bytes, limit }, &stored));
                }
                if !self.publish(units, basis, &new, drafts.len(), &mut stored).await? {
                    continue;
                }
            }
            settle(&mut appended, drafts, &new, &stored);
            return Ok(appended);
        }
    }

    /// Has units published, which have the new ones of so many drafts, and waits until it is
    /// known what became of each. Returns whether all of them are stored.
    async fn publish(
        &self,
        units: Vec<EncodedUnit>,
        basis: Basis,
        new: &[NewDraft],
        drafts: usize,
        stored: &mut StoredDrafts,
    ) -> Result<bool, Error> {
        let mut waiting = Vec::with_capacity(units.len());
        let units = units.into_iter().map(|unit| {
            let (waiter, outcome) = oneshot::channel();
            waiting.push((unit.records(), outcome));
            StagedUnit { unit, basis, waiter }
        });
        if self.lock().publisher.stage(units) {
            self.wake.notify_one();
        }
        let (mut rest, mut are_all) = (new, true);
        // Of the units before and behind one that failed, some may be stored.
        let (mut refused, mut unknown) = (None, None);
        for (records, outcome) in waiting {
            let (of_unit, others) = rest.split_at(records.min(rest.len()));
            rest = others;
            match outcome.await {
                Ok(UnitOutcome::Placed { placements, accept_time }) => {
                    are_all &= stored.add(of_unit, &placements, accept_time, drafts);
                }
                Ok(UnitOutcome::Refused(error)) => refused = Some(error),
                Ok(UnitOutcome::Unknown(why)) => unknown = Some(why),
                Err(_) => unknown = Some("the log was closed meanwhile".to_owned()),
            }
        }
        if let Some(why) = unknown {
            return Err(Error::OutcomeUnknown { why });
        }
        match refused {
            None => Ok(are_all),
            Some(StreamError::Full(why)) => Err(refusal(Error::Full { why }, stored)),
            Some(
                StreamError::Unknown(why) | StreamError::Refused(why) | StreamError::Unfit(why),
            ) => Err(refusal(Error::Away { why }, stored)),
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

    /// Takes what became of the records of a unit, which are of so many drafts in all. Returns
    /// whether all of them are stored.
    fn add(
        &mut self,
        unit: &[NewDraft],
        placements: &[Placement],
        accept_time: Time,
        drafts: usize,
    ) -> bool {
        let mut are_all = placements.len() == unit.len();
        for (draft, placement) in unit.iter().zip(placements) {
            let Placement::Stored(sequence) = *placement else {
                are_all = false;
                continue;
            };
            self.0.resize(drafts, None);
            if let Some(place) = self.0.get_mut(draft.position) {
                let accept_time = Some(accept_time);
                *place = Some(Receipt { sequence, accept_time, duplicate: false });
            }
        }
        are_all
    }
}

/// The drafts that are new, each key once, in units of at most so many bytes; `None` is for one
/// that is stored as a whole or not at all.
fn new_drafts(drafts: &[Draft], appended: &[Appended], unit_bytes: Option<usize>) -> NewDrafts {
    let is_new = |appended: &Appended| {
        matches!(appended, Ok(Receipt { sequence: Sequence::ZERO, duplicate: false, .. }))
    };
    let new = || drafts.iter().zip(appended).enumerate().filter(|(_, (_, at))| is_new(at));
    let len = |draft: &Draft| RECORD_OVERHEAD_BYTES + draft.frame_len_max();
    let mut left: usize = new().map(|(_, (draft, _))| len(draft)).sum();
    let (mut of_units, mut units) = (Vec::new(), Vec::<EncodedUnit>::new());
    let mut head = Vec::new();
    for (position, (draft, _)) in new() {
        let key = key(draft);
        head.clear();
        draft.describe(&mut head);
        let has_room = |unit: &&mut EncodedUnit| {
            unit_bytes.is_none_or(|most| unit.byte_len() + len(draft) <= most)
        };
        let unit = match units.last_mut().filter(has_room) {
            Some(unit) => unit,
            None => {
                let room = unit_bytes.map_or(left, |most| most.min(left));
                units.push(EncodedUnit::with_capacity(unit_bytes.is_none(), room));
                units.last_mut().expect("it was added")
            }
        };
        left -= len(draft);
        let is_added = unit.add(key, draft.is_untimed(), &head, &draft.event().bytes);
        assert!(is_added, "a log accepts at most 65,535 records at once");
        of_units.push(NewDraft { position, key });
    }
    NewDrafts { drafts: of_units, units }
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
