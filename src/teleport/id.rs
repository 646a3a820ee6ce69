//! Derives ids for lines without an id.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::json::{CanonicalJson, Json};

/// The number of different lines in a generation of [`LineOrdinals`]. It fills its hash table of
/// 2^20 slots: 17 MiB.
const GENERATION_LINES_MAX: usize = (1 << 20) / 8 * 7;
/// How much of an id's hash makes a UUID, in bytes.
const UUID_BYTES: usize = 16;

/// Numbers equal lines: the first is 0, the next 1.
///
/// Lines are distinguished by 64 bits of their hash. Two different lines with equal bits are
/// numbered together, which is harmless, because the id is made of the whole hash. The counts of
/// the most recent 917,504 to 1,835,008 different lines are held, in two generations of which the
/// older is dropped when the newer is full: 34 MiB at most, however long the import. An equal line
/// that comes after more others than that is numbered from 0 again, and so counts as a repetition
/// of the first.
#[derive(Debug, Default)]
pub struct LineOrdinals {
    newer: HashMap<u64, u64>,
    older: HashMap<u64, u64>,
}

impl LineOrdinals {
    /// The ordinal of a line with this SHA-256.
    fn next(&mut self, hash: &[u8; 32]) -> u64 {
        self.next_within(hash, GENERATION_LINES_MAX)
    }

    fn next_within(&mut self, hash: &[u8; 32], lines_max: usize) -> u64 {
        let (key, _) = hash.split_first_chunk().expect("a SHA-256 has 32 bytes");
        let key = u64::from_le_bytes(*key);
        if let Some(seen) = self.newer.get_mut(&key) {
            let ordinal = *seen;
            *seen += 1;
            return ordinal;
        }
        let ordinal = self.older.get(&key).copied().unwrap_or_default();
        if self.newer.len() >= lines_max {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(key, ordinal + 1);
        ordinal
    }
}

/// The id of a line without one: a UUID (version 8, RFC 9562) made of the SHA-256
/// of the SHA-256 of the line's canonical form and its ordinal, so that importing the same
/// lines again gives the same ids, in whatever spelling: those that an export wrote, too.
pub fn of_line(line: &Json<'_>, ordinals: &mut LineOrdinals) -> String {
    let hash: [u8; 32] = Sha256::digest(CanonicalJson(line).to_string()).into();
    let ordinal = ordinals.next(&hash);
    let hash: [u8; 32] =
        Sha256::new().chain_update(hash).chain_update(ordinal.to_be_bytes()).finalize().into();
    let (bytes, _) = hash.split_first_chunk::<UUID_BYTES>().expect("a SHA-256 has 32 bytes");
    uuid::Builder::from_custom_bytes(*bytes).into_uuid().to_string()
}

/// Whether an event may have this id.
pub fn is_id(text: &str) -> bool {
    (1..=crate::event::ID_BYTES_MAX).contains(&text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lines_get_different_ids_and_a_second_run_the_same() {
        let run = || {
            let mut ordinals = LineOrdinals::default();
            ["1", "2", "1", "1.0"].map(|line| of_line(&Json::parse(line).unwrap(), &mut ordinals))
        };
        let ids = run();
        assert_eq!(ids, run());
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        for id in ids {
            let id = uuid::Uuid::parse_str(&id).expect("a UUID");
            assert_eq!(id.get_version_num(), 8);
        }
    }

    #[test]
    fn ordinals_survive_a_generation_and_are_bounded() {
        let hash = |line: u8| {
            let mut hash = [0; 32];
            *hash.first_mut().expect("32 bytes") = line;
            hash
        };
        let mut ordinals = LineOrdinals::default();
        let mut next = |line| ordinals.next_within(&hash(line), 2);
        assert_eq!([next(1), next(2), next(1)], [0, 0, 1]);
        // 3 begins a generation; 1 is found in the one before it, and moves on.
        assert_eq!([next(3), next(1), next(1)], [0, 2, 3]);
        // Two more generations later, 2 is forgotten.
        assert_eq!([next(4), next(5), next(6), next(2)], [0, 0, 0, 0]);
        assert!(ordinals.newer.len() <= 2 && ordinals.older.len() <= 2);
    }
}
