//! The method ListDeliveries, and the conversion of deliveries to messages.

use bytes::Bytes;
use tonic::Request;

use crate::delivery::{DeliveryPhase, DeliveryReport};
use crate::proto::codec::EncodedResponse;
use crate::proto::pb;
use crate::service::{Error, Service, decode};
use crate::time::Time;

impl Service {
    /// Lists the deliveries. It reads no record, so it is not recorded.
    pub(super) async fn all_deliveries(
        &self,
        request: Request<Bytes>,
    ) -> Result<EncodedResponse, Error> {
        let pb::ListDeliveriesRequest {} = decode(request.into_inner())?;
        let deliveries = self.delivery_messages();
        Ok(EncodedResponse::message(&pb::ListDeliveriesResponse { deliveries }))
    }

    /// The deliveries, by name.
    pub(super) fn delivery_messages(&self) -> Vec<pb::Delivery> {
        let deliveries = self.deliveries.as_ref().map(|deliveries| deliveries.list());
        deliveries.unwrap_or_default().into_iter().map(delivery).collect()
    }
}

/// A delivery as a message.
pub(super) fn delivery(report: DeliveryReport) -> pb::Delivery {
    let state = match report.phase {
        DeliveryPhase::Running => pb::DeliveryState::Running,
        DeliveryPhase::Retrying => pb::DeliveryState::Retrying,
        DeliveryPhase::Blocked => pb::DeliveryState::Blocked,
        DeliveryPhase::Paused => pb::DeliveryState::Paused,
        DeliveryPhase::Undecided => pb::DeliveryState::Undecided,
        DeliveryPhase::Ended => pb::DeliveryState::Ended,
        DeliveryPhase::Elsewhere => pb::DeliveryState::Elsewhere,
    };
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    pb::Delivery {
        name: report.name,
        format: report.format.to_owned(),
        destination: report.destination,
        state: state.into(),
        reason: report.reason,
        state_time: report.since.map(Time::timestamp),
        sequence: report.position.0,
        lag_records: report.lag_records,
        lag: prost_types::Duration::try_from(report.lag).ok(),
        last_success_time: report.last_success.map(Time::timestamp),
        delivered: report.delivered,
        delivered_bytes: report.bytes,
        batches: report.batches,
        retries: report.retries,
        rejected: report.rejected,
        repeated_records: report.repeated,
        gaps: report.gaps,
        missed: report.missed,
        dead_letters: report.dead_letters,
        dead_letter_bytes: report.dead_letter_bytes,
        in_flight: small(report.in_flight),
        in_flight_limit: small(report.in_flight_max as u64),
        held_bytes: report.held_bytes,
        holds_retention: report.holds,
        acknowledged: report.acknowledges,
    }
}
