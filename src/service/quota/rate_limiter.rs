//! The rate limiter of clients, frames and log lines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Limits units a second without a lock, by the generic cell rate algorithm. If there is no debt, a
/// request of any size passes and may leave a debt, so that a batch larger than the burst can pass.
#[derive(Debug)]
pub struct RateLimiter {
    nanos_per_unit: f64,
    /// The burst, in nanoseconds of the rate.
    burst_nanos: u64,
    begun: Instant,
    /// When all accepted units will be paid off, in nanoseconds after the beginning.
    paid_at: AtomicU64,
}

impl RateLimiter {
    /// A limit of `per_second` units a second, with a burst of one second; 0 means no limit.
    pub fn new(per_second: u64) -> Self {
        Self::with_burst(per_second, per_second, Instant::now())
    }

    /// A limit of `per_second` units a second, with a burst of `burst` units.
    pub fn with_burst(per_second: u64, burst: u64, begun: Instant) -> Self {
        let nanos = |units: u64| match per_second {
            0 => 0.0,
            per_second => units as f64 * 1e9 / per_second as f64,
        };
        let burst_nanos = nanos(burst).round() as u64;
        Self { nanos_per_unit: nanos(1), burst_nanos, begun, paid_at: AtomicU64::new(0) }
    }

    /// Accepts `units` at a time.
    ///
    /// # Errors
    /// How long to wait, if there is a debt; then nothing is counted.
    pub fn take(&self, units: u64, at: Instant) -> Result<(), Duration> {
        if self.nanos_per_unit == 0.0 {
            return Ok(());
        }
        let now = self.nanos(at);
        let cost = self.cost(units);
        let take = |paid_at: u64| {
            let from = paid_at.max(now);
            (from - now <= self.burst_nanos).then(|| from.saturating_add(cost))
        };
        match self.paid_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(paid_at) => Err(Duration::from_nanos(paid_at - now - self.burst_nanos)),
        }
    }

    /// Counts `units` at a time, whatever the debt. Returns whether they were within the burst.
    pub fn charge(&self, units: u64, at: Instant) -> bool {
        if self.nanos_per_unit == 0.0 {
            return true;
        }
        let (now, cost) = (self.nanos(at), self.cost(units));
        let paid_at = |paid_at: u64| paid_at.max(now).saturating_add(cost);
        let charge = |before: u64| Some(paid_at(before));
        let before = self.paid_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charge);
        paid_at(before.unwrap_or_else(|before| before)) - now <= self.burst_nanos
    }

    /// Counts `units` at the time of the last [`RateLimiter::take`], without reading the clock.
    pub fn charge_since_take(&self, units: u64) {
        if self.nanos_per_unit != 0.0 {
            let cost = self.cost(units);
            let charge = |paid_at: u64| Some(paid_at.saturating_add(cost));
            let _ = self.paid_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charge);
        }
    }

    /// Returns `units`, up to the burst.
    pub fn give_back(&self, units: u64) {
        if self.paid_at.load(Ordering::Relaxed) > 0 {
            let cost = self.cost(units);
            let give = |paid_at: u64| Some(paid_at.saturating_sub(cost));
            let _ = self.paid_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, give);
        }
    }

    /// Whether there is no debt.
    pub fn is_full(&self) -> bool {
        self.paid_at.load(Ordering::Relaxed) <= self.nanos(Instant::now())
    }

    /// The cost of units, in nanoseconds.
    fn cost(&self, units: u64) -> u64 {
        (units as f64 * self.nanos_per_unit) as u64
    }

    /// Converts a time to nanoseconds after the beginning.
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
        assert!(!bucket.charge(500, Instant::now()));
        let wait = bucket.take(1, Instant::now()).unwrap_err();
        assert!((8.0..=9.1).contains(&wait.as_secs_f64()), "{wait:?}");
    }

    #[test]
    fn what_came_since_it_was_asked_leaves_a_debt() {
        let bucket = RateLimiter::new(100);
        let at = bucket.begun + Duration::from_secs(60);
        bucket.take(0, at).unwrap();
        bucket.charge_since_take(300);
        assert_eq!(bucket.take(1, at), Err(Duration::from_secs(2)));
        assert_eq!(bucket.take(1, at + Duration::from_secs(2)), Ok(()));
    }

    #[test]
    fn a_burst_may_be_longer_than_a_second_and_units_come_back() {
        let at = Instant::now();
        let bucket = RateLimiter::with_burst(100, 1_000, at);
        assert!(bucket.charge(1_000, at) && !bucket.charge(1, at));
        bucket.give_back(11);
        assert!(bucket.charge(10, at) && !bucket.charge(1, at));
        // All of it comes back in ten seconds, and no more than that.
        let later = at + Duration::from_secs(60);
        bucket.give_back(u64::MAX);
        assert!(bucket.charge(1_000, later) && !bucket.charge(1, later));
    }

    #[test]
    fn no_rate_lets_everything_through() {
        let bucket = RateLimiter::new(0);
        assert!((0..1_000).all(|_| bucket.take(u64::MAX, Instant::now()).is_ok()));
        assert!(bucket.is_full());
    }
}
