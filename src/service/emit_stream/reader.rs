//! Reads the requests of a stream ahead of the log, and validates their events.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::{self, AccessControl, Caller, MethodRule};
use crate::content::{ActivePolicy, EventIntake};
use crate::event;
use crate::proto::retyped;
use crate::record::{Draft, EmitterIdentity};
use crate::service::cost::{Cost, EVENT_WORK_BYTES};
use crate::service::emit::{INTAKE_COST_MAX, admit, charge, count_events, permit};
use crate::service::quota::fair::Share;
use crate::service::quota::{MemoryKind, Quota, WorkRoom};
use crate::service::requests::Requests;
use crate::service::{BATCH_EVENTS_MAX, Error, STREAM_WINDOW_BYTES, ServiceLimits, decode};
use crate::time::Time;

/// The maximum size of the queue of one stream, in bytes, with the overhead of each event.
const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The overhead of an event in the queue, in bytes; less than its overhead in the log.
pub const QUEUED_EVENT_BYTES: usize = EVENT_WORK_BYTES;
/// How long the queue may be full before the gateway assumes that the emitter reads no
/// responses.
pub const STALL_TIME_MAX: Duration = Duration::from_secs(30);

/// What a request costs beside its events, in bytes whose check takes as long.
const REQUEST_COST: usize = 128;
/// What an event costs beside its bytes.
const EVENT_COST: usize = 256;

/// An item of the queue between reading and appending.
pub enum QueuedItem {
    /// The events of a request.
    Events(CheckedEvents),
    /// The request stream failed.
    Broken(Error),
    /// The queue was full for too long.
    Stalled,
}

/// The events of a request, checked. Positions count from its first event.
pub struct CheckedEvents {
    /// The number of events.
    pub count: u64,
    /// The valid events, in order.
    pub drafts: Vec<Draft>,
    /// The invalid events, each with its position, ascending.
    pub refused: Vec<(u64, event::Error)>,
    /// Ids that the gateway appended, each with the position of its event,
    /// ascending.
    pub appended_ids: Vec<(u64, String)>,
    /// Whether the events are only validated.
    pub validate_only: bool,
    /// Returns the queue space of the stream when dropped.
    _queued: OwnedSemaphorePermit,
    /// Returns the client's room for the drafts when dropped.
    _work: Option<Share>,
}

/// Reads requests ahead.
pub struct RequestReader {
    /// The authorization of the emitter.
    pub access: Arc<AccessControl>,
    /// The identity of the emitter at the last check.
    pub caller: Arc<Caller>,
    /// The peer of the emitter.
    pub emitter: EmitterIdentity,
    /// The caller of the stream, if the call came through a listener.
    pub quota: Option<Arc<Quota>>,
    /// The room for the newest request.
    pub work: WorkRoom,
    /// The rules for events.
    pub limits: ServiceLimits,
    /// The content policy.
    pub policy: ActivePolicy,
    /// The queue of validated events.
    pub queue: UnboundedSender<QueuedItem>,
    /// What was checked since other tasks could run, in bytes.
    pub cost: usize,
}

impl RequestReader {
    /// Reads until the requests end or the queue is closed.
    pub async fn run(mut self, mut requests: Requests) {
        let room = Arc::new(Semaphore::new(QUEUE_BYTES_MAX));
        loop {
            let request = tokio::select! {
                request = requests.next() => request,
                // The call has ended: nothing reads the queue.
                () = self.queue.closed() => return,
            };
            let queued = match request {
                Ok(None) => return,
                Ok(Some(request)) => self.check(request, &room).await,
                Err(status) => QueuedItem::Broken(Error::Broken(status)),
            };
            let goes_on = matches!(queued, QueuedItem::Events(_));
            if self.queue.send(queued).is_err() || !goes_on {
                return;
            }
        }
    }

    async fn check(&mut self, request: Bytes, room: &Arc<Semaphore>) -> QueuedItem {
        let bytes = request.len();
        self.spend(REQUEST_COST).await;
        let events = count_events(&request);
        charge(self.quota.as_deref(), events);
        if events > BATCH_EVENTS_MAX {
            return QueuedItem::Broken(Error::BatchTooLarge(events));
        }
        let retyped::EmitStreamRequest { events, validate_only } = match decode(request) {
            Ok(request) => request,
            Err(error) => return QueuedItem::Broken(error),
        };
        let mut work = self.work.take();
        if let Some(work) = &mut work {
            // A request without events waits in the queue, too.
            work.resize(Cost::of_events(bytes, events.len() + 1));
        }
        let queued = (bytes + QUEUED_EVENT_BYTES * (events.len() + 1)).min(QUEUE_BYTES_MAX);
        let queued = match self.queue_room(room, queued).await {
            Ok(queued) => queued,
            Err(stalled) => return stalled,
        };
        if let Err(error) = self.refresh() {
            return QueuedItem::Broken(Error::Access(error));
        }
        let mut checked = CheckedEvents {
            count: events.len() as u64,
            drafts: Vec::with_capacity(events.len()),
            refused: Vec::new(),
            appended_ids: Vec::new(),
            validate_only,
            _queued: queued,
            _work: work,
        };
        let now = Time::now();
        let intake =
            EventIntake { event_bytes: self.limits.event_bytes, policy: self.policy.now() };
        for (position, event) in (0..).zip(events) {
            self.spend(event.len() + EVENT_COST).await;
            match admit(&intake, self.quota.as_deref(), event, now).await {
                Ok(event) => match permit(&event, self.caller.grants()) {
                    Ok(()) => {
                        if event.id_was_appended() {
                            checked.appended_ids.push((position, event.id().to_owned()));
                        }
                        checked.drafts.push(Draft::new(event, &self.emitter));
                    }
                    Err(error) => checked.refused.push((position, error)),
                },
                Err(error) => checked.refused.push((position, error)),
            }
        }
        QueuedItem::Events(checked)
    }

    /// Counts what the next part of a request costs, and yields to other tasks after some of it: many small requests
    /// take as long as a large one.
    async fn spend(&mut self, cost: usize) {
        self.cost += cost;
        if self.cost > INTAKE_COST_MAX {
            self.cost = cost;
            tokio::task::yield_now().await;
        }
    }

    /// Waits for room in the queue of the stream. The unread data that h2 may hold meanwhile is
    /// charged to the client.
    async fn queue_room(
        &self,
        room: &Arc<Semaphore>,
        bytes: usize,
    ) -> Result<OwnedSemaphorePermit, QueuedItem> {
        let acquire = Arc::clone(room).acquire_many_owned(bytes as u32);
        if let Some(room) = acquire.now_or_never() {
            return Ok(room.expect("the semaphore is never closed"));
        }
        let account = self.quota.as_ref().map(|quota| quota.account());
        let unread = account.map(|one| one.try_charge(MemoryKind::Receiving, STREAM_WINDOW_BYTES));
        let _unread = unread.transpose().map_err(QueuedItem::Broken)?;
        let acquire = Arc::clone(room).acquire_many_owned(bytes as u32);
        match tokio::time::timeout(STALL_TIME_MAX, acquire).await {
            Ok(room) => Ok(room.expect("the semaphore is never closed")),
            Err(_) => Err(QueuedItem::Stalled),
        }
    }

    /// Authenticates the emitter again if the state has changed; it is refused at the next
    /// request if it lost its rights.
    fn refresh(&mut self) -> Result<(), access::Error> {
        self.caller = self.access.refresh(&self.caller)?;
        self.caller.grants().permit(MethodRule::Emit)
    }
}
