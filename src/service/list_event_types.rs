//! The method ListEventTypes.

use bytes::Bytes;
use tonic::Request;

use crate::catalog;
use crate::proto::codec::EncodedResponse;
use crate::proto::pb;
use crate::service::{Error, Service, decode};

impl Service {
    /// Lists the whole catalog: the existence of a type is not secret.
    pub(super) async fn event_types(
        &self,
        request: Request<Bytes>,
    ) -> Result<EncodedResponse, Error> {
        self.caller(&request)?;
        let pb::ListEventTypesRequest {} = decode(request.into_inner())?;
        let event_types = catalog::EVENT_TYPES.iter().map(describe).collect();
        Ok(EncodedResponse::message(&pb::ListEventTypesResponse { event_types }))
    }
}

fn describe(event_type: &catalog::EventType) -> pb::EventType {
    let codes = event_type.codes.iter().map(|code| pb::EventCode {
        code: code.code.to_owned(),
        result: code.result,
        severity: code.severity,
        description: code.description.to_owned(),
    });
    pb::EventType {
        r#type: event_type.name.to_owned(),
        field_name: event_type.field_name.to_owned(),
        category: event_type.category,
        severity: event_type.severity,
        description: event_type.description.to_owned(),
        codes: codes.collect(),
    }
}
