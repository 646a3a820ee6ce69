//! Bit-sliced Bloom filters: which of many segments may have a key.
//!
//! Each segment has a Bloom filter, a column of bits. The columns of a group of
//! segments stand side by side, so that a row, the same bit of each of them, lies
//! in one cache line: the rows of a key, one after the other, leave the segments
//! that may hold it, and mostly none is left after a few. The number of rows is a
//! power of two, so that a column of fewer rows fits in by repeating each.
//!
//! The id of each new event is looked up here: among 16, 256 and 1,024 segments of 16,000 records
//! that takes 35, 77 and 605 ns, and 108, 6,051 and 35,549 ns with one filter after the other
//! (256 ids at a time, one thread). Delete it when one index has the ids of all segments.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::log::append_buffer;
use crate::record::Sequence;

/// Segments that one word has a bit for.
const WORD_SEGMENTS: usize = u64::BITS as usize;
/// The maximum number of words in a row: one cache line.
const WORDS_MAX: usize = 8;
const CACHE_LINE_BYTES: usize = WORDS_MAX * size_of::<u64>();
/// The number of rows of a key.
const HASHES: usize = 8;
/// Rows of a key that [`BloomTable::touch`] reads. By then, few segments are left.
const TOUCHED: usize = 4;
/// The minimum number of rows, as a power of two: the bits of one word.
const ROWS_LOG2_MIN: u8 = 6;
/// The maximum number of rows, as a power of two: a segment has at most 2^16 records.
const ROWS_LOG2_MAX: u8 = 24;
/// Multipliers that make the rows of a key independent of one another: odd, the
/// first digits of the golden ratio and of square roots of primes.
const MULTIPLIERS: [u64; HASHES] = [
    0x9E37_79B9_7F4A_7C15,
    0xBB67_AE85_84CA_A73B,
    0x3C6E_F372_FE94_F82B,
    0xA54F_F53A_5F1D_36F1,
    0x510E_527F_ADE6_82D1,
    0x9B05_688C_2B3E_6C1F,
    0x1F83_D9AB_FB41_BD6B,
    0x5BE0_CD19_137E_2179,
];

/// The filter of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentBloom {
    words: Vec<u64>,
}

/// The filters of many segments.
#[derive(Clone, Default)]
pub struct BloomTable {
    groups: Vec<BloomGroup>,
}

/// The filters of neighbouring segments.
#[derive(Clone)]
struct BloomGroup {
    rows: Arc<BloomRows>,
    /// The segments, in the order of their bits.
    members: Arc<Vec<Sequence>>,
    /// The bits of the members that were not removed.
    live: [u64; WORDS_MAX],
}

/// Bits that are only set, never cleared. A reader uses only the bits of members, and those are
/// set before the member becomes visible.
struct BloomRows {
    log2: u8,
    /// Words of a row.
    width: usize,
    words: Box<[AtomicU64]>,
    /// Where the first row begins, so that none lies in two cache lines.
    start: usize,
}

/// The filter of one segment, among the others.
#[derive(Clone)]
pub struct BloomSlot {
    rows: Arc<BloomRows>,
    number: usize,
}

/// The rows of a key, among 2^`log2`.
fn rows(hash: u64, log2: u8) -> impl Iterator<Item = usize> {
    let shift = u64::BITS - u32::from(log2);
    MULTIPLIERS.iter().map(move |multiplier| (hash.wrapping_mul(*multiplier) >> shift) as usize)
}

impl SegmentBloom {
    /// A filter for `keys` keys with at least `bits` bits for each.
    pub fn new(keys: usize, bits: usize) -> Self {
        let wanted = (keys * bits).next_power_of_two().trailing_zeros() as u8;
        let log2 = wanted.clamp(ROWS_LOG2_MIN, ROWS_LOG2_MAX);
        Self { words: vec![0; 1 << (log2 - ROWS_LOG2_MIN)] }
    }

    /// The column with these words; `None` if it cannot be one.
    pub fn from_words(words: Vec<u64>) -> Option<Self> {
        let fits =
            words.len().is_power_of_two() && words.len() <= 1 << (ROWS_LOG2_MAX - ROWS_LOG2_MIN);
        fits.then_some(Self { words })
    }

    /// Its bits.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Adds a key.
    pub fn add(&mut self, hash: u64) {
        for row in rows(hash, self.log2()) {
            if let Some(word) = self.words.get_mut(row / WORD_SEGMENTS) {
                *word |= 1 << (row % WORD_SEGMENTS);
            }
        }
    }

    fn log2(&self) -> u8 {
        ROWS_LOG2_MIN + self.words.len().trailing_zeros() as u8
    }
}

