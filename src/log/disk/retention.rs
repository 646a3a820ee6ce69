//! Retention: whole segments go, oldest first, when the log is larger than it may
//! be, or when all that they hold is older.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::log::disk::format::FileHeader;
use crate::log::disk::open::last_accepted;
use crate::log::disk::sealed::SegmentFile;
use crate::log::disk::storage;
use crate::log::disk::walk::SegmentWalk;
use crate::log::disk::{DiskLog, DiskLogInner};
use crate::time::Time;

/// The longest time between two looks at what is too old.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// The shortest.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The time between two looks where only the size counts: it is looked at when a
/// segment is full, too.
const INTERVAL_BY_BYTES: Duration = Duration::from_secs(5);

/// How much of a log is kept. The segment that is written always is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The most bytes of segment files; `None` for no limit.
    pub bytes: Option<u64>,
    /// For how long records are kept after they were accepted; `None` for ever.
    pub age: Option<Duration>,
}

impl Retention {
    /// How often to look; `None` if all is kept.
    pub fn interval(&self) -> Option<Duration> {
        let by_age = self.age.map(|age| (age / 10).clamp(INTERVAL_MIN, INTERVAL_MAX));
        by_age.or(self.bytes.map(|_| INTERVAL_BY_BYTES))
    }
}

impl DiskLog {
    /// Records that were accepted before `time` go with their segments, as soon as a segment is
    /// full, or is looked at for its age.
    pub fn keep_since(&self, time: Time) {
        self.inner.kept_since.fetch_max(time.0, Ordering::Relaxed);
    }
}

impl DiskLogInner {
    /// Removes what is not to be kept. What cannot be removed now is left for the
    /// next time.
    pub fn retain(&self) {
        loop {
            let files = self.sealed.list();
            let Some(oldest) = files.first() else { return };
            let bytes = self.disk_bytes();
            let too_large = self.config.retain.bytes.is_some_and(|max| bytes > max);
            // The age is looked up only where it counts: it takes a read.
            let kept_since = Time(self.kept_since.load(Ordering::Relaxed));
            let by_time = self.config.retain.age.is_some() || kept_since > Time::MIN;
            let accepted = if too_large || by_time {
                self.accepted_until(oldest)
            } else {
                return;
            };
            let Ok(accepted) = accepted else { return };
            let too_old = self.config.retain.age.is_some_and(|age| {
                let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
                accepted.saturating_add(age) < Time::now()
            });
            if !(too_large || too_old || accepted < kept_since) {
                return;
            }
            let needed = self.holds.needing(oldest.end, self.shared.last()).is_some();
            if needed || self.remove(oldest, accepted).is_err() {
                return;
            }
        }
    }

    /// Removes a file, the oldest. A crash at any point leaves the log with it or
    /// without it.
    fn remove(&self, oldest: &SegmentFile, accepted: Time) -> io::Result<()> {
        assert!(oldest.base < oldest.end, "another file would have its name");
        {
            let mut durable = self.lock_durable();
            let mut next = durable.clone();
            next.first = oldest.end;
            next.removed_until = Some(accepted).max(next.removed_until);
            self.directory.write_identity(&next)?;
            *durable = next;
        }
        self.first.store(oldest.end.0, Ordering::Release);
        self.removed_until.store(accepted.0 as u64, Ordering::Release);
        self.sealed.remove_before(oldest.end);
        self.directory.storage().remove(&oldest.path)
    }

    /// When the last record of a file was accepted.
    fn accepted_until(&self, file: &SegmentFile) -> io::Result<Time> {
        let indexed = self.sealed.first_accepted_until().filter(|(base, _)| *base == file.base);
        if let Some((_, accepted)) = indexed {
            return Ok(accepted);
        }
        let mut known = self.lock_oldest_accepted();
        if let Some((_, accepted)) = known.filter(|(base, _)| *base == file.base) {
            return Ok(accepted);
        }
        let bytes = storage::read(&file.path)?;
        let header =
            FileHeader { log_id: self.identity.id, base: file.base, capacity: 0, salt: file.salt };
        let accepted = last_accepted(&bytes, &SegmentWalk::over(&bytes, &header, Some(file.end)));
        *known = Some((file.base, accepted));
        Ok(accepted)
    }
}
