//! Limits the open connections, in total and by remote address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::network::Network;

/// Open files that the process needs beside its connections: logs, listeners, and short-lived
/// files.
const RESERVED_FILES: usize = 128;
/// The minimum of allowed connections, even if fewer files may be open.
const CONNECTIONS_MIN: usize = 16;

/// The maximum number of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In total.
    pub connections: usize,
    /// From one IPv4 address, or from one IPv6 network of 64 bits.
    pub connections_per_peer: usize,
}

impl ConnectionLimits {
    /// These limits, lowered to a process limit of `files` open files.
    pub fn within(self, files: usize) -> Self {
        let most = files.saturating_sub(RESERVED_FILES).max(CONNECTIONS_MIN);
        Self { connections: self.connections.min(most), ..self }
    }
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionRefused {
    /// The total limit is reached.
    #[error("{limit} connections are open, which is the limit")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// The limit for the address is reached.
    #[error("{limit} connections are open from one address, which is the limit")]
    PeerFull {
        /// The limit.
        limit: usize,
    },
}

/// Counts open connections.
#[derive(Debug)]
pub struct Admission {
    limits: ConnectionLimits,
    open: Mutex<OpenConnections>,
}

#[derive(Debug, Default)]
struct OpenConnections {
    all: usize,
    by_peer: HashMap<Network, usize>,
}

/// Counts as one open connection until it is dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    admission: Arc<Admission>,
    peer: Network,
}

impl Admission {
    /// An admission without connections.
    pub fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits, open: Mutex::default() })
    }

    /// Admits a connection from this address.
    ///
    /// # Errors
    /// If a limit is reached.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<ConnectionPermit, ConnectionRefused> {
        let peer = Network::of(address);
        let mut open = self.lock();
        if open.all >= self.limits.connections {
            return Err(ConnectionRefused::Full { limit: self.limits.connections });
        }
        let of_peer = open.by_peer.entry(peer).or_default();
        if *of_peer >= self.limits.connections_per_peer {
            return Err(ConnectionRefused::PeerFull { limit: self.limits.connections_per_peer });
        }
        *of_peer += 1;
        open.all += 1;
        drop(open);
        Ok(ConnectionPermit { admission: Arc::clone(self), peer })
    }

    /// The number of open connections.
    pub fn count(&self) -> usize {
        self.lock().all
    }

    /// The limits.
    pub fn limits(&self) -> ConnectionLimits {
        self.limits
    }

    fn lock(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock()
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = self.admission.lock();
        open.all -= 1;
        if let Some(of_peer) = open.by_peer.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                open.by_peer.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn connections_are_limited_by_peer_and_in_all() {
        let limits = ConnectionLimits { connections: 3, connections_per_peer: 2 };
        let admission = Admission::new(limits);
        let first = admission.admit(address("192.0.2.1")).unwrap();
        let _second = admission.admit(address("::ffff:192.0.2.1")).unwrap();
        assert_eq!(
            admission.admit(address("192.0.2.1")).unwrap_err(),
            ConnectionRefused::PeerFull { limit: 2 }
        );
        let _third = admission.admit(address("192.0.2.2")).unwrap();
        let refused = admission.admit(address("192.0.2.3")).unwrap_err();
        assert_eq!(refused, ConnectionRefused::Full { limit: 3 });
        drop(first);
        assert_eq!(admission.count(), 2);
        admission.admit(address("192.0.2.1")).unwrap();
        assert_eq!(admission.count(), 2);
    }

    #[test]
    fn an_ipv6_network_is_one_peer() {
        let admission =
            Admission::new(ConnectionLimits { connections: 9, connections_per_peer: 1 });
        let _first = admission.admit(address("2001:db8:1:2::1")).unwrap();
        admission.admit(address("2001:db8:1:2:ffff::9")).unwrap_err();
        admission.admit(address("2001:db8:1:3::1")).unwrap();
    }

    #[test]
    fn files_leave_room_for_connections() {
        let limits = ConnectionLimits { connections: 10_000, connections_per_peer: 1_000 };
        assert_eq!(limits.within(1_024).connections, 1_024 - RESERVED_FILES);
        assert_eq!(limits.within(1_000_000).connections, limits.connections);
        assert_eq!(limits.within(20).connections, CONNECTIONS_MIN);
    }
}
