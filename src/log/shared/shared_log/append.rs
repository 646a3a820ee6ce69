//! Appending: looks up the ids in the copy, publishes what is new, and waits until the copy
//! has it.

use std::collections::HashMap;

use tokio::sync::oneshot;

use super::SharedLogInner;
use crate::log::shared::machine::Placement;
use crate::log::shared::message::group::{EncodedUnit, EventKey, RECORD_OVERHEAD_BYTES};
use crate::log::shared::publisher::{StagedUnit, UnitOutcome};
use crate::log::shared::stream::StreamError;
use crate::log::{Append, Appended, Error, Receipt, Sequencer as _};
use crate::record::{Draft, Sequence};

/// What is left of the largest message for headers.
const SPARE_BYTES: usize = 64 * 1024;

/// The drafts of a call that the copy does not have.
struct NewDrafts {
    /// Their positions in the call.
    positions: Vec<usize>,
    /// The position of each of their keys.
    by_key: HashMap<EventKey, usize>,
    unit: EncodedUnit,
}

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
        let mut stored: HashMap<usize, Receipt> = HashMap::new();
        loop {
            self.check_ready().map_err(|error| refusal(error, &stored))?;
            // Before the copy is asked: it has at least what was applied up to here.
            let basis = *self.applied.borrow();
            let mut appended =
                self.disk.append(drafts, check).await.map_err(|error| refusal(error, &stored))?;
            let NewDrafts { positions, by_key, unit } =
                new_drafts(drafts, &appended, append.is_all_or_nothing());
            if !positions.is_empty() {
                let bytes = unit.byte_len();
                let limit = self.settings.message_bytes_max.saturating_sub(SPARE_BYTES);
                if bytes > limit {
                    return Err(refusal(Error::TooManyBytes { bytes, limit }, &stored));
                }
                let (waiter, outcome) = oneshot::channel();
                self.lock().publisher.stage(StagedUnit { unit, basis, waiter });
                self.wake.notify_one();
                let outcome = outcome.await.map_err(|_| Error::OutcomeUnknown {
                    why: "the log was closed meanwhile".to_owned(),
                })?;
                let is_stored = self.take_outcome(outcome, &positions, &mut stored)?;
                if !is_stored {
                    continue;
                }
            }
            let newest = stored.values().map(|receipt| receipt.sequence).max();
            if let Some(newest) = newest {
                self.disk.committed(newest).await?;
            }
            for (position, appended) in appended.iter_mut().enumerate() {
                settle(appended, position, &stored, || {
                    let draft = drafts.get(position)?;
                    stored.get(by_key.get(&key(draft))?).copied()
                });
            }
            return Ok(appended);
        }
    }

    /// Takes what became of the drafts that were new. Returns whether all of them are
    /// stored.
    fn take_outcome(
        &self,
        outcome: UnitOutcome,
        positions: &[usize],
        stored: &mut HashMap<usize, Receipt>,
    ) -> Result<bool, Error> {
        match outcome {
            UnitOutcome::Placed { placements, accept_time } => {
                let mut are_all = placements.len() == positions.len();
                for (position, placement) in positions.iter().zip(placements) {
                    if let Placement::Stored(sequence) = placement {
                        let accept_time = Some(accept_time);
                        stored
                            .insert(*position, Receipt { sequence, accept_time, duplicate: false });
                    } else {
                        are_all = false;
                    }
                }
                Ok(are_all)
            }
            UnitOutcome::Refused(error) => Err(refusal(
                match error {
                    StreamError::Full(why) => Error::Full { why },
                    StreamError::Unknown(why)
                    | StreamError::Refused(why)
                    | StreamError::Unfit(why) => Error::Away { why },
                },
                stored,
            )),
            UnitOutcome::Unknown(why) => Err(Error::OutcomeUnknown { why }),
        }
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
    let (mut positions, mut by_key, mut head) = (Vec::new(), HashMap::new(), Vec::new());
    for (position, (draft, _)) in new() {
        let key = key(draft);
        head.clear();
        draft.describe(&mut head);
        let is_added = unit.add(key, draft.is_untimed(), &head, &draft.event().bytes);
        assert!(is_added, "a log accepts at most 65,535 records at once");
        by_key.insert(key, position);
        positions.push(position);
    }
    NewDrafts { positions, by_key, unit }
}

/// What a draft gets: of what was new, the receipt that came since.
fn settle(
    appended: &mut Appended,
    position: usize,
    stored: &HashMap<usize, Receipt>,
    first: impl FnOnce() -> Option<Receipt>,
) {
    let Ok(receipt) = appended else { return };
    if let Some(own) = stored.get(&position) {
        *receipt = *own;
    } else if receipt.sequence == Sequence::ZERO
        && let Some(first) = first()
    {
        *receipt = Receipt { duplicate: true, ..first };
    }
}

fn key(draft: &Draft) -> EventKey {
    EventKey::of(draft.principal(), draft.event().id_bytes())
}

/// A refusal says that nothing was stored: where something was, it is open.
fn refusal(error: Error, stored: &HashMap<usize, Receipt>) -> Error {
    if stored.is_empty() { error } else { Error::OutcomeUnknown { why: error.to_string() } }
}
