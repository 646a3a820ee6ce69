//! Records damage that a reader found in the sidecar of the segment, so that it is known
//! when the log is reopened.

use std::io;

use super::sealed_segment::SealedSegment;
use super::{SealedInner, SealedSegments};
use crate::log::DamagedRange;
use crate::log::disk::error::damage_sentence;
use crate::log::disk::sidecar;
use crate::log::disk::storage;

impl SealedSegments {
    /// Takes note of damage that was found by who read the file.
    pub fn note_damage(&self, damage: &[DamagedRange]) {
        let state = self.inner.state.load_full();
        for found in damage {
            let after = state.segments.partition_point(|segment| segment.base() <= found.first);
            let sealed_segment = after.checked_sub(1).and_then(|index| state.segments.get(index));
            let Some(sealed_segment) = sealed_segment else { continue };
            let positions =
                sealed_segment.position(found.first)..sealed_segment.position(found.last.next());
            self.inner.note_damage(sealed_segment, &positions.collect::<Vec<u32>>());
        }
    }
}

impl SealedInner {
    /// Takes note of damage that was found by reading, and says so once.
    pub fn report_damage(&self, sealed_segment: &SealedSegment, positions: &[u32]) {
        let found = self.note_damage(sealed_segment, positions);
        if !found.is_empty() {
            tracing::error!("{}: {}", sealed_segment.file.path.display(), damage_sentence(&found));
        }
    }

    /// Gives what was not known before.
    fn note_damage(&self, sealed_segment: &SealedSegment, positions: &[u32]) -> Vec<DamagedRange> {
        let found = sealed_segment.note_damage(positions);
        if !found.is_empty()
            && let Err(error) = self.keep_damage(sealed_segment)
        {
            // It is found again, by who reads it.
            let path = sealed_segment.sidecar_path();
            tracing::warn!("cannot record the damage in {}: {error}", path.display());
        }
        found
    }

    fn keep_damage(&self, sealed_segment: &SealedSegment) -> io::Result<()> {
        // One at a time, so that the last one has all of it.
        let _noting = self.noting.lock();
        let path = sealed_segment.sidecar_path();
        let encoded = storage::read(&path)?;
        // One that is not whole is made again, from the file, with all of its damage.
        let Some(renewed) =
            sidecar::with_damage(&encoded, &sealed_segment.of, &sealed_segment.known_damage())
        else {
            return Ok(());
        };
        sidecar::save(&*self.storage, &path, &renewed)?;
        let state = self.state.load();
        if state.segments.iter().any(|own| own.base() == sealed_segment.base()) {
            return Ok(());
        }
        // Removed meanwhile, with its records.
        self.storage.remove(&path)
    }
}
