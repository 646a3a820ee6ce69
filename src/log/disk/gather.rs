//! When a group is written: at once, or when those have called again who were
//! acknowledged with the one before.
//!
//! A sync costs the same for one call as for a hundred. Where several emitters wait for
//! each receipt, those of one group call again at about the same time: to wait for
//! them for a moment makes few large groups of many small ones. Whoever emits
//! alone is never waited for, and large groups are not made larger.

use std::time::{Duration, Instant};

/// The longest that a group waits for more.
pub const GATHER_TIME_MAX: Duration = Duration::from_micros(300);
/// A group that has so many records waits for no more.
const RECORDS_MAX: u64 = 256;

/// Which calls the next group waits for.
#[derive(Debug, Default, Clone, Copy)]
pub struct Gathering {
    until: Option<Instant>,
    /// How many calls are all that are under way.
    pub calls: usize,
}

impl Gathering {
    /// After a group of so many records, with which `acknowledged` calls ended while
    /// `waiting` others began.
    pub fn after(records: u64, acknowledged: usize, waiting: usize, now: Instant) -> Self {
        let calls = acknowledged + waiting;
        let is_worth_it = acknowledged > 0 && calls > 1 && records < RECORDS_MAX;
        Self { until: is_worth_it.then(|| now + GATHER_TIME_MAX), calls }
    }

    /// How long a group of `waiting` calls and so many records still waits; `None`
    /// once it is to be written.
    pub fn time_left(&self, waiting: usize, records: u64, now: Instant) -> Option<Duration> {
        let is_all = waiting >= self.calls || records >= RECORDS_MAX;
        let until = self.until.filter(|_| !is_all)?;
        Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_waits_for_those_who_were_acknowledged_and_not_for_long() {
        let now = Instant::now();
        let later = now + GATHER_TIME_MAX;
        let gathering = Gathering::after(3, 3, 2, now);
        assert_eq!(gathering.time_left(2, 2, now), Some(GATHER_TIME_MAX));
        assert_eq!(gathering.time_left(4, 4, later), None, "it has waited long enough");
        assert_eq!(gathering.time_left(5, 5, now), None, "all are there");
        assert_eq!(gathering.time_left(2, 300, now), None, "it is large");
    }

    #[test]
    fn nobody_waits_for_one_alone_or_after_a_large_group() {
        let now = Instant::now();
        for gathering in [
            Gathering::default(),
            Gathering::after(1, 1, 0, now),
            Gathering::after(4_096, 1, 3, now),
            Gathering::after(0, 0, 2, now),
        ] {
            assert_eq!(gathering.time_left(1, 1, now), None, "{gathering:?}");
        }
        // Two in turn become one group of both.
        assert!(Gathering::after(1, 1, 1, now).time_left(1, 1, now).is_some());
    }
}
