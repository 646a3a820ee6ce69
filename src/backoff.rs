//! Exponential backoff between attempts.

use std::time::Duration;

/// The longest wait before the first repetition; doubles with each further one.
pub const WAIT_MIN: Duration = Duration::from_millis(100);
/// The longest wait before any repetition.
pub const WAIT_MAX: Duration = Duration::from_secs(5);
/// Exponential backoff with jitter, so that the clients of a lost gateway do not all reconnect
/// at once.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// A backoff whose next wait is the first one.
    pub fn new() -> Self {
        Self::up_to(WAIT_MAX)
    }

    /// A backoff without a wait longer than `longest`.
    pub fn up_to(longest: Duration) -> Self {
        Self { next: WAIT_MIN.min(longest), longest }
    }

    /// The next delay. It is at least `asked`, as far as a bound allows.
    pub fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let longest = self.next;
        self.next = (longest * 2).min(self.longest);
        let wait = longest.mul_f64(0.5 + fastrand::f64() / 2.0);
        wait.max(asked.unwrap_or_default()).min(self.longest)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_differ() {
        let mut backoff = Backoff::new();
        let mut longest = WAIT_MIN;
        for _ in 0..10 {
            let wait = backoff.wait(None);
            assert!(wait >= longest / 2 && wait <= longest, "{wait:?} of {longest:?}");
            longest = (longest * 2).min(WAIT_MAX);
        }
        let waits: std::collections::BTreeSet<_> = (0..20).map(|_| backoff.wait(None)).collect();
        assert!(waits.len() > 1, "jitter");
        assert_eq!(Backoff::new().wait(Some(Duration::from_secs(2))), Duration::from_secs(2));
        assert_eq!(Backoff::new().wait(Some(Duration::from_secs(3_600))), WAIT_MAX);
        let mut patient = Backoff::up_to(Duration::from_secs(30));
        let longest = (0..20).map(|_| patient.wait(None)).max();
        assert!(
            longest > Some(WAIT_MAX) && longest <= Some(Duration::from_secs(30)),
            "{longest:?}"
        );
    }
}
