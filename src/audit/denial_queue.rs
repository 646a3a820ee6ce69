//! Queue of denials for the log. It records a bounded number a second and counts the
//! rest. Denials of unauthenticated callers are bounded by the day, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::allowance::{Allowance, Allowances, Rate};
use super::{AuditorInner, Denial, excerpt, principal_event};
use crate::proto::pb::{self, event::Payload};

/// Denials recorded of one principal, and of all unauthenticated callers together.
const ONE_RATE: Rate = Rate { burst: 50, per_second: 10 };
/// Denials recorded of all principals together.
const ALL_RATE: Rate = Rate { burst: 500, per_second: 100 };
/// The maximum length of each queue.
const WAITING_MAX: usize = 1_024;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The most bytes of records that unauthenticated callers can cause in a day.
pub const UNKNOWN_BYTES_A_DAY_MAX: usize = 1024 * 1024;
/// The most bytes of one such record.
const UNKNOWN_RECORD_BYTES_MAX: usize = 4 * 1024;
/// The part of them reserved for counts: one record an hour after the rest is used.
const UNKNOWN_BYTES_KEPT: usize = 25 * UNKNOWN_RECORD_BYTES_MAX;
/// The most bytes of a message or a path that a record repeats.
const TEXT_BYTES_MAX: usize = 1_024;

/// The sending side of the queues.
pub(super) struct DenialQueue {
    known: Queue,
    unknown: Queue,
}

struct Queue {
    sender: Sender<Denial>,
    /// The number of denials that the full queue dropped.
    overflow: AtomicU64,
}

/// The receiving side: denials that wait to be recorded.
pub(super) struct QueuedDenials {
    known: Receiver<Denial>,
    unknown: Receiver<Denial>,
}

impl DenialQueue {
    pub(super) fn new() -> (Self, QueuedDenials) {
        let (known, of_known) = Queue::new();
        let (unknown, of_unknown) = Queue::new();
        (Self { known, unknown }, QueuedDenials { known: of_known, unknown: of_unknown })
    }

    /// Queues the denial of an authenticated (`known`) or unauthenticated caller. Each kind has its
    /// own queue.
    pub(super) fn push(&self, known: bool, denial: impl FnOnce() -> Denial) {
        let queue = if known { &self.known } else { &self.unknown };
        match queue.sender.try_reserve() {
            Ok(place) => place.send(denial()),
            Err(_) => {
                queue.overflow.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Queue {
    fn new() -> (Self, Receiver<Denial>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self { sender, overflow: AtomicU64::new(0) }, receiver)
    }
}

/// Denials of one kind of caller.
struct LimitedDenials<L> {
    limit: L,
    /// The number of denials since the last record, which are not recorded.
    suppressed: u64,
    /// The last one of them.
    last: Option<Denial>,
}

/// Limits how many denials are recorded.
trait Limit {
    /// Whether a denial may be recorded now.
    fn allows(&mut self, denial: &Denial) -> bool;

    /// Counts the bytes of a record that was written.
    fn wrote(&mut self, _bytes: usize) {}
}

struct PrincipalLimit {
    each: Allowances,
    all: Allowance,
}

struct AnonymousLimit {
    rate: Allowance,
    /// When the day began.
    began: Instant,
    /// Bytes that may still be recorded that day.
    left: usize,
    /// When the next count may be recorded after the day's bytes are used.
    next_count: Instant,
}

impl Limit for PrincipalLimit {
    fn allows(&mut self, denial: &Denial) -> bool {
        self.each.take(&Arc::from(denial.principal.as_str())).is_ok() && self.all.take().is_ok()
    }
}

impl AnonymousLimit {
    fn new() -> Self {
        let now = Instant::now();
        let left = UNKNOWN_BYTES_A_DAY_MAX - UNKNOWN_BYTES_KEPT;
        Self { rate: Allowance::new(ONE_RATE), began: now, left, next_count: now }
    }
}

impl Limit for AnonymousLimit {
    fn allows(&mut self, _: &Denial) -> bool {
        let now = Instant::now();
        if now.duration_since(self.began) >= DAY {
            let rate = std::mem::replace(self, Self::new()).rate;
            self.rate = rate;
        }
        if self.left >= UNKNOWN_RECORD_BYTES_MAX {
            return self.rate.take().is_ok();
        }
        let may = now >= self.next_count;
        if may {
            self.next_count = now + HOUR;
        }
        may
    }

    fn wrote(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
        if self.left < UNKNOWN_RECORD_BYTES_MAX && self.next_count <= Instant::now() {
            self.next_count = Instant::now() + HOUR;
        }
    }
}

impl<L: Limit> LimitedDenials<L> {
    fn new(limit: L) -> Self {
        Self { limit, suppressed: 0, last: None }
    }

    /// Records a denial, or counts it.
    async fn offer(&mut self, on: &AuditorInner, denial: Denial) {
        if self.limit.allows(&denial) {
            self.last = None;
            self.record(on, &denial).await;
        } else {
            self.suppressed += 1;
            self.last = Some(denial);
        }
    }

    /// Records the last denial that was only counted, with the count, if that is allowed now: also
    /// if no other denial follows.
    async fn catch_up(&mut self, on: &AuditorInner) {
        if let Some(denial) = self.last.take_if(|denial| self.limit.allows(denial)) {
            self.suppressed -= 1;
            self.record(on, &denial).await;
        }
    }

    async fn record(&mut self, on: &AuditorInner, denial: &Denial) {
        let bytes = on.append(denied(denial, std::mem::take(&mut self.suppressed))).await;
        self.limit.wrote(bytes);
    }
}

/// Records denials until `stopping` is cancelled, and then those that are left.
pub(super) async fn record(
    on: Arc<AuditorInner>,
    mut waiting: QueuedDenials,
    stopping: CancellationToken,
) {
    let mut known = LimitedDenials::new(PrincipalLimit {
        each: Allowances::new(ONE_RATE),
        all: Allowance::new(ALL_RATE),
    });
    let mut unknown = LimitedDenials::new(AnonymousLimit::new());
    loop {
        let is_behind = known.last.is_some() || unknown.last.is_some();
        tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            Some(denial) = waiting.known.recv() => known.offer(&on, denial).await,
            Some(denial) = waiting.unknown.recv() => unknown.offer(&on, denial).await,
            () = tokio::time::sleep(Duration::from_secs(1)), if is_behind => {}
        }
        known.suppressed += on.denials.known.overflow.swap(0, Ordering::Relaxed);
        unknown.suppressed += on.denials.unknown.overflow.swap(0, Ordering::Relaxed);
        known.catch_up(&on).await;
        unknown.catch_up(&on).await;
    }
    while let Ok(denial) = waiting.known.try_recv() {
        known.offer(&on, denial).await;
    }
    while let Ok(denial) = waiting.unknown.try_recv() {
        unknown.offer(&on, denial).await;
    }
    known.catch_up(&on).await;
    unknown.catch_up(&on).await;
}

fn denied(denial: &Denial, suppressed: u64) -> pb::Event {
    let payload = pb::AuditgateDenied {
        rpc: Some(excerpt(&denial.rpc, TEXT_BYTES_MAX)),
        reason: Some(denial.reason.clone()),
        suppressed: Some(suppressed),
    };
    let outcome = pb::Outcome {
        success: Some(false),
        error: Some(excerpt(&denial.message, TEXT_BYTES_MAX)),
        ..Default::default()
    };
    let event = principal_event(
        "AG004W",
        &denial.principal,
        &denial.peer,
        Payload::AuditgateDenied(payload),
    );
    pb::Event { outcome: Some(outcome), ..event }
}
