//! Posting lists: the positions of each key.

use std::borrow::Cow;

use crate::record::RecordColumns;

/// The half-width of the first range in which a key is searched, in keys.
const REACH_MIN: usize = 32;

/// The positions of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions<'a> {
    /// At these positions, ascending.
    At(&'a [u16]),
    /// In more than half of the records; only their columns say where.
    Most,
}

/// Positions by key, for one field.
pub struct PostingLists {
    /// Keys of more than half of the records. Their positions are not stored, because scanning all
    /// records is cheaper than such a list.
    common: Box<[u32]>,
    /// The other keys that occur, ascending.
    keys: Box<[u32]>,
    /// The end of each key's positions in `positions`; they begin at the end of the previous key.
    ends: Box<[u32]>,
    /// Positions, ascending within a key.
    positions: Box<[u16]>,
}

/// The posting lists of one or several keys. One key, which is the usual case, needs no allocation.
pub enum PostingMatches<'a> {
    /// One list.
    One(&'a [u16]),
    /// Several lists, none of them empty.
    Several(Vec<&'a [u16]>),
    /// More than half of the records.
    Most,
}

impl<'a> PostingMatches<'a> {
    /// The largest possible number of positions.
    pub fn len(&self) -> usize {
        match self {
            Self::One(list) => list.len(),
            Self::Several(lists) => lists.iter().map(|list| list.len()).sum(),
            Self::Most => usize::MAX,
        }
    }

    fn add(&mut self, list: &'a [u16]) {
        match self {
            Self::One(one) if one.is_empty() => *one = list,
            Self::One(one) => *self = Self::Several(vec![*one, list]),
            Self::Several(lists) => lists.push(list),
            Self::Most => {}
        }
    }

    /// The positions, ascending; `None` if they are most of the records.
    pub fn merge(self) -> Option<Cow<'a, [u16]>> {
        Some(match self {
            Self::Most => return None,
            Self::One(list) => Cow::Borrowed(list),
            Self::Several(lists) => {
                let mut merged = lists.concat();
                merged.sort_unstable();
                merged.dedup();
                Cow::Owned(merged)
            }
        })
    }
}

impl PostingLists {
    /// Builds the lists. `keys_of` returns the keys of a record; 0 means an absent value, which is
    /// not indexed.
    pub fn build(columns: &[RecordColumns], keys_of: impl Fn(&RecordColumns) -> [u32; 2]) -> Self {
        let mut pairs: Vec<(u32, u16)> = Vec::with_capacity(columns.len());
        for (position, row) in columns.iter().enumerate() {
            let keys = keys_of(row).into_iter().filter(|key| *key != 0);
            pairs.extend(keys.map(|key| (key, position as u16)));
        }
        sort_by_key(&mut pairs);
        let (mut common, mut distinct) = (Vec::new(), Vec::new());
        let (mut ends, mut positions) = (Vec::new(), Vec::with_capacity(pairs.len()));
        for list in pairs.chunk_by(|one, next| one.0 == next.0) {
            let key = list.first().map_or(0, |(key, _)| *key);
            if list.len() > columns.len() / 2 {
                common.push(key);
            } else {
                distinct.push(key);
                positions.extend(list.iter().map(|(_, position)| *position));
                ends.push(positions.len() as u32);
            }
        }
        Self {
            common: common.into(),
            keys: distinct.into(),
            ends: ends.into(),
            positions: positions.into(),
        }
    }

    /// Each key with its positions, by key, ascending.
    pub fn lists(&self) -> impl Iterator<Item = (u32, Positions<'_>)> {
        let mut common = self.common.iter().copied().peekable();
        let mut start = 0;
        let mut others = self.keys.iter().zip(&self.ends).map(move |(key, end)| {
            let range = std::mem::replace(&mut start, *end as usize)..*end as usize;
            (*key, Positions::At(self.positions.get(range).unwrap_or_default()))
        });
        let mut next = others.next();
        std::iter::from_fn(move || {
            let behind = next.map_or(u32::MAX, |(key, _)| key);
            match common.next_if(|key| next.is_none() || *key < behind) {
                Some(key) => Some((key, Positions::Most)),
                None => std::mem::replace(&mut next, others.next()),
            }
        })
    }

    /// Memory that it takes, in bytes.
    pub fn byte_size(&self) -> usize {
        size_of_val(&*self.common)
            + size_of_val(&*self.keys)
            + size_of_val(&*self.ends)
            + size_of_val(&*self.positions)
    }

