//! Messages that are on their way.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::log::shared::message::Basis;
use crate::log::shared::message::group::EncodedUnit;

/// A message that was published and is not applied yet.
#[derive(Debug)]
pub struct InFlight<W> {
    pub bytes: Bytes,
    /// What it says, if that is a group: its basis, and the group before compression.
    pub group: Option<(Basis, Vec<u8>)>,
    pub size: GroupSize,
    /// Calls with several units of which some are in it.
    pub calls: Vec<u64>,
    /// The stream says that it has it.
    pub is_stored: bool,
    /// How many records each unit has, and who waits for it.
    pub units: Vec<(usize, W)>,
    pub begun: Instant,
    /// How long it was waited for before it is repeated.
    pub pause: Duration,
    /// After how long it is repeated if the stream does not take it.
    pub retry: Duration,
    pub repeat_at: Instant,
    pub attempts: u64,
    /// Why it was not taken, of late.
    pub failure: Option<String>,
}

/// How large a group is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct GroupSize {
    pub records: usize,
    pub bytes: usize,
}

impl GroupSize {
    pub fn of(unit: &EncodedUnit) -> Self {
        Self { records: unit.records(), bytes: unit.byte_len() }
    }

    pub fn with(self, other: Self) -> Self {
        Self { records: self.records + other.records, bytes: self.bytes + other.bytes }
    }

    pub fn without(self, part: Self) -> Self {
        Self { records: self.records - part.records, bytes: self.bytes - part.bytes }
    }
}
