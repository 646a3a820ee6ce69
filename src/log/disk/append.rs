//! Appending: stages drafts under the mutex, and waits for their commit.

use tokio::sync::oneshot;

use crate::log::disk::sealed::PriorEvent;
use crate::log::disk::stage::Stage;
use crate::log::disk::{DiskLog, DiskLogInner};
use crate::log::ring::{CallComparisons, ConflictCandidate, DuplicateCheck, StageOutcome};
use crate::log::segment::SEGMENT_RECORDS_MAX;
use crate::log::{Append, Appended, Conflict, ConflictReason, Error, Receipt, State};
use crate::record::{Draft, Sequence};

/// What a pass under the mutex came to.
enum StageStep {
    Done {
        appended: Vec<Appended>,
        committed: Option<oneshot::Receiver<()>>,
    },
    /// These must be compared first.
    Compare(Vec<ConflictCandidate>),
    /// This one refuses all.
    Refused(Conflict),
    /// The ring has changed.
    Again,
    /// Waits for another head.
    Full,
}

impl DiskLog {
    pub(super) async fn append_all(
        &self,
        drafts: &[Draft],
        append: Append,
    ) -> Result<Vec<Appended>, Error> {
        let inner = &*self.inner;
        inner.config.ring.check_size(drafts)?;
        if drafts.len() > SEGMENT_RECORDS_MAX {
            let (records, limit) = (drafts.len(), SEGMENT_RECORDS_MAX);
            return Err(Error::TooManyRecords { records, limit });
        }
        let mut comparison = inner.comparer.begin(drafts);
        let mut known = comparison.within().await;
        known.check(drafts, append)?;
        let mut searched = Sequence::FIRST;
        loop {
            if let Some(conflict) =
                inner.search(drafts, &mut known, &mut searched, &mut comparison, append).await?
            {
                return Err(conflict.into());
            }
            // Before the mutex is taken: whatever comes later is noticed.
            let rolled = inner.rolled.notified();
            match inner.step(drafts, &known, append, searched)? {
                StageStep::Again => {}
                StageStep::Done { appended, committed } => {
                    if let Some(committed) = committed {
                        committed.await.map_err(|_| inner.why_unknown())?;
                    }
                    return Ok(appended);
                }
                StageStep::Compare(pairs) => {
                    let refused =
                        comparison.with_ring(&mut known, pairs, &inner.shared, append).await;
                    if let Some(conflict) = refused.filter(|_| append.is_all_or_nothing()) {
                        return inner.refuse(conflict).await;
                    }
                }
                StageStep::Refused(conflict) => return inner.refuse(conflict).await,
                StageStep::Full => {
                    rolled.await;
                    if let State::Full(why) = &*inner.state.borrow() {
                        return Err(Error::Full { why: why.clone() });
                    }
                }
            }
        }
    }
}

impl DiskLogInner {
    /// Looks for the drafts in what is not in the ring, as far as that was not
    /// done before: `searched` is where the ring began then. Gives the first conflict,
    /// where that refuses all.
    async fn search(
        &self,
        drafts: &[Draft],
        known: &mut DuplicateCheck,
        searched: &mut Sequence,
        comparison: &mut CallComparisons<'_>,
        append: Append,
    ) -> Result<Option<Conflict>, Error> {
        let first = self.shared.first();
        if first == *searched {
            return Ok(None);
        }
        if drafts.len() > 1 {
            self.sealed.touch(drafts.iter().map(Draft::id_key));
        }
        for (position, draft) in drafts.iter().enumerate() {
            let is_settled =
                known.outside(position).is_some() || known.repeated_by(position).is_some();
            if is_settled || !self.sealed.may_hold(draft.id_key(), first) {
                continue;
            }
            let files = *searched..first;
            let found = self.sealed.find_kept(draft, files, comparison.bytes_left()).await?;
            let refused = match found {
                None => None,
                Some(PriorEvent::Kept(kept)) => {
                    comparison.pay(kept.record.len() as u64);
                    let accept_time = Some(kept.accept_time);
                    let receipt = Receipt { sequence: kept.sequence, accept_time, duplicate: true };
                    comparison.with_record(known, position, receipt, kept.record, append).await
                }
                Some(PriorEvent::Damaged(sequence)) => {
                    comparison.refuse(known, position, sequence, ConflictReason::Damaged)
                }
                Some(PriorEvent::Unread(sequence)) => {
                    comparison.refuse(known, position, sequence, ConflictReason::Unchecked)
                }
            };
            if let Some(conflict) = refused.filter(|_| append.is_all_or_nothing()) {
                return Ok(Some(conflict));
            }
        }
        *searched = first;
        Ok(None)
    }

