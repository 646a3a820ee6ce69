//! Rates over the last ten seconds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::hub::HubCounters;

/// The number of samples in an average.
const SAMPLES: usize = 10;
/// Time between samples.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// Averages over the last ten seconds, or since the start if that is less.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Events accepted a second.
    pub accepted: f64,
    /// Records delivered a second.
    pub delivered: f64,
}

/// Samples the counters once a second.
pub struct RateMeter {
    counters: Arc<HubCounters>,
    samples: Arc<Mutex<VecDeque<RateSample>>>,
}

#[derive(Debug, Clone, Copy)]
struct RateSample {
    at: Instant,
    accepted: u64,
    delivered: u64,
}

impl RateMeter {
    /// Begins to sample, until `stopping` is cancelled.
    pub fn start(counters: Arc<HubCounters>, stopping: CancellationToken) -> Self {
        let samples = Arc::new(Mutex::new(VecDeque::from([RateSample::take(&counters)])));
        let meter = Self { counters: Arc::clone(&counters), samples: Arc::clone(&samples) };
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(SAMPLE_INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
                let mut samples = samples.lock();
                if samples.len() > SAMPLES {
                    samples.pop_front();
                }
                samples.push_back(RateSample::take(&counters));
            }
        });
        meter
    }

    /// The rates at this moment.
    pub fn rates(&self) -> Rates {
        let samples = self.samples.lock();
        let Some(oldest) = samples.front() else { return Rates::default() };
        let now = RateSample::take(&self.counters);
        let seconds = (now.at - oldest.at).as_secs_f64();
        if seconds <= 0.0 {
            return Rates::default();
        }
        Rates {
            accepted: (now.accepted - oldest.accepted) as f64 / seconds,
            delivered: (now.delivered - oldest.delivered) as f64 / seconds,
        }
    }
}

impl RateSample {
    fn take(counters: &HubCounters) -> Self {
        Self {
            at: Instant::now(),
            accepted: counters.accepted.load(Ordering::Relaxed),
            delivered: counters.delivered.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rates_are_of_the_last_ten_seconds() {
        let counters = Arc::new(HubCounters::default());
        let meter = RateMeter::start(Arc::clone(&counters), CancellationToken::new());
        for second in 0..30 {
            counters.accepted.fetch_add(if second < 10 { 1_000 } else { 50 }, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let rates = meter.rates();
        assert!((40.0..=60.0).contains(&rates.accepted), "{rates:?}");
        assert!(rates.delivered.abs() < f64::EPSILON);
    }
}
