//! Gaps: ranges of records that a reader does not get.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::proto::pb;
use crate::record::Sequence;

/// Records that a reader did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first of them; zero where it is not known.
    pub first: Sequence,
    /// The last of them; zero where it is not known.
    pub last: Sequence,
    /// Why.
    pub reason: GapReason,
}

/// Why records are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// They had left the ring.
    Evicted,
    /// The cursor is of another log.
    OtherLog,
    /// The cursor lies past what the log kept.
    RolledBack,
    /// Their storage is damaged.
    Damaged,
}

/// A gap, as responses have it.
impl From<Gap> for pb::Gap {
    fn from(gap: Gap) -> Self {
        let reason = match gap.reason {
            GapReason::Evicted => pb::GapReason::Evicted,
            GapReason::OtherLog => pb::GapReason::OtherLog,
            GapReason::RolledBack => pb::GapReason::RolledBack,
            GapReason::Damaged => pb::GapReason::Damaged,
        };
        pb::Gap { first_sequence: gap.first.0, last_sequence: gap.last.0, reason: reason.into() }
    }
}

impl GapReason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Evicted, Self::OtherLog, Self::RolledBack, Self::Damaged];

    /// Its name, as metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::OtherLog => "other_log",
            Self::RolledBack => "rolled_back",
            Self::Damaged => "damaged",
        }
    }
}

/// Counts the gaps sent to subscribers, by reason.
#[derive(Debug, Default)]
pub struct GapCounters([AtomicU64; GapReason::ALL.len()]);

impl GapCounters {
    /// How many there were for this reason.
    pub fn count(&self, reason: GapReason) -> u64 {
        self.0.get(reason as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        GapReason::ALL.into_iter().map(|reason| self.count(reason)).sum()
    }

    /// Counts one.
    pub fn add(&self, reason: GapReason) {
        if let Some(count) = self.0.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
