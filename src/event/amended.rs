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

/// Redacts an event again, with another key.
pub trait Reredact: Send + Sync {
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
