//! What the listener of the page counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::refusal::WebRefusal;
use crate::server::admission::Admission;
use crate::server::listener::ConnectionCounters;

/// Counts requests by what became of them.
#[derive(Debug, Default)]
pub struct WebCounters {
    /// Calls.
    pub calls: AtomicU64,
    /// Files that were sent, or that the browser had already.
    pub files: AtomicU64,
    refused: [AtomicU64; WebRefusal::ALL.len()],
}

/// Where metrics of the page are read.
pub struct WebSources {
    /// Its connections since the start.
    pub connections: Arc<ConnectionCounters>,
    /// Its open connections.
    pub admission: Arc<Admission>,
    /// Its requests.
    pub requests: Arc<WebCounters>,
}

impl WebCounters {
    /// Counts a refused request.
    pub fn count_refused(&self, why: WebRefusal) {
        if let Some(count) = self.refused.get(why as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many requests were refused, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.refused.iter().map(|count| count.load(Ordering::Relaxed));
        WebRefusal::ALL.into_iter().map(WebRefusal::name).zip(counts)
    }
}
