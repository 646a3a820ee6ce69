//! The method GetCaller.

use bytes::Bytes;
use tonic::Request;

use crate::proto::codec::EncodedResponse;
use crate::proto::pb;
use crate::service::{Error, Service, decode};

impl Service {
    pub(super) async fn who_calls(
        &self,
        request: Request<Bytes>,
    ) -> Result<EncodedResponse, Error> {
        let caller = self.caller(&request)?;
        let pb::GetCallerRequest {} = decode(request.into_inner())?;
        let grants = caller.grants();
        Ok(EncodedResponse::message(&pb::GetCallerResponse {
            principal: caller.principal().to_owned(),
            authenticated: !self.access.is_open(),
            readable_types: grants.read().names(),
            emittable_types: grants.emit().names(),
            rights: grants.rights().map(|right| right.name().to_owned()).collect(),
            expire_time: caller.expires().map(prost_types::Timestamp::from),
            log_id: self.hub.identity().id.to_string(),
        }))
    }
}
