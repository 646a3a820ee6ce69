//! Keeps a basis in a quiet stream: a gateway that joins needs a message that says what its
//! sender had applied, and retention removes old ones.

use std::time::{Duration, Instant};

/// A stream has so many messages within its retention, at least.
const MESSAGES_MIN: u32 = 4;
/// Gateways do not publish at the same moment: each is later by a random part of this share of
/// the interval.
const SPREAD: u32 = 8;
/// However short the retention is, so much lies between two messages.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Between two messages, of a stream that keeps messages for so long.
fn interval(age_max: Option<Duration>, random: u64) -> Option<Duration> {
    let interval = (age_max? / MESSAGES_MIN).max(INTERVAL_MIN);
    // Before the quarter has passed.
    let part = random % u64::from(SPREAD);
    Some(interval - interval / SPREAD * u32::try_from(part).unwrap_or(0) / SPREAD)
}

/// When a message without records is due.
#[derive(Debug)]
pub struct Keepalive {
    /// `None` if the stream keeps all messages.
    interval: Option<Duration>,
    random: u64,
    due: Option<Instant>,
}

impl Keepalive {
    /// For a stream that keeps messages for so long. The first message is due soon, since
    /// nobody may have been there for a while.
    pub fn new(age_max: Option<Duration>, random: u64, now: Instant) -> Self {
        let interval = interval(age_max, random);
        let due = interval.map(|interval| now + (interval / SPREAD).min(INTERVAL_MIN));
        Self { interval, random, due }
    }

    /// The stream keeps messages for so long now.
    pub fn follow(&mut self, age_max: Option<Duration>, now: Instant) {
        let interval = interval(age_max, self.random);
        if interval != self.interval {
            self.interval = interval;
            self.due = interval.map(|interval| {
                let next = now + interval;
                self.due.map_or(next, |due| due.min(next))
            });
        }
    }

    /// A message with a basis was applied.
    pub fn applied(&mut self, now: Instant) {
        self.due = self.interval.map(|interval| now + interval);
    }

    /// Whether a message is due; it then counts as published.
    pub fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            self.applied(now);
        }
        is_due
    }

    /// When it is due, if nothing comes before.
    pub fn wake_at(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_stream_has_four_messages_within_its_retention() {
        const AGE: Duration = Duration::from_secs(400);
        let begun = Instant::now();
        for random in 0..20 {
            let mut keepalive = Keepalive::new(Some(AGE), random, begun);
            let mut published = Vec::new();
            for second in 0..800 {
                let now = begun + Duration::from_secs(second);
                if keepalive.take_due(now) {
                    published.push(second);
                }
            }
            assert!(published[0] <= 2, "{published:?}");
            assert!(published.windows(2).all(|pair| (80..=101).contains(&(pair[1] - pair[0]))));
            // What others publish counts.
            keepalive.applied(begun + AGE * 2);
            assert!(!keepalive.take_due(begun + AGE * 2 + AGE / 6));
        }
        assert_eq!(Keepalive::new(None, 1, begun).wake_at(), None);
        // An operator makes the retention shorter, longer and endless.
        let mut keepalive = Keepalive::new(Some(AGE * 10), 0, begun);
        assert!(keepalive.take_due(begun + AGE));
        let now = begun + AGE;
        keepalive.follow(Some(AGE), now);
        assert_eq!(keepalive.wake_at(), Some(now + AGE / 4));
        keepalive.follow(Some(AGE), now + AGE / 8);
        assert_eq!(keepalive.wake_at(), Some(now + AGE / 4), "it is the same");
        keepalive.follow(Some(AGE * 10), now);
        assert_eq!(keepalive.wake_at(), Some(now + AGE / 4));
        keepalive.follow(None, now);
        assert_eq!(keepalive.wake_at(), None);
        keepalive.follow(Some(AGE), now);
        assert_eq!(keepalive.wake_at(), Some(now + AGE / 4));
        let short = Keepalive::new(Some(Duration::from_millis(1)), 7, begun);
        assert!(short.interval.unwrap() > INTERVAL_MIN / 2);
    }
}
