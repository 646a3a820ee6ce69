//! Bounds the number of the gateway's own records.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// The most clients with an allowance of their own; all others share one.
const CLIENTS_MAX: usize = 1_024;

/// A rate with a burst.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// The most at once.
    pub burst: u32,
    /// The most a second, in the mean.
    pub per_second: u32,
}

/// A token bucket of a rate.
#[derive(Debug)]
pub(super) struct Allowance {
    rate: Rate,
    left: f64,
    since: Instant,
}

impl Allowance {
    /// A full bucket.
    pub fn new(rate: Rate) -> Self {
        Self { rate, left: f64::from(rate.burst), since: Instant::now() }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// How long to wait, if none is left.
    pub fn take(&mut self) -> Result<(), Duration> {
        self.earn();
        if self.left < 1.0 {
            let missing = (1.0 - self.left) / f64::from(self.rate.per_second);
            return Err(Duration::from_secs_f64(missing));
        }
        self.left -= 1.0;
        Ok(())
    }

    fn earn(&mut self) {
        let earned = self.since.elapsed().as_secs_f64() * f64::from(self.rate.per_second);
        self.since = Instant::now();
        self.left = (self.left + earned).min(f64::from(self.rate.burst));
    }

    fn is_unused(&mut self) -> bool {
        self.earn();
        self.left >= f64::from(self.rate.burst)
    }
}

/// An allowance for each client.
#[derive(Debug)]
pub(super) struct Allowances {
    rate: Rate,
    by_client: HashMap<Arc<str>, Allowance>,
    others: Allowance,
}

impl Allowances {
    /// Full allowances.
    pub fn new(rate: Rate) -> Self {
        Self { rate, by_client: HashMap::new(), others: Allowance::new(rate) }
    }

    /// Takes a token of a client.
    ///
    /// # Errors
    /// How long to wait, if none is left.
    pub fn take(&mut self, client: &Arc<str>) -> Result<(), Duration> {
        if let Some(own) = self.by_client.get_mut(client) {
            return own.take();
        }
        if self.by_client.len() >= CLIENTS_MAX {
            self.by_client.retain(|_, own| !own.is_unused());
        }
        if self.by_client.len() >= CLIENTS_MAX {
            return self.others.take();
        }
        self.by_client.entry(Arc::clone(client)).or_insert(Allowance::new(self.rate)).take()
    }
}
