//! The log that a gateway serves.

use std::sync::Arc;

use crate::log::Log;
use crate::log::shared::shared_log::SharedLog;

/// A log, and what the operator is told of it.
pub struct ServedLog {
    pub log: Arc<dyn Log>,
    /// What the log keeps, and what a receipt means.
    pub kept: String,
    /// The same log, if several gateways share it.
    pub shared: Option<Arc<SharedLog>>,
}
