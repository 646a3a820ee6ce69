//! The clock of a connection. To read the system's clock takes a hundredth of what a small call
//! takes, and a call needs to know the time at a dozen places: so it is read once each time the
//! connection is gone on with, and most of them take that reading.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::rt::{Sleep, Timer};
use hyper_util::rt::TokioTimer;
use tokio::time::Instant;

/// Remembers when it was read last.
#[derive(Debug)]
pub struct ConnectionClock {
    begun: Instant,
    /// The last reading, in nanoseconds after the beginning.
    read_at: AtomicU64,
}

impl ConnectionClock {
    /// It is read for the first time now.
    pub fn start() -> Arc<Self> {
        Arc::new(Self { begun: Instant::now(), read_at: AtomicU64::new(0) })
    }

    /// Reads the clock.
    pub fn now(&self) -> Instant {
        let now = Instant::now();
        self.read_at.fetch_max((now - self.begun).as_nanos() as u64, Relaxed);
        now
    }

    /// When the clock was read last. A connection that is open is gone on with once a second at
    /// least, and whenever something comes or is to be sent.
    pub fn recent(&self) -> Instant {
        self.begun + Duration::from_nanos(self.read_at.load(Relaxed))
    }
}

/// Tells hyper the time, which asks for each frame where there is a keepalive.
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
