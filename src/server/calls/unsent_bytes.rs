//! Counts response bytes that wait in h2 for the client to read, until the transport
//! accepts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::server::connection::Connection;
use crate::service::quota::ResourceShare;

/// Smaller pieces are not worth counting.
const COUNTED_BYTES_MIN: usize = 1024;

/// Counts the unsent bytes of one response.
#[derive(Debug, Clone)]
pub struct UnsentBytes {
    all: Arc<AtomicUsize>,
    connection: Arc<Connection>,
    /// Given back when the last of its bytes has gone.
    read: Option<Arc<ResourceShare>>,
}

struct UnsentChunk {
    bytes: Bytes,
    waiting: UnsentBytes,
}

impl UnsentBytes {
    /// Of a call on a connection; `all` counts for the whole gateway.
    pub fn new(
        all: Arc<AtomicUsize>,
        connection: Arc<Connection>,
        read: Option<Arc<ResourceShare>>,
    ) -> Self {
        Self { all, connection, read }
    }

    /// The same bytes, counted until they are dropped.
    pub fn count(&self, bytes: Bytes) -> Bytes {
        if bytes.len() < COUNTED_BYTES_MIN {
            return bytes;
        }
        self.all.fetch_add(bytes.len(), Ordering::Relaxed);
        self.connection.add_unread(bytes.len(), self.read.is_some());
        Bytes::from_owner(UnsentChunk { bytes, waiting: self.clone() })
    }
}

impl AsRef<[u8]> for UnsentChunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for UnsentChunk {
    fn drop(&mut self) {
        let UnsentBytes { all, connection, read } = &self.waiting;
        all.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        connection.remove_unread(self.bytes.len(), read.is_some());
    }
}
