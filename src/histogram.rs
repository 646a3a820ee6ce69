//! A histogram of durations, with a few atomic additions per sample.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in microseconds.
pub const BOUNDS_MICROS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// Counts durations by bucket.
#[derive(Debug, Default)]
pub struct Histogram {
    /// The number of durations up to the bound of each bucket and above the one before. The last
    /// bucket has no bound.
    counts: [AtomicU64; BOUNDS_MICROS.len() + 1],
    nanos: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// The number of samples in each bucket of [`BOUNDS_MICROS`], and in the one without a bound.
    pub counts: [u64; BOUNDS_MICROS.len() + 1],
    /// The sum of all samples.
    pub total: Duration,
}

impl Histogram {
    /// Adds a sample.
    pub fn record(&self, took: Duration) {
        // Rounded up to whole microseconds, so that no sample exceeds the bound of its bucket.
        let micros = u64::try_from(took.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The counts so far.
    pub fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot {
            counts: std::array::from_fn(|bucket| {
                self.counts.get(bucket).map_or(0, |count| count.load(Ordering::Relaxed))
            }),
            total: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
        }
    }
}

impl HistogramSnapshot {
    /// The number of samples.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_falls_into_the_bucket_that_is_long_enough() {
        let durations = Histogram::default();
        for nanos in [1, 100_000, 100_001, 20_000_000_000] {
            durations.record(Duration::from_nanos(nanos));
        }
        let noted = durations.snapshot();
        assert_eq!(noted.counts[..3], [2, 1, 0]);
        assert_eq!(noted.counts[BOUNDS_MICROS.len()], 1);
        assert_eq!((noted.count(), noted.total), (4, Duration::from_nanos(20_000_200_002)));
    }
}
