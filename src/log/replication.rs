//! How a log that several gateways append to does.

/// The state of a log that several gateways append to, as one of them sees it. Counts are
/// totals since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicationReport {
    /// The name of the stream that carries the log.
    pub stream: String,
    /// The server to which this gateway is connected; empty while it is not.
    pub server: String,
    /// On how many servers each message is.
    pub replicas: u32,
    /// The last message of the stream that this gateway has applied.
    pub position: u64,
    /// The newest message of the stream, as far as this gateway knows.
    pub end: u64,
    /// Messages of this gateway on their way to the stream.
    pub in_flight: usize,
    /// Appends that wait for a message.
    pub pending: usize,
    /// Messages of this gateway that were published again.
    pub repeats: u64,
    /// Records of this gateway that were looked up again, since their id was published by
    /// another one.
    pub seen: u64,
    /// The same, since their unit is stored as a whole or not at all.
    pub void: u64,
    /// The same, since they had waited for too long.
    pub stale: u64,
    /// Messages that no cluster key authenticates, or that are malformed.
    pub invalid: u64,
    /// How often another gateway had another state.
    pub disagreements: u64,
    /// The last time that it had, in a sentence.
    pub disagreement: Option<String>,
    /// What the operator should change at the servers, a sentence each.
    pub warnings: Vec<String>,
}

impl ReplicationReport {
    /// How many messages of the stream this gateway has not applied.
    pub fn lag(&self) -> u64 {
        self.end.saturating_sub(self.position)
    }
}
