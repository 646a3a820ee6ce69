//! The id table: from event id to sequence, for as long as the record is kept.

use hashbrown::HashTable;

use crate::record::Sequence;

/// Maps the key of an event id to the sequences of records with such an id. It
/// holds four bytes a record; the ids themselves are read off the records.
pub struct Ids {
    /// The lower 32 bits of sequences: no ring keeps four thousand million
    /// records.
    table: HashTable<u32>,
}

impl Ids {
    /// A table that holds `capacity` records without growing.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { table: HashTable::with_capacity(capacity) }
    }

    /// What the table takes in memory, in bytes.
    pub fn byte_size(&self) -> usize {
        self.table.allocation_size()
    }

    /// A record with this key for which `is_it` holds. `last` is the newest
    /// record kept.
    pub fn find(
        &self,
        key: u32,
        last: Sequence,
        mut is_it: impl FnMut(Sequence) -> bool,
    ) -> Option<Sequence> {
        self.table.find(spread(key), |low| is_it(widen(*low, last))).map(|low| widen(*low, last))
    }

    /// Adds a record. `key_of` gives the key of any record in the table.
    pub fn insert(&mut self, key: u32, sequence: Sequence, key_of: impl Fn(Sequence) -> u32) {
        self.table.insert_unique(spread(key), sequence.0 as u32, |low| {
            spread(key_of(widen(*low, sequence)))
        });
    }

    /// Removes a record.
    pub fn remove(&mut self, key: u32, sequence: Sequence) {
        if let Ok(entry) = self.table.find_entry(spread(key), |low| *low == sequence.0 as u32) {
            entry.remove();
        }
    }
}

/// The sequence at or below `last` with these lower 32 bits.
fn widen(low: u32, last: Sequence) -> Sequence {
    let behind = (last.0 as u32).wrapping_sub(low);
    Sequence(last.0 - u64::from(behind))
}

/// Spreads a key over 64 bits, as the table wants its hashes: by Fibonacci
/// hashing, the multiplication by 2^64 over the golden ratio.
fn spread(key: u32) -> u64 {
    u64::from(key).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_widened_across_the_boundary_of_32_bits() {
        let last = Sequence((7 << 32) + 5);
        assert_eq!(widen(5, last), last);
        assert_eq!(widen(0, last), Sequence(7 << 32));
        assert_eq!(widen(u32::MAX, last), Sequence((7 << 32) - 1));
    }

    #[test]
    fn what_is_inserted_is_found_until_it_is_removed() {
        let key_of = |sequence: Sequence| sequence.0 as u32 % 100;
        let mut ids = Ids::with_capacity(8);
        for number in 1..=1_000 {
            ids.insert(key_of(Sequence(number)), Sequence(number), key_of);
        }
        let last = Sequence(1_000);
        let wanted = Sequence(523);
        assert_eq!(ids.find(23, last, |found| found == wanted), Some(wanted));
        ids.remove(23, wanted);
        assert_eq!(ids.find(23, last, |found| found == wanted), None);
        assert!(ids.find(23, last, |_| true).is_some(), "others with the same key stay");
    }
}
