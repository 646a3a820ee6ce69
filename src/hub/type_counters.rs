//! Counts accepted events by type.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::catalog::{EVENT_TYPES, TypeId};
use crate::record::Draft;

/// Counts by type; `custom` types are one.
#[derive(Debug)]
pub struct TypeCounters {
    counts: Box<[AtomicU64]>,
    bytes: AtomicU64,
}

/// What is to be counted of an event, once it is accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct SubmittedEvent {
    /// Its type.
    pub type_id: TypeId,
    /// Its size.
    pub bytes: usize,
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

    /// What has to be kept of drafts, which the log takes.
    pub(super) fn submitted(drafts: &[Draft]) -> Vec<SubmittedEvent> {
        let events = drafts.iter().map(Draft::event);
        events
            .map(|event| SubmittedEvent { type_id: event.type_id, bytes: event.bytes.len() })
            .collect()
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
