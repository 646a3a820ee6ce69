//! The retention hold of the prover: records that are not hashed yet stay in the log.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::{CheckpointFailure, FollowState, Prover};
use crate::log::{BoxFuture, RetentionHold};
use crate::record::Sequence;

/// Holds what the tree lacks, for as long as the prover lives: the log must not keep it
/// alive.
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
        // A tree with a hole proves nothing: emitters wait for it.
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
                // A prover that is gone needs nothing more.
                let _ = states.wait_for(|state| state.has_done_with(first)).await;
            }
        })
    }
}

impl FollowState {
    /// Whether the records before `first` need not be waited for.
    fn has_done_with(&self, first: Sequence) -> bool {
        self.hashed >= first.previous().0 || self.is_over()
    }

    /// Nothing more will be hashed.
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
