//! The start of a subscription: latest, earliest, a time or a cursor.

use crate::hub::{Gap, GapReason, Hub, LogPosition, Reach};
use crate::log;
use crate::log::cursor::Cursor;
use crate::record::Sequence;
use crate::time::Time;

/// Where a subscription starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionStart {
    /// After the newest record.
    Latest,
    /// At the oldest record kept.
    Earliest,
    /// At the first record accepted at this time or later.
    Since(Time),
    /// After the records that a cursor covers.
    Cursor(Cursor),
}

/// Why a subscription cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The log never issued the cursor.
    #[error(
        "cursor is after record {sequence}, which the log never had: its newest record is {last}"
    )]
    CursorBeyond {
        /// The last record that the cursor covers.
        sequence: Sequence,
        /// The newest record.
        last: Sequence,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] log::Error),
}

impl Hub {
    /// The first record to examine, and the gap before it. After [`SubscriptionStart::Since`],
    /// records that are accepted meanwhile may be too early, too; the subscription skips them.
    pub(super) async fn resolve(
        &self,
        start: SubscriptionStart,
    ) -> Result<(Sequence, Option<Gap>), SubscribeError> {
        let extent = self.log.extent();
        Ok(match start {
            SubscriptionStart::Latest => (extent.last.next(), None),
            SubscriptionStart::Earliest => (extent.first, None),
            SubscriptionStart::Since(time) => {
                let next = self.log.accepted_since(time).await?;
                // Looked up afterwards, so that records evicted meanwhile count as lost.
                let extent = self.log.extent();
                // It is unknown how many of the evicted records were accepted since then.
                let lost =
                    next <= extent.first && extent.evicted_until.is_some_and(|until| until >= time);
                let gap = Gap {
                    first: Sequence::ZERO,
                    last: extent.first.previous(),
                    reason: GapReason::Evicted,
                };
                if lost { (extent.first, Some(gap)) } else { (next, None) }
            }
            SubscriptionStart::Cursor(cursor) => {
                let identity = self.identity();
                if cursor.log_id != identity.id {
                    let gap = Gap {
                        first: Sequence::ZERO,
                        last: Sequence::ZERO,
                        reason: GapReason::OtherLog,
                    };
                    (extent.first, Some(gap))
                } else if let Some(kept) = self.lost_behind(cursor).await? {
                    let gap = Gap {
                        first: kept.next(),
                        last: cursor.sequence,
                        reason: GapReason::RolledBack,
                    };
                    (kept.next(), Some(gap))
                } else {
                    // Records evicted meanwhile are noticed when they are read.
                    (cursor.sequence.next(), None)
                }
            }
        })
    }

    /// The last remaining record that a cursor covers, if the newest ones were lost.
    async fn lost_behind(&self, cursor: Cursor) -> Result<Option<Sequence>, SubscribeError> {
        let kept_of_epoch = || self.log.kept_of_epoch(cursor.epoch);
        let Cursor { epoch, sequence, .. } = cursor;
        let reach = match kept_of_epoch() {
            Some(_) => Reach::Here,
            None => self.reach(LogPosition { epoch: Some(epoch), sequence }).await?,
        };
        // The end of the epoch may have become known with the tail of the log.
        match (kept_of_epoch(), reach) {
            (Some(kept), _) => {
                let kept = kept.min(self.log.extent().last);
                Ok((sequence > kept).then_some(kept))
            }
            (None, Reach::Here) => Ok(None),
            (None, Reach::Beyond(last)) if self.log.is_shared() => {
                Err(SubscribeError::CursorBeyond { sequence, last })
            }
            (None, Reach::Beyond(last)) => Ok(Some(last)),
        }
    }
}
