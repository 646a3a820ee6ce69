//! Limits log lines that clients can cause without bound.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::service::quota::RateLimiter;

/// The number of allowed lines a second.
const LINES_PER_SECOND: u64 = 10;

/// Allows a bounded number of lines a second, and counts the others.
#[derive(Debug)]
pub struct LogLimiter {
    rate: RateLimiter,
    suppressed: AtomicU64,
}

impl Default for LogLimiter {
    fn default() -> Self {
        Self { rate: RateLimiter::new(LINES_PER_SECOND), suppressed: AtomicU64::new(0) }
    }
}

impl LogLimiter {
    /// Whether to log a line; if so, the number of lines suppressed since the last one, if
    /// any.
    pub fn allow(&self) -> Option<Option<NonZeroU64>> {
        if self.rate.take(1, Instant::now()).is_err() {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(NonZeroU64::new(self.suppressed.swap(0, Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_counted() {
        let log_limiter = LogLimiter::default();
        assert_eq!(log_limiter.allow(), Some(None), "nothing to add to the first line");
        let said = 1 + (0..999).filter(|_| log_limiter.allow().is_some()).count();
        assert!((10..20).contains(&said), "{said}");
        let not_said = 1_000 - said as u64;
        assert_eq!(log_limiter.suppressed.load(Ordering::Relaxed), not_said);
    }
}
