//! The state of a log that several gateways append to.

/// The state of a log that several gateways append to, as one of them sees it. Counts are
/// totals since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicationReport {
    /// The name of the stream that carries the log.
    pub stream: String,
    /// The server to which this gateway is connected; empty while it is not.
    pub server: String,
    /// The number of servers that store each message.
    pub replicas: u32,
    /// The last message of the stream that this gateway has applied.
    pub position: u64,
    /// The newest message of the stream, as far as this gateway knows.
    pub end: u64,
    /// Publications in flight of this gateway.
    pub in_flight: usize,
    /// Appends that wait for a message.
    pub pending: usize,
    /// Messages of this gateway that were published again.
    pub repeats: u64,
    /// Records of this gateway that were decided again, because another gateway published their id.
    pub seen: u64,
    /// Records that were decided again, because their unit is stored as a whole or not at all.
    pub void: u64,
    /// Records that were decided again, because they had waited for too long.
    pub stale: u64,
    /// Messages that no cluster key authenticates, or that are malformed.
    pub invalid: u64,
    /// The number of disagreements with another gateway.
    pub disagreements: u64,
    /// The last disagreement, as a sentence.
    pub disagreement: Option<String>,
    /// Changes that the operator should make at the servers, a sentence each.
    pub warnings: Vec<String>,
    /// In what settings other gateways differ from this one, a sentence each.
    pub differences: Vec<String>,
}

impl ReplicationReport {
    /// The number of messages that this gateway has not applied.
    pub fn lag(&self) -> u64 {
        self.end.saturating_sub(self.position)
    }
}
