//! Ends long work once nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether the caller of some work still waits for it: work on a thread of its own goes on when the call
/// has ended, by its deadline or since the client is gone. Clones are the same work.
#[derive(Debug, Clone, Default)]
pub struct Abandoned(Arc<AtomicBool>);

/// Abandons the work when it is dropped.
#[derive(Debug)]
pub struct AbandonOnDrop(Abandoned);

impl Abandoned {
    /// Nobody waits any more once this is dropped.
    pub fn on_drop(&self) -> AbandonOnDrop {
        AbandonOnDrop(self.clone())
    }

    /// Whether nobody waits any more.
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        let Self(Abandoned(flag)) = self;
        flag.store(true, Relaxed);
    }
}
