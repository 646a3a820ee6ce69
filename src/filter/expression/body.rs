//! Messages as they stand in the bytes of a record.

use std::cell::Cell;
use std::sync::Arc;

use super::Failed;
use crate::wire;

/// Counts the steps of an evaluation down.
#[derive(Debug)]
pub(super) struct Meter(Cell<u64>);

impl Meter {
    pub(super) fn new(steps: u64) -> Self {
        Self(Cell::new(steps))
    }

    #[inline]
    pub(super) fn spend(&self, steps: u64) {
        self.0.set(self.0.get().saturating_sub(steps));
    }

    /// Steps that are left.
    #[cfg(test)]
    pub(super) fn left(&self) -> u64 {
        self.0.get()
    }

    /// Fails once all steps are spent, and from then on.
    #[inline]
    pub(super) fn check(&self) -> Result<(), Failed> {
        if self.0.get() == 0 { Err(Failed) } else { Ok(()) }
    }

    /// Counts memory that is taken.
    pub(super) fn spend_on_memory(&self, bytes: usize) {
        /// So that all steps together take some 32 MB at most.
        const BYTES_PER_STEP: usize = 8;
        self.spend((bytes / BYTES_PER_STEP) as u64);
    }

    /// Counts a search through a string.
    pub(super) fn spend_on(&self, searched: &[u8]) {
        /// Bytes that a search passes in about the time of one step.
        const BYTES_PER_STEP: u64 = 64;
        self.spend(searched.len() as u64 / BYTES_PER_STEP);
    }
}

/// The encoded fields of a message.
///
/// An encoder may send a message field in several parts, which whoever reads it
/// has to merge. Nearly always there is one.
#[derive(Debug, Clone)]
pub(super) enum Body<'a> {
    Whole(&'a [u8]),
    Parts(Arc<[&'a [u8]]>),
}

impl<'a> Body<'a> {
    /// A message without fields.
    pub(super) const EMPTY: Self = Body::Whole(&[]);

    fn parts(&self) -> &[&'a [u8]] {
        match self {
            Body::Whole(bytes) => std::slice::from_ref(bytes),
            Body::Parts(parts) => parts,
        }
    }

    /// This message with another part behind it.
    pub(super) fn with_part(self, part: &'a [u8]) -> Self {
        Body::Parts(self.parts().iter().copied().chain([part]).collect())
    }

    /// All its fields, in order.
    pub(super) fn fields<'b>(
        &'b self,
        meter: &'b Meter,
    ) -> impl Iterator<Item = (u32, wire::Value<'a>)> + use<'a, 'b> {
        self.parts().iter().flat_map(|part| wire::trusted(part)).inspect(|_| meter.spend(1))
    }

    /// The values of one field.
    pub(super) fn values<'b>(
        &'b self,
        number: u32,
        meter: &'b Meter,
    ) -> impl Iterator<Item = wire::Value<'a>> + use<'a, 'b> {
        self.fields(meter).filter(move |(found, _)| *found == number).map(|(_, value)| value)
    }

    /// The value of a field that is not repeated: the last one counts.
    pub(super) fn value(&self, number: u32, meter: &Meter) -> Option<wire::Value<'a>> {
        self.values(number, meter).last()
    }

    /// The message in a field that is not repeated.
    pub(super) fn message(&self, number: u32, meter: &Meter) -> Option<Body<'a>> {
        let parts = self.values(number, meter).filter_map(wire::Value::bytes);
        parts.fold(None, |merged: Option<Body<'a>>, part| match merged {
            None => Some(Body::Whole(part)),
            Some(body) => Some(body.with_part(part)),
        })
    }
}
