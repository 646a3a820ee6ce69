//! The changes that redaction and trimming made to an event.

use std::fmt;
use std::sync::Arc;

use crate::proto::pb;

/// The changes that redaction and trimming made to an event before it was stored.
#[derive(Clone)]
pub struct Amended {
    /// Each change, as in the record.
    pub amendments: Vec<pb::Amendment>,
    /// Redacts the client's event again, if another key would give other content.
    pub again: Option<Arc<dyn Reredact>>,
}

impl Amended {
    /// Memory that it holds, in bytes.
    pub fn held_bytes(&self) -> usize {
        let of_one = |amendment: &pb::Amendment| {
            size_of_val(amendment)
                + amendment.path.capacity()
                + amendment.action.capacity()
                + amendment.key_id.capacity()
                + amendment.original_sha256.len()
        };
        let sent = self.again.as_ref().map_or(0, |again| again.held_bytes());
        size_of::<Self>() + self.amendments.iter().map(of_one).sum::<usize>() + sent
    }
}

/// Redacts an event again, with another key.
pub trait Reredact: Send + Sync {
    /// Memory that it holds, in bytes.
    fn held_bytes(&self) -> usize;

    /// The client's part of the event, redacted with the key of this id; `None` if
    /// there is no such key.
    fn with_key(&self, key_id: &str) -> Option<Vec<u8>>;
}

/// Shows the amendments only, because the rest contains redacted values.
impl fmt::Debug for Amended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Amended").field("amendments", &self.amendments).finish_non_exhaustive()
    }
}
