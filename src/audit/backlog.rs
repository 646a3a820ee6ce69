//! The gateway's own events that the log did not accept when they happened: it was away or
//! full. They are published when it accepts events again, in order, with the time at which
//! they happened. Of what does not fit, one event is kept, and the number of the others.

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
/// The most of them that one principal has caused: it cannot hide what others do.
pub(super) const WAITING_OF_ONE_MAX: usize = 256;
/// Events that are published at once.
const PUBLISHED_AT_ONCE: usize = 64;
/// A log that does not accept them is tried again after so long.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// What a waiting event takes beside its bytes, in bytes.
const WAITING_BYTES: usize = 64;

/// How many of the gateway's own events wait, and do not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BacklogReport {
    /// They wait for the log.
    pub waiting: usize,
    /// They found no room since the start, and are only counted.
    pub dropped: u64,
}

/// Events that wait for the log.
#[derive(Default)]
pub(super) struct Backlog {
    state: Mutex<BacklogState>,
    grown: Notify,
    /// Only one task publishes: what it has published it removes.
    publishing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct BacklogState {
    /// Reads, refusals, and the rest: none takes the room of another.
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
    /// Keeps an encoded event, or counts it.
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

    /// What waits, and what did not fit.
    pub fn report(&self) -> BacklogReport {
        let state = self.lock();
        let waiting = state.lanes.iter().map(|lane| lane.waiting.len()).sum();
        BacklogReport { waiting, dropped: state.dropped }
    }

    /// What waiting events take in memory, in bytes.
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

/// Publishes what waits whenever the log accepts events, until `stopping` is cancelled.
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
    /// Publishes what waits. Returns whether the log accepted all of it.
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
