//! Deliveries: records that go to another system, by a named and durable subscription inside the
//! gateway.
//!
//! ```text
//!  log --> subscription --> filling --> window of batches in flight --> destination
//!                             ^ format         |
//!                                              v
//!                        cursor file: the acknowledged prefix      dead letters: what is refused
//! ```
//!
//! The log is the queue: a delivery holds no more than its batches. What is promised: each record
//! that the filter matches is accepted by the destination, is a dead letter, or is in a gap that
//! the destination was told of. Records come at least once, and in order while one batch is in
//! flight.

mod batch;
mod control;
mod dead_letters;
pub mod destination;
pub mod format;
mod hold;
mod manager;
mod replay;
mod runner;
mod shipper;
mod state;
mod state_file;
mod window;

#[cfg(test)]
mod tests;

use crate::proto::pb;
use crate::time::Time;
use format::FormatName;

pub use batch::BatchLimits;
pub use control::{ControlAction, ControlError};
pub use dead_letters::DEAD_LETTER_BYTES_MAX;
pub use hold::HoldLimits;
pub use manager::{Deliveries, DeliveryReport, StartError};
pub use state::DeliveryPhase;

/// Everything that is configured of one delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryConfig {
    /// Its name, which is also that of its files.
    pub name: String,
    /// How records are encoded.
    pub format: FormatName,
    /// Which records go out.
    pub filter: pb::Filter,
    /// Where it begins if it has no cursor yet.
    pub start: DeliveryStart,
    /// When a batch is full.
    pub batch: BatchLimits,
    /// How many batches may be on their way at once.
    pub in_flight: usize,
    /// How far retention waits; not at all if `None`.
    pub hold: Option<HoldLimits>,
    /// Where the records go.
    pub destination: destination::Config,
    /// The name of the gateway of a shared log that runs it; `None` if this one does.
    pub elsewhere: Option<String>,
}

/// Where a delivery without a cursor begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStart {
    /// At the oldest record kept.
    Earliest,
    /// Behind the newest record.
    Latest,
    /// At the first record that was accepted at this time or later.
    Since(Time),
}
