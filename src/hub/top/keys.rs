//! Counts rows by their keys in a column, and remembers the values of keys.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use crate::hub::path::Keyed;
use crate::log::{Segment, SegmentView};
use crate::record::Sequence;

/// The most keys of a segment. With more keys, each record is read, which is hardly more work.
pub const KEYS_MAX: usize = 4_096;
/// Slots of the table, a power of two, at least twice the number of keys.
const SLOTS: usize = 4 * KEYS_MAX;
/// The most keys that are remembered from segment to segment.
const REMEMBERED_MAX: usize = KEYS_MAX;

/// Hashes values. Its key is random, so that nobody can choose two values with one hash.
static DIGESTS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A digest of a key with its value. The wrapping sum of such digests is a digest of a set of keys
/// with their values.
pub fn digest(key: u32, value: &[u8]) -> u64 {
    DIGESTS.hash_one((key, value))
}

/// The keys of a column.
pub struct KeyTable {
    /// The position of a key plus one; 0 for a free slot.
    slots: Vec<u16>,
    /// An odd random number, so that nobody can choose values whose keys fall into one slot.
    multiplier: u32,
    keys: Vec<KeyEntry>,
    /// The positions of keys that occurred since the last [`KeyTable::settle`].
    met: Vec<u16>,
    /// The current segment, and its number among the counted segments.
    segment: Option<Sequence>,
    number: u32,
    /// Whether all keys of this segment have the known values.
    is_known: bool,
}

/// A key with its counts.
#[derive(Debug, Clone, Copy)]
pub struct KeyEntry {
    /// The key.
    pub key: u32,
    /// The number of rows with it since the last [`KeyTable::settle`].
    pub count: u32,
    /// The position of one of these rows.
    pub position: u32,
    /// The number of the segment with the known value.
    verified: u32,
    /// The number of the segment in which it was last looked up.
    seen: u32,
    /// The digest of the known value with the key, and the position of its count.
    pub known: Option<(u64, Option<u32>)>,
}

impl Default for KeyTable {
    fn default() -> Self {
        Self {
            slots: vec![0; SLOTS],
            multiplier: fastrand::u32(..) | 1,
            keys: Vec::new(),
            met: Vec::new(),
            segment: None,
            number: 0,
            is_known: false,
        }
    }
}

impl KeyTable {
    /// Memory that it takes, in bytes.
    pub fn byte_size(&self) -> usize {
        let places = (self.slots.capacity() + self.met.capacity()) * size_of::<u16>();
        places + self.keys.capacity() * size_of::<KeyEntry>()
    }

    /// Begins to count rows of a segment in which rows with equal keys have equal values.
    pub fn begin(&mut self, keyed: Keyed, segment: &Segment, view: &SegmentView<'_>) {
        if self.segment == Some(view.base) {
            return;
        }
        if self.keys.len() > REMEMBERED_MAX {
            *self = Self::default();
        }
        self.segment = Some(view.base);
        self.number += 1;
        let compared = segment.compared(keyed as usize).get();
        let compared = compared.filter(|compared| compared.until == view.len());
        self.is_known = compared.is_some_and(|compared| {
            let keys = view.columns.iter().map(|row| keyed.key(row));
            self.digest_of(keys) == Some(compared.digest)
        });
    }

    /// The digest of these keys with their known values; `None` if a value is unknown.
    fn digest_of(&mut self, keys: impl Iterator<Item = u32>) -> Option<u64> {
        let mut sum = 0_u64;
        let mut last = 0;
        for key in keys {
            if key == 0 || key == last {
                continue;
            }
            last = key;
            let place = self.find(key).ok()?;
            let entry = self.keys.get_mut(place)?;
            if entry.seen != self.number {
                entry.seen = self.number;
                sum = sum.wrapping_add(entry.known?.0);
            }
        }
        Some(sum)
    }

