//! Units that become one message. To compress them takes longer than all else that a publisher
//! does, so it needs neither the publisher nor the lock around it.

use bytes::Bytes;

use super::in_flight::GroupSize;
use crate::log::shared::message::group::{self, EncodedUnit};
use crate::log::shared::message::{Basis, BodyEncoder, ClusterKeys, encode_group};

/// Records to be stored, and who waits for the outcome.
#[derive(Debug)]
pub struct StagedUnit<W> {
    /// The records.
    pub unit: EncodedUnit,
    /// The state at which their ids were looked up.
    pub basis: Basis,
    /// Who waits.
    pub waiter: W,
}

/// Units of the next message.
#[derive(Debug)]
pub struct UnitGroup<W> {
    pub(super) sender: u64,
    pub(super) counter: u64,
    /// The oldest one of the units: all of them were looked up then or later.
    pub(super) basis: Basis,
    pub(super) size: GroupSize,
    /// Calls with several units of which some are in it.
    pub(super) calls: Vec<u64>,
    pub(super) units: Vec<StagedUnit<W>>,
}

/// A message that is ready to be published.
#[derive(Debug)]
pub struct SealedGroup<W> {
    pub(super) counter: u64,
    pub(super) basis: Basis,
    /// The group before compression.
    pub(super) content: Vec<u8>,
    pub(super) bytes: Bytes,
    pub(super) size: GroupSize,
    /// Calls with several units of which some are in it.
    pub(super) calls: Vec<u64>,
    /// How many records each unit has, and who waits for it.
    pub(super) units: Vec<(usize, W)>,
}

impl<W> UnitGroup<W> {
    /// Compresses and authenticates the message.
    pub fn seal(self, keys: &ClusterKeys, encoder: &mut BodyEncoder) -> SealedGroup<W> {
        let Self { sender, counter, basis, size, calls, units } = self;
        let content = group::encode(units.iter().map(|unit| &unit.unit));
        let bytes = encode_group(sender, counter, basis, (&content, encoder), keys).into();
        let units = units.into_iter().map(|unit| (unit.unit.records(), unit.waiter)).collect();
        SealedGroup { counter, basis, content, bytes, size, calls, units }
    }
}

impl<W> SealedGroup<W> {
    /// A message for which nobody waits.
    pub(super) fn without_units(counter: u64, basis: Basis, bytes: Bytes) -> Self {
        let (content, calls, units) = (Vec::new(), Vec::new(), Vec::new());
        Self { counter, basis, content, bytes, size: GroupSize::default(), calls, units }
    }
}
