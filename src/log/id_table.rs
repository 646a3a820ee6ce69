//! The id table: from event id to sequence, while the record is stored.

use crate::log::append_buffer;
use crate::record::Sequence;

/// Maps the key of an event id to the sequences of records with such an id.
///
/// Open addressing with linear probing. A slot holds the whole key, so that a look-up nearly always
/// reads one cache line and no record. Slots are in the order of their keys except for collisions.
/// So any number of slots is possible, and a freed slot is closed by moving the following ones:
/// there are no tombstones, and no rehashing while the ring keeps its bounds.
pub struct IdTable {
    /// The upper half is the key, the lower half the low 32 bits of the sequence, because no ring
    /// keeps 2^32 records. Keys are never 0, so 0 is a free slot.
    slots: Box<[u64]>,
    used: usize,
}

impl IdTable {
    /// A table that holds `capacity` records without growing.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { slots: free_slots(slots_for(capacity)), used: 0 }
    }

    /// Memory of the table, in bytes.
    pub fn byte_size(&self) -> usize {
        size_of_val(&*self.slots)
    }

    /// Reads the home slots of these keys. Each read is likely to miss the cache; in a row, the
    /// processor waits for many of them at once, and later reads find them in the cache.
    pub fn touch(&self, keys: impl Iterator<Item = u32>) {
        let slots = keys.map(|key| self.slots.get(self.home(key)).copied().unwrap_or_default());
        std::hint::black_box(slots.fold(0, |seen, slot| seen ^ slot));
    }

    /// A record with this key for which `is_it` returns true. `last` is the newest kept record.
    pub fn find(
        &self,
        key: u32,
        last: Sequence,
        mut is_it: impl FnMut(Sequence) -> bool,
    ) -> Option<Sequence> {
        let mut at = self.home(key);
        loop {
            let slot = self.slot(at);
            if slot == 0 {
                return None;
            }
            if key_in(slot) == key {
                let sequence = widen(slot as u32, last);
                if is_it(sequence) {
                    return Some(sequence);
                }
            }
            at = self.after(at);
        }
    }

    /// Adds a record.
    pub fn insert(&mut self, key: u32, sequence: Sequence) {
        if slots_for(self.used + 1) > self.slots.len() {
            self.grow();
        }
        self.used += 1;
        self.put((u64::from(key) << 32) | u64::from(sequence.0 as u32));
    }

    /// Removes a record.
    pub fn remove(&mut self, key: u32, sequence: Sequence) {
        let wanted = (u64::from(key) << 32) | u64::from(sequence.0 as u32);
        let mut hole = self.home(key);
        while self.slot(hole) != wanted {
            if self.slot(hole) == 0 {
                return;
            }
            hole = self.after(hole);
        }
        // Following slots without a free one between move up if they are not at their home.
        let mut next = self.after(hole);
        loop {
            let slot = self.slot(next);
            if slot == 0 {
                break;
            }
            if self.distance(self.home(key_in(slot)), next) >= self.distance(hole, next) {
                self.set(hole, slot);
                hole = next;
            }
            next = self.after(next);
        }
        self.set(hole, 0);
        self.used -= 1;
    }

    fn grow(&mut self) {
        let larger = free_slots(slots_for(2 * (self.used + 1)));
        let before = std::mem::replace(&mut self.slots, larger);
        before.into_iter().filter(|slot| *slot != 0).for_each(|slot| self.put(slot));
    }

    fn put(&mut self, slot: u64) {
        let mut at = self.home(key_in(slot));
        while self.slot(at) != 0 {
            at = self.after(at);
        }
        self.set(at, slot);
    }

    /// The home slot of a key, in proportion to the range of keys.
    fn home(&self, key: u32) -> usize {
        ((u64::from(key) * self.slots.len() as u64) >> 32) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    /// The number of slots from `from` to `to`.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.slots.len() - from }
    }

    fn slot(&self, at: usize) -> u64 {
        *self.slots.get(at).expect("places lie within the table")
    }

    fn set(&mut self, at: usize, slot: u64) {
        *self.slots.get_mut(at).expect("places lie within the table") = slot;
    }
}