impl BloomTable {
    /// Sets the bits of a filter where it is to stand behind the others, which takes
    /// memory and time, but changes nothing that readers see. `more` is how many are
    /// known to follow. One at a time: the next, when this one was [added](Self::add)
    /// or given up.
    pub fn prepare(&self, column: &SegmentBloom, more: usize) -> BloomSlot {
        let log2 = column.log2();
        let fits = |group: &&BloomGroup| {
            group.rows.log2 >= log2 && group.members.len() < group.rows.width * WORD_SEGMENTS
        };
        let slot = match self.groups.last().filter(fits) {
            Some(group) => BloomSlot { rows: Arc::clone(&group.rows), number: group.members.len() },
            None => {
                // As many as exist already, so that groups are few and well filled.
                let members: usize = self.groups.iter().map(|group| group.members.len()).sum();
                let wanted = (members.max(more + 1)).div_ceil(WORD_SEGMENTS).next_power_of_two();
                BloomSlot { rows: Arc::new(BloomRows::new(log2, wanted.min(WORDS_MAX))), number: 0 }
            }
        };
        slot.rows.set(slot.number, column);
        slot
    }

    /// Adds the filter of a segment that was [prepared](Self::prepare), behind the
    /// others.
    pub fn add(&mut self, segment: Sequence, slot: &BloomSlot) {
        let is_there = |group: &BloomGroup| Arc::ptr_eq(&group.rows, &slot.rows);
        if !self.groups.last().is_some_and(is_there) {
            // It is the first of its group, or those before it were removed meanwhile.
            self.groups.push(BloomGroup {
                rows: Arc::clone(&slot.rows),
                members: Arc::new(vec![segment; slot.number]),
                live: [0; WORDS_MAX],
            });
        }
        let group = self.groups.last_mut().expect("there is one");
        assert_eq!(group.members.len(), slot.number, "one is prepared at a time");
        Arc::make_mut(&mut group.members).push(segment);
        if let Some(word) = group.live.get_mut(slot.number / WORD_SEGMENTS) {
            *word |= 1 << (slot.number % WORD_SEGMENTS);
        }
    }

    /// Removes the segments before `base`.
    pub fn remove_before(&mut self, base: Sequence) {
        for group in &mut self.groups {
            let gone = group.members.partition_point(|member| *member < base);
            for (place, word) in group.live.iter_mut().enumerate() {
                let below = gone.saturating_sub(place * WORD_SEGMENTS);
                *word &= u64::MAX.checked_shl(below as u32).unwrap_or(0);
            }
        }
        self.groups.retain(|group| group.live.iter().any(|word| *word != 0));
    }

    /// Reads the first rows of these keys. Each is likely to miss the cache; read one
    /// behind the other with nothing in between, the processor waits for many of them
    /// at once, and [`BloomTable::find`] has them in the cache afterwards.
    pub fn touch(&self, hashes: impl Iterator<Item = u64> + Clone) {
        let mut seen = 0;
        for group in &self.groups {
            for hash in hashes.clone() {
                for row in rows(hash, group.rows.log2).take(TOUCHED) {
                    let word = group.rows.row(row).first();
                    seen |= word.map_or(0, |word| word.load(Ordering::Relaxed));
                }
            }
        }
        std::hint::black_box(seen);
    }

    /// The segments that may have a key, oldest first. No segment that has it is missing.
    pub fn find(&self, hash: u64, mut visit: impl FnMut(Sequence)) {
        for group in &self.groups {
            let mut left = group.live;
            for row in rows(hash, group.rows.log2) {
                let mut any = 0;
                for (left, word) in left.iter_mut().zip(group.rows.row(row)) {
                    *left &= word.load(Ordering::Relaxed);
                    any |= *left;
                }
                if any == 0 {
                    break;
                }
            }
            for (place, word) in left.iter().enumerate().take(group.rows.width) {
                let mut word = *word;
                while word != 0 {
                    let number = place * WORD_SEGMENTS + word.trailing_zeros() as usize;
                    group.members.get(number).copied().into_iter().for_each(&mut visit);
                    word &= word - 1;
                }
            }
        }
    }

    /// The memory that they use, in bytes.
    pub fn byte_size(&self) -> usize {
        self.groups.iter().map(|group| size_of_val(&*group.rows.words)).sum()
    }
}

impl BloomRows {
    fn new(log2: u8, width: usize) -> Self {
        let count = (width << log2) + WORDS_MAX - 1;
        let mut words = Vec::with_capacity(count);
        append_buffer::prefer_large_pages(words.spare_capacity_mut());
        words.resize_with(count, || AtomicU64::new(0));
        let words: Box<[AtomicU64]> = words.into();
        let start = words.as_ptr().align_offset(CACHE_LINE_BYTES).min(WORDS_MAX - 1);
        Self { log2, width, words, start }
    }

    fn row(&self, row: usize) -> &[AtomicU64] {
        let start = self.start + row * self.width;
        self.words.get(start..start + self.width).unwrap_or_default()
    }

