//! The method ControlDelivery.

use bytes::Bytes;
use tonic::Request;

use crate::audit::ConfigChange;
use crate::delivery::{ControlAction, ControlError};
use crate::proto::codec::EncodedResponse;
use crate::proto::pb;
use crate::record::Sequence;
use crate::service::list_deliveries::delivery;
use crate::service::{Error, Service, decode};

impl Service {
    /// Executes a request of an operator, and records it as `auditgate.config_change`.
    pub(super) async fn controlled_delivery(
        &self,
        request: Request<Bytes>,
    ) -> Result<EncodedResponse, Error> {
        let reader = self.reader(&request)?;
        let request: pb::ControlDeliveryRequest = decode(request.into_inner())?;
        let action = action(&request)?;
        if let Some(sequence) = request.sequence {
            self.reach(&reader, Sequence(sequence).into()).await.map_err(Error::Read)?;
        }
        let controlled = match &self.deliveries {
            Some(deliveries) => deliveries.control(&request.name, action).await,
            None => Err(ControlError::Unknown { name: String::new(), nearest: None }),
        };
        let report = controlled.map_err(Error::Delivery)?;
        let change = ConfigChange {
            changed_keys: vec![changed(&report.name, action)],
            principal: reader.caller.principal().to_owned(),
            ..ConfigChange::default()
        };
        self.auditor.changed(change).await;
        let delivery = Some(delivery(report));
        Ok(EncodedResponse::message(&pb::ControlDeliveryResponse { delivery }))
    }
}

/// The change, as a sentence for its record.
fn changed(name: &str, action: ControlAction) -> String {
    match action {
        ControlAction::Pause => format!("delivery.{name}: paused"),
        ControlAction::Resume { from: None } => format!("delivery.{name}: resumed"),
        ControlAction::Resume { from: Some(from) } => {
            format!("delivery.{name}: resumed at record {from}")
        }
        ControlAction::Replay => format!("delivery.{name}: dead letters sent again"),
        ControlAction::Skip { to } => format!("delivery.{name}: records up to {to} left out"),
    }
}

fn action(request: &pb::ControlDeliveryRequest) -> Result<ControlAction, Error> {
    let sequence = request.sequence.map(Sequence);
    let number = request.action;
    let without = |action| match sequence {
        None => Ok(action),
        Some(_) => Err(Error::SequenceUnexpected),
    };
    match pb::DeliveryAction::try_from(number) {
        Ok(pb::DeliveryAction::Pause) => without(ControlAction::Pause),
        Ok(pb::DeliveryAction::Resume) => Ok(ControlAction::Resume { from: sequence }),
        Ok(pb::DeliveryAction::Replay) => without(ControlAction::Replay),
        Ok(pb::DeliveryAction::Skip) => match sequence {
            Some(to) => Ok(ControlAction::Skip { to }),
            None => Err(Error::SequenceMissing),
        },
        Ok(pb::DeliveryAction::Unspecified) | Err(_) => {
            Err(Error::EnumValue { field: "action", value: number, name: "DeliveryAction" })
        }
    }
}