/// `count` free slots. Their memory is populated at once, because the first records would otherwise
/// wait for a page fault at each random slot.
fn free_slots(count: usize) -> Box<[u64]> {
    let mut slots: Box<[u64]> = vec![0; count].into();
    append_buffer::populate(&mut slots);
    slots
}

/// The number of slots for `records`, with at least a quarter free: the look-up of a missing key
/// reads at most some eight slots on average.
fn slots_for(records: usize) -> usize {
    records + records / 3 + 2
}

fn key_in(slot: u64) -> u32 {
    (slot >> 32) as u32
}

/// The sequence at or below `last` with these lower 32 bits.
fn widen(low: u32, last: Sequence) -> Sequence {
    let behind = (last.0 as u32).wrapping_sub(low);
    Sequence(last.0 - u64::from(behind))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn sequences_are_widened_across_the_boundary_of_32_bits() {
        let last = Sequence((7 << 32) + 5);
        assert_eq!(widen(5, last), last);
        assert_eq!(widen(0, last), Sequence(7 << 32));
        assert_eq!(widen(u32::MAX, last), Sequence((7 << 32) - 1));
    }

    /// All sequences under a key, in order.
    fn all(ids: &IdTable, key: u32, last: Sequence) -> Vec<u64> {
        let mut found = Vec::new();
        ids.find(key, last, |sequence| {
            found.push(sequence.0);
            false
        });
        found.sort_unstable();
        found
    }

    /// A ring's worth of records at a time, under keys that repeat, crowd and lie
    /// at the end of the table; far past the capacity, so that it grows.
    #[test]
    fn what_is_inserted_is_found_until_it_is_removed() {
        let key_of = |number: u64| match number % 4 {
            0 => u32::MAX - (number % 5) as u32,
            1 => 1,
            2 => (number % 7) as u32 + 1,
            _ => (number as u32).wrapping_mul(0x9E37_79B9).max(1),
        };
        let mut ids = IdTable::with_capacity(8);
        let mut kept = VecDeque::new();
        for number in 1..=5_000_u64 {
            ids.touch([key_of(number)].into_iter());
            ids.insert(key_of(number), Sequence(number));
            kept.push_back(number);
            // Neither always the oldest nor always the same number of records.
            while kept.len() as u64 > 100 + number % 300 {
                let gone = if number % 3 == 0 { kept.pop_back() } else { kept.pop_front() };
                let gone = gone.expect("there are a hundred");
                ids.remove(key_of(gone), Sequence(gone));
                ids.remove(key_of(gone), Sequence(gone));
            }
            if number % 50 == 0 {
                assert_eq!(ids.used, kept.len());
                for key in kept.iter().map(|number| key_of(*number)) {
                    let expected: Vec<u64> =
                        kept.iter().copied().filter(|number| key_of(*number) == key).collect();
                    assert_eq!(all(&ids, key, Sequence(number)), expected, "key {key}");
                }
            }
        }
        for number in kept.drain(..) {
            ids.remove(key_of(number), Sequence(number));
        }
        assert!(ids.slots.iter().all(|slot| *slot == 0));
    }

    #[test]
    fn a_table_keeps_its_size_up_to_its_capacity() {
        let mut ids = IdTable::with_capacity(1_000);
        let before = ids.byte_size();
        for number in 1..=1_000 {
            ids.insert(number as u32, Sequence(number));
        }
        assert_eq!(ids.byte_size(), before);
        assert_eq!(ids.find(500, Sequence(1_000), |_| true), Some(Sequence(500)));
        assert_eq!(ids.find(1_001, Sequence(1_000), |_| true), None);
    }
}
