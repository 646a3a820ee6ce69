//! Follows the requests of a connection over HTTP/1.1.
//!
//! Data that is read while no call runs belongs to the head of a request, which is complete once
//! the request has begun.

use super::Connection;

/// The progress of the connection.
#[derive(Debug, Default)]
pub struct Http1Watch {
    /// Requests that had begun.
    begun: u64,
}

impl Http1Watch {
    /// Whether a request has begun since the last call.
    pub fn has_begun(&mut self, connection: &Connection) -> bool {
        let begun = connection.requests();
        std::mem::replace(&mut self.begun, begun) != begun
    }
}
