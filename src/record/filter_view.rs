//! The part of a record that filters read. A search reads many records, so it decodes
//! nothing else.

use super::number;
use crate::wire::{self, WireValue};

/// Part of a [`Record`](super::Record): see there.
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
