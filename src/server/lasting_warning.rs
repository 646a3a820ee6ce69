//! Decides when to warn of a lasting condition: when it begins, once an hour, and when it is over.

use std::time::Duration;

use tokio::time::Instant;

/// The interval between warnings.
const REPEAT_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// When the last warning was given, while it lasts.
#[derive(Debug, Default)]
pub struct LastingWarning(Option<Instant>);

/// What to tell the operator.
#[derive(Debug, PartialEq, Eq)]
pub enum WarningDue {
    /// Nothing new.
    Nothing,
    /// It has begun, or still lasts.
    Lasts,
    /// It is over.
    Over,
}

impl LastingWarning {
    /// The line that is due now. There should be a range in which neither `lasts` nor `is_over`
    /// holds, or else the lines would alternate.
    pub fn judge(&mut self, lasts: bool, is_over: bool, now: Instant) -> WarningDue {
        match self.0 {
            Some(last) if lasts && now - last < REPEAT_INTERVAL => WarningDue::Nothing,
            _ if lasts => {
                self.0 = Some(now);
                WarningDue::Lasts
            }
            Some(_) if is_over => {
                self.0 = None;
                WarningDue::Over
            }
            _ => WarningDue::Nothing,
        }
    }
}
