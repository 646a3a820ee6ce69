//! Counts accepted events by type.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::catalog::{EVENT_TYPES, TypeId};

/// Counts by type; `custom` types are one.
#[derive(Debug)]
pub struct TypeCounters {
    counts: Box<[AtomicU64]>,
    bytes: AtomicU64,
}

impl Default for TypeCounters {
    fn default() -> Self {
        Self {
            counts: EVENT_TYPES.iter().map(|_| AtomicU64::new(0)).collect(),
            bytes: AtomicU64::new(0),
        }
    }
}

impl TypeCounters {
    /// The number of events of this type.
    pub fn count(&self, type_id: TypeId) -> u64 {
        let count = self.counts.get(usize::from(type_id.0));
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// The bytes of all events.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, type_id: TypeId) {
        if let Some(count) = self.counts.get(usize::from(type_id.0)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
