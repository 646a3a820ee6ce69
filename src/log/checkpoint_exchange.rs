//! Where the gateways of one log agree on signed checkpoints.
//!
//! A checkpoint that a gateway signs is given out only after it came back in the order in
//! which all gateways get it, and has the root of the own tree. A gateway that finds
//! another root stops. So of two different trees, at most the one that came first is
//! given out by anyone.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::watch;

/// So many checkpoints wait to be compared; of more, the oldest are left out. A later one
/// covers the records of those before it.
const WAITING_MAX: usize = 256;

/// Gives signed checkpoints to all gateways of the log, in one order.
pub trait CheckpointExchange: Send + Sync + 'static {
    /// Sends a signed checkpoint to all gateways. It comes back, unless it is lost.
    /// Returns whether it was taken: it is not while the log cannot be appended to.
    fn publish(&self, checkpoint: String) -> bool;

    /// The checkpoints that came since the last call, in their order.
    fn take(&self) -> Vec<PublishedCheckpoint>;

    /// Changes when one came, or there is a [`CheckpointExchange::disagreement`].
    fn changes(&self) -> watch::Receiver<()>;

    /// What shows that another gateway has other records than this one.
    fn disagreement(&self) -> Option<String>;
}

/// A signed checkpoint of some gateway of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedCheckpoint {
    /// The note.
    pub text: String,
    /// So many records the log had before it: it cannot cover more.
    pub records: u64,
}

/// The checkpoints that wait to be compared.
#[derive(Debug)]
pub struct CheckpointQueue {
    waiting: Mutex<VecDeque<PublishedCheckpoint>>,
    changed: watch::Sender<()>,
}

impl Default for CheckpointQueue {
    fn default() -> Self {
        Self { waiting: Mutex::default(), changed: watch::Sender::new(()) }
    }
}

impl CheckpointQueue {
    /// The next checkpoint came.
    pub fn push(&self, checkpoint: PublishedCheckpoint) {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= WAITING_MAX {
            waiting.pop_front();
        }
        waiting.push_back(checkpoint);
        drop(waiting);
        self.wake();
    }

    /// All that wait.
    pub fn take(&self) -> Vec<PublishedCheckpoint> {
        self.waiting.lock().drain(..).collect()
    }

    /// Has those who wait look.
    pub fn wake(&self) {
        self.changed.send_replace(());
    }

    /// Changes with each checkpoint.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_wait_in_their_order() {
        let queue = CheckpointQueue::default();
        let changes = queue.changes();
        let of = |records: u64| PublishedCheckpoint { text: records.to_string(), records };
        (0..1_000).for_each(|records| queue.push(of(records)));
        assert!(changes.has_changed().unwrap());
        let expected: Vec<_> = (1_000 - WAITING_MAX as u64..1_000).map(of).collect();
        assert_eq!(queue.take(), expected);
        assert_eq!(queue.take(), []);
    }
}
