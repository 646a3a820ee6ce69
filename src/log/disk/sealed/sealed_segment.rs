//! The state of one sealed segment in memory.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::log::DamagedRange;
use crate::log::disk::bloom::BloomSlot;
use crate::log::disk::sealed::SegmentFile;
use crate::log::disk::sidecar::{BloomField, EXTENSION, SegmentRef, SidecarSummary, key_hash};
use crate::log::scan::ScanQuery;
use crate::record::Sequence;
use crate::time::Time;

/// The most keys of a filter that are looked up in each segment; a filter with
/// more is rarely narrow.
const KEYS_MAX: usize = 64;

/// A sealed segment.
pub struct SealedSegment {
    pub file: SegmentFile,
    pub of: SegmentRef,
    pub summary: SidecarSummary,
    /// When the first and the last record were accepted; where all are damaged,
    /// the last one of the segment before.
    pub accepted: (Time, Time),
    pub keys: BloomSlot,
    /// First and last position of each run of records that are known to be
    /// damaged, ascending, with records in between.
    damage: ArcSwap<Vec<(u32, u32)>>,
}

impl SealedSegment {
    pub fn new(
        file: SegmentFile,
        of: SegmentRef,
        summary: SidecarSummary,
        keys: BloomSlot,
        before: Time,
    ) -> Self {
        let accepted = summary.accepted.unwrap_or((before, before));
        let damage = ArcSwap::from_pointee(summary.damage.clone());
        Self { file, of, summary, accepted, keys, damage }
    }

    pub fn base(&self) -> Sequence {
        self.file.base
    }

    /// Behind the last place that it covers. Where files are missing before the
    /// next one, that begins later.
    pub fn end(&self) -> Sequence {
        self.sequence(self.covers())
    }

    /// How many places it covers.
    pub fn covers(&self) -> u32 {
        self.of.covers
    }

    pub fn sidecar_path(&self) -> PathBuf {
        sidecar_path(&self.file.path)
    }

    /// Position of a record of the segment.
    pub fn position(&self, sequence: Sequence) -> u32 {
        (sequence.0.saturating_sub(self.file.base.0)).min(u64::from(self.covers())) as u32
    }

    pub fn sequence(&self, position: u32) -> Sequence {
        Sequence(self.file.base.0 + u64::from(position))
    }

    /// What is known to be damaged.
    pub fn damage(&self) -> Vec<DamagedRange> {
        let damage = self.damage.load();
        let ranges = damage.iter().map(|(first, last)| DamagedRange {
            first: self.sequence(*first),
            last: self.sequence(*last),
        });
        ranges.collect()
    }

    /// Whether some of it is known to be damaged.
    pub fn has_damage(&self) -> bool {
        !self.damage.load().is_empty()
    }

    /// Length of a frame, on average, in bytes.
    pub fn frame_bytes(&self) -> u64 {
        self.summary.data_len / u64::from(self.covers().max(1))
    }

    /// The positions around `position` without known damage; or, as the error,
    /// the first and last position of the damage there.
    pub fn stretch(&self, position: u32) -> Result<Range<u32>, (u32, u32)> {
        let damage = self.damage.load();
        let behind = damage.partition_point(|(_, last)| *last < position);
        let start = behind.checked_sub(1).and_then(|place| damage.get(place));
        let start = start.map_or(0, |(_, last)| last + 1);
        match damage.get(behind) {
            Some((first, last)) if *first <= position => Err((*first, *last)),
            Some((first, _)) => Ok(start..*first),
            None => Ok(start..self.covers()),
        }
    }

    /// First and last position of each run that is known to be damaged.
    pub fn known_damage(&self) -> Vec<(u32, u32)> {
        self.damage.load().to_vec()
    }

    /// Takes note of damage that was found while reading. Gives what was not known.
    pub fn note_damage(&self, positions: &[u32]) -> Vec<DamagedRange> {
        let before = self.damage.rcu(|damage| {
            let mut runs: Vec<(u32, u32)> = damage.to_vec();
            runs.extend(positions.iter().map(|position| (*position, *position)));
            runs.sort_unstable();
            let mut merged: Vec<(u32, u32)> = Vec::with_capacity(runs.len());
            for (first, last) in runs {
                match merged.last_mut() {
                    Some((_, end)) if first <= end.saturating_add(1) => *end = (*end).max(last),
                    _ => merged.push((first, last)),
                }
            }
            Arc::new(merged)
        });
        let is_known = |position: u32| {
            let behind = before.partition_point(|(_, last)| *last < position);
            before.get(behind).is_some_and(|(first, _)| *first <= position)
        };
        let mut new: Vec<DamagedRange> = Vec::new();
        for position in positions.iter().copied().filter(|position| !is_known(*position)) {
            let at = self.sequence(position);
            match new.last_mut().filter(|found| found.last.next() == at) {
                Some(found) => found.last = at,
                None => new.push(DamagedRange { first: at, last: at }),
            }
        }
        new
    }

    /// Whether a record may match, by what is in memory.
    pub fn may_match(&self, query: &ScanQuery) -> bool {
        let selection = query.filter.selection();
        let has = |field: BloomField, keys: &Option<Vec<u32>>| {
            keys.as_ref().is_none_or(|keys| {
                keys.len() > KEYS_MAX
                    || keys.iter().any(|key| self.keys.may_hold(key_hash(field, *key)))
            })
        };
        self.summary.may_match(query)
            && has(BloomField::Session, &selection.sessions)
            && has(BloomField::User, &selection.users)
            && has(BloomField::Server, &selection.servers)
    }
}

/// Where the sidecar of a segment file is.
pub fn sidecar_path(path: &Path) -> PathBuf {
    path.with_extension(EXTENSION)
}
