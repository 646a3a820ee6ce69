//! The follower: hashes published records, on a blocking thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::agree::Agreement;
use super::{CHECKPOINT_INTERVAL, CheckpointFailure, Prover};
use crate::log::{ReadHint, ReadResult, ScanOrder, Segment};
use crate::proof::tree::Tree;
use crate::proof::{Hash, SignedCheckpoint, entry, leaf};
use crate::record::Sequence;
use crate::time::Time;

/// The most records that are hashed at a time, which locks the tree for a millisecond.
const RUN_RECORDS_MAX: usize = 4_096;
/// The shortest time between two runs of the follower unless a caller waits, so that it hashes many
/// records at a time, and appends seldom wake it.
const PAUSE: Duration = Duration::from_millis(20);

/// Follows the log until the prover stops, and then runs once more.
pub async fn follow(prover: Arc<Prover>, agreement: Option<Agreement>) {
    let mut changes = prover.log.changes();
    let mut signing = Signing { at: Instant::now(), agreement };
    let mut agreed = signing.agreement.as_ref().map(Agreement::changes);
    loop {
        changes.borrow_and_update();
        let is_last = prover.stopping.is_cancelled();
        if turn(&prover, &mut signing, is_last).await.is_break() {
            break;
        }
        let came = async {
            let is_open = match &mut agreed {
                Some(agreed) => agreed.changed().await.is_ok(),
                None => false,
            };
            if !is_open {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = prover.stopping.cancelled() => {}
            () = prover.demand.notified() => {}
            () = came => {}
            () = idle(&prover, &mut changes, &signing) => {}
        }
    }
    prover.state.send_modify(|state| state.ended = true);
}

/// When and with whom checkpoints are signed.
struct Signing {
    /// When the last checkpoint was signed.
    at: Instant,
    /// The agreement with other gateways, if they sign, too.
    agreement: Option<Agreement>,
}

/// Hashes new records, and makes a checkpoint if one is due.
async fn turn(
    prover: &Arc<Prover>,
    signing: &mut Signing,
    is_last: bool,
) -> std::ops::ControlFlow<()> {
    let mut outcome = prover.catch_up().await;
    let (hashed, signed) = {
        let state = prover.state.borrow();
        (state.hashed, state.signed_size())
    };
    if let Some(agreement) = &mut signing.agreement {
        outcome = outcome.and(agreement.judge(prover).await);
        if outcome.is_ok() {
            outcome = agreement.propose(prover).await;
        }
    } else {
        let is_wanted = prover.wanted.load(Ordering::Relaxed) > signed;
        let ends = is_last || outcome.as_ref().is_err_and(CheckpointFailure::is_lasting);
        let is_due = is_wanted || ends || signing.at.elapsed() >= CHECKPOINT_INTERVAL;
        if hashed > signed && is_due && !outcome.as_ref().is_err_and(CheckpointFailure::is_denial) {
            signing.at = Instant::now();
            let made = prover.blocking(Prover::sign).await;
            outcome = outcome.and(made);
        }
    }
    let failure = outcome.err();
    let is_over = is_last || failure.as_ref().is_some_and(CheckpointFailure::is_lasting);
    prover.state.send_modify(|state| {
        state.attempts += 1;
        if let Some(failure) = failure.as_ref().filter(|new| state.failure.as_ref() != Some(new)) {
            tracing::error!("ALARM: {failure}");
        }
        state.failure = failure;
    });
    if is_over { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
}

/// Waits until there may be something to do.
async fn idle(prover: &Prover, changes: &mut tokio::sync::watch::Receiver<()>, signing: &Signing) {
    tokio::time::sleep(PAUSE).await;
    let (hashed, signed) = {
        let state = prover.state.borrow();
        (state.hashed, state.signed_size())
    };
    if prover.log.extent().synced.0 > hashed {
        return;
    }
    let due = match &signing.agreement {
        Some(agreement) => agreement.due(prover),
        None => (hashed > signed).then(|| signing.at + CHECKPOINT_INTERVAL),
    };
    let due = async {
        match due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // A closed log changes no more.
        Ok(()) = changes.changed() => {}
        () = due => {}
    }
}

impl Prover {
    /// Hashes all records that are durable.
    async fn catch_up(self: &Arc<Self>) -> Result<(), CheckpointFailure> {
        if let Some(failure) = self.failure().filter(CheckpointFailure::is_lasting) {
            return Err(failure);
        }
        loop {
            let next = Sequence(self.state.borrow().hashed + 1);
            let until = self.log.extent().synced;
            if next > until {
                return Ok(());
            }
            let found = self.log.read(next, ReadHint::all(ScanOrder::Ascending)).await;
            let segment =
                match found.map_err(|error| CheckpointFailure::Passing(error.to_string()))? {
                    None => return Ok(()),
                    Some(ReadResult::Damaged { .. }) => {
                        return Err(CheckpointFailure::Unreadable { sequence: next.0 });
                    }
                    Some(ReadResult::Records(segment)) => segment,
                };
            self.blocking(move |prover| prover.hash(&segment, next, until)).await?;
        }
    }

    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, CheckpointFailure> + Send + 'static,
    ) -> Result<T, CheckpointFailure> {
        let prover = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || work(&prover));
        task.await.map_err(|error| CheckpointFailure::Passing(error.to_string()))?
    }

    /// Hashes a run of records into the tree.
    fn hash(
        &self,
        segment: &Segment,
        next: Sequence,
        until: Sequence,
    ) -> Result<(), CheckpointFailure> {
        self.flush()?;
        let view = segment.view(until);
        let from = view.position(next);
        if view.base > next || from >= view.len() {
            return Err(CheckpointFailure::Unreadable { sequence: next.0 });
        }
        let signed = self.state.borrow().signed.as_ref().map(|signed| *signed.checkpoint());
        let size = signed.map_or(0, |signed| signed.size);
        let mut to = view.len().min(from + RUN_RECORDS_MAX);
        if let Some(missing) = size.checked_sub(next.previous().0).filter(|size| *size > 0) {
            // The tree is compared with an earlier checkpoint at its size.
            to = to.min(from.saturating_add(usize::try_from(missing).unwrap_or(usize::MAX)));
        }
        let leaves: Vec<Hash> =
            (from..to).map(|position| leaf(&entry(view.record_bytes(position)))).collect();
        let head = self.push(&leaves);
        if signed.is_some_and(|signed| head == size && self.grow().tree.head() != signed) {
            return Err(CheckpointFailure::Rewritten { signed: size });
        }
        self.state.send_modify(|state| state.hashed = head);
        self.flush()
    }

    /// Appends leaves to the tree. Returns its size.
    fn push(&self, leaves: &[Hash]) -> u64 {
        let mut growing = self.grow();
        let super::GrowingTree { tree, pending } = &mut *growing;
        for leaf in leaves {
            tree.push(*leaf, |place, tile| {
                pending.insert(place, tile);
            });
        }
        tree.size()
    }

    /// Writes full tiles to the store.
    fn flush(&self) -> Result<(), CheckpointFailure> {
        let full = self.grow().pending.clone();
        for (place, tile) in full {
            // Unwritten tiles stay pending, and hashing stops.
            let written = self.store.write(place, &tile);
            written.map_err(|error| {
                CheckpointFailure::Passing(format!("a tile of the tree: {error}"))
            })?;
            self.grow().pending.remove(&place);
        }
        Ok(())
    }

    /// Signs the current tree, stores the checkpoint, and then publishes it.
    fn sign(&self) -> Result<(), CheckpointFailure> {
        let tree = self.grow().tree.clone();
        let head = tree.head();
        if head.size <= self.state.borrow().signed_size() {
            return Ok(());
        }
        let Some(key) = self.key.signing() else { return Ok(()) };
        let signed = SignedCheckpoint::sign(head, key)
            .map_err(|error| CheckpointFailure::Passing(format!("a checkpoint: {error}")))?;
        self.keep_checkpoint(&tree, signed)
    }

    /// Stores a checkpoint of this tree, and then publishes it.
    pub(super) fn keep_checkpoint(
        &self,
        tree: &Tree,
        signed: SignedCheckpoint,
    ) -> Result<(), CheckpointFailure> {
        self.store
            .commit(tree, &signed)
            .map_err(|error| CheckpointFailure::Passing(format!("a checkpoint: {error}")))?;
        self.state.send_modify(|state| {
            state.signed = Some(Arc::new(signed));
            state.signed_at = Some(Time::now());
        });
        Ok(())
    }
}