    /// Refuses all drafts because of one. Of records that are not on disk yet, nothing
    /// is told.
    async fn refuse<T>(&self, conflict: Conflict) -> Result<T, Error> {
        self.committed(conflict.sequence).await?;
        Err(conflict.into())
    }

    /// One pass under the mutex.
    fn step(
        &self,
        drafts: &[Draft],
        known: &DuplicateCheck,
        append: Append,
        searched: Sequence,
    ) -> Result<StageStep, Error> {
        let mut stage = self.lock();
        if stage.closed || (stage.stopping && !append.validate_only()) {
            drop(stage);
            return Err(self.why_refused());
        }
        if self.shared.first() != searched {
            return Ok(StageStep::Again);
        }
        if stage.roll.is_some() {
            return Ok(StageStep::Full);
        }
        let (room, staged) = (stage.room, stage.staged());
        let admit = |need| Stage::admits(room, staged, need);
        Ok(match stage.writer.stage(drafts, known, append, &self.shared, admit) {
            StageOutcome::Done(appended) => {
                let committed = self.await_commit(&mut stage, &appended);
                StageStep::Done { appended, committed }
            }
            StageOutcome::Compare(pairs) => StageStep::Compare(pairs),
            StageOutcome::Refused(conflict) => StageStep::Refused(conflict),
            StageOutcome::Full(need) => {
                stage.roll = Some(need);
                self.wake(&stage);
                StageStep::Full
            }
        })
    }

    /// Tells when all of these are committed; `None` if they are.
    fn await_commit(
        &self,
        stage: &mut Stage,
        appended: &[Appended],
    ) -> Option<oneshot::Receiver<()>> {
        let sequences = appended.iter().map(|appended| match appended {
            Ok(receipt) => receipt.sequence,
            Err(conflict) => conflict.sequence.unwrap_or_default(),
        });
        let newest = sequences.max().unwrap_or_default();
        if newest <= self.shared.last() {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        stage.waiting.push(sender);
        self.wake(stage);
        Some(receiver)
    }

    pub(super) fn wake(&self, stage: &Stage) {
        if stage.idle && (stage.waiting.len() >= stage.wanted || stage.roll.is_some()) {
            self.work.notify_one();
        }
    }

    /// Waits until the record is committed.
    pub(super) async fn committed(&self, sequence: Option<Sequence>) -> Result<(), Error> {
        let Some(sequence) = sequence else { return Ok(()) };
        let receipt = Receipt { sequence, accept_time: None, duplicate: true };
        let committed = {
            let mut stage = self.lock();
            if stage.closed { None } else { self.await_commit(&mut stage, &[Ok(receipt)]) }
        };
        match committed {
            Some(committed) => committed.await.map_err(|_| self.why_unknown()),
            None if sequence > self.shared.last() => Err(self.why_refused()),
            None => Ok(()),
        }
    }

    /// Why it is open whether what was staged is stored: a write that failed may have
    /// reached the disk.
    fn why_unknown(&self) -> Error {
        match &*self.state.borrow() {
            State::Failed(why) => Error::OutcomeUnknown { why: why.clone() },
            State::Ready | State::Full(_) | State::Away(_) => Error::Closed,
        }
    }

    /// Why nothing is taken any more.
    pub(super) fn why_refused(&self) -> Error {
        match &*self.state.borrow() {
            State::Failed(why) => Error::Failed { why: why.clone() },
            State::Ready | State::Full(_) | State::Away(_) => Error::Closed,
        }
    }
}
