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
    /// The known value of each key. Each row needs `keys` only, which stay in the fastest cache
    /// without the values.
    known: Vec<Option<KnownValue>>,
    /// The positions of keys that occurred since the last [`KeyTable::settle`].
    met: Vec<u16>,
    /// The current segment, and its number among the counted segments.
    segment: Option<Sequence>,
    number: u32,
    /// Whether [`KeyTable::begin`] has counted all rows of this segment.
    is_counted: bool,
}

/// A key with its counts.
#[derive(Clone, Copy)]
struct KeyEntry {
    key: u32,
    /// The number of rows with it since the last [`KeyTable::settle`].
    count: u32,
    /// The position of one of these rows, unless all rows were counted at once.
    position: u32,
    /// The number of the segment with the known value.
    verified: u32,
}

/// The last value that was read of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownValue {
    /// The digest of the key with the value.
    pub digest: u64,
    /// The position of its count; `None` if it counts as one of the others.
    pub count_at: Option<u32>,
}

/// A key that occurred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetKey {
    /// The position of the key.
    pub place: usize,
    /// The key.
    pub key: u32,
    /// The number of rows with it.
    pub count: u32,
    /// The position of one of these rows, unless the value is verified.
    pub position: u32,
    /// The known value.
    pub known: Option<KnownValue>,
    /// Whether the key has the known value in this segment.
    pub is_verified: bool,
}

impl Default for KeyTable {
    fn default() -> Self {
        Self {
            slots: vec![0; SLOTS],
            multiplier: fastrand::u32(..) | 1,
            keys: Vec::new(),
            known: Vec::new(),
            met: Vec::new(),
            segment: None,
            number: 0,
            is_counted: false,
        }
    }
}

impl KeyTable {
    /// Memory that it takes, in bytes.
    pub fn byte_size(&self) -> usize {
        let places = (self.slots.capacity() + self.met.capacity()) * size_of::<u16>();
        places
            + self.keys.capacity() * size_of::<KeyEntry>()
            + self.known.capacity() * size_of::<Option<KnownValue>>()
    }

    /// Begins to count rows of a segment in which rows with equal keys have equal values. With
    /// `is_whole`, if all keys have the known values, it counts all rows at once and returns
    /// the number of rows without a key.
    pub fn begin(
        &mut self,
        keyed: Keyed,
        segment: &Segment,
        view: &SegmentView<'_>,
        is_whole: bool,
    ) -> Option<u64> {
        if self.segment == Some(view.base) {
            return None;
        }
        if self.keys.len() > REMEMBERED_MAX {
            *self = Self::default();
        }
        self.segment = Some(view.base);
        self.number += 1;
        let compared = segment.compared(keyed as usize).get();
        let compared = compared.filter(|compared| is_whole && compared.until == view.len());
        let absent = compared.and_then(|compared| {
            self.count_known(view.columns.iter().map(|row| keyed.key(row)), compared.digest)
        });
        self.is_counted = absent.is_some();
        absent
    }

    /// Whether [`KeyTable::begin`] has counted all rows of the segment.
    pub fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// Counts rows with these keys if `digest` is the digest of the keys with their known
    /// values. Returns the number of rows without a key.
    fn count_known(&mut self, keys: impl Iterator<Item = u32>, digest: u64) -> Option<u64> {
        let counted = self.count_all(keys);
        if let Some((absent, _)) = counted.filter(|(_, own)| *own == digest) {
            return Some(absent);
        }
        for place in self.met.drain(..) {
            if let Some(entry) = self.keys.get_mut(usize::from(place)) {
                entry.count = 0;
            }
        }
        None
    }

    /// Counts rows with these keys, up to the first key without a known value. Returns the
    /// number of rows without a key, and the digest of the keys with their known values.
    fn count_all(&mut self, keys: impl Iterator<Item = u32>) -> Option<(u64, u64)> {
        let (mut absent, mut sum) = (0, 0_u64);
        let mut last = (0, 0);
        for key in keys {
            if key == 0 {
                absent += 1;
                continue;
            }
            if key != last.0 {
                last = (key, self.find(key).ok()?);
            }
            let entry = self.keys.get_mut(last.1)?;
            if entry.count == 0 {
                let known = (*self.known.get(last.1)?)?;
                sum = sum.wrapping_add(known.digest);
                self.met.push(last.1 as u16);
            }
            entry.count += 1;
        }
        Some((absent, sum))
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
                self.keys.push(KeyEntry { key, count: 0, position: 0, verified: 0 });
                self.known.push(None);
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
        entry.verified != self.number
    }

    /// The keys that occurred since the last call.
    pub fn settle(&mut self) -> Vec<MetKey> {
        let met = std::mem::take(&mut self.met);
        let settled = met.iter().filter_map(|place| {
            let place = usize::from(*place);
            let entry = self.keys.get_mut(place)?;
            let is_verified = self.is_counted || entry.verified == self.number;
            let KeyEntry { key, position, .. } = *entry;
            let count = std::mem::take(&mut entry.count);
            let known = self.known.get(place).copied().flatten();
            Some(MetKey { place, key, count, position, known, is_verified })
        });
        settled.collect()
    }

    /// Remembers the value that a key has in this segment.
    pub fn remember(&mut self, place: usize, value: KnownValue) {
        if let (Some(entry), Some(known)) = (self.keys.get_mut(place), self.known.get_mut(place)) {
            *known = Some(value);
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
        let told: Vec<_> =
            settled.iter().map(|met| (met.key, met.count, met.position, met.is_verified)).collect();
        assert_eq!(told, [(7, 2, 5, false), (9, 1, 3, false)]);
        for met in settled {
            let value = KnownValue { digest: digest(met.key, b"x"), count_at: None };
            table.remember(met.place, value);
        }
        assert!(!count(&mut table, 7, 2), "it is known in this segment");
        assert_eq!(table.settle().len(), 1);
        table.number = 2;
        assert!(count(&mut table, 7, 1), "in the next segment it is not known");
        assert_ne!(digest(9, b"x"), digest(9, b"y"));
        assert!(table.settle().len() == 1 && table.settle().is_empty());
    }

    #[test]
    fn rows_are_counted_at_once_if_all_of_their_keys_have_the_known_values() {
        let mut table = KeyTable::default();
        for key in [7, 9] {
            let place = table.place(key);
            table.remember(place, KnownValue { digest: digest(key, b"x"), count_at: Some(key) });
        }
        let both = digest(7, b"x").wrapping_add(digest(9, b"x"));
        let other = digest(7, b"x").wrapping_add(digest(9, b"y"));
        let rows = [7, 0, 9, 7, 7, 0, 9];
        assert_eq!(table.count_known(rows.into_iter(), other), None, "9 has another value");
        assert_eq!(table.count_known([7, 11].into_iter(), both), None, "11 has no value");
        table.place(11);
        assert_eq!(table.count_known([7, 11].into_iter(), both), None, "11 has no known value");
        assert!(table.settle().is_empty(), "what was not counted leaves nothing");
        assert_eq!(table.count_known(rows.into_iter(), both), Some(2));
        let counted = table.settle().into_iter().map(|met| (met.key, met.count));
        assert_eq!(counted.collect::<Vec<_>>(), [(7, 3), (9, 2)]);
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
