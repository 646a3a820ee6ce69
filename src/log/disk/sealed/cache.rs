//! Pieces of segments that were read from disk lately.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::log::segment::{COLUMNS_BYTES, Segment};
use crate::record::Sequence;

/// The pieces, within a bound. What was not asked for the longest goes first.
pub struct Cache {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// By the first place that they cover.
    pieces: HashMap<Sequence, Piece, foldhash::fast::RandomState>,
    bytes: usize,
    /// Counts what was asked for.
    clock: u64,
}

struct Piece {
    segment: Arc<Segment>,
    bytes: usize,
    used: u64,
}

impl Cache {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }

    /// The piece that begins here.
    pub fn get(&self, base: Sequence) -> Option<Arc<Segment>> {
        let mut kept = self.lock();
        kept.clock += 1;
        let clock = kept.clock;
        let piece = kept.pieces.get_mut(&base)?;
        piece.used = clock;
        Some(Arc::clone(&piece.segment))
    }

    pub fn put(&self, segment: &Arc<Segment>) {
        let view = segment.view(Sequence(u64::MAX - 1));
        let bytes = view.frames(0..view.len()).len() + view.len() * (COLUMNS_BYTES + 4);
        if bytes > self.bytes_max {
            return;
        }
        let mut kept = self.lock();
        kept.clock += 1;
        let piece = Piece { segment: Arc::clone(segment), bytes, used: kept.clock };
        kept.bytes += bytes;
        if let Some(before) = kept.pieces.insert(segment.base(), piece) {
            kept.bytes -= before.bytes;
        }
        while kept.bytes > self.bytes_max {
            let oldest = kept.pieces.iter().min_by_key(|(_, piece)| piece.used);
            let Some(base) = oldest.map(|(base, _)| *base) else { break };
            kept.remove(base);
        }
    }

    /// Forgets the pieces before `base`.
    pub fn remove_before(&self, base: Sequence) {
        let mut kept = self.lock();
        let gone: Vec<_> = kept.pieces.keys().filter(|own| **own < base).copied().collect();
        gone.into_iter().for_each(|base| kept.remove(base));
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn remove(&mut self, base: Sequence) {
        if let Some(piece) = self.pieces.remove(&base) {
            self.bytes -= piece.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::segment::Parts;

    fn piece(base: u64) -> Arc<Segment> {
        let parts = Parts { data: vec![0; 1_000], ..Parts::default() };
        let mut parts = parts;
        parts.offsets.push(0);
        parts.ends.push(1_000);
        parts.columns.push(crate::log::disk::sidecar::columns(&[0; 36]));
        Arc::new(Segment::of_parts(Sequence(base), 1, parts))
    }

    #[test]
    fn what_was_not_asked_for_the_longest_goes_first() {
        let cache = Cache::new(3_300);
        [1, 2, 3].iter().for_each(|base| cache.put(&piece(*base)));
        assert!(cache.get(Sequence(1)).is_some());
        cache.put(&piece(4));
        let kept: Vec<bool> =
            [1, 2, 3, 4].iter().map(|base| cache.get(Sequence(*base)).is_some()).collect();
        assert_eq!(kept, [true, false, true, true]);
        cache.remove_before(Sequence(4));
        assert!(cache.get(Sequence(3)).is_none() && cache.get(Sequence(4)).is_some());
    }
}
