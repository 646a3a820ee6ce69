//! The accept time of a record, and by how much it was raised.

use prost_types::Duration;

use crate::time::{NANOS_PER_SECOND, Time};

/// The smallest raise of an accept time that the record states, in nanoseconds. Clocks are often
/// corrected by less.
const NOTED_RAISE_NANOS: i64 = NANOS_PER_SECOND;

/// When a record is accepted. Accept times never decrease along the log, but clocks may go
/// back: then the record gets the accept time of the record before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acceptance {
    /// The accept time of the record.
    pub time: Time,
    /// The clock's time, which an event without a time gets.
    pub clock: Time,
}

impl Acceptance {
    /// The acceptance of a record after one with the accept time `newest`, at the clock's time
    /// `clock`.
    pub fn after(newest: Time, clock: Time) -> Self {
        Self { time: clock.max(newest), clock }
    }

    /// By how much the accept time was raised above the clock's time; `None` where that is
    /// at most a second, which records do not note.
    pub fn raised(self) -> Option<Duration> {
        let nanos = self.time.0.saturating_sub(self.clock.0);
        (nanos > NOTED_RAISE_NANOS).then_some(Duration {
            seconds: nanos / NANOS_PER_SECOND,
            nanos: (nanos % NANOS_PER_SECOND) as i32,
        })
    }
}

/// An acceptance by a clock that has not gone back.
impl From<Time> for Acceptance {
    fn from(time: Time) -> Self {
        Self { time, clock: time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_decides_unless_it_has_gone_back() {
        let forward = Acceptance::after(Time(5), Time(7));
        assert_eq!((forward, forward.raised()), (Time(7).into(), None));
        let first = Acceptance::after(Time::MIN, Time(7));
        assert_eq!((first, first.raised()), (Time(7).into(), None));
        let back = Acceptance::after(Time(3_500_000_001), Time(1));
        assert_eq!((back.time, back.clock), (Time(3_500_000_001), Time(1)));
        assert_eq!(back.raised(), Some(Duration { seconds: 3, nanos: 500_000_000 }));
    }

    #[test]
    fn small_corrections_of_the_clock_are_not_noted() {
        let raised = |nanos| Acceptance::after(Time(nanos), Time(0)).raised();
        assert_eq!(raised(NANOS_PER_SECOND), None);
        assert_eq!(raised(NANOS_PER_SECOND + 1), Some(Duration { seconds: 1, nanos: 1 }));
        let whole = Acceptance::after(Time::MAX, Time::MIN).raised();
        assert_eq!(whole.map(|raised| raised.seconds), Some(i64::MAX / NANOS_PER_SECOND));
    }
}
