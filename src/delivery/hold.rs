//! Makes retention wait for a delivery, within limits.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use crate::delivery::state::DeliveryState;
use crate::hub::Hub;
use crate::log::{BoxFuture, RetentionHold};
use crate::record::Sequence;
use crate::time::Time;

/// How far a delivery may hold retention. Beyond a limit, records are removed, and the destination
/// gets a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldLimits {
    /// Retention is held while the log takes at most this space, in bytes; `None` for no limit.
    pub bytes: Option<u64>,
    /// Retention is held for records that were accepted at most this long ago; `None` for no
    /// limit.
    pub age: Option<Duration>,
}

/// Holds undelivered records for as long as the delivery exists.
pub struct DeliveryHold {
    name: String,
    limits: HoldLimits,
    state: Weak<DeliveryState>,
    hub: Weak<Hub>,
    /// Notifies of changes of the delivery's position.
    progress: watch::Receiver<()>,
}

impl DeliveryHold {
    /// The hold of this delivery, whose position changes with `progress`.
    pub fn new(
        state: &Arc<DeliveryState>,
        hub: &Arc<Hub>,
        limits: HoldLimits,
        progress: watch::Receiver<()>,
    ) -> Self {
        Self {
            name: format!("delivery {}", state.name()),
            limits,
            state: Arc::downgrade(state),
            hub: Arc::downgrade(hub),
            progress,
        }
    }

    /// Whether a limit is reached, so that retention continues.
    fn is_exceeded(&self, state: &DeliveryState) -> bool {
        let too_large = self.limits.bytes.is_some_and(|max| {
            let storage = self.hub.upgrade().and_then(|hub| hub.storage());
            storage.is_none_or(|report| report.bytes > max)
        });
        let too_old = self.limits.age.zip(state.oldest()).is_some_and(|(max, oldest)| {
            let age = Time::now().0.saturating_sub(oldest.0);
            u128::try_from(age).is_ok_and(|age| age > max.as_nanos())
        });
        too_large || too_old
    }
}

impl RetentionHold for DeliveryHold {
    fn name(&self) -> &str {
        &self.name
    }

    fn position(&self) -> Sequence {
        self.state.upgrade().map_or(Sequence(u64::MAX), |state| state.position())
    }

    fn records_max(&self) -> Option<u64> {
        // Bytes and age are checked when records would be removed.
        None
    }

    fn is_over(&self) -> bool {
        self.state.strong_count() == 0
    }

    fn release(&self, first: Sequence) -> bool {
        self.state
            .upgrade()
            .is_none_or(|state| state.position() >= first.previous() || self.is_exceeded(&state))
    }

    fn released(&self, first: Sequence) -> BoxFuture<'_, ()> {
        let mut progress = self.progress.clone();
        Box::pin(async move {
            while !self.release(first) {
                // A delivery that has ended holds nothing.
                if progress.changed().await.is_err() {
                    return;
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::log::{Bounds, MemoryLog};

    #[tokio::test]
    async fn retention_waits_within_the_limits() {
        let log = Arc::new(MemoryLog::new(Bounds::default()));
        let hub = Hub::new(log, CancellationToken::new());
        let state = Arc::new(DeliveryState::new("siem".into(), false));
        let progress = watch::Sender::new(());
        let limits = HoldLimits { bytes: None, age: Some(Duration::from_secs(3_600)) };
        let hold = DeliveryHold::new(&state, &hub, limits, progress.subscribe());
        assert_eq!(hold.name(), "delivery siem");
        state.set_position(Sequence(10));
        assert!(hold.release(Sequence(11)), "all before is delivered");
        assert!(!hold.release(Sequence(12)));
        state.set_oldest(Some(Time(Time::now().0 - 3_599_000_000_000)));
        assert!(!hold.release(Sequence(12)));
        state.set_oldest(Some(Time(Time::now().0 - 3_601_000_000_000)));
        assert!(hold.release(Sequence(12)), "the oldest is too old to wait for");
        state.set_oldest(None);
        let waited = hold.released(Sequence(12));
        let moved = async {
            state.set_position(Sequence(11));
            progress.send_replace(());
        };
        tokio::join!(waited, moved);
        drop(state);
        assert!(hold.is_over() && hold.release(Sequence(99)), "who is gone holds nothing");
    }
}
