//! The background task of an emitter.

use std::collections::VecDeque;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::stream::{EncodedRequest, EventOutcome, EventStream};
use super::{Options, QueuedEvent, WorkerCommand};
use crate::client::retry::RETRY_TIME_MAX;
use crate::client::servers::Attempts;
use crate::client::{Client, Error, Refusal};
use crate::proto::pb;

/// The reason with which a stream ends if a request has too many bytes.
const TOO_MANY_BYTES: &str = "REQUEST_TOO_LARGE";
/// The reason with which a stream ends if a request has too many events.
const TOO_MANY_EVENTS: &str = "BATCH_TOO_LARGE";

/// Sends events on a stream, and resends events that a broken stream left unanswered.
pub(super) struct Worker {
    client: Client,
    /// The bounds of a request shrink to those of the gateway.
    options: Options,
    queue: mpsc::UnboundedReceiver<WorkerCommand>,
    /// Whether the queue is closed.
    closed: bool,
    /// Unsettled events, in order; the first `sent` of them are on the stream.
    pending: VecDeque<QueuedEvent>,
    sent: usize,
    /// Bytes of pending events that are not sent.
    unsent_bytes: usize,
    /// The number of settled events.
    settled: u64,
    /// The number of events, from the first, that do not wait for others to share their request.
    urgent: u64,
    /// Flushes that wait until this many events are settled.
    flushes: VecDeque<(u64, oneshot::Sender<()>)>,
    outage: Option<Outage>,
    /// Why the worker retries.
    told: watch::Sender<Option<Refusal>>,
}

/// A time in which the gateway is unavailable or violates the protocol.
struct Outage {
    since: Instant,
    attempts: u32,
    pace: Attempts,
    retry_at: Instant,
}

/// What happens next.
enum NextAction {
    Command(Option<WorkerCommand>),
    Send(mpsc::OwnedPermit<EncodedRequest>),
    Answers(Result<Vec<EventOutcome>, Refusal>),
    /// The next deadline has passed.
    Due,
}

impl Worker {
    pub(super) fn new(
        client: Client,
        options: Options,
        queue: mpsc::UnboundedReceiver<WorkerCommand>,
        told: watch::Sender<Option<Refusal>>,
    ) -> Self {
        Self {
            client,
            options,
            queue,
            closed: false,
            pending: VecDeque::new(),
            sent: 0,
            unsent_bytes: 0,
            settled: 0,
            urgent: 0,
            flushes: VecDeque::new(),
            outage: None,
            told,
        }
    }

    /// Runs until the emitter is dropped, all events are settled and the stream has ended.
    pub(super) async fn run(mut self) {
        let mut stream: Option<EventStream> = None;
        while !(self.closed && self.pending.is_empty()) {
            let now = Instant::now();
            let due = self.due();
            let is_due = due.is_some_and(|due| due <= now);
            if is_due && stream.is_none() {
                stream = Some(EventStream::open(&self.client));
            }
            let room = stream.as_ref().map(EventStream::room);
            let next = tokio::select! {
                // Answers come first, because they free queue space.
                biased;
                answers = answers(&mut stream), if stream.is_some() => NextAction::Answers(answers),
                permit = async { room.expect("there is a stream").await }, if is_due => {
                    NextAction::Send(permit)
                }
                command = self.queue.recv(), if !self.closed => NextAction::Command(command),
                () = sleep_until(due.unwrap_or(now)), if due.is_some() && !is_due => NextAction::Due,
            };
            match (next, &mut stream) {
                (NextAction::Command(command), _) => self.take(command),
                (NextAction::Send(permit), Some(stream)) => stream.send(permit, self.request()),
                (NextAction::Answers(Ok(outcomes)), stream) => {
                    if let Some(stream) = stream.as_ref().filter(|_| !outcomes.is_empty()) {
                        self.client.servers.answered(stream.server());
                    }
                    self.settle_all(outcomes);
                }
                (NextAction::Answers(Err(refusal)), Some(ended)) => {
                    let (first, server) = (ended.first_unanswered(), ended.server());
                    stream = None;
                    self.ended(first as usize, server, refusal);
                }
                (NextAction::Send(_) | NextAction::Answers(Err(_)), None)
                | (NextAction::Due, _) => {}
            }
        }
        if let Some(stream) = stream {
            stream.finish().await;
        }
    }

    fn take(&mut self, first: Option<WorkerCommand>) {
        let mut next = first;
        loop {
            match next {
                Some(WorkerCommand::Emit(queued)) => {
                    self.unsent_bytes += queued.encoded.len();
                    self.pending.push_back(queued);
                }
                Some(WorkerCommand::Flush(done)) => {
                    self.urgent = self.settled + self.pending.len() as u64;
                    self.flushes.push_back((self.urgent, done));
                    self.answer_flushes();
                }
                None => {
                    self.urgent = u64::MAX;
                    self.closed = true;
                    return;
                }
            }
            if self.is_full() {
                return;
            }
            next = match self.queue.try_recv() {
                Ok(command) => Some(command),
                Err(_) => return,
            };
        }
    }

