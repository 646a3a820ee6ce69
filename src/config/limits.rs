//! `[limits]`: bounds of what clients may use.

use std::ops::RangeInclusive;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ByteSize, Error, Period};

/// Bounds of what clients may use. The limits of one client apply to its principal, or to its
/// network address if authentication is off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open connections in total; at least 16. The gateway accepts fewer if the process may not
    /// open enough files.
    pub connections: usize,
    /// Open connections from one address; at least 1. An IPv6 network of 64 bits
    /// counts as one address.
    pub connections_per_address: usize,
    /// How long a connection may have no call; from 10s to 30d.
    pub idle_timeout: Period,
    /// Time limit for the HTTP/2 preface of a connection, and for each frame and the headers of a
    /// call; from 1s to 60s.
    pub unfinished_timeout: Period,
    /// How long a client may read nothing although the gateway has data to send; from 1s to 1h.
    pub stall_timeout: Period,
    /// Calls of one client in a second; 0 for any number.
    pub calls_per_second: u64,
    /// Events of one client in a second; 0 for any number.
    pub events_per_second: u64,
    /// Bytes of requests of one client in a second, as sent (compressed); 0 for any number.
    pub bytes_per_second: ByteSize,
    /// Open subscriptions of one client; at least 1.
    pub subscribers: usize,
    /// Open emit streams of one client; at least 1.
    pub emit_streams: usize,
    /// Searches and counts of one client at once; at least 1. Others wait their turn.
    pub reads: usize,
    /// Searches and counts of all clients at once; at least 1.
    pub reads_in_all: usize,
    /// Memory of incomplete requests of one client that arrive before there is room for the whole
    /// request; at least 4MiB, the size of one request.
    pub receiving_bytes: ByteSize,
    /// Memory of incomplete requests of all clients; at least 4MiB.
    pub receiving_bytes_in_all: ByteSize,
    /// Memory of one client for requests in work, events that are being appended, and answers that
    /// the client has not read; at least 16MiB. Beyond it, its other requests wait.
    pub waiting_bytes: ByteSize,
    /// The same for all clients; at least 16MiB. Beyond it, the client that holds least is served
    /// next.
    pub waiting_bytes_in_all: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            connections: 10_000,
            connections_per_address: 1_000,
            idle_timeout: Period(Duration::from_secs(15 * 60)),
            unfinished_timeout: Period(Duration::from_secs(5)),
            stall_timeout: Period(Duration::from_secs(8)),
            calls_per_second: 100_000,
            events_per_second: 2_000_000,
            bytes_per_second: ByteSize(1024 * MIB),
            subscribers: 4_096,
            emit_streams: 1_024,
            reads: 32,
            reads_in_all: 64,
            receiving_bytes: ByteSize(64 * MIB),
            receiving_bytes_in_all: ByteSize(256 * MIB),
            waiting_bytes: ByteSize(64 * MIB),
            waiting_bytes_in_all: ByteSize(256 * MIB),
        }
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), Error> {
        const MIB: usize = 1024 * 1024;
        const DAY: u64 = 24 * 60 * 60;
        let counts = [
            ("connections", self.connections, 16),
            ("connections_per_address", self.connections_per_address, 1),
            ("subscribers", self.subscribers, 1),
            ("emit_streams", self.emit_streams, 1),
            ("reads", self.reads, 1),
            ("reads_in_all", self.reads_in_all, 1),
            ("receiving_bytes", self.receiving_bytes.0, 4 * MIB),
            ("receiving_bytes_in_all", self.receiving_bytes_in_all.0, 4 * MIB),
            ("waiting_bytes", self.waiting_bytes.0, 16 * MIB),
            ("waiting_bytes_in_all", self.waiting_bytes_in_all.0, 16 * MIB),
        ];
        for (key, value, least) in counts {
            if value < least {
                let what = format!("{value}, which must be at least {least}");
                return Err(Error::value(format!("limits.{key}"), what));
            }
        }
        period("limits.idle_timeout", self.idle_timeout, 10..=30 * DAY)?;
        period("limits.unfinished_timeout", self.unfinished_timeout, 1..=60)?;
        period("limits.stall_timeout", self.stall_timeout, 1..=60 * 60)
    }
}

/// Checks that a duration is within these seconds.
pub(super) fn period(key: &str, value: Period, seconds: RangeInclusive<u64>) -> Result<(), Error> {
    value.check(seconds).map_err(|what| Error::value(key, what))
}