    /// Only one thread sets bits at a time: so they need not be set in one step,
    /// which takes several times as long.
    fn set(&self, number: usize, column: &SegmentBloom) {
        let (place, bit) = (number / WORD_SEGMENTS, 1 << (number % WORD_SEGMENTS));
        // A row of the column is so many rows here.
        let repeats = 1_usize << (self.log2 - column.log2());
        for (base, word) in column.words.iter().enumerate() {
            let mut word = *word;
            while word != 0 {
                let row = (base * WORD_SEGMENTS + word.trailing_zeros() as usize) * repeats;
                for row in row..row + repeats {
                    if let Some(word) = self.words.get(self.start + row * self.width + place) {
                        word.store(word.load(Ordering::Relaxed) | bit, Ordering::Relaxed);
                    }
                }
                word &= word - 1;
            }
        }
    }
}

impl BloomSlot {
    /// Whether the segment may have a key.
    pub fn may_hold(&self, hash: u64) -> bool {
        let (place, bit) = (self.number / WORD_SEGMENTS, self.number % WORD_SEGMENTS);
        rows(hash, self.rows.log2).all(|row| {
            let word = self.rows.row(row).get(place);
            word.is_some_and(|word| word.load(Ordering::Relaxed) >> bit & 1 != 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(segment: u64, number: u64) -> u64 {
        use std::hash::{BuildHasher as _, Hasher as _};
        let mut hasher = foldhash::quality::FixedState::with_seed(1).build_hasher();
        hasher.write_u64(segment << 32 | number);
        hasher.finish()
    }

    fn column(segment: u64, keys: u64) -> SegmentBloom {
        let mut column = SegmentBloom::new(keys as usize, 32);
        (0..keys).for_each(|number| column.add(hash(segment, number)));
        column
    }

    fn add(slices: &mut BloomTable, segment: u64, column: &SegmentBloom, more: usize) -> BloomSlot {
        let slot = slices.prepare(column, more);
        slices.add(Sequence(segment), &slot);
        slot
    }

    fn found(slices: &BloomTable, hash: u64) -> Vec<u64> {
        let mut found = Vec::new();
        slices.find(hash, |segment| found.push(segment.0));
        found
    }

    #[test]
    fn what_is_held_is_found_in_segments_of_any_size() {
        let mut slices = BloomTable::default();
        let keys = |segment: u64| 1 + segment * 37 % 500;
        let slots: Vec<BloomSlot> = (0..300)
            .map(|segment| add(&mut slices, segment, &column(segment, keys(segment)), 0))
            .collect();
        for segment in 0..300 {
            slices.touch((0..keys(segment)).map(|number| hash(segment, number)));
            for number in 0..keys(segment) {
                let hash = hash(segment, number);
                assert!(found(&slices, hash).contains(&segment), "{segment} {number}");
                assert!(slots[segment as usize].may_hold(hash));
            }
        }
        assert!(slices.groups.len() < 15, "{} groups", slices.groups.len());
    }

    #[test]
    fn what_is_not_held_is_rarely_found() {
        let mut slices = BloomTable::default();
        for segment in 0..200 {
            add(&mut slices, segment, &column(segment, 1_000), 199 - segment as usize);
        }
        let false_ones: usize =
            (0..100_000).map(|number| found(&slices, hash(1_000, number)).len()).sum();
        // 20,000,000 questions at 1e-5 each would be 200.
        assert!(false_ones < 200, "{false_ones}");
    }

    #[test]
    fn segments_that_are_removed_are_not_found() {
        let mut slices = BloomTable::default();
        for segment in 0..200 {
            add(&mut slices, segment, &column(segment, 10), 0);
        }
        slices.remove_before(Sequence(130));
        assert!(found(&slices, hash(129, 3)).is_empty());
        assert_eq!(found(&slices, hash(130, 3)), [130]);
        slices.remove_before(Sequence(1_000));
        assert_eq!((slices.byte_size(), found(&slices, hash(199, 3)).len()), (0, 0));
    }

    #[test]
    fn one_is_added_whose_group_was_removed_meanwhile() {
        let mut slices = BloomTable::default();
        for segment in 0..10 {
            add(&mut slices, segment, &column(segment, 10), 0);
        }
        let slot = slices.prepare(&column(10, 10), 0);
        slices.remove_before(Sequence(10));
        assert!(slices.groups.is_empty());
        slices.add(Sequence(10), &slot);
        add(&mut slices, 11, &column(11, 10), 0);
        for segment in 0..12 {
            let expected = if segment < 10 { vec![] } else { vec![segment] };
            assert_eq!(found(&slices, hash(segment, 3)), expected);
        }
        slices.remove_before(Sequence(11));
        assert!(found(&slices, hash(10, 3)).is_empty());
        assert_eq!(found(&slices, hash(11, 3)), [11]);
    }

    #[test]
    fn what_is_prepared_and_given_up_is_not_found() {
        let mut slices = BloomTable::default();
        add(&mut slices, 0, &column(0, 10), 0);
        drop(slices.prepare(&column(1, 10), 0));
        assert!(found(&slices, hash(1, 3)).is_empty());
        add(&mut slices, 2, &column(2, 10), 0);
        assert_eq!(found(&slices, hash(2, 3)), [2]);
    }
}
