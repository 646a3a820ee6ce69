//! Points in time, in nanoseconds since 1970-01-01 00:00:00 UTC.

use std::time::{SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

/// Nanoseconds of a second.
pub const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A point in time, to the nanosecond, in the years 1677 to 2262.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl Time {
    /// 1970-01-01 00:00:00 UTC.
    pub const EPOCH: Time = Time(0);
    /// The latest time.
    pub const MAX: Time = Time(i64::MAX);
    /// The earliest time.
    pub const MIN: Time = Time(i64::MIN);

    /// The time by the system's clock.
    pub fn now() -> Self {
        #[cfg(test)]
        if let Some(time) = paused::NOW.get() {
            return time;
        }
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Self(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)),
            Err(_) => Self::EPOCH,
        }
    }

    /// The time of seconds and nanoseconds; `None` if they are out of range.
    pub fn from_parts(seconds: i64, nanos: i64) -> Option<Self> {
        if !(0..NANOS_PER_SECOND).contains(&nanos) {
            return None;
        }
        seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos).map(Self)
    }

    /// Whole seconds, rounded down, and the nanoseconds after them.
    pub fn parts(self) -> (i64, i32) {
        (self.0.div_euclid(NANOS_PER_SECOND), self.0.rem_euclid(NANOS_PER_SECOND) as i32)
    }

    /// The time as a protobuf timestamp.
    pub fn timestamp(self) -> Timestamp {
        let (seconds, nanos) = self.parts();
        Timestamp { seconds, nanos }
    }

    /// The time `nanos` later, at most [`Time::MAX`].
    pub fn saturating_add(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

impl TryFrom<&Timestamp> for Time {
    type Error = ();

    fn try_from(timestamp: &Timestamp) -> Result<Self, ()> {
        Self::from_parts(timestamp.seconds, i64::from(timestamp.nanos)).ok_or(())
    }
}

/// RFC 3339, in UTC.
impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.timestamp().fmt(f)
    }
}

/// A clock that a test sets, for its own thread.
#[cfg(test)]
pub mod paused {
    use std::cell::Cell;

    use super::Time;

    thread_local! {
        /// The time that the clock shows; `None` for the system's clock.
        pub static NOW: Cell<Option<Time>> = const { Cell::new(None) };
    }
}
