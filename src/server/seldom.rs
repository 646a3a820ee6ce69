//! Lines that a client could cause in any number, and that are said only so often.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::service::quota::Bucket;

/// How many such lines are said in a second.
const LINES_PER_SECOND: u64 = 10;

/// Lets so many lines through, and counts the others.
#[derive(Debug)]
pub struct Seldom {
    rate: Bucket,
    suppressed: AtomicU64,
}

impl Default for Seldom {
    fn default() -> Self {
        Self { rate: Bucket::new(LINES_PER_SECOND), suppressed: AtomicU64::new(0) }
    }
}

impl Seldom {
    /// Whether to say a line; if so, how many were not said since the last one, if any.
    pub fn say(&self) -> Option<Option<NonZeroU64>> {
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
        let seldom = Seldom::default();
        assert_eq!(seldom.say(), Some(None), "nothing to add to the first line");
        let said = 1 + (0..999).filter(|_| seldom.say().is_some()).count();
        assert!((10..20).contains(&said), "{said}");
        let not_said = 1_000 - said as u64;
        assert_eq!(seldom.suppressed.load(Ordering::Relaxed), not_said);
    }
}
