//! A cache for pieces of segments that were read from disk.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::log::disk::sidecar::ListRef;
use crate::log::segment::{COLUMNS_BYTES, Segment};
use crate::record::Sequence;

/// The overhead of a piece, in bytes.
const PIECE_BYTES: usize = 512;

/// The pieces, within a bound. What was not asked for since it was passed over last
/// goes first.
pub struct PieceCache {
    bytes_max: usize,
    kept: Mutex<CacheEntry>,
}

/// Which piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PieceKey {
    /// Neighbouring records, from here on.
    Chunk(Sequence),
    /// The records of a posting list in the segment with this base.
    List(Sequence, ListRef),
}

#[derive(Default)]
struct CacheEntry {
    pieces: HashMap<PieceKey, CachedPiece, foldhash::fast::RandomState>,
    /// In which order they are passed over.
    line: VecDeque<PieceKey>,
    bytes: usize,
}

struct CachedPiece {
    segment: Arc<Segment>,
    bytes: usize,
    /// It was asked for since it was passed over.
    used: bool,
}

impl PieceKey {
    fn base(self) -> Sequence {
        match self {
            Self::Chunk(base) | Self::List(base, _) => base,
        }
    }
}

impl PieceCache {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }

    /// The piece, if it is cached.
    pub fn get(&self, key: PieceKey) -> Option<Arc<Segment>> {
        let mut kept = self.lock();
        let piece = kept.pieces.get_mut(&key)?;
        piece.used = true;
        Some(Arc::clone(&piece.segment))
    }

    pub fn put(&self, key: PieceKey, segment: &Arc<Segment>) {
        let view = segment.view(Sequence(u64::MAX - 1));
        let records = view.frames(0..view.len()).len() + view.len() * (COLUMNS_BYTES + 4);
        let bytes = records + PIECE_BYTES;
        if bytes > self.bytes_max {
            return;
        }
        let mut kept = self.lock();
        kept.bytes += bytes;
        let piece = CachedPiece { segment: Arc::clone(segment), bytes, used: false };
        match kept.pieces.insert(key, piece) {
            Some(before) => kept.bytes -= before.bytes,
            None => kept.line.push_back(key),
        }
        while kept.bytes > self.bytes_max {
            kept.pass_over();
        }
    }

    /// Removes the pieces before `base`.
    pub fn remove_before(&self, base: Sequence) {
        let mut kept = self.lock();
        let CacheEntry { pieces, line, bytes } = &mut *kept;
        line.retain(|key| {
            let stays = key.base() >= base;
            if let Some(gone) = (!stays).then(|| pieces.remove(key)).flatten() {
                *bytes -= gone.bytes;
            }
            stays
        });
    }

    fn lock(&self) -> MutexGuard<'_, CacheEntry> {
        self.kept.lock()
    }
}

impl CacheEntry {
    /// Takes the next piece out of the line, or sends it back to its end if it was
    /// asked for.
    fn pass_over(&mut self) {
        let key = self.line.pop_front().expect("bytes are those of pieces in the line");
        let piece = self.pieces.get_mut(&key).expect("what is in the line is kept");
        if std::mem::take(&mut piece.used) {
            self.line.push_back(key);
        } else {
            self.bytes -= piece.bytes;
            self.pieces.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::segment::SegmentParts;

    fn piece(base: u64) -> Arc<Segment> {
        let parts = SegmentParts { data: vec![0; 1_000], ..SegmentParts::default() };
        let mut parts = parts;
        parts.offsets.push(0);
        parts.ends.push(1_000);
        parts.columns.push(crate::log::disk::sidecar::columns(&[0; 36]));
        Arc::new(Segment::of_parts(Sequence(base), 1, parts))
    }

    #[test]
    fn what_was_not_asked_for_goes_first() {
        let key = |base: u64| PieceKey::Chunk(Sequence(base));
        let cache = PieceCache::new(4_800);
        [1, 2, 3].iter().for_each(|base| cache.put(key(*base), &piece(*base)));
        assert!(cache.get(key(1)).is_some());
        cache.put(key(4), &piece(4));
        let kept: Vec<bool> =
            [1, 2, 3, 4].iter().map(|base| cache.get(key(*base)).is_some()).collect();
        assert_eq!(kept, [true, false, true, true]);
        cache.put(key(4), &piece(4));
        cache.remove_before(Sequence(4));
        assert!(cache.get(key(3)).is_none() && cache.get(key(4)).is_some());
        let kept = cache.lock();
        assert_eq!((kept.line.len(), kept.pieces.len()), (1, 1));
        assert_eq!(kept.bytes, kept.pieces.values().map(|piece| piece.bytes).sum::<usize>());
    }
}
