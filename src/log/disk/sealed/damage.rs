//! Damage that somebody finds in a segment is noted in its sidecar, so that it is
//! known when the log is opened the next time.

use std::io;
use std::sync::PoisonError;

use super::cold::Cold;
use super::{Inner, Sealed};
use crate::log::disk::open::damage_sentence;
use crate::log::disk::sidecar;
use crate::log::disk::storage;
use crate::log::disk::walk::Damage;

impl Sealed {
    /// Takes note of damage that was found by who read the file.
    pub fn note_damage(&self, damage: &[Damage]) {
        let state = self.inner.state.load_full();
        for found in damage {
            let after = state.segments.partition_point(|segment| segment.base() <= found.first);
            let cold = after.checked_sub(1).and_then(|index| state.segments.get(index));
            let Some(cold) = cold else { continue };
            let positions = cold.position(found.first)..cold.position(found.last.next());
            self.inner.note_damage(cold, &positions.collect::<Vec<u32>>());
        }
    }
}

impl Inner {
    /// Takes note of damage that was found by reading, and says so once.
    pub fn report_damage(&self, cold: &Cold, positions: &[u32]) {
        let found = self.note_damage(cold, positions);
        if !found.is_empty() {
            tracing::error!("{}: {}", cold.file.path.display(), damage_sentence(&found));
        }
    }

    /// Gives what was not known before.
    fn note_damage(&self, cold: &Cold, positions: &[u32]) -> Vec<Damage> {
        let found = cold.note_damage(positions);
        if !found.is_empty()
            && let Err(error) = self.keep_damage(cold)
        {
            // It is found again, by who reads it.
            let path = cold.sidecar_path();
            tracing::warn!("cannot note the damage in {}: {error}", path.display());
        }
        found
    }

    fn keep_damage(&self, cold: &Cold) -> io::Result<()> {
        // One at a time, so that the last one has all of it.
        let _noting = self.noting.lock().unwrap_or_else(PoisonError::into_inner);
        let path = cold.sidecar_path();
        let encoded = storage::read(&path)?;
        // One that is not whole is made again, from the file, with all of its damage.
        let Some(renewed) = sidecar::with_damage(&encoded, &cold.of, &cold.known_damage()) else {
            return Ok(());
        };
        sidecar::save(&*self.storage, &path, &renewed)?;
        let state = self.state.load();
        if state.segments.iter().any(|own| own.base() == cold.base()) {
            return Ok(());
        }
        // Removed meanwhile, with its records.
        self.storage.remove(&path)
    }
}
