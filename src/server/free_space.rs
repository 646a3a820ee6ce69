//! Watches the free disk space of the log, and warns before it is used up.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lasting_warning::{LastingWarning, WarningDue};

/// The interval between checks.
const INTERVAL: Duration = Duration::from_secs(10);
/// Free space is low below this part of the file system.
const LITTLE_PART: u64 = 20;
/// The lower bound of that part, in bytes: some segments.
const LITTLE_BYTES_MIN: u64 = 256 * 1024 * 1024;
/// The upper bound of that part, in bytes.
const LITTLE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
const MIB: u64 = 1024 * 1024;

/// The free space of the file system of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still write.
    pub free: u64,
    /// Bytes in total.
    pub total: u64,
}

impl Space {
    /// Reads the free space.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(folder)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Self { free: bytes(found.f_bavail), total: bytes(found.f_blocks) })
    }

    /// The number of free bytes below which the operator is warned.
    fn little(self) -> u64 {
        (self.total / LITTLE_PART).clamp(LITTLE_BYTES_MIN, LITTLE_BYTES_MAX)
    }
}

/// The free space at the last check of the watch. A disk may hang, so only the watch reads it.
#[derive(Debug)]
pub struct LastSpace {
    folder: PathBuf,
    found: Mutex<Option<Space>>,
}

impl LastSpace {
    /// Reads the free space of the file system of `folder`.
    pub fn of(folder: &Path) -> Arc<Self> {
        let found = Mutex::new(Space::of(folder).ok());
        Arc::new(Self { folder: folder.to_owned(), found })
    }

    /// The result of the last check; `None` if it failed.
    pub fn get(&self) -> Option<Space> {
        *self.found.lock()
    }
}

/// Keeps `last` up to date, and warns while there is little free space.
pub async fn watch(last: Arc<LastSpace>, stopping: CancellationToken) {
    let mut warnings = Warnings::default();
    let folder = last.folder.clone();
    loop {
        // The disk may hang, so nothing waits for the check.
        let path = folder.clone();
        let space = tokio::task::spawn_blocking(move || Space::of(&path)).await;
        if let Ok(space) = space {
            *last.found.lock() = space.as_ref().ok().copied();
            if let Ok(space) = space {
                warnings.tell(&folder, space, Instant::now());
            }
        }
        if stopping.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
            return;
        }
    }
}

#[derive(Debug, Default)]
struct Warnings(LastingWarning);

impl Warnings {
    fn tell(&mut self, folder: &Path, space: Space, now: Instant) {
        let (free, total) = (space.free / MIB, space.total / MIB);
        let folder = folder.display();
        match self.judge(space, now) {
            WarningDue::Nothing => {}
            WarningDue::Lasts => tracing::warn!(
                "the disk of {folder} is nearly full: {free} MiB of {total} MiB are free; when it \
                 is full, the gateway refuses events: free some space, or keep less (retain.bytes, \
                 retain.age)"
            ),
            WarningDue::Over => {
                tracing::info!("the disk of {folder} has {free} MiB free again")
            }
        }
    }

    fn judge(&mut self, space: Space, now: Instant) -> WarningDue {
        let little = space.little();
        // Slightly above the limit, or else the two lines would alternate.
        self.0.judge(space.free < little, space.free > little + little / 4, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1024 * MIB;

    #[test]
    fn little_depends_on_the_size_within_bounds() {
        let little = |total| Space { free: 0, total }.little();
        assert_eq!(little(GIB), LITTLE_BYTES_MIN);
        assert_eq!(little(20 * GIB), GIB);
        assert_eq!(little(1_000 * GIB), LITTLE_BYTES_MAX);
    }

    #[test]
    fn the_operator_is_warned_once_in_a_while_and_told_when_it_is_over() {
        let begun = Instant::now();
        let mut warnings = Warnings::default();
        let mut at = |seconds, free| {
            let space = Space { free: free * MIB, total: 20 * GIB };
            warnings.judge(space, begun + Duration::from_secs(seconds))
        };
        assert_eq!(at(0, 1_024), WarningDue::Nothing);
        assert_eq!(at(10, 1_023), WarningDue::Lasts);
        assert_eq!(at(20, 900), WarningDue::Nothing);
        assert_eq!(at(3_620, 800), WarningDue::Lasts);
        assert_eq!(at(3_630, 1_100), WarningDue::Nothing, "not yet enough");
        assert_eq!(at(3_640, 1_000), WarningDue::Nothing);
        assert_eq!(at(3_650, 1_300), WarningDue::Over);
        assert_eq!(at(3_660, 1_300), WarningDue::Nothing);
        assert_eq!(at(3_670, 10), WarningDue::Lasts);
    }

    #[test]
    fn the_system_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let space = Space::of(folder.path()).unwrap();
        assert!(space.free <= space.total && space.total > 0, "{space:?}");
        assert_eq!(LastSpace::of(folder.path()).get().map(|last| last.total), Some(space.total));
        let none = folder.path().join("none");
        let refused = Space::of(&none).expect_err("there is none");
        assert_eq!(refused.kind(), std::io::ErrorKind::NotFound);
        assert!(LastSpace::of(&none).get().is_none());
    }
}
