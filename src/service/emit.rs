//! Emit and EmitBatch.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use tonic::Request;
use uuid::Uuid;

use crate::access::Grants;
use crate::content::{Abandoned, EventIntake};
use crate::event::{self, Event};
use crate::hub::TimeSlices;
use crate::log::{Append, Receipt};
use crate::proto::codec::{EncodedResponse, Frame};
use crate::proto::retyped;
use crate::record::{Draft, EmitterIdentity};
use crate::service::cost::Cost;
use crate::service::quota::{HeavyWork, Quota, WorkRoom, in_turn};
use crate::service::status::{self, VIOLATIONS_MAX};
use crate::service::{Error, Service, decode, peer};
use crate::time::Time;
use crate::wire;

/// The maximum number of events in a batch.
pub const BATCH_EVENTS_MAX: usize = 10_000;
/// What events cost before others may run, in bytes: at most some 2 ms, also where
/// secrets are looked for.
pub(super) const INTAKE_COST_MAX: usize = 64 * 1024;
/// What an event costs beside its bytes.
pub(super) const INTAKE_EVENT_COST: usize = 1024;

impl Service {
    pub(super) async fn emit_one(&self, request: Request<Bytes>) -> Result<EncodedResponse, Error> {
        let caller = self.caller(&request)?;
        let emitter = peer::emitter(caller.principal(), &request);
        let quota = quota(&request);
        self.count_refusal(async {
            let request: retyped::EmitRequest = decode(request.into_inner())?;
            charge(quota.as_deref(), 1);
            let (intake, now) = (self.intake(), Time::now());
            let event = admit(&intake, quota.as_deref(), request.event, now).await;
            let event = event.map_err(Error::Event)?;
            permit(&event, caller.grants()).map_err(Error::Event)?;
            self.append(&[Draft::new(event, &emitter)], request.validate_only, false).await
        })
        .await
    }

    pub(super) async fn emit_many(
        &self,
        request: Request<Bytes>,
    ) -> Result<EncodedResponse, Error> {
        let caller = self.caller(&request)?;
        let emitter = peer::emitter(caller.principal(), &request);
        let quota = quota(&request);
        self.count_refusal(async {
            let work = request.extensions().get::<WorkRoom>().cloned();
            let body = request.into_inner();
            let bytes = body.len();
            // Before they are decoded: an event of two bytes becomes a slice of 32.
            let events = count_events(&body);
            charge(quota.as_deref(), events);
            if events > BATCH_EVENTS_MAX {
                return Err(Error::BatchTooLarge(events));
            }
            let request: retyped::EmitBatchRequest = decode(body)?;
            if request.events.is_empty() {
                return Err(Error::BatchEmpty);
            }
            if let Some(work) = work {
                work.shrink(Cost::of_events(bytes, events));
            }
            let drafts =
                self.check_all(request.events, &emitter, caller.grants(), quota.as_deref()).await?;
            self.append(&drafts, request.validate_only, true).await
        })
        .await
    }

    async fn check_all(
        &self,
        events: Vec<Bytes>,
        emitter: &EmitterIdentity,
        grants: &Grants,
        quota: Option<&Quota>,
    ) -> Result<Vec<Draft>, Error> {
        let (intake, now) = (self.intake(), Time::now());
        let mut drafts = Vec::with_capacity(events.len());
        let mut errors: Vec<(usize, event::Error)> = Vec::new();
        let mut total = 0;
        let mut refuse = |position, error| {
            total += 1;
            if errors.len() < VIOLATIONS_MAX {
                errors.push((position, error));
            }
        };
        let mut turns = TimeSlices::begin();
        let mut work = 0;
        for (position, event) in events.into_iter().enumerate() {
            work += event.len() + INTAKE_EVENT_COST;
            if work > INTAKE_COST_MAX {
                work = 0;
                self.hub.yield_now(&mut turns).await;
            }
            match admit(&intake, quota, event, now).await {
                Ok(event) => match permit(&event, grants) {
                    Ok(()) => drafts.push(Draft::new(event, emitter)),
                    Err(error) => refuse(position, error),
                },
                Err(error) => refuse(position, error),
            }
        }
        if total > 0 { Err(Error::Events { errors, total }) } else { Ok(drafts) }
    }

    /// Appends drafts, or only validates them; returns the response.
    async fn append(
        &self,
        drafts: &[Draft],
        validate_only: bool,
        batch: bool,
    ) -> Result<EncodedResponse, Error> {
        // Ended streams could not report it.
        if self.hub.stopping().is_cancelled() {
            return Err(Error::StoppingCall);
        }
        let appended = self.hub.append(drafts, Append::AllOrNothing { validate_only }).await;
        let appended = appended.map_err(|error| Error::Append { error, batch })?;
        let mut log_id = Uuid::encode_buffer();
        let log_id = self.hub.identity().id.hyphenated().encode_lower(&mut log_id);
        let receipts = drafts.iter().zip(appended.iter().flatten());
        Ok(response(receipts, validate_only, log_id))
    }

    async fn count_refusal<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let result = call.await;
        if let Err(error) = &result {
            self.hub.counters().refused.increment(status::error_reason(error));
        }
        result
    }
}

/// Field numbers of `Receipt`, and of the responses of Emit and EmitBatch, which
/// are the same.
mod number {
    pub const ID: u32 = 1;
    pub const SEQUENCE: u32 = 2;
    pub const ACCEPT_TIME: u32 = 3;
    pub const DUPLICATE: u32 = 4;
    pub const AMENDMENTS: u32 = 5;
    pub const RECEIPT: u32 = 1;
    pub const LOG_ID: u32 = 2;
    /// Field of the requests of EmitBatch and EmitStream.
    pub const EVENTS: u32 = 1;
}

