//! Reads the requests of a stream ahead of the log, and validates their events.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Streaming;

use crate::access::{self, AccessControl, Caller, MethodRule};
use crate::content::{ActivePolicy, EventIntake};
use crate::event;
use crate::proto::retyped;
use crate::record::{Draft, EmitterIdentity};
use crate::service::emit::{INTAKE_COST_MAX, INTAKE_EVENT_COST, charge, permit};
use crate::service::quota::{Quota, ResourceShare};
use crate::service::{BATCH_EVENTS_MAX, Error, ServiceLimits, decode, tonic_errors};
use crate::time::Time;

/// The maximum size of the queue of one stream, in bytes, with the overhead of each event.
const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The overhead of an event in the queue, in bytes; less than its overhead in the log.
pub const QUEUED_EVENT_BYTES: usize = 512;
/// How long the queue may be full before the gateway assumes that the emitter reads no
/// responses.
pub const STALL_TIME_MAX: Duration = Duration::from_secs(30);

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
    /// The events are only validated.
    pub validate_only: bool,
    /// Returns the queue space of the stream and of its principal when dropped.
    _room: (OwnedSemaphorePermit, Option<ResourceShare>),
}

/// Reads requests ahead.
pub struct RequestReader {
    /// The authorization of the emitter.
    pub access: Arc<AccessControl>,
    /// The identity of the emitter at the last check.
    pub caller: Arc<Caller>,
    /// Who emits.
    pub emitter: EmitterIdentity,
    /// The caller of the stream, if the call came through a listener.
    pub quota: Option<Arc<Quota>>,
    /// What is accepted.
    pub limits: ServiceLimits,
    /// The content policy.
    pub policy: ActivePolicy,
    /// The queue of validated events.
    pub queue: UnboundedSender<QueuedItem>,
}

impl RequestReader {
    /// Reads until the requests end or the queue is closed.
    pub async fn run(mut self, mut requests: Streaming<Bytes>) {
        let room = Arc::new(Semaphore::new(QUEUE_BYTES_MAX));
        loop {
            let request = tokio::select! {
                request = requests.message() => request,
                // The call has ended: nothing reads the queue.
                () = self.queue.closed() => return,
            };
            let queued = match request {
                Ok(None) => return,
                Ok(Some(request)) => self.check(request, &room).await,
                Err(status) => {
                    let error = tonic_errors::explain_message(&status, self.limits);
                    QueuedItem::Broken(error.unwrap_or(Error::Broken(status)))
                }
            };
            let goes_on = matches!(queued, QueuedItem::Events(_));
            if self.queue.send(queued).is_err() || !goes_on {
                return;
            }
        }
    }

    async fn check(&mut self, request: Bytes, room: &Arc<Semaphore>) -> QueuedItem {
        let size = request.len();
        let retyped::EmitStreamRequest { events, validate_only } = match decode(request) {
            Ok(request) => request,
            Err(error) => return QueuedItem::Broken(error),
        };
        if events.len() > BATCH_EVENTS_MAX {
            return QueuedItem::Broken(Error::BatchTooLarge(events.len()));
        }
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
            return QueuedItem::Stalled;
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
            _room: room,
        };
        let now = Time::now();
        let intake =
            EventIntake { event_bytes: self.limits.event_bytes, policy: self.policy.now() };
        let mut work = 0;
        for (position, event) in (0..).zip(events) {
            // Others may run between, also where redaction takes long.
            work += event.len() + INTAKE_EVENT_COST;
            if work > INTAKE_COST_MAX {
                tokio::task::yield_now().await;
                work = 0;
            }
            match intake.admit(event, now) {
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

    /// Authenticates the emitter again if the state has changed; it is refused at the next
    /// request if it lost its rights.
    fn refresh(&mut self) -> Result<(), access::Error> {
        self.caller = self.access.refresh(&self.caller)?;
        self.caller.grants().permit(MethodRule::Emit)
    }
}
