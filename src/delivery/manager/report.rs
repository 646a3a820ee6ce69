//! Reports a delivery for status and metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::delivery::DeliveryConfig;
use crate::delivery::state::{DeliveryPhase, DeliveryState};
use crate::histogram::HistogramSnapshot;
use crate::record::Sequence;
use crate::time::Time;

/// The state of a delivery at one moment.
#[derive(Debug, Clone)]
pub struct DeliveryReport {
    /// Its name.
    pub name: String,
    /// The name of its format.
    pub format: &'static str,
    /// The identity of its destination.
    pub destination: String,
    /// Whether an acknowledgement means that the destination has the records.
    pub acknowledges: bool,
    /// Its phase.
    pub phase: DeliveryPhase,
    /// The reason, if it does not run.
    pub reason: String,
    /// Since when it does not run.
    pub since: Option<Time>,
    /// The newest record that is delivered or excluded by the filter.
    pub position: Sequence,
    /// The number of records after it.
    pub lag_records: u64,
    /// The approximate age of the oldest of them that matches the filter.
    pub lag: Duration,
    /// When the destination last accepted a batch.
    pub last_success: Option<Time>,
    /// Records and gaps that the destination accepted since the start.
    pub delivered: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Batches that the destination accepted since the start.
    pub batches: u64,
    /// Failed attempts that were retried.
    pub retries: u64,
    /// Records that became dead letters since the start.
    pub rejected: u64,
    /// Records that the destination reported as duplicates.
    pub repeated: u64,
    /// Gaps that were found since the start.
    pub gaps: u64,
    /// Records in these gaps.
    pub missed: u64,
    /// Dead letters that are kept.
    pub dead_letters: u64,
    /// Their bytes.
    pub dead_letter_bytes: u64,
    /// Batches in flight.
    pub in_flight: u64,
    /// The most batches that may be in flight.
    pub in_flight_max: usize,
    /// Estimated memory of the batches, in bytes.
    pub held_bytes: u64,
    /// Whether retention waits for it.
    pub holds: bool,
    /// Times from acceptance to acknowledgement.
    pub latency: HistogramSnapshot,
}

impl DeliveryReport {
    /// The report of a delivery that another gateway runs.
    pub(super) fn elsewhere(config: &DeliveryConfig) -> Self {
        let state = DeliveryState::new(config.name.clone(), false);
        let gateway = config.elsewhere.as_deref().unwrap_or_default();
        Self {
            phase: DeliveryPhase::Elsewhere,
            reason: format!("it runs on the gateway {gateway}: ask that one"),
            ..Self::of(config, &state, Sequence::ZERO)
        }
    }

    /// The report of a delivery from a log whose newest record is `last`.
    pub(super) fn of(config: &DeliveryConfig, state: &DeliveryState, last: Sequence) -> Self {
        let read = |total: &AtomicU64| total.load(Ordering::Relaxed);
        let counters = &state.counters;
        let (phase, reason) = state.phase();
        let (dead_letters, dead_letter_bytes) = state.dead_letters();
        let (held_bytes, in_flight) = state.held();
        let position = state.position();
        Self {
            name: config.name.clone(),
            format: config.format.name(),
            destination: config.destination.identity(),
            acknowledges: config.destination.acknowledges(),
            phase,
            reason,
            since: state.trouble().map(|trouble| trouble.since),
            position,
            lag_records: last.0.saturating_sub(position.0),
            lag: state.lag(last),
            last_success: state.last_success(),
            delivered: read(&counters.delivered),
            bytes: read(&counters.bytes),
            batches: read(&counters.batches),
            retries: read(&counters.retries),
            rejected: read(&counters.rejected),
            repeated: read(&counters.repeated),
            gaps: read(&counters.gaps),
            missed: read(&counters.missed),
            dead_letters,
            dead_letter_bytes,
            in_flight,
            in_flight_max: config.in_flight,
            held_bytes,
            holds: config.hold.is_some(),
            latency: state.latency(),
        }
    }
}