/// How many events a request of EmitBatch or EmitStream holds, up to where it is malformed.
pub(super) fn count_events(request: &[u8]) -> usize {
    let fields = wire::fields(request).map_while(Result::ok);
    fields.filter(|(number, _)| *number == number::EVENTS).count()
}

/// The response with a receipt for each event, encoded straight from what is known.
/// With `amended` receipts tell what the gateway changed in the events.
fn response<'a>(
    receipts: impl Iterator<Item = (&'a Draft, &'a Receipt)> + Clone,
    amended: bool,
    log_id: &str,
) -> EncodedResponse {
    /// About what a receipt takes beside its id, in bytes.
    const RECEIPT_BYTES: usize = 32;
    let len = |(draft, _): (&Draft, _)| RECEIPT_BYTES + draft.event().id_bytes().len();
    let mut frame = Frame::default();
    frame.reserve(receipts.clone().map(len).sum::<usize>() + log_id.len() + 2);
    let response = frame.message();
    let mut rest = Vec::with_capacity(RECEIPT_BYTES);
    for (draft, receipt) in receipts {
        rest.clear();
        if receipt.sequence.0 != 0 {
            wire::put_varint_field(&mut rest, number::SEQUENCE, receipt.sequence.0);
        }
        if let Some(time) = receipt.accept_time {
            wire::put_timestamp_field(&mut rest, number::ACCEPT_TIME, time);
        }
        if receipt.duplicate {
            wire::put_varint_field(&mut rest, number::DUPLICATE, 1);
        }
        for amendment in draft.amendments().iter().filter(|_| amended) {
            wire::put_bytes_field(&mut rest, number::AMENDMENTS, &amendment.encode_to_vec());
        }
        let id = draft.event().id_bytes();
        let id_len = 1 + wire::varint_len(id.len() as u64) + id.len();
        wire::put_bytes_header(response, number::RECEIPT, id_len + rest.len());
        wire::put_bytes_field(response, number::ID, id);
        response.extend_from_slice(&rest);
    }
    wire::put_bytes_field(response, number::LOG_ID, log_id.as_bytes());
    frame.into()
}

/// As [`EventIntake::admit`]. A large event that is redacted takes longer than a time slice: a thread of its own
/// works on it, in the turn of its client, so that no other call waits for it. The thread looks again and again
/// whether the call has ended.
pub(super) async fn admit(
    intake: &EventIntake,
    quota: Option<&Quota>,
    event: Bytes,
    now: Time,
) -> Result<Event, event::Error> {
    if intake.policy.is_none() || event.len() <= INTAKE_COST_MAX {
        return intake.admit(event, now);
    }
    let (intake, abandoned) = (intake.clone(), Abandoned::default());
    let _waits = abandoned.on_drop();
    in_turn(quota, HeavyWork::Redact, move || intake.admit_large(event, now, &abandoned)).await
}

/// Whether an event of this type may be emitted.
pub(super) fn permit(event: &Event, grants: &Grants) -> Result<(), event::Error> {
    if grants.emit().has(event.type_id) && !event.type_id.is_custom() {
        return Ok(());
    }
    let type_name = event.type_name().concat();
    if grants.emit().contains(event.type_id, &type_name) {
        Ok(())
    } else if event.type_id.get().is_reserved() {
        Err(event::Error::Reserved { type_name })
    } else {
        Err(event::Error::Forbidden { type_name })
    }
}

/// The quota of the principal, if the call came through a listener.
pub(super) fn quota<T>(request: &Request<T>) -> Option<Arc<Quota>> {
    request.extensions().get().cloned()
}

/// Charges received events, accepted or not.
pub(super) fn charge(quota: Option<&Quota>, events: usize) {
    if let Some(quota) = quota {
        quota.events(events);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::pb;
    use crate::record::Sequence;

    #[test]
    fn a_response_is_encoded_as_the_protocol_has_it() {
        let time = |nanos: i64| Some(Time(1_700_000_000_000_000_000 + nanos));
        let receipts = [
            (300, time(5), false),
            (7, time(0), true),
            (301, time(5), false),
            (0, None, false),
            (0, None, true),
        ]
        .map(|(sequence, accept_time, duplicate)| Receipt {
            sequence: Sequence(sequence),
            accept_time,
            duplicate,
        });
        let long = "x".repeat(crate::event::ID_BYTES_MAX);
        let ids = ["a", "b", "0190b5a2-7d1f-7c3e-9a52-6f0f3c1d2e4b", &long, "ü"];
        let drafts = ids.map(|id| {
            let payload = pb::event::Payload::UserLogin(pb::UserLogin::default());
            let event =
                pb::Event { id: Some(id.into()), payload: Some(payload), ..Default::default() };
            let event = Event::check(event.encode_to_vec().into(), Time::now(), 4_096);
            Draft::new(event.expect("valid"), &pb::Emitter::default().into())
        });
        let expected = ids.iter().zip(receipts).map(|(id, receipt)| pb::Receipt {
            id: (*id).to_owned(),
            sequence: receipt.sequence.0,
            accept_time: receipt.accept_time.map(Time::timestamp),
            duplicate: receipt.duplicate,
            amendments: Vec::new(),
        });
        let expected = pb::EmitBatchResponse { receipts: expected.collect(), log_id: "log".into() };
        let encoded = response(drafts.iter().zip(&receipts), false, "log");
        assert_eq!(pb::EmitBatchResponse::decode(&*encoded.to_vec()), Ok(expected.clone()));

        let one = response(drafts.iter().zip(&receipts).take(1), false, "log");
        let receipt = expected.receipts.into_iter().next();
        assert_eq!(
            pb::EmitResponse::decode(&*one.to_vec()),
            Ok(pb::EmitResponse { receipt, log_id: "log".into() })
        );
    }
}
