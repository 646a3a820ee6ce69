//! The room for the work on a request, on its way from where the request is received to where it is worked on.

use std::sync::Arc;

use super::fair::Share;
use crate::hub::{PAGE_BYTES_MAX, WorkMemory};
use parking_lot::{Mutex, MutexGuard};

/// Room for what the work on a request takes beside the request itself: events on their way to the log,
/// decoded filters, the answer. It stands in the extensions of a call. Clones are the same room. In a call that
/// streams requests it is that of the newest request.
#[derive(Debug, Clone, Default)]
pub struct WorkRoom(Arc<Mutex<Option<Share>>>);

impl WorkRoom {
    /// Hands over the room for the newest request.
    pub fn put(&self, share: Share) {
        *self.lock() = Some(share);
    }

    /// Takes the room for the newest request. There is none where the call did not come through a listener.
    pub fn take(&self) -> Option<Share> {
        self.lock().take()
    }

    /// Gives back what exceeds so many bytes, once it is known how much the work takes.
    pub fn shrink(&self, bytes: usize) {
        if let Some(share) = self.lock().as_mut() {
            share.resize(bytes.min(share.units()));
        }
    }

    /// Takes what is missing to so many bytes, although it may not be there: the work holds them already.
    pub fn grow_to(&self, bytes: usize) {
        if let Some(share) = self.lock().as_mut().filter(|share| share.units() < bytes) {
            share.resize(bytes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Share>> {
        self.0.lock()
    }
}

/// What a read holds beside its filter and its answer.
#[derive(Debug)]
pub struct ReadMemory {
    room: WorkRoom,
    /// What the filter takes, compiled, and the answer at most.
    base: usize,
}

impl ReadMemory {
    /// That of a read with a filter of so many bytes, whose answer is a page.
    pub fn new(room: WorkRoom, filter: usize) -> Self {
        let memory = Self { room, base: filter + PAGE_BYTES_MAX };
        memory.holds(0);
        memory
    }
}

impl WorkMemory for ReadMemory {
    fn holds(&self, bytes: usize) {
        self.room.grow_to(self.base + bytes);
    }
}
