//! Queues the gateway's own events while the log is away or full. They are published in order when
//! the log accepts events again, with the time at which they happened. Of events that do not fit,
//! the last one is kept, with the number of the others.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use prost::Message as _;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::AuditorInner;
use crate::log::{Append, Error, State};
use crate::proto::pb::{self, event::Payload};

/// The most events of a kind that wait.
pub(super) const WAITING_MAX: usize = 1_024;
/// The most waiting events of one principal, so that it cannot crowd out those of others.
pub(super) const WAITING_OF_ONE_MAX: usize = 256;
/// Events that are published at once.
const PUBLISHED_AT_ONCE: usize = 64;
/// How long to wait before the log is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Memory of a waiting event beside its encoding, in bytes.
const WAITING_BYTES: usize = 64;

/// The numbers of waiting and of dropped events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BacklogReport {
    /// Events that wait for the log.
    pub waiting: usize,
    /// Events that did not fit since the start, and are only counted.
    pub dropped: u64,
}

/// Events that wait for the log.
#[derive(Default)]
pub(super) struct Backlog {
    state: Mutex<BacklogState>,
    grown: Notify,
    /// Held while one task publishes and removes what it has published.
    publishing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct BacklogState {
    /// Reads, refusals and other events, each with its own bound.
    lanes: [Lane; 3],
    bytes: usize,
    dropped: u64,
}

#[derive(Default)]
struct Lane {
    waiting: VecDeque<WaitingEvent>,
    /// The last event that did not fit, and how many there were.
    overflow: Option<(pb::Event, u64)>,
}

struct WaitingEvent {
    principal: Arc<str>,
    event: Bytes,
}

impl Backlog {
    /// Queues an encoded event, or counts it if the queue is full.
    pub fn push(&self, event: Bytes) {
        let decoded = match pb::Event::decode(event.clone()) {
            Ok(decoded) => decoded,
            Err(error) => {
                tracing::error!(%error, "the gateway's own event does not decode");
                return;
            }
        };
        let kind = match &decoded.payload {
            Some(Payload::AuditgateRead(_)) => 0,
            Some(Payload::AuditgateDenied(_)) => 1,
            _ => 2,
        };
        let mut state = self.lock();
        let state = &mut *state;
        let Some(lane) = state.lanes.get_mut(kind) else { return };
        let principal = decoded.user.as_ref().map(pb::User::name).unwrap_or_default();
        let of_one = lane.waiting.iter().filter(|other| &*other.principal == principal).count();
        if lane.waiting.len() >= WAITING_MAX || of_one >= WAITING_OF_ONE_MAX {
            state.dropped += 1;
            let before = lane.overflow.take().map_or(0, |(_, count)| count);
            lane.overflow = Some((decoded, before + 1));
        } else {
            state.bytes += event.len() + WAITING_BYTES;
            lane.waiting.push_back(WaitingEvent { principal: principal.into(), event });
        }
        self.grown.notify_one();
    }

    /// The numbers of waiting and of dropped events.
    pub fn report(&self) -> BacklogReport {
        let state = self.lock();
        let waiting = state.lanes.iter().map(|lane| lane.waiting.len()).sum();
        BacklogReport { waiting, dropped: state.dropped }
    }

    /// Memory of the waiting events, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.lock().bytes
    }

    /// The next events, and their lane. They stay until they are removed.
    fn next(&self) -> Option<(usize, Vec<Bytes>)> {
        let mut state = self.lock();
        let state = &mut *state;
        for (number, lane) in state.lanes.iter_mut().enumerate() {
            if lane.waiting.is_empty()
                && let Some((event, count)) = lane.overflow.take()
            {
                let event = Bytes::from(with_count(event, count).encode_to_vec());
                state.bytes += event.len() + WAITING_BYTES;
                lane.waiting.push_back(WaitingEvent { principal: "".into(), event });
            }
            if !lane.waiting.is_empty() {
                let first = lane.waiting.iter().take(PUBLISHED_AT_ONCE);
                return Some((number, first.map(|waiting| waiting.event.clone()).collect()));
            }
        }
        None
    }

    /// Removes the first events of a lane.
    fn remove(&self, lane: usize, count: usize) {
        let mut state = self.lock();
        let state = &mut *state;
        let Some(lane) = state.lanes.get_mut(lane) else { return };
        for removed in lane.waiting.drain(..count.min(lane.waiting.len())) {
            state.bytes -= removed.event.len() + WAITING_BYTES;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BacklogState> {
        self.state.lock()
    }
}

/// The last of `count` events that did not fit, with the number of the others.
fn with_count(mut event: pb::Event, count: u64) -> pb::Event {
    let others = count.saturating_sub(1);
    match &mut event.payload {
        Some(Payload::AuditgateRead(read)) => read.suppressed = (others > 0).then_some(others),
        Some(Payload::AuditgateDenied(denied)) => {
            denied.suppressed = Some(denied.suppressed() + others);
        }
        _ if others > 0 => tracing::error!(events = others, "the gateway's own events are lost"),
        _ => {}
    }
    event
}

/// Whether an event that the log refuses for this may be accepted later.
pub(super) fn may_be_accepted_later(error: &Error) -> bool {
    matches!(error, Error::Away { .. } | Error::Full { .. } | Error::OutcomeUnknown { .. })
}

/// Publishes the waiting events whenever the log accepts events, until `stopping` is cancelled.
pub(super) async fn publish(on: Arc<AuditorInner>, stopping: CancellationToken) {
    let mut states = on.hub.states();
    let published = async {
        loop {
            if on.backlog.report().waiting == 0 {
                on.backlog.grown.notified().await;
            }
            if states.wait_for(|state| *state == State::Ready).await.is_err() {
                return;
            }
            if !on.publish_backlog().await {
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        }
    };
    tokio::select! {
        () = stopping.cancelled() => {}
        () = published => {}
    }
}

impl AuditorInner {
    /// Publishes the waiting events. Returns whether the log accepted all of it.
    pub(super) async fn publish_backlog(&self) -> bool {
        let _publishing = self.backlog.publishing.lock().await;
        while let Some((lane, events)) = self.backlog.next() {
            let drafts: Vec<_> =
                events.iter().filter_map(|event| self.draft(event.clone())).collect();
            let appended = self.hub.append(&drafts, Append::Each { validate_only: false });
            match self.in_time(appended).await {
                Ok(_) => {}
                Err(error) if may_be_accepted_later(&error) => return false,
                Err(error) => {
                    let events = events.len();
                    tracing::error!(%error, events, "the gateway's own events are lost");
                }
            }
            self.backlog.remove(lane, events.len());
        }
        true
    }
}

#[cfg(test)]
mod tests;
