//! Gaps: ranges of records that a reader does not get.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::proto::pb;
use crate::record::Sequence;

/// Records that a reader did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first of them; zero if unknown.
    pub first: Sequence,
    /// The last of them; zero if unknown.
    pub last: Sequence,
    /// Why.
    pub reason: GapReason,
}

/// Why records are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// The records were evicted.
    Evicted,
    /// The cursor belongs to another log.
    OtherLog,
    /// The cursor is beyond the end of the log.
    RolledBack,
    /// Their storage is damaged.
    Damaged,
}

/// The gap as a protocol message.
impl From<Gap> for pb::Gap {
    fn from(gap: Gap) -> Self {
        let reason = pb::GapReason::from(gap.reason).into();
        pb::Gap { first_sequence: gap.first.0, last_sequence: gap.last.0, reason }
    }
}

/// The reason as the protocol has it.
impl From<GapReason> for pb::GapReason {
    fn from(reason: GapReason) -> Self {
        match reason {
            GapReason::Evicted => pb::GapReason::Evicted,
            GapReason::OtherLog => pb::GapReason::OtherLog,
            GapReason::RolledBack => pb::GapReason::RolledBack,
            GapReason::Damaged => pb::GapReason::Damaged,
        }
    }
}

impl GapReason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Evicted, Self::OtherLog, Self::RolledBack, Self::Damaged];

    /// The name in metrics.
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
    /// The number of gaps with this reason.
    pub fn count(&self, reason: GapReason) -> u64 {
        self.0.get(reason as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// The number of all gaps.
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