    /// The position of a key, or else the free slot for it.
    #[inline]
    fn find(&self, key: u32) -> Result<usize, usize> {
        const SHIFT: u32 = u32::BITS - SLOTS.trailing_zeros();
        let mut slot = (key.wrapping_mul(self.multiplier) >> SHIFT) as usize;
        loop {
            let Some(place) =
                usize::from(self.slots.get(slot).copied().unwrap_or_default()).checked_sub(1)
            else {
                return Err(slot);
            };
            if self.keys.get(place).is_some_and(|entry| entry.key == key) {
                return Ok(place);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// The position of a key, which is added if it is new.
    #[inline]
    pub fn place(&mut self, key: u32) -> usize {
        match self.find(key) {
            Ok(place) => place,
            Err(slot) => {
                let place = self.keys.len();
                if let Some(free) = self.slots.get_mut(slot) {
                    *free = place as u16 + 1;
                }
                let (count, position, verified, seen) = (0, 0, 0, 0);
                self.keys.push(KeyEntry { key, count, position, verified, seen, known: None });
                place
            }
        }
    }

    /// Counts a row with the key at this position. Returns whether its value must be read.
    #[inline]
    pub fn count(&mut self, place: usize, position: usize) -> bool {
        let Some(entry) = self.keys.get_mut(place) else { return false };
        entry.count += 1;
        if entry.count > 1 {
            return false;
        }
        entry.position = position as u32;
        self.met.push(place as u16);
        !self.is_known && entry.verified != self.number
    }

    /// The keys that occurred since the last call, each with its position, and whether its known
    /// value is that of the segment.
    pub fn settle(&mut self) -> Vec<(usize, KeyEntry, bool)> {
        let (is_known, number) = (self.is_known, self.number);
        let met = std::mem::take(&mut self.met);
        let settled = met.iter().filter_map(|place| {
            let place = usize::from(*place);
            let entry = self.keys.get_mut(place)?;
            let found = (place, *entry, is_known || entry.verified == number);
            entry.count = 0;
            Some(found)
        });
        settled.collect()
    }

    /// Remembers the value that a key has in this segment.
    pub fn remember(&mut self, place: usize, digest: u64, count_at: Option<u32>) {
        if let Some(entry) = self.keys.get_mut(place) {
            entry.known = Some((digest, count_at));
            entry.verified = self.number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_and_their_values_remembered() {
        let mut table = KeyTable { number: 1, ..KeyTable::default() };
        let count = |table: &mut KeyTable, key, position| {
            let place = table.place(key);
            table.count(place, position)
        };
        assert!(count(&mut table, 7, 5), "its value has to be read");
        assert!(!count(&mut table, 7, 4), "once");
        assert!(count(&mut table, 9, 3));
        let settled = table.settle();
        let told: Vec<_> = settled
            .iter()
            .map(|(_, own, known)| (own.key, own.count, own.position, *known))
            .collect();
        assert_eq!(told, [(7, 2, 5, false), (9, 1, 3, false)]);
        assert_eq!(table.digest_of([7, 9, 7].into_iter()), None);
        for (place, own, _) in settled {
            table.remember(place, digest(own.key, b"x"), None);
        }
        assert!(!count(&mut table, 7, 2), "it is known in this segment");
        assert_eq!(table.settle().len(), 1);
        table.number = 2;
        let both = digest(7, b"x").wrapping_add(digest(9, b"x"));
        assert_eq!(table.digest_of([7, 0, 9, 7].into_iter()), Some(both));
        assert_eq!(table.digest_of([11].into_iter()), None);
        assert!(count(&mut table, 7, 1), "in the next segment it is not known");
        assert_ne!(digest(9, b"x"), digest(9, b"y"));
        assert!(table.settle().len() == 1 && table.settle().is_empty());
    }

    #[test]
    fn as_many_keys_as_there_may_be_have_a_place() {
        let mut table = KeyTable::default();
        let most = (REMEMBERED_MAX + KEYS_MAX) as u32;
        let places: Vec<usize> = (1..=most).map(|key| table.place(key)).collect();
        assert!(places.iter().copied().eq(0..most as usize));
        assert!((1..=most).all(|key| table.find(key) == Ok(key as usize - 1)));
        assert!(table.byte_size() < 1024 * 1024);
    }
}
