//! Keeps the newest disconnects for GetStatus: connections that the gateway closed, and streams
//! that ended with an error.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::proto::pb::DisconnectKind;
use crate::text::truncated;
use crate::time::Time;

/// The number of kept disconnects.
pub const DISCONNECTS_KEPT: usize = 50;
/// The most bytes of a reason.
const REASON_BYTES_MAX: usize = 64;

/// A connection or stream that ended.
#[derive(Debug, Clone)]
pub struct Disconnect {
    /// When it ended.
    pub time: Time,
    /// Whether a connection or a stream ended.
    pub kind: DisconnectKind,
    /// The principal; empty if unknown.
    pub principal: Arc<str>,
    /// The client's address.
    pub peer: Option<SocketAddr>,
    /// The name of the reason.
    pub reason: String,
}

/// The newest disconnects.
#[derive(Debug, Default)]
pub struct DisconnectLog(Mutex<VecDeque<Disconnect>>);

impl DisconnectLog {
    /// Notes that something ended now.
    pub fn note(
        &self,
        kind: DisconnectKind,
        principal: Option<Arc<str>>,
        peer: Option<SocketAddr>,
        reason: &str,
    ) {
        let disconnect = Disconnect {
            time: Time::now(),
            kind,
            principal: principal.unwrap_or_default(),
            peer,
            reason: truncated(reason.to_owned(), REASON_BYTES_MAX),
        };
        let mut kept = self.0.lock();
        if kept.len() >= DISCONNECTS_KEPT {
            kept.pop_back();
        }
        kept.push_front(disconnect);
    }

    /// The newest ones, the newest first.
    pub fn newest(&self) -> Vec<Disconnect> {
        self.0.lock().iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_whatever_clients_do() {
        let log = DisconnectLog::default();
        for number in 0..3 * DISCONNECTS_KEPT {
            let reason = format!("{number} {}", "x".repeat(1_000));
            log.note(DisconnectKind::Connection, None, None, &reason);
        }
        let kept = log.newest();
        assert_eq!(kept.len(), DISCONNECTS_KEPT);
        assert!(kept[0].reason.starts_with("149 ") && kept[49].reason.starts_with("100 "));
        assert!(kept.iter().all(|one| one.reason.len() <= REASON_BYTES_MAX + '…'.len_utf8()));
    }
}
