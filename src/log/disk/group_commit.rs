//! Group commit: decides whether the next group is written at once, or waits for the
//! clients that were acknowledged with the previous group to call again.
//!
//! A sync costs the same for one call as for a hundred. Where several emitters wait for
//! each receipt, those of one group call again soon: to wait for them makes few large
//! groups of many small ones. Whoever emits alone is never waited for, and large
//! groups are not made larger.
//!
//! Where there are so many that the processors are busy with their calls, it takes them
//! some milliseconds until all have called again: each moment that the group
//! waits for them brings more, and saves them the processor time of another sync. Where no
//! call comes for a while, who is lacking may not call again, and it ends.

use std::time::{Duration, Instant};

/// The maximum time that a group waits for more calls.
pub const GATHER_TIME_MAX: Duration = Duration::from_millis(2);
/// The pause between calls after which the group is written.
pub const PAUSE_TIME_MAX: Duration = Duration::from_micros(300);
/// The number of records from which a group does not wait.
const RECORDS_MAX: u64 = 1_024;

/// The calls that the next group waits for.
#[derive(Debug, Default, Clone, Copy)]
pub struct GroupCommit {
    until: Option<Instant>,
    /// The number of calls that are expected.
    pub calls: usize,
    /// The number of calls at the last look.
    come: usize,
    /// When the pause has become too long.
    paused: Option<Instant>,
}

impl GroupCommit {
    /// The state after a group of `records` records, which ended `acknowledged` calls while
    /// `waiting` others began.
    pub fn after(records: u64, acknowledged: usize, waiting: usize, now: Instant) -> Self {
        let calls = acknowledged + waiting;
        let is_worth_it = acknowledged > 0 && calls > 1 && records < RECORDS_MAX;
        let until = is_worth_it.then(|| now + GATHER_TIME_MAX);
        Self { until, calls, come: 0, paused: None }
    }

    /// How long a group of `waiting` calls and `records` records waits until the next look;
    /// `None` if it should be written.
    pub fn time_left(&mut self, waiting: usize, records: u64, now: Instant) -> Option<Duration> {
        let is_all = waiting >= self.calls || records >= RECORDS_MAX;
        let until = self.until.filter(|_| !is_all)?;
        if waiting > self.come {
            (self.come, self.paused) = (waiting, Some(now + PAUSE_TIME_MAX));
        }
        let until = self.paused.map_or(until, |paused| until.min(paused));
        Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_waits_for_those_who_were_acknowledged() {
        let now = Instant::now();
        let mut gathering = GroupCommit::after(3, 3, 2, now);
        assert_eq!(gathering.time_left(2, 2, now), Some(PAUSE_TIME_MAX));
        assert_eq!(gathering.time_left(5, 5, now), None, "all are there");
        assert_eq!(gathering.time_left(2, 2_000, now), None, "it is large");
    }

    #[test]
    fn it_waits_as_long_as_they_come_and_not_for_long() {
        let begun = Instant::now();
        let mut gathering = GroupCommit::after(100, 100, 50, begun);
        // One at a time, a little sooner than the pause is too long.
        let step = PAUSE_TIME_MAX / 3 * 2;
        let mut now = begun;
        let mut waiting = 50;
        while let Some(left) = gathering.time_left(waiting, waiting as u64, now) {
            assert!(left <= PAUSE_TIME_MAX && now + left <= begun + GATHER_TIME_MAX, "{left:?}");
            now += step;
            waiting += 1;
        }
        assert!(now >= begun + GATHER_TIME_MAX && waiting < 150, "{waiting}");
        let mut gathering = GroupCommit::after(100, 100, 50, begun);
        assert_eq!(gathering.time_left(50, 50, begun), Some(PAUSE_TIME_MAX));
        let later = begun + PAUSE_TIME_MAX;
        assert_eq!(gathering.time_left(50, 50, later), None, "nobody has come");
    }

    #[test]
    fn nobody_waits_for_one_alone_or_after_a_large_group() {
        let now = Instant::now();
        for mut gathering in [
            GroupCommit::default(),
            GroupCommit::after(1, 1, 0, now),
            GroupCommit::after(4_096, 1, 3, now),
            GroupCommit::after(0, 0, 2, now),
        ] {
            assert_eq!(gathering.time_left(1, 1, now), None, "{gathering:?}");
        }
        // Two in turn become one group of both.
        assert!(GroupCommit::after(1, 1, 1, now).time_left(1, 1, now).is_some());
    }
}
