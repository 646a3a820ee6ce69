//! Queue of denials for the log. It records a bounded number a second and counts the
//! rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{AuditorInner, Denial, by};
use crate::proto::pb::{self, event::Payload};

/// The maximum number of denials recorded a second.
const PER_SECOND: u32 = 10;
/// The burst of denials after a quiet time.
const BURST: u32 = 50;
/// The maximum length of the queue.
const WAITING_MAX: usize = 1_024;

/// Accepts denials.
pub(super) struct DenialQueue {
    sender: Sender<Denial>,
    /// The number of denials that the full queue dropped.
    overflow: AtomicU64,
}

impl DenialQueue {
    pub(super) fn new() -> (Self, Receiver<Denial>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self { sender, overflow: AtomicU64::new(0) }, receiver)
    }

    pub(super) fn push(&self, denial: impl FnOnce() -> Denial) {
        match self.sender.try_reserve() {
            Ok(place) => place.send(denial()),
            Err(_) => {
                self.overflow.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The number of denials that may be recorded now.
struct Allowance {
    left: f64,
    since: Instant,
}

impl Allowance {
    fn take(&mut self) -> bool {
        let earned = self.since.elapsed().as_secs_f64() * f64::from(PER_SECOND);
        self.since = Instant::now();
        self.left = (self.left + earned).min(f64::from(BURST));
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

/// Records denials until `stopping` is cancelled, and then those that are left.
pub(super) async fn record(
    on: Arc<AuditorInner>,
    mut waiting: Receiver<Denial>,
    stopping: CancellationToken,
) {
    let mut allowance = Allowance { left: f64::from(BURST), since: Instant::now() };
    // The number of suppressed denials, and the last of them.
    let mut suppressed = 0;
    let mut last: Option<Denial> = None;
    loop {
        let is_over = stopping.is_cancelled();
        let next = tokio::select! {
            biased;
            denial = waiting.recv(), if !is_over => denial,
            () = stopping.cancelled(), if !is_over => continue,
            // Suppressed denials are reported even if no other denial follows.
            () = tokio::time::sleep(Duration::from_secs(1)), if last.is_some() && !is_over => None,
            else => None,
        };
        suppressed += on.denials.overflow.swap(0, Ordering::Relaxed);
        let told = match (next, allowance.take()) {
            (Some(denial), true) => Some(denial),
            (Some(denial), false) => {
                suppressed += 1;
                last = Some(denial);
                None
            }
            (None, true) => last.take().inspect(|_| suppressed -= 1),
            (None, false) => None,
        };
        if let Some(denial) = told {
            last = None;
            on.append(denied(&denial, std::mem::take(&mut suppressed))).await;
        }
        if is_over {
            return;
        }
    }
}

fn denied(denial: &Denial, suppressed: u64) -> pb::Event {
    let payload = pb::AuditgateDenied {
        rpc: Some(denial.rpc.clone()),
        reason: Some(denial.reason.clone()),
        suppressed: Some(suppressed),
    };
    let outcome = pb::Outcome {
        success: Some(false),
        error: Some(denial.message.clone()),
        ..Default::default()
    };
    let event = by("AG004W", &denial.principal, &denial.peer, Payload::AuditgateDenied(payload));
    pb::Event { outcome: Some(outcome), ..event }
}
