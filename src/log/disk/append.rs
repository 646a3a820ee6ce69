//! Appending: drafts are staged under the mutex, and wait for the commit.

use tokio::sync::oneshot;

use crate::log::disk::sealed::PriorEvent;
use crate::log::disk::stage::Stage;
use crate::log::disk::{DiskLog, DiskLogInner};
use crate::log::ring::{DuplicateCheck, StageOutcome};
use crate::log::segment::SEGMENT_RECORDS_MAX;
use crate::log::{Conflict, Error, How, Placed, State};
use crate::record::{Draft, Record, Sequence};

/// What a pass under the mutex came to.
enum StageStep {
    Done { placed: Vec<Result<Placed, Conflict>>, committed: Option<oneshot::Receiver<()>> },
    Again,
}

/// Waits for another head.
struct HeadFull;

impl DiskLog {
    pub(super) async fn place_now(
        &self,
        drafts: &[Draft],
        How { commit, each }: How,
    ) -> Result<Vec<Result<Placed, Conflict>>, Error> {
        let inner = &*self.inner;
        inner.config.ring.check_size(drafts)?;
        if drafts.len() > SEGMENT_RECORDS_MAX {
            let (records, limit) = (drafts.len(), SEGMENT_RECORDS_MAX);
            return Err(Error::TooManyRecords { records, limit });
        }
        let mut known = DuplicateCheck::within(drafts);
        let mut searched = Sequence::FIRST;
        loop {
            inner.search(drafts, &mut known, &mut searched).await?;
            if !each && let Some(conflict) = known.first_conflict() {
                // Of records that are not on disk yet, nothing is told.
                inner.committed(conflict.sequence).await?;
                return Err(conflict.into());
            }
            // Before the mutex is taken: whatever comes later is noticed.
            let rolled = inner.rolled.notified();
            match inner.step(drafts, &mut known, commit, searched)? {
                Ok(StageStep::Again) => {}
                Ok(StageStep::Done { placed, committed }) => {
                    if let Some(committed) = committed {
                        committed.await.map_err(|_| inner.why_refused())?;
                    }
                    return Ok(placed);
                }
                Err(HeadFull) => {
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
    /// done before: `searched` is where the ring began then.
    async fn search(
        &self,
        drafts: &[Draft],
        known: &mut DuplicateCheck,
        searched: &mut Sequence,
    ) -> Result<(), Error> {
        let first = self.shared.first();
        if first == *searched {
            return Ok(());
        }
        if drafts.len() > 1 {
            self.sealed.touch(drafts.iter().map(Draft::id_key));
        }
        for (position, draft) in drafts.iter().enumerate() {
            let settled = known.conflict(position).is_some()
                || known.kept(position).is_some()
                || known.repeated_by(position).is_some();
            if settled || !self.sealed.may_hold(draft.id_key(), first) {
                continue;
            }
            let kept = match self.sealed.find_kept(draft, first).await? {
                None => continue,
                Some(PriorEvent::Kept(kept)) => kept,
                Some(PriorEvent::Damaged(sequence)) => {
                    known.lost(position, draft, sequence);
                    continue;
                }
            };
            if draft.repeats_record(&Record::read(&kept.record)) {
                let accept_time = Some(kept.accept_time);
                let placed = Placed { sequence: kept.sequence, accept_time, duplicate: true };
                known.found(position, placed);
            } else {
                known.compared(position, draft, kept.sequence, false);
            }
        }
        *searched = first;
        Ok(())
    }

    /// One pass under the mutex.
    fn step(
        &self,
        drafts: &[Draft],
        known: &mut DuplicateCheck,
        commit: bool,
        searched: Sequence,
    ) -> Result<Result<StageStep, HeadFull>, Error> {
        let mut stage = self.lock();
        if stage.closed || (stage.stopping && commit) {
            drop(stage);
            return Err(self.why_refused());
        }
        if self.shared.first() != searched {
            return Ok(Ok(StageStep::Again));
        }
        if stage.roll.is_some() {
            return Ok(Err(HeadFull));
        }
        let (room, staged) = (stage.room, stage.staged());
        let admit = |need| Stage::admits(room, staged, need);
        match stage.writer.stage(drafts, known, commit, &self.shared, admit) {
            StageOutcome::Done(placed) => {
                let committed = self.await_commit(&mut stage, &placed);
                Ok(Ok(StageStep::Done { placed, committed }))
            }
            StageOutcome::Compare(pairs) => {
                drop(stage);
                known.compare(drafts, pairs);
                Ok(Ok(StageStep::Again))
            }
            StageOutcome::Full(need) => {
                stage.roll = Some(need);
                self.wake(&stage);
                Ok(Err(HeadFull))
            }
        }
    }

    /// Tells when all of these are committed; `None` if they are.
    fn await_commit(
        &self,
        stage: &mut Stage,
        placed: &[Result<Placed, Conflict>],
    ) -> Option<oneshot::Receiver<()>> {
        let sequences = placed.iter().map(|placed| match placed {
            Ok(placed) => placed.sequence,
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
    async fn committed(&self, sequence: Option<Sequence>) -> Result<(), Error> {
        let Some(sequence) = sequence else { return Ok(()) };
        let placed = Placed { sequence, accept_time: None, duplicate: true };
        let committed = {
            let mut stage = self.lock();
            if stage.closed { None } else { self.await_commit(&mut stage, &[Ok(placed)]) }
        };
        match committed {
            Some(committed) => committed.await.map_err(|_| self.why_refused()),
            None if sequence > self.shared.last() => Err(self.why_refused()),
            None => Ok(()),
        }
    }

    /// Why nothing is taken any more.
    pub(super) fn why_refused(&self) -> Error {
        match &*self.state.borrow() {
            State::Failed(why) => Error::Failed { why: why.clone() },
            State::Ready | State::Full(_) => Error::Closed,
        }
    }
}
