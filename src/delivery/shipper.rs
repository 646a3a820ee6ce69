//! Delivers a batch to its destination: retries while that is unavailable, splits a refused batch,
//! and turns refused records into dead letters.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::delivery::batch::{Batch, Misfit};
use crate::delivery::dead_letters::{DeadLetter, DeadLetters};
use crate::delivery::destination::{Config, Delay, Destination, ItemReplies, Rejection, Reply};
use crate::delivery::format::ItemKind;
use crate::delivery::state::{DeliveryPhase, DeliveryState, add};

/// The longest wait between two attempts, unless the destination asks for more.
pub const RETRY_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often a blocked delivery retries.
pub const BLOCKED_INTERVAL: Duration = Duration::from_secs(60);

/// Delivers batches to one destination.
pub struct Shipper {
    state: Arc<DeliveryState>,
    config: Config,
    kind: ItemKind,
    /// Opened when needed, and again after it was blocked, because secrets and certificates may
    /// have changed.
    destination: Mutex<Option<Arc<dyn Destination>>>,
    letters: Arc<Mutex<DeadLetters>>,
}

impl Shipper {
    /// A shipper to a destination that accepts items of this kind.
    pub fn new(
        state: Arc<DeliveryState>,
        config: Config,
        kind: ItemKind,
        letters: Arc<Mutex<DeadLetters>>,
    ) -> Self {
        Self { state, config, kind, destination: Mutex::new(None), letters }
    }

    /// The dead letters.
    pub fn letters(&self) -> &Arc<Mutex<DeadLetters>> {
        &self.letters
    }

    /// Returns when each item is accepted or a dead letter, which may take for ever. If the future
    /// is dropped, items may or may not have arrived.
    pub async fn ship(&self, batch: Batch, misfits: Vec<Misfit>) {
        if !misfits.is_empty() {
            let letters = misfits.into_iter().map(|misfit| {
                let rejection = Rejection { status: "format".to_owned(), words: misfit.what };
                DeadLetter::new(&misfit.source, misfit.id, &rejection)
            });
            self.bury(letters.collect()).await;
        }
        let mut backoff = Backoff::up_to(RETRY_WAIT_MAX);
        let mut parts = if batch.is_empty() { Vec::new() } else { vec![batch] };
        while let Some(part) = parts.pop() {
            self.unpaused().await;
            match self.send(&part).await {
                Reply::Accepted { repeated } => {
                    self.count(part.len(), part.byte_size(), repeated);
                    backoff = Backoff::up_to(RETRY_WAIT_MAX);
                }
                Reply::ItemByItem(replies) => {
                    let waiting = self.settle(&part, replies).await;
                    if let Some((rest, delay)) = waiting {
                        parts.push(rest);
                        self.wait(&mut backoff, delay).await;
                    }
                }
                Reply::Rejected(rejection) if part.len() == 1 => {
                    let item = part.item(0);
                    self.state.succeeded();
                    self.bury(vec![DeadLetter::new(item.source, item.id(), &rejection)]).await;
                }
                Reply::Rejected(_) => {
                    let (first, second) = part.halves();
                    parts.push(second);
                    parts.push(first);
                    add(&self.state.counters.retries, 1);
                }
                Reply::Unavailable(delay) => {
                    parts.push(part);
                    self.wait(&mut backoff, delay).await;
                }
                Reply::Blocked(why) => {
                    parts.push(part);
                    self.blocked(why).await;
                }
            }
        }
    }

    /// Closes the connection to the destination in order.
    pub async fn close(&self) {
        let open = self.destination.lock().take();
        if let Some(destination) = open {
            destination.close().await;
        }
    }

    async fn send(&self, part: &Batch) -> Reply {
        let open = self.destination.lock().clone();
        let destination = match open {
            Some(destination) => destination,
            // This reads small files.
            None => match self.config.open(self.kind) {
                Ok(opened) => Arc::clone(self.destination.lock().insert(opened)),
                Err(error) => return Reply::Blocked(format!("destination.{error}")),
            },
        };
        destination.send(part).await
    }