    /// When the next request is due; `None` if no event waits.
    fn due(&self) -> Option<Instant> {
        let first = self.pending.get(self.sent)?;
        let in_time = if self.is_full() || self.settled + (self.sent as u64) < self.urgent {
            first.since
        } else {
            first.since + self.options.linger
        };
        let retry_at = self.outage.as_ref().map(|outage| outage.retry_at);
        Some(retry_at.map_or(in_time, |retry_at| in_time.max(retry_at)))
    }

    /// Whether a request can be filled.
    fn is_full(&self) -> bool {
        self.pending.len() - self.sent >= self.options.batch_events
            || self.unsent_bytes >= self.options.batch_bytes
    }

    /// The next events that were not sent, as many as a request takes, and one at
    /// least.
    fn request(&mut self) -> EncodedRequest {
        let mut events = Vec::new();
        let mut bytes = 0;
        for queued in self.pending.iter().skip(self.sent).take(self.options.batch_events.max(1)) {
            bytes += queued.encoded.len();
            if bytes > self.options.batch_bytes && !events.is_empty() {
                bytes -= queued.encoded.len();
                break;
            }
            events.push(queued.encoded.clone());
        }
        self.sent += events.len();
        self.unsent_bytes -= bytes;
        EncodedRequest { events, validate_only: self.options.validate_only }
    }

    fn settle_all(&mut self, outcomes: Vec<EventOutcome>) {
        if !outcomes.is_empty() {
            self.outage = None;
            self.told.send_if_modified(|told| told.take().is_some());
        }
        for outcome in outcomes {
            self.settle(outcome.map_err(Error::Refused));
        }
    }

    /// Settles the first pending event.
    fn settle(&mut self, outcome: Result<pb::Receipt, Error>) {
        let Some(queued) = self.pending.pop_front() else { return };
        self.settled += 1;
        match self.sent.checked_sub(1) {
            Some(sent) => self.sent = sent,
            None => self.unsent_bytes -= queued.encoded.len(),
        }
        let QueuedEvent { id, settled, .. } = queued;
        // The receiver may have been dropped.
        let _ = settled.send(outcome.map(|receipt| pb::Receipt { id, ..receipt }));
        self.answer_flushes();
    }

    fn answer_flushes(&mut self) {
        while self.flushes.front().is_some_and(|(count, _)| *count <= self.settled) {
            if let Some((_, done)) = self.flushes.pop_front() {
                // The receiver may have been dropped.
                let _ = done.send(());
            }
        }
    }

    /// Handles the end of the stream to a gateway, whose first unanswered request had `first`
    /// events.
    fn ended(&mut self, first: usize, server: usize, refusal: Refusal) {
        let sent = std::mem::take(&mut self.sent);
        self.unsent_bytes = self.pending.iter().map(|queued| queued.encoded.len()).sum();
        if self.pending.is_empty() {
            return;
        }
        match refusal.reason.as_deref() {
            Some(TOO_MANY_BYTES) if first > 1 => {
                let bytes: usize =
                    self.pending.iter().take(first).map(|queued| queued.encoded.len()).sum();
                self.options.batch_bytes = bytes / 2;
            }
            Some(TOO_MANY_EVENTS) if first > 1 => self.options.batch_events = first / 2,
            Some(TOO_MANY_BYTES | TOO_MANY_EVENTS) => self.settle(Err(Error::Refused(refusal))),
            _ if refusal.transient || refusal.is_of_other_log() => self.retry(server, refusal),
            // Unsent events may be accepted on another stream. If nothing was sent, the stream
            // itself was refused.
            _ => {
                let refused = if sent > 0 { sent } else { self.pending.len() };
                for _ in 0..refused {
                    self.settle(Err(Error::Refused(refusal.clone())));
                }
            }
        }
    }

    /// Schedules a retry of pending events, and gives up those that have waited too long.
    fn retry(&mut self, server: usize, refusal: Refusal) {
        self.told.send_replace(Some(refusal.clone()));
        let now = Instant::now();
        let outage = self.outage.get_or_insert_with(|| Outage {
            since: now,
            attempts: 0,
            pace: Attempts::new(),
            retry_at: now,
        });
        outage.attempts += 1;
        let servers = &self.client.servers;
        let moved = servers.failed(server, &refusal);
        outage.retry_at = now + outage.pace.wait(moved, servers.count(), refusal.retry_after);
        let Outage { since, attempts, retry_at, .. } = *outage;
        while let Some(first) = self.pending.front()
            && first.since.max(since) + RETRY_TIME_MAX < retry_at
        {
            let last = self.client.servers.summary(refusal.clone());
            self.settle(Err(Error::GaveUp { attempts, last }));
        }
    }
}

async fn answers(stream: &mut Option<EventStream>) -> Result<Vec<EventOutcome>, Refusal> {
    stream.as_mut().expect("there is a stream").next().await
}
