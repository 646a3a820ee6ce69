//! Gaps: ranges of records that a reader does not get.

use crate::counters::countable;
use crate::proto::pb;
use crate::record::Sequence;

/// Records that a reader did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first missing record; zero if unknown.
    pub first: Sequence,
    /// The last missing record; zero if unknown.
    pub last: Sequence,
    /// Why they are missing.
    pub reason: GapReason,
}

impl Gap {
    /// The number of missing records, if known; otherwise 0.
    pub fn records(&self) -> u64 {
        (self.last.0 + 1).saturating_sub(self.first.0.max(1))
    }
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

/// The reason as a value of the protocol.
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

countable!(GapReason);
