//! Counts refusals by their reason.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::proto::pb::ErrorReason;

/// More than the largest number of a reason.
const REASONS: usize = 128;
/// How the names of reasons begin in the protocol.
const PREFIX: &str = "ERROR_REASON_";

/// A counter for each error reason.
#[derive(Debug)]
pub struct ReasonCounters {
    counts: Box<[AtomicU64]>,
}

impl Default for ReasonCounters {
    fn default() -> Self {
        Self { counts: (0..REASONS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl ReasonCounters {
    /// Counts a refusal by the name of its reason.
    pub fn increment(&self, reason: &str) {
        let reason = ErrorReason::from_str_name(&format!("{PREFIX}{reason}"));
        let number = reason.map_or(0, |reason| reason as usize);
        if let Some(count) = self.counts.get(number) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts of all reasons that occurred.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.iter().enumerate().filter_map(|(number, count)| {
            let count = count.load(Ordering::Relaxed);
            let name = ErrorReason::try_from(number as i32).ok()?.as_str_name();
            (count > 0).then(|| (name.strip_prefix(PREFIX).unwrap_or(name), count))
        })
    }

    /// The sum of all counts.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter() {
        let reasons = ReasonCounters::default();
        let mut all = 0;
        for number in 0..REASONS as i32 * 2 {
            if let Ok(reason) = ErrorReason::try_from(number) {
                assert!((number as usize) < REASONS, "raise REASONS");
                let name = reason.as_str_name();
                reasons.increment(name.strip_prefix(PREFIX).unwrap());
                assert!(reasons.counts().any(|(noted, _)| name.ends_with(noted)));
                all += 1;
            }
        }
        assert!(reasons.counts().all(|(_, count)| count == 1));
        assert_eq!(reasons.total(), all);
    }
}
