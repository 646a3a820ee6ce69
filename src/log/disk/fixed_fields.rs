//! Reads little-endian fields of fixed width.

use crate::time::Time;

/// Little-endian fields, one behind the other; `None` where the bytes end.
pub struct FixedFields<'a>(pub &'a [u8]);

impl FixedFields<'_> {
    pub fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub fn time(&mut self) -> Option<Time> {
        self.take().map(|bytes| Time(i64::from_le_bytes(bytes)))
    }
}
