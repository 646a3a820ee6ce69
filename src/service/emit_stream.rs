//! EmitStream: events in without a round trip for each, answers out in order.
//!
//! A task reads requests ahead of the log, so that h2 never holds many small
//! unread frames, into a queue bounded in bytes. The stream of responses takes
//! from the queue, appends and answers. tonic asks it for the next response only
//! when the client has room for it: answers that are not read end up slowing the
//! requests, with nothing in between that grows.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Status, Streaming};

use crate::event::{self, Event};
use crate::log::{self, Placed};
use crate::proto::codec::Encoded;
use crate::proto::{pb, retyped};
use crate::record::{Draft, Emitter};
use crate::service::emit::{charge, emitter, quota};
use crate::service::quota::{Quota, Room};
use crate::service::{BATCH_EVENTS_MAX, Error, Limits, Responses, Service, bare, decode, status};
use crate::time::Time;

/// The most bytes of events that wait for the log on one stream, with what goes
/// with each of them.
const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What an event takes in the queue beside its bytes.
const QUEUED_EVENT_BYTES: usize = 512;
/// A response is sent when it answers so many events, even if more wait.
const RESPONSE_EVENTS_MAX: u64 = 4_096;
/// A response is sent when its first event has waited so long.
const RESPONSE_DELAY_MAX: Duration = Duration::from_millis(5);
/// How long the queue may be full before the emitter is taken for one that
/// reads no answers.
const STALL_TIME_MAX: Duration = Duration::from_secs(30);

/// What the reading task hands over.
enum Queued {
    /// The events of a request.
    Events {
        /// Each checked; those refused with why.
        events: Vec<Result<Draft, event::Error>>,
        /// Gives the room in the queue back, of the stream and of its principal.
        _room: (OwnedSemaphorePermit, Option<Room>),
    },
    /// The requests cannot be read on.
    Broken(Error),
    /// The queue was full for too long.
    Stalled,
}

impl Service {
    pub(super) fn answer_stream(&self, request: Request<Streaming<Bytes>>) -> Responses {
        let (emitter, quota) = (emitter(&request), quota(&request));
        let (sender, queue) = mpsc::unbounded_channel();
        let reader = Reader { emitter, quota, limits: self.limits, queue: sender };
        tokio::spawn(reader.run(request.into_inner()));
        let answers = Answers { service: self.clone(), queue, answered: 0, end: None };
        Box::pin(stream::unfold(Some(answers), |answers| async { answers?.step().await }))
    }
}

/// Reads requests ahead.
struct Reader {
    emitter: Emitter,
    quota: Option<Arc<Quota>>,
    limits: Limits,
    queue: UnboundedSender<Queued>,
}

impl Reader {
    async fn run(self, mut requests: Streaming<Bytes>) {
        let room = Arc::new(Semaphore::new(QUEUE_BYTES_MAX));
        loop {
            let request = tokio::select! {
                request = requests.message() => request,
                // The call is over: nobody waits for answers.
                () = self.queue.closed() => return,
            };
            let queued = match request {
                Ok(None) => return,
                Ok(Some(request)) => self.check(request, &room).await,
                Err(status) => {
                    let error = bare::explain_message(&status, self.limits);
                    Queued::Broken(error.unwrap_or(Error::Broken(status)))
                }
            };
            let goes_on = matches!(queued, Queued::Events { .. });
            if self.queue.send(queued).is_err() || !goes_on {
                return;
            }
        }
    }

    async fn check(&self, request: Bytes, room: &Arc<Semaphore>) -> Queued {
        let size = request.len();
        let events = match decode::<retyped::EmitStreamRequest>(request) {
            Ok(request) if request.events.len() > BATCH_EVENTS_MAX => {
                return Queued::Broken(Error::BatchTooLarge(request.events.len()));
            }
            Ok(request) => request.events,
            Err(error) => return Queued::Broken(error),
        };
        charge(self.quota.as_deref(), events.len());
        let size = (size + QUEUED_EVENT_BYTES * (events.len() + 1)).min(QUEUE_BYTES_MAX);
        let room = async {
            let own = Arc::clone(room).acquire_many_owned(size as u32).await;
            let of_all = match &self.quota {
                Some(quota) => Some(quota.room(size).await),
                None => None,
            };
            (own.expect("the semaphore is never closed"), of_all)
        };
        let Ok(room) = tokio::time::timeout(STALL_TIME_MAX, room).await else {
            return Queued::Stalled;
        };
        let now = Time::now();
        let check = |event| Event::check(event, now, self.limits.event_bytes);
        let events = events
            .into_iter()
            .map(|event| check(event).map(|event| Draft::new(event, &self.emitter)));
        Queued::Events { events: events.collect(), _room: room }
    }
}

