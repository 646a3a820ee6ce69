//! Passes the room for the work on a request from its reception to its handler.

use std::sync::Arc;

use super::fair::Share;
use crate::hub::{PAGE_BYTES_MAX, WorkMemory};
use parking_lot::{Mutex, MutexGuard};

/// Room for the work on a request beside the request itself: events that are being appended,
/// decoded filters, the answer. It is in the extensions of a call. Clones share the room. In a
/// stream of requests it belongs to the newest request.
#[derive(Debug, Clone, Default)]
pub struct WorkRoom(Arc<Mutex<Option<Share>>>);

impl WorkRoom {
    /// Sets the room for the newest request.
    pub fn put(&self, share: Share) {
        *self.lock() = Some(share);
    }

    /// Takes the room for the newest request; `None` if the call did not come through a listener.
    pub fn take(&self) -> Option<Share> {
        self.lock().take()
    }

    /// Returns room above `bytes`, once the need is known.
    pub fn shrink(&self, bytes: usize) {
        if let Some(share) = self.lock().as_mut() {
            share.resize(bytes.min(share.units()));
        }
    }

    /// Takes missing room up to `bytes`, even beyond the capacity, because the work holds it
    /// already.
    pub fn grow_to(&self, bytes: usize) {
        if let Some(share) = self.lock().as_mut().filter(|share| share.units() < bytes) {
            share.resize(bytes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Share>> {
        self.0.lock()
    }
}

/// The memory of a read beside its filter and its answer.
#[derive(Debug)]
pub struct ReadMemory {
    room: WorkRoom,
    /// Memory of the compiled filter and of the largest answer, in bytes.
    base: usize,
}

impl ReadMemory {
    /// The memory of a read with a filter of this size, whose answer is a page.
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
