//! The configuration of a gateway, for programs that embed one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Settings};
use crate::content::ContentPolicy;
use crate::delivery::DeliveryConfig;
use crate::log::Bounds;
use crate::proof::{SigningKey, VerifierKey};
use crate::server::{admission, connection};
use crate::service::{ServiceLimits, quota};

/// The configuration of a gateway.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on; port 0 chooses a free port.
    pub listen: SocketAddr,
    /// The bounds of the ring.
    pub ring: Bounds,
    /// Encryption and client certificates.
    pub tls: config::Tls,
    /// Authentication and authorization.
    pub access: config::Access,
    /// The limits of requests.
    pub limits: ServiceLimits,
    /// The limits of open connections.
    pub admission: admission::ConnectionLimits,
    /// The time limits of connections.
    pub connections: connection::ConnectionTimeouts,
    /// The quotas of principals.
    pub quotas: quota::QuotaLimits,
    /// The address of the admin listener, if there is one; port 0 chooses a free port.
    pub admin: Option<SocketAddr>,
    /// The page for browsers.
    pub web: config::Web,
    /// The time limit for running calls when the gateway stops.
    pub drain_timeout: Duration,
    /// The key that signs checkpoints. Without it, the gateway keeps no Merkle tree.
    pub signing_key: Option<SigningKey>,
    /// The verifier key of a shared log, for a gateway without the signing key: other gateways sign
    /// checkpoints, and this one verifies and serves them.
    pub verifier_key: Option<VerifierKey>,
    /// Whether the signing key is in the data directory, for the status.
    pub key_beside_log: bool,
    /// The data directory, for tiles, checkpoints and the watch of free space; in memory if `None`.
    pub tiles: Option<PathBuf>,
    /// The content policy; if `None`, events are not changed.
    pub content: Option<Arc<ContentPolicy>>,
    /// Records that go to other systems.
    pub deliveries: Vec<DeliveryConfig>,
    /// The directory of their cursors and dead letters.
    pub delivery_dir: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self::from(&Settings::default())
    }
}

impl From<&Settings> for Config {
    fn from(settings: &Settings) -> Self {
        let limits = &settings.limits;
        Self {
            listen: settings.listen,
            ring: settings.ring.bounds(),
            tls: settings.tls.clone(),
            access: settings.access.clone(),
            limits: ServiceLimits::default(),
            admission: admission::ConnectionLimits {
                connections: limits.connections,
                connections_per_peer: limits.connections_per_address,
            },
            connections: limits.into(),
            quotas: quota::QuotaLimits {
                calls_per_second: limits.calls_per_second,
                events_per_second: limits.events_per_second,
                bytes_per_second: limits.bytes_per_second.0 as u64,
                subscribers: limits.subscribers,
                emit_streams: limits.emit_streams,
                reads: limits.reads,
                reads_in_all: limits.reads_in_all,
                receiving_bytes: limits.receiving_bytes.0,
                receiving_bytes_in_all: limits.receiving_bytes_in_all.0,
                waiting_bytes: limits.waiting_bytes.0,
                waiting_bytes_in_all: limits.waiting_bytes_in_all.0,
            },
            admin: settings.admin.listen,
            web: settings.web.clone(),
            drain_timeout: settings.drain_timeout.0,
            signing_key: None,
            verifier_key: None,
            key_beside_log: false,
            tiles: None,
            content: None,
            deliveries: Vec::new(),
            delivery_dir: settings.delivery_directory(),
        }
    }
}
