//! Reads the part of a record that filters need, and nothing else, because a search reads many
//! records.

use super::number;
use crate::wire::{self, WireValue};

/// The part of a [`Record`](super::Record) that filters need.
#[derive(Debug, Default, Clone, Copy)]
pub struct FilterView<'a> {
    /// Its type, as bytes.
    pub type_name: &'a [u8],
    /// A number of `auditgate.v1.Severity`.
    pub severity: u8,
    /// A number of `auditgate.v1.Result`.
    pub result: u8,
    /// The event, encoded.
    pub event: &'a [u8],
}

impl<'a> FilterView<'a> {
    /// Reads a record that the gateway encoded.
    pub fn read(bytes: &'a [u8]) -> Self {
        let mut seen = Self::default();
        for (number, value) in wire::trusted(bytes) {
            match (number, value) {
                (number::TYPE, WireValue::Bytes(name)) => seen.type_name = name,
                (number::SEVERITY, WireValue::Varint(severity)) => seen.severity = severity as u8,
                (number::RESULT, WireValue::Varint(result)) => seen.result = result as u8,
                (number::EVENT, WireValue::Bytes(event)) => seen.event = event,
                _ => {}
            }
        }
        seen
    }
}
