//! A rate, with a burst of one second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How much of the rate may come at once, in nanoseconds.
const BURST_NANOS: u64 = 1_000_000_000;

/// Lets through so many units a second, without a lock: the generic cell rate
/// algorithm. Whatever finds it not in debt is let through, however large, and may
/// leave a debt; that is how a batch larger than the burst passes.
#[derive(Debug)]
pub struct RateLimiter {
    nanos_per_unit: f64,
    begun: Instant,
    /// When all that was let through will have been earned, in nanoseconds after
    /// the beginning.
    paid_at: AtomicU64,
}

impl RateLimiter {
    /// A rate of so many units a second; 0 lets everything through.
    pub fn new(per_second: u64) -> Self {
        let nanos_per_unit = if per_second == 0 { 0.0 } else { 1e9 / per_second as f64 };
        Self { nanos_per_unit, begun: Instant::now(), paid_at: AtomicU64::new(0) }
    }

    /// Lets `units` through that come `at` a moment.
    ///
    /// # Errors
    /// How long to wait, if too much was let through lately; nothing was counted.
    pub fn take(&self, units: u64, at: Instant) -> Result<(), Duration> {
        if self.nanos_per_unit == 0.0 {
            return Ok(());
        }
        let now = self.nanos(at);
        let cost = (units as f64 * self.nanos_per_unit) as u64;
        let take = |paid_at: u64| {
            let from = paid_at.max(now);
            (from - now <= BURST_NANOS).then(|| from.saturating_add(cost))
        };
        match self.paid_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(paid_at) => Err(Duration::from_nanos(paid_at - now - BURST_NANOS)),
        }
    }

    /// Counts `units` that have come anyway, whatever the debt.
    pub fn charge(&self, units: u64) {
        if self.nanos_per_unit == 0.0 {
            return;
        }
        let now = self.nanos(Instant::now());
        let cost = (units as f64 * self.nanos_per_unit) as u64;
        let charge = |paid_at: u64| Some(paid_at.max(now).saturating_add(cost));
        let _ = self.paid_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charge);
    }

    /// Nothing that was let through is still to be earned.
    pub fn is_full(&self) -> bool {
        self.paid_at.load(Ordering::Relaxed) <= self.nanos(Instant::now())
    }

    /// A moment, in nanoseconds after the beginning.
    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.begun).as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_held_and_says_how_long_to_wait() {
        let bucket = RateLimiter::new(10);
        let let_through = (0..100).filter(|_| bucket.take(1, Instant::now()).is_ok()).count();
        assert!((10..=13).contains(&let_through), "{let_through}");
        let wait = bucket.take(1, Instant::now()).unwrap_err();
        assert!(wait <= Duration::from_millis(101), "{wait:?}");
        assert!(!bucket.is_full());
    }

    #[test]
    fn what_is_larger_than_the_burst_passes_and_is_paid_later() {
        let bucket = RateLimiter::new(100);
        bucket.take(500, Instant::now()).unwrap();
        bucket.charge(500);
        let wait = bucket.take(1, Instant::now()).unwrap_err();
        assert!((8.0..=9.1).contains(&wait.as_secs_f64()), "{wait:?}");
    }

    #[test]
    fn no_rate_lets_everything_through() {
        let bucket = RateLimiter::new(0);
        assert!((0..1_000).all(|_| bucket.take(u64::MAX, Instant::now()).is_ok()));
        assert!(bucket.is_full());
    }
}
