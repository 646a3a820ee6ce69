//! Caches the time for the calls of a connection. Reading the system's clock takes a hundredth of a
//! small call, and a call needs the time a dozen times. So the clock is read once for each poll of
//! the connection, and most uses take that reading.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::rt::{Sleep, Timer};
use hyper_util::rt::TokioTimer;
use tokio::time::Instant;

/// Remembers the last reading.
#[derive(Debug)]
pub struct ConnectionClock {
    begun: Instant,
    /// The last reading, in nanoseconds after the beginning.
    read_at: AtomicU64,
}

impl ConnectionClock {
    /// Starts with a reading now.
    pub fn start() -> Arc<Self> {
        Arc::new(Self { begun: Instant::now(), read_at: AtomicU64::new(0) })
    }

    /// Reads the clock.
    pub fn now(&self) -> Instant {
        let now = Instant::now();
        self.read_at.fetch_max((now - self.begun).as_nanos() as u64, Relaxed);
        now
    }

    /// When the clock was read last. An open connection is polled at least once a second, and
    /// whenever data arrives or is sent.
    pub fn recent(&self) -> Instant {
        self.begun + Duration::from_nanos(self.read_at.load(Relaxed))
    }
}

/// hyper's timer, which reads the time for each frame if keepalive is on.
#[derive(Debug, Clone)]
pub struct ConnectionTimer(pub Arc<ConnectionClock>);

impl Timer for ConnectionTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        TokioTimer::new().sleep(duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        TokioTimer::new().sleep_until(deadline)
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: std::time::Instant) {
        TokioTimer::new().reset(sleep, deadline);
    }

    fn now(&self) -> std::time::Instant {
        self.0.recent().into_std()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_reading_stays_until_the_next_one() {
        let clock = ConnectionClock::start();
        let begun = clock.recent();
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(clock.recent(), begun);
        assert_eq!(clock.now() - begun, Duration::from_secs(7));
        assert_eq!(clock.recent() - begun, Duration::from_secs(7));
        assert_eq!(ConnectionTimer(Arc::clone(&clock)).now(), clock.recent().into_std());
    }
}