    /// Handles the replies for each item. Returns the items to send again.
    async fn settle(&self, part: &Batch, replies: ItemReplies) -> Option<(Batch, Delay)> {
        let accepted =
            part.len().saturating_sub(replies.rejected.len() + replies.unavailable.len());
        if accepted > 0 || replies.unavailable.is_empty() {
            let left = replies.rejected.iter().map(|(position, _)| position);
            let left = left.chain(&replies.unavailable).map(|position| part.item(*position));
            let left: usize = left.map(|item| item.bytes.len()).sum();
            self.count(accepted, part.byte_size().saturating_sub(left), replies.repeated);
        }
        let letters = replies.rejected.iter().map(|(position, rejection)| {
            let item = part.item(*position);
            DeadLetter::new(item.source, item.id(), rejection)
        });
        let letters: Vec<DeadLetter> = letters.collect();
        if !letters.is_empty() {
            self.bury(letters).await;
        }
        if replies.unavailable.is_empty() {
            return None;
        }
        let rest = part.select(replies.unavailable.into_iter());
        let delay = replies.delay.unwrap_or(Delay { why: String::new(), retry_after: None });
        Some((rest, delay))
    }

    fn count(&self, items: usize, bytes: usize, repeated: u64) {
        let counters = &self.state.counters;
        add(&counters.delivered, items);
        add(&counters.bytes, bytes);
        add(&counters.batches, 1);
        counters.repeated.fetch_add(repeated, std::sync::atomic::Ordering::Relaxed);
        self.state.succeeded();
    }

    /// Keeps dead letters. Waits while there is no room for them, so that none is dropped.
    async fn bury(&self, letters: Vec<DeadLetter>) {
        loop {
            let keeping = Arc::clone(&self.letters);
            let state = Arc::clone(&self.state);
            let kept = letters.clone();
            let kept = tokio::task::spawn_blocking(move || {
                let mut letters = keeping.lock();
                let kept = letters.keep(&kept);
                state.set_dead_letters(letters.count(), letters.bytes());
                kept
            });
            match kept.await {
                Ok(Ok(())) => break,
                Ok(Err(error)) => self.blocked(error.to_string()).await,
                Err(error) => self.blocked(error.to_string()).await,
            }
        }
        add(&self.state.counters.rejected, letters.len());
        if let Some(letter) = letters.first() {
            tracing::warn!(
                delivery = %self.state.name(),
                record = %letter.id,
                status = %letter.status,
                count = letters.len(),
                // The destination's text may repeat values of the records or a secret, so it is
                // only in the file.
                "the destination refuses records, which are dead letters now",
            );
        }
    }

    /// Waits before another attempt.
    async fn wait(&self, backoff: &mut Backoff, delay: Delay) {
        add(&self.state.counters.retries, 1);
        self.state.fail(DeliveryPhase::Retrying, delay.why);
        let wait = backoff.wait(None).max(delay.retry_after.unwrap_or_default());
        self.pause_for(wait).await;
    }

    /// Waits before a blocked delivery retries.
    async fn blocked(&self, why: String) {
        self.state.fail(DeliveryPhase::Blocked, why);
        self.pause_for(BLOCKED_INTERVAL).await;
        add(&self.state.counters.retries, 1);
        // Secrets and certificates are read again.
        *self.destination.lock() = None;
    }

    /// Waits for this time, or until an operator resumes the delivery.
    async fn pause_for(&self, wait: Duration) {
        let mut controls = self.state.controls();
        let attempt = controls.borrow_and_update().attempt;
        let resumed = controls.wait_for(|control| control.attempt != attempt);
        tokio::select! {
            () = sleep(wait) => {}
            _ = resumed => {}
        }
    }

    /// Waits while an operator has paused the delivery.
    async fn unpaused(&self) {
        // The sender lives as long as the state.
        let _ = self.state.controls().wait_for(|control| !control.paused).await;
    }
}
