//! The retention hold of the prover: records that are not hashed yet stay in the log.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::{CheckpointFailure, FollowState, Prover};
use crate::log::{BoxFuture, RetentionHold};
use crate::record::Sequence;

/// Holds records that are not hashed, for as long as the prover exists. The reference is weak,
/// because the log must not keep the prover alive.
pub struct ProofHold(Weak<Prover>);

impl ProofHold {
    /// The hold of this prover.
    pub fn of(prover: &Arc<Prover>) -> Self {
        Self(Arc::downgrade(prover))
    }
}

impl RetentionHold for ProofHold {
    fn name(&self) -> &str {
        "proof"
    }

    fn position(&self) -> Sequence {
        self.0.upgrade().map_or(Sequence::ZERO, |prover| Sequence(prover.state.borrow().hashed))
    }

    fn records_max(&self) -> Option<u64> {
        // A tree with a hole proves nothing, so emitters wait instead.
        None
    }

    fn is_over(&self) -> bool {
        self.0.upgrade().is_none_or(|prover| prover.state.borrow().is_over())
    }

    fn release(&self, first: Sequence) -> bool {
        self.0.upgrade().is_none_or(|prover| prover.release(first))
    }

    fn released(&self, first: Sequence) -> BoxFuture<'_, ()> {
        let prover = self.0.upgrade();
        Box::pin(async move {
            if let Some(mut states) = prover.map(|prover| prover.state.subscribe()) {
                // A dropped prover needs no more records.
                let _ = states.wait_for(|state| state.has_done_with(first)).await;
            }
        })
    }
}

impl FollowState {
    /// Whether the prover no longer needs the records before `first`.
    fn has_done_with(&self, first: Sequence) -> bool {
        self.hashed >= first.previous().0 || self.is_over()
    }

    /// Whether no more records will be hashed.
    fn is_over(&self) -> bool {
        self.ended || self.failure.as_ref().is_some_and(CheckpointFailure::is_lasting)
    }
}

impl Prover {
    fn release(&self, first: Sequence) -> bool {
        let (covered, signed, is_over) = {
            let state = self.state.borrow();
            let covered = if self.store.is_durable() { state.signed_size() } else { state.hashed };
            (covered, state.signed.clone(), state.is_over())
        };
        if is_over {
            return true;
        }
        if covered < first.previous().0 {
            self.wanted.fetch_max(first.previous().0, Ordering::Relaxed);
            self.demand.notify_one();
            return false;
        }
        self.store.release(first.0, signed.as_ref().map(|signed| signed.checkpoint())).is_ok()
    }
}
