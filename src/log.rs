//! The log: the totally ordered, gapless sequence of records.
//!
//! [`Log`] is the trait that every kind of log implements; `conformance` has the tests that each of
//! them passes. All kinds have a ring: the newest segments, in memory.

mod append_buffer;
mod checkpoint_exchange;
mod contract;
pub mod cursor;
pub mod disk;
mod error;
mod holds;
mod id_table;
mod index;
mod memory;
mod read;
mod replication;
mod ring;
mod scan;
mod segment;
pub mod shared;

#[cfg(test)]
mod conformance;
#[cfg(test)]
pub mod fake;

use std::future::Future;
use std::pin::Pin;

pub use checkpoint_exchange::{CheckpointExchange, CheckpointQueue, PublishedCheckpoint};
pub use contract::{
    Append, Appended, DamagedRange, Extent, Identity, Log, Receipt, Sequencer, State,
    StorageReport, Store, TailKind,
};
pub use error::{Conflict, ConflictReason, Error};
pub use holds::{HoldReport, Holds, RetentionHold};
pub use memory::MemoryLog;
pub use read::{ReadContent, ReadFuture, ReadHint, ReadResult};
pub use replication::ReplicationReport;
pub use ring::{BYTES_MIN, Bounds, RING_BYTES, RING_RECORDS};
pub use scan::{SLICE, ScanEnd, ScanOrder, ScanQuery, ScanStats};
pub use segment::{ComparedRecords, Segment, SegmentView};

/// A boxed future, so that the traits are dyn-compatible.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
