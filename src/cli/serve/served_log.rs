//! The opened log that a gateway serves.

use std::sync::Arc;

use crate::config::{ByteSize, Period};
use crate::log::Log;
use crate::log::shared::shared_log::SharedLog;

/// A log with its description for the operator.
pub struct ServedLog {
    pub log: Arc<dyn Log>,
    /// Describes what the log keeps, and what a receipt means.
    pub kept: String,
    /// The same log, if several gateways share it.
    pub shared: Option<Arc<SharedLog>>,
}

/// Describes how long records are kept.
pub fn retained(bytes: Option<ByteSize>, age: Option<Period>) -> String {
    match (bytes, age) {
        (None, None) => "keeping all records".to_owned(),
        (Some(bytes), None) => format!("keeping the newest {bytes}"),
        (None, Some(age)) => format!("keeping {age}"),
        (Some(bytes), Some(age)) => format!("keeping {age}, at most {bytes}"),
    }
}