    /// The positions at which any of these keys occurs.
    pub fn find(&self, keys: impl Iterator<Item = u32>) -> PostingMatches<'_> {
        let mut found = PostingMatches::One(&[]);
        for key in keys {
            if self.common.contains(&key) {
                return PostingMatches::Most;
            }
            let list = self.positions_of(key);
            if !list.is_empty() {
                found.add(list);
            }
        }
        found
    }

    /// Whether the key occurs.
    pub fn has(&self, key: u32) -> bool {
        self.common.contains(&key) || self.place_of(key).is_some()
    }

    /// The position of a key among the keys. Most keys are evenly distributed hashes, so the key
    /// itself predicts its position: a look-up among thousands of keys reads two or three cache
    /// lines. That matters because a search for a rare key looks into every segment.
    fn place_of(&self, key: u32) -> Option<usize> {
        let len = self.keys.len();
        let guess = ((u64::from(key) * len as u64) >> 32) as usize;
        let mut reach = REACH_MIN;
        loop {
            let (from, to) = (guess.saturating_sub(reach), (guess + reach).min(len));
            let near = self.keys.get(from..to)?;
            let begins_before = from == 0 || near.first().is_some_and(|first| *first <= key);
            let ends_behind = to == len || near.last().is_some_and(|last| *last >= key);
            if begins_before && ends_behind {
                return near.binary_search(&key).ok().map(|place| from + place);
            }
            reach *= 4;
        }
    }

    fn positions_of(&self, key: u32) -> &[u16] {
        let Some(place) = self.place_of(key) else { return &[] };
        let end_of = |place: usize| self.ends.get(place).map_or(0, |end| *end as usize);
        let start = place.checked_sub(1).map_or(0, end_of);
        self.positions.get(start..end_of(place)).unwrap_or_default()
    }
}

/// Sorts pairs by their keys, and keeps the order of those with equal keys: by
/// counting, a byte of the key at a time, from the lowest. It takes a third of
/// the time of a sort by comparison, and sealing is a good part of an append.
pub fn sort_by_key(pairs: &mut Vec<(u32, u16)>) {
    const VALUES: usize = 256;
    let mut counts = [[0_u32; VALUES]; size_of::<u32>()];
    for (key, _) in pairs.iter() {
        for (byte, counts) in key.to_le_bytes().into_iter().zip(&mut counts) {
            if let Some(count) = counts.get_mut(usize::from(byte)) {
                *count += 1;
            }
        }
    }
    let mut sorted = vec![(0, 0); pairs.len()];
    for (place, counts) in counts.iter_mut().enumerate() {
        // Numbers of types and results are small: their upper bytes are all 0.
        if counts.iter().any(|count| *count as usize == pairs.len()) {
            continue;
        }
        let mut next = 0;
        for count in counts.iter_mut() {
            next += std::mem::replace(count, next);
        }
        for pair in pairs.iter() {
            let byte = pair.0.to_le_bytes().get(place).copied().unwrap_or_default();
            if let Some(next) = counts.get_mut(usize::from(byte)) {
                if let Some(target) = sorted.get_mut(*next as usize) {
                    *target = *pair;
                }
                *next += 1;
            }
        }
        std::mem::swap(pairs, &mut sorted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_wherever_they_stand() {
        let spread = |number: u32| number.wrapping_mul(0x9E37_79B9).max(1);
        let crowded =
            |number: u32| if number.is_multiple_of(2) { number + 1 } else { u32::MAX - number };
        for key_of in [spread, crowded, |number| number + 1] {
            for count in [0, 1, 63, 65, 5_000] {
                let mut keys: Vec<u32> = (0..count).map(key_of).collect();
                keys.sort_unstable();
                keys.dedup();
                let ends = (1..=keys.len() as u32).collect();
                let positions = (0..keys.len() as u16).collect();
                let common = Box::default();
                let postings = PostingLists { common, keys: keys.clone().into(), ends, positions };
                for (place, key) in keys.iter().enumerate() {
                    assert_eq!(postings.positions_of(*key), [place as u16], "{key} of {count}");
                }
                let others = keys.iter().map(|key| key.wrapping_add(1)).chain([0, 1, u32::MAX]);
                for key in others.filter(|key| keys.binary_search(key).is_err()) {
                    assert!(postings.positions_of(key).is_empty(), "{key} of {count}");
                }
            }
        }
    }

    #[test]
    fn lists_are_told_in_the_order_of_their_keys_the_common_ones_among_them() {
        let postings = PostingLists {
            common: [3, 9].into(),
            keys: [1, 4, 5].into(),
            ends: [2, 3, 5].into(),
            positions: [0, 7, 1, 2, 3].into(),
        };
        let found: Vec<_> = postings.lists().collect();
        let at = Positions::At;
        assert_eq!(
            found,
            [
                (1, at(&[0, 7])),
                (3, Positions::Most),
                (4, at(&[1])),
                (5, at(&[2, 3])),
                (9, Positions::Most),
            ]
        );
    }

    #[test]
    fn pairs_are_sorted_by_key_and_stay_in_order_within_one() {
        let spread = |number: u32| number.wrapping_mul(0x9E37_79B9);
        let kinds: [fn(u32) -> u32; 4] =
            [|number| number % 3, |number| number << 24, |number| u32::MAX - number % 700, |_| 7];
        for key in kinds.into_iter().chain([spread as fn(u32) -> u32]) {
            for count in [0, 1, 2, 5_000] {
                let pairs: Vec<(u32, u16)> =
                    (0..count).map(|number| (key(spread(number)), number as u16)).collect();
                let mut expected = pairs.clone();
                expected.sort_by_key(|(key, _)| *key);
                let mut sorted = pairs;
                sort_by_key(&mut sorted);
                assert_eq!(sorted, expected);
            }
        }
    }
}
