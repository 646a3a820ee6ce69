//! EmitStream: accepts events without a round trip for each, and answers in order.
//!
//! A task reads requests into a queue that is bounded in bytes, so that h2 never holds
//! many small unread frames. The response stream takes events from the queue, appends
//! them and answers. tonic polls it for the next response only when the client can
//! receive one. So a client that does not read responses slows its own requests, and no
//! buffer grows.

mod reader;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tonic::{Request, Status};

use crate::access::Method;
use crate::audit::Denial;
use crate::event;
use crate::log::{self, Append, Receipt};
use crate::proto::codec::EncodedResponse;
use crate::proto::pb;
use crate::record::{Draft, Sequence};
use crate::service::emit::quota;
use crate::service::quota::{InTurns, WorkRoom};
use crate::service::requests::Requests;
use crate::service::{Error, Responses, Service, peer, status};
use crate::time::Time;
use reader::{CheckedEvents, QUEUED_EVENT_BYTES, QueuedItem, RequestReader, STALL_TIME_MAX};

/// The number of answered events after which a response is sent, even if more events wait.
const RESPONSE_EVENTS_MAX: u64 = 4_096;
/// The time after which the answer to an event is sent.
const RESPONSE_DELAY_MAX: Duration = Duration::from_millis(5);

impl Service {
    pub(super) fn answer_stream(
        &self,
        request: Request<Requests>,
        work: WorkRoom,
    ) -> Result<Responses, Error> {
        let caller = self.caller(&request)?;
        let (emitter, quota) = (peer::emitter(caller.principal(), &request), quota(&request));
        let origin = (caller.principal().to_owned(), peer::address(&request));
        let access = Arc::clone(&self.access);
        let (sender, queue) = mpsc::unbounded_channel();
        let (policy, limits) = (self.policy.clone(), self.limits);
        let turns = quota.as_ref().map(|quota| quota.emitting().clone());
        let in_turns = turns.as_ref();
        let reader = RequestReader {
            access,
            caller,
            emitter,
            quota,
            work,
            limits,
            policy,
            queue: sender,
            cost: 0,
        };
        tokio::spawn(InTurns::new(in_turns, Box::pin(reader.run(request.into_inner()))));
        let service = self.clone();
        let answers = AnswerStream { origin, service, queue, held: None, answered: 0, end: None };
        let answers = stream::unfold(Some(answers), |answers| async { answers?.step().await });
        Ok(Box::pin(InTurns::new(in_turns, Box::pin(answers))))
    }
}

/// Appends queued events, and answers them.
struct AnswerStream {
    /// The principal, and where its stream comes from.
    origin: (String, String),
    service: Service,
    queue: UnboundedReceiver<QueuedItem>,
    /// An item that was taken from the queue but must not be appended with the previous ones.
    held: Option<QueuedItem>,
    /// The number of answered events.
    answered: u64,
    /// Why the stream ends, after the pending answers are sent.
    end: Option<Error>,
}

impl AnswerStream {
    async fn step(mut self) -> Option<(Result<EncodedResponse, Status>, Option<Self>)> {
        let mut response = pb::EmitStreamResponse::default();
        let first = self.answered;
        if self.end.is_none() {
            let stopping = self.service.hub.stopping().clone();
            let mut queued = tokio::select! {
                biased;
                () = stopping.cancelled() => {
                    Some(QueuedItem::Broken(Error::StoppingEmit { answered: self.answered }))
                }
                queued = self.next() => Some(queued?),
            };
            let started = Instant::now();
            while let Some(next) = queued {
                self.take(next, &mut response).await;
                let full = self.answered - first >= RESPONSE_EVENTS_MAX
                    || started.elapsed() >= RESPONSE_DELAY_MAX;
                queued = if full || self.end.is_some() { None } else { self.waiting() };
            }
        }
        if self.answered > first {
            response.answered = self.answered;
            response.log_id = self.service.hub.identity().id.to_string();
            return Some((Ok(EncodedResponse::message(&response)), Some(self)));
        }
        match self.end.take() {
            // Of the events behind it, it is not known how many there would have been.
            Some(error) => {
                self.count(&error);
                Some((Err(error.into()), None))
            }
            // A request without events gets a response without answers.
            None => {
                response.answered = self.answered;
                Some((Ok(EncodedResponse::message(&response)), Some(self)))
            }
        }
    }

    /// Waits for the next item of the queue; `None` after the last.
    async fn next(&mut self) -> Option<QueuedItem> {
        match self.held.take() {
            Some(held) => Some(held),
            None => self.queue.recv().await,
        }
    }

    /// The next item of the queue, if there is one.
    fn waiting(&mut self) -> Option<QueuedItem> {
        self.held.take().or_else(|| self.queue.try_recv().ok())
    }

    async fn take(&mut self, queued: QueuedItem, response: &mut pb::EmitStreamResponse) {
        match queued {
            QueuedItem::Events(checked) => {
                let requests = self.collect_requests(checked);
                self.append(requests, response).await;
            }
            QueuedItem::Broken(error) => self.end = Some(error),
            QueuedItem::Stalled => {
                let seconds = STALL_TIME_MAX.as_secs();
                self.end = Some(Error::AnswersNotRead { seconds, answered: self.answered });
            }
        }
    }

