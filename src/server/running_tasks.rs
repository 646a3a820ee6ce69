//! Reports calls and connections that still run when the gateway has to end.

use std::sync::Arc;

use crate::server::admission::Admission;
use crate::server::stats::CallStats;

/// The tasks that have not ended.
pub struct RunningTasks {
    /// Calls.
    pub stats: Arc<CallStats>,
    /// Connections.
    pub admission: Arc<Admission>,
}

impl RunningTasks {
    /// Logs the calls that are about to be aborted.
    pub fn warn(&self) {
        let (calls, connections) = (self.stats.running(), self.admission.count());
        tracing::warn!(calls, connections, "cut off after the drain timeout");
    }
}
