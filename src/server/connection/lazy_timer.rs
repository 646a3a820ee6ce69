//! A timer whose deadline is often postponed.

use std::pin::Pin;
use std::task::Context;

use tokio::time::{Duration, Instant, Sleep};

/// A timer that is reset seldom: if it is set to an earlier time than needed, it is left as it is,
/// and set again when it fires.
#[derive(Default)]
pub struct LazyTimer(Option<Pin<Box<Sleep>>>);

impl LazyTimer {
    /// Whether the time has come; if not, the task is woken by then.
    pub fn is_over(&mut self, moment: Instant, cx: &mut Context<'_>) -> bool {
        if Instant::now() >= moment {
            return true;
        }
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(moment)));
        if sleep.deadline() > moment {
            sleep.as_mut().reset(moment);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= moment {
                return true;
            }
            sleep.as_mut().reset(moment.max(Instant::now() + Duration::from_millis(1)));
        }
        false
    }
}