    /// Adds to a request those that wait behind it and are appended in the same
    /// way: a log that makes events durable does so for many at the cost of one.
    fn collect_requests(&mut self, first: CheckedEvents) -> Vec<CheckedEvents> {
        let validate_only = first.validate_only;
        let mut events = first.count;
        let mut requests = vec![first];
        while events < RESPONSE_EVENTS_MAX {
            match self.waiting() {
                Some(QueuedItem::Events(next)) if next.validate_only == validate_only => {
                    events += next.count;
                    requests.push(next);
                }
                other => {
                    self.held = other;
                    break;
                }
            }
        }
        requests
    }

    /// Appends the valid events, and answers all events.
    async fn append(
        &mut self,
        mut requests: Vec<CheckedEvents>,
        response: &mut pb::EmitStreamResponse,
    ) {
        let validate_only = requests.iter().any(|request| request.validate_only);
        let mut drafts = Vec::new();
        for request in &mut requests {
            // Most often there is one, and nothing is moved.
            match drafts.is_empty() {
                true => drafts = std::mem::take(&mut request.drafts),
                false => drafts.append(&mut request.drafts),
            }
        }
        let mut outcomes = Vec::new();
        let mut rest = drafts.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.fitting(rest).min(rest.len()));
            match self.service.hub.append(now, Append::Each { validate_only }).await {
                Ok(appended) => {
                    outcomes
                        .extend(appended.into_iter().map(|appended| appended.map_err(Into::into)));
                }
                // The log can never accept this event.
                Err(error) if is_about_events(&error) => {
                    outcomes.resize(outcomes.len() + now.len(), Err(error));
                }
                // The emitter may resend the others.
                Err(error) => {
                    self.end = Some(Error::Append { error, batch: false });
                    break;
                }
            }
            rest = later;
        }
        let mut outcomes = outcomes.into_iter();
        for request in requests {
            self.answer(request, &mut outcomes, response);
        }
    }

    /// How many of the drafts, from the front, the log surely takes at once: it
    /// takes half of what it keeps. One at least: that is the log's to judge.
    fn fitting(&self, drafts: &[Draft]) -> usize {
        let extent = self.service.hub.extent();
        let mut bytes = 0;
        let fitting = drafts.iter().take(extent.records_max / 2).take_while(|draft| {
            bytes += draft.frame_len_max() + QUEUED_EVENT_BYTES;
            bytes <= extent.bytes_max / 2
        });
        fitting.count().max(1)
    }

    /// Answers the events of a request, up to the first whose outcome is not known.
    fn answer(
        &mut self,
        request: CheckedEvents,
        outcomes: &mut impl Iterator<Item = Result<Receipt, log::Error>>,
        response: &mut pb::EmitStreamResponse,
    ) {
        let mut refused = request.refused.into_iter().peekable();
        let mut ids = request.appended_ids.into_iter().peekable();
        for position in 0..request.count {
            let id = ids.next_if(|(at, _)| *at == position).map(|(_, id)| id);
            let outcome = match refused.next_if(|(at, _)| *at == position) {
                Some((_, error)) => Err(Error::Event(error)),
                None => match outcomes.next() {
                    Some(outcome) => outcome.map_err(|error| Error::Append { error, batch: false }),
                    None => return,
                },
            };
            match outcome {
                Ok(receipt) => self.add_receipt(&mut response.receipts, id, receipt),
                Err(error) => {
                    self.count(&error);
                    self.note(&error);
                    response.refusals.push(status::refusal(&error, self.answered));
                }
            }
            self.answered += 1;
        }
    }

    fn count(&self, error: &Error) {
        self.service.hub.counters().refused.increment(status::error_reason(error));
    }

    /// Records a refusal by authorization.
    fn note(&self, error: &Error) {
        let is_denial = matches!(
            error,
            Error::Event(event::Error::Forbidden { .. } | event::Error::Reserved { .. })
        );
        if is_denial {
            self.service.auditor.denied(&self.origin.0, || Denial {
                principal: self.origin.0.clone(),
                peer: self.origin.1.clone(),
                rpc: Method::EmitStream.path().to_owned(),
                reason: status::reason(error).to_owned(),
                message: error.to_string(),
            });
        }
    }

    /// Adds the receipt of the event `self.answered`, to the last range if it
    /// follows on. Events that were only checked have no sequences.
    fn add_receipt(
        &self,
        ranges: &mut Vec<pb::ReceiptRange>,
        id: Option<String>,
        receipt: Receipt,
    ) {
        let accept_time = receipt.accept_time.map(Time::timestamp);
        let follows = |range: &pb::ReceiptRange| match receipt.sequence {
            Sequence::ZERO => range.first_sequence == 0,
            Sequence(sequence) => range.first_sequence + range.event_count == sequence,
        };
        if let Some(range) = ranges.last_mut()
            && range.first_event + range.event_count == self.answered
            && follows(range)
            && range.duplicate == receipt.duplicate
            && range.ids.is_empty() == id.is_none()
            && range.accept_time == accept_time
        {
            range.event_count += 1;
            range.ids.extend(id);
            return;
        }
        ranges.push(pb::ReceiptRange {
            first_event: self.answered,
            event_count: 1,
            first_sequence: receipt.sequence.0,
            accept_time,
            duplicate: receipt.duplicate,
            ids: id.into_iter().collect(),
        });
    }
}

/// Whether the log refuses the events themselves.
fn is_about_events(error: &log::Error) -> bool {
    matches!(
        error,
        log::Error::Conflict(_)
            | log::Error::TooManyRecords { .. }
            | log::Error::TooManyBytes { .. }
    )
}
