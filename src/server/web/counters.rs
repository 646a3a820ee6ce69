//! The counters of the listener of the page.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::refusal::WebRefusal;
use crate::counters::Counters;
use crate::server::admission::Admission;
use crate::server::listener::ConnectionCounters;

/// Counts requests by outcome.
#[derive(Debug, Default)]
pub struct WebCounters {
    /// Calls.
    pub calls: AtomicU64,
    /// Files that were sent, or that the browser had cached.
    pub files: AtomicU64,
    /// Refused requests, by reason.
    pub refused: Counters<WebRefusal>,
}

/// The counters from which metrics of the page are read.
pub struct WebSources {
    /// Its connections since the start.
    pub connections: Arc<ConnectionCounters>,
    /// Its open connections.
    pub admission: Arc<Admission>,
    /// Its requests.
    pub requests: Arc<WebCounters>,
}
