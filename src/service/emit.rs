//! Emit and EmitBatch.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tonic::Request;

use crate::event::{self, Event};
use crate::log::Placed;
use crate::proto::codec::Encoded;
use crate::proto::{pb, retyped};
use crate::record::{Draft, Emitter};
use crate::service::quota::Quota;
use crate::service::status::VIOLATIONS_MAX;
use crate::service::{Error, Service, decode, peer};
use crate::time::Time;

/// The most events of a batch.
pub const BATCH_EVENTS_MAX: usize = 10_000;

impl Service {
    pub(super) async fn emit_one(&self, request: Request<Bytes>) -> Result<Encoded, Error> {
        let emitter = emitter(&request);
        let quota = quota(&request);
        self.count_refusal(async {
            let request: retyped::EmitRequest = decode(request.into_inner())?;
            charge(quota.as_deref(), 1);
            let event = Event::check(request.event, Time::now(), self.limits.event_bytes)
                .map_err(Error::Event)?;
            let drafts = vec![Draft::new(event, &emitter)];
            let (receipts, log_id) = self.append(drafts, request.validate_only, false).await?;
            Ok(Encoded::message(&pb::EmitResponse { receipt: receipts.into_iter().next(), log_id }))
        })
        .await
    }

    pub(super) async fn emit_many(&self, request: Request<Bytes>) -> Result<Encoded, Error> {
        let emitter = emitter(&request);
        let quota = quota(&request);
        self.count_refusal(async {
            let request: retyped::EmitBatchRequest = decode(request.into_inner())?;
            charge(quota.as_deref(), request.events.len());
            if request.events.is_empty() {
                return Err(Error::BatchEmpty);
            }
            if request.events.len() > BATCH_EVENTS_MAX {
                return Err(Error::BatchTooLarge(request.events.len()));
            }
            let drafts = self.check_all(request.events, &emitter)?;
            let (receipts, log_id) = self.append(drafts, request.validate_only, true).await?;
            Ok(Encoded::message(&pb::EmitBatchResponse { receipts, log_id }))
        })
        .await
    }

    fn check_all(&self, events: Vec<Bytes>, emitter: &Emitter) -> Result<Vec<Draft>, Error> {
        let now = Time::now();
        let mut drafts = Vec::with_capacity(events.len());
        let mut errors: Vec<(usize, event::Error)> = Vec::new();
        let mut total = 0;
        for (position, event) in events.into_iter().enumerate() {
            match Event::check(event, now, self.limits.event_bytes) {
                Ok(event) => drafts.push(Draft::new(event, emitter)),
                Err(error) => {
                    total += 1;
                    if errors.len() < VIOLATIONS_MAX {
                        errors.push((position, error));
                    }
                }
            }
        }
        if total > 0 { Err(Error::Events { errors, total }) } else { Ok(drafts) }
    }

    /// Appends drafts, or only checks them; gives the receipts and the log's id.
    async fn append(
        &self,
        drafts: Vec<Draft>,
        validate_only: bool,
        batch: bool,
    ) -> Result<(Vec<pb::Receipt>, String), Error> {
        // Streams that have ended would not tell of it.
        if self.hub.stopping().is_cancelled() {
            return Err(Error::StoppingCall);
        }
        let ids: Vec<String> = drafts.iter().map(|draft| draft.event().id().to_owned()).collect();
        let placed = self.hub.append(drafts, !validate_only).await;
        let placed = placed.map_err(|error| Error::Append { error, batch })?;
        let receipts =
            ids.into_iter().zip(placed).map(|(id, placed)| receipt(id, placed)).collect();
        Ok((receipts, self.hub.identity().id.to_string()))
    }

    async fn count_refusal<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let result = call.await;
        if result.is_err() {
            self.hub.counters().refused.fetch_add(1, Ordering::Relaxed);
        }
        result
    }
}

fn receipt(id: String, placed: Placed) -> pb::Receipt {
    pb::Receipt {
        id,
        sequence: placed.sequence.0,
        accept_time: placed.accept_time.map(Time::timestamp),
        duplicate: placed.duplicate,
    }
}

pub(super) fn emitter<T>(request: &Request<T>) -> Emitter {
    pb::Emitter { principal: String::new(), peer: peer(request) }.into()
}

/// The quota of the principal, where the call came through a listener.
pub(super) fn quota<T>(request: &Request<T>) -> Option<Arc<Quota>> {
    request.extensions().get().cloned()
}

/// Counts events that came, whatever becomes of them.
pub(super) fn charge(quota: Option<&Quota>, events: usize) {
    if let Some(quota) = quota {
        quota.events(events);
    }
}
