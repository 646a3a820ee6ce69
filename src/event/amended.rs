//! The note of what redaction and trimming changed in an event.

use std::fmt;
use std::sync::Arc;

use crate::proto::pb;

/// What redaction and trimming did to an event before it was stored.
#[derive(Clone)]
pub struct Amended {
    /// Each change, as the record tells of it.
    pub amendments: Vec<pb::Amendment>,
    /// Redacts what the client sent once more, where other keys could have given
    /// another content.
    pub again: Option<Arc<dyn Reredact>>,
}

impl Amended {
    /// Bytes of memory that it holds.
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
    /// Bytes of memory that it holds.
    fn held_bytes(&self) -> usize;

    /// The client's part of the event, redacted with the key of this id; `None` if
    /// there is no such key.
    fn with_key(&self, key_id: &str) -> Option<Vec<u8>>;
}

/// Shows the amendments alone: the rest leads to what was redacted.
impl fmt::Debug for Amended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Amended").field("amendments", &self.amendments).finish_non_exhaustive()
    }
}