/// Appends what is queued, and answers.
struct Answers {
    service: Service,
    queue: UnboundedReceiver<Queued>,
    /// How many events were answered.
    answered: u64,
    /// Why the stream ends, once what was answered is sent.
    end: Option<Error>,
}

impl Answers {
    async fn step(mut self) -> Option<(Result<Encoded, Status>, Option<Self>)> {
        let mut response = pb::EmitStreamResponse::default();
        let first = self.answered;
        if self.end.is_none() {
            let stopping = self.service.hub.stopping().clone();
            let mut queued = tokio::select! {
                biased;
                () = stopping.cancelled() => Some(Queued::Broken(Error::StoppingEmit { answered: self.answered })),
                queued = self.queue.recv() => Some(queued?),
            };
            let started = Instant::now();
            while let Some(next) = queued {
                self.take(next, &mut response).await;
                let full = self.answered - first >= RESPONSE_EVENTS_MAX
                    || started.elapsed() >= RESPONSE_DELAY_MAX;
                queued = if full || self.end.is_some() { None } else { self.queue.try_recv().ok() };
            }
        }
        if self.answered > first {
            response.answered = self.answered;
            response.log_id = self.service.hub.identity().id.to_string();
            return Some((Ok(Encoded::message(&response)), Some(self)));
        }
        match self.end.take() {
            Some(error) => Some((Err(error.into()), None)),
            // Requests without events have no answers; this one says so much.
            None => {
                response.answered = self.answered;
                Some((Ok(Encoded::message(&response)), Some(self)))
            }
        }
    }

    async fn take(&mut self, queued: Queued, response: &mut pb::EmitStreamResponse) {
        match queued {
            Queued::Events { events, .. } => self.append(events, response).await,
            Queued::Broken(error) => self.end = Some(error),
            Queued::Stalled => {
                let seconds = STALL_TIME_MAX.as_secs();
                self.end = Some(Error::AnswersNotRead { seconds, answered: self.answered });
            }
        }
    }

    /// Appends the events of a request that are acceptable; answers all.
    async fn append(
        &mut self,
        events: Vec<Result<Draft, event::Error>>,
        response: &mut pb::EmitStreamResponse,
    ) {
        let mut drafts = Vec::with_capacity(events.len());
        // For each event its appended id, or why it is refused.
        let mut checked: Vec<Result<Option<String>, event::Error>> =
            Vec::with_capacity(events.len());
        for event in events {
            checked.push(event.map(|draft| {
                let id = draft.event().id_was_appended().then(|| draft.event().id().to_owned());
                drafts.push(draft);
                id
            }));
        }
        let count = drafts.len();
        let mut placed = match self.service.hub.append_each(drafts).await {
            Ok(placed) => {
                placed.into_iter().map(|placed| placed.map_err(log::Error::from)).collect()
            }
            // The log does not take so much at once: none of it was stored.
            Err(error) => vec![Err(error); count],
        }
        .into_iter();
        for event in checked {
            let outcome = match event {
                Err(error) => Err(Error::Event(error)),
                Ok(id) => match placed.next().expect("the log gives a place to each draft") {
                    Ok(placed) => Ok((id, placed)),
                    Err(error) => Err(Error::Append { error, batch: false }),
                },
            };
            match outcome {
                Ok((id, placed)) => self.add_receipt(&mut response.receipts, id, placed),
                Err(error) => {
                    self.service.hub.counters().refused.fetch_add(1, Ordering::Relaxed);
                    response.refusals.push(status::refusal(&error, self.answered));
                }
            }
            self.answered += 1;
        }
    }

    /// Adds the receipt of the event `self.answered`, to the last range if it
    /// follows on.
    fn add_receipt(&self, ranges: &mut Vec<pb::ReceiptRange>, id: Option<String>, placed: Placed) {
        let accept_time = placed.accept_time.map(Time::timestamp);
        if let Some(range) = ranges.last_mut()
            && range.first_event + range.event_count == self.answered
            && range.first_sequence + range.event_count == placed.sequence.0
            && range.duplicate == placed.duplicate
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
            first_sequence: placed.sequence.0,
            accept_time,
            duplicate: placed.duplicate,
            ids: id.into_iter().collect(),
        });
    }
}
