//! A warning while the accept times of records are ahead of the clock.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::hub::Hub;

/// The interval between checks.
const INTERVAL: Duration = Duration::from_secs(10);
/// The interval between warnings.
const REPEAT_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Warns while the newest record of the log was accepted later than it is by the clock.
pub async fn watch(hub: Arc<Hub>, stopping: CancellationToken) {
    let mut warnings = ClockWarnings::default();
    loop {
        let ahead = hub.extent().accept_time_ahead();
        match warnings.judge(ahead.is_some(), Instant::now()) {
            ClockWarning::Nothing => {}
            ClockWarning::Ahead => tracing::warn!(
                "the clock is {} s behind the newest record: the clock was ahead when that was \
                 accepted, or is behind now. Until it has reached that time, records get the accept \
                 time of that record, and accept_time_raised says by how much it was raised. Check \
                 the clock's synchronization",
                ahead.map_or(0, |ahead| ahead.seconds)
            ),
            ClockWarning::Over => {
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

/// When the last warning was given, while accept times are ahead.
#[derive(Debug, Default)]
struct ClockWarnings(Option<Instant>);

/// What to tell the operator.
#[derive(Debug, PartialEq, Eq)]
enum ClockWarning {
    Nothing,
    Ahead,
    Over,
}

impl ClockWarnings {
    fn judge(&mut self, is_ahead: bool, now: Instant) -> ClockWarning {
        match self.0 {
            Some(last) if is_ahead && now - last < REPEAT_INTERVAL => ClockWarning::Nothing,
            _ if is_ahead => {
                self.0 = Some(now);
                ClockWarning::Ahead
            }
            Some(_) => {
                self.0 = None;
                ClockWarning::Over
            }
            None => ClockWarning::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_is_warned_once_an_hour_and_told_when_it_is_over() {
        let begun = Instant::now();
        let mut warnings = ClockWarnings::default();
        let mut at =
            |seconds, is_ahead| warnings.judge(is_ahead, begun + Duration::from_secs(seconds));
        assert_eq!(at(0, false), ClockWarning::Nothing);
        assert_eq!(at(10, true), ClockWarning::Ahead);
        assert_eq!(at(20, true), ClockWarning::Nothing);
        assert_eq!(at(3_610, true), ClockWarning::Ahead);
        assert_eq!(at(3_620, false), ClockWarning::Over);
        assert_eq!(at(3_630, false), ClockWarning::Nothing);
        assert_eq!(at(3_640, true), ClockWarning::Ahead);
    }
}
