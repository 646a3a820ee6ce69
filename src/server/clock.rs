//! Warns while the accept times of records are ahead of the clock.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lasting_warning::{LastingWarning, WarningDue};
use crate::hub::Hub;

/// The interval between checks.
const INTERVAL: Duration = Duration::from_secs(10);

/// Warns while the accept time of the newest record is later than the clock's time.
pub async fn watch(hub: Arc<Hub>, stopping: CancellationToken) {
    let mut warnings = LastingWarning::default();
    loop {
        let ahead = hub.extent().accept_time_ahead();
        match warnings.judge(ahead.is_some(), ahead.is_none(), Instant::now()) {
            WarningDue::Nothing => {}
            WarningDue::Lasts => tracing::warn!(
                "the clock is {} s behind the newest record: the clock was ahead when that was \
                 accepted, or is behind now. Until it has reached that time, records get the accept \
                 time of that record, and accept_time_raised says by how much it was raised. Check \
                 the clock's synchronization",
                ahead.map_or(0, |ahead| ahead.seconds)
            ),
            WarningDue::Over => {
                tracing::info!(
                    "the clock has reached the newest record: accept times are the clock's again"
                )
            }
        }
        if stopping.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_is_warned_once_an_hour_and_told_when_it_is_over() {
        let begun = Instant::now();
        let mut warnings = LastingWarning::default();
        let mut at = |seconds, is_ahead: bool| {
            warnings.judge(is_ahead, !is_ahead, begun + Duration::from_secs(seconds))
        };
        assert_eq!(at(0, false), WarningDue::Nothing);
        assert_eq!(at(10, true), WarningDue::Lasts);
        assert_eq!(at(20, true), WarningDue::Nothing);
        assert_eq!(at(3_610, true), WarningDue::Lasts);
        assert_eq!(at(3_620, false), WarningDue::Over);
        assert_eq!(at(3_630, false), WarningDue::Nothing);
        assert_eq!(at(3_640, true), WarningDue::Lasts);
    }
}
