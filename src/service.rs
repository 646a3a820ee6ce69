//! The service `auditgate.v1.AuditService`, one method a file. Each method decodes the
//! request, calls the hub and encodes the response.

mod check_filter;
mod count_records;
mod emit;
mod emit_stream;
mod error;
mod get_caller;
mod get_record;
mod get_status;
mod list_event_types;
mod prove;
pub mod quota;
mod reader;
mod request_query;
mod search;
pub mod status;
mod subscribe;
pub mod tonic_errors;
mod top_values;
mod uncopied_subscribe;
#[cfg(test)]
mod unreadable;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::access::{AccessControl, Caller};
use crate::audit::Auditor;
use crate::content::{ActivePolicy, EventIntake};
use crate::event::EVENT_BYTES_MAX;
use crate::hub::Hub;
use crate::proof::prover::Prover;
use crate::proto;
use crate::proto::codec::EncodedResponse;
use crate::proto::retyped::audit_service_server::AuditService;

pub use emit::BATCH_EVENTS_MAX;
pub use error::Error;
pub use search::{PAGE_SIZE, PAGE_SIZE_MAX};
pub use uncopied_subscribe::UncopiedSubscribe;

/// Full name of the service.
pub const NAME: &str = proto::SERVICE;
/// Default of [`ServiceLimits::request_bytes`].
pub const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The minimum rate at which a client must send a message, after [`REQUEST_GRACE`].
pub const REQUEST_BYTES_PER_SECOND_MIN: usize = 16 * 1024;
/// The extra time for receiving a message, beside the time for its bytes.
pub const REQUEST_GRACE: std::time::Duration = std::time::Duration::from_secs(5);

/// What the service accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceLimits {
    /// The largest event, encoded, in bytes.
    pub event_bytes: usize,
    /// The largest request, decompressed, in bytes.
    pub request_bytes: usize,
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self { event_bytes: EVENT_BYTES_MAX, request_bytes: REQUEST_BYTES_MAX }
    }
}

/// The service over a hub.
#[derive(Clone)]
pub struct Service {
    hub: Arc<Hub>,
    access: Arc<AccessControl>,
    auditor: Auditor,
    limits: ServiceLimits,
    policy: ActivePolicy,
    prover: Option<Arc<Prover>>,
}

impl Service {
    /// The service on `hub`, without proofs and without a content policy. If `access` is not
    /// open, a layer before the service must put the [`Caller`] into the extensions of each
    /// request.
    pub fn new(hub: Arc<Hub>, access: Arc<AccessControl>, limits: ServiceLimits) -> Self {
        let policy = ActivePolicy::default();
        Self { hub, access, auditor: Auditor::off(), limits, policy, prover: None }
    }

    /// The same, with an auditor that records reads.
    pub fn with_audit(self, auditor: Auditor) -> Self {
        Self { auditor, ..self }
    }

    /// The same, with proofs by `prover`, whose log is the hub's.
    pub fn with_proofs(self, prover: Option<Arc<Prover>>) -> Self {
        Self { prover, ..self }
    }

    /// The same, with a policy for the content of events.
    pub fn with_policy(self, policy: ActivePolicy) -> Self {
        Self { policy, ..self }
    }

    /// The current intake of events.
    fn intake(&self) -> EventIntake {
        EventIntake { event_bytes: self.limits.event_bytes, policy: self.policy.now() }
    }

    /// Who calls.
    fn caller<T>(&self, request: &Request<T>) -> Result<Arc<Caller>, Error> {
        match request.extensions().get::<Arc<Caller>>() {
            Some(caller) => Ok(Arc::clone(caller)),
            None if self.access.is_open() => Ok(Caller::anybody()),
            None => Err(Error::Access(crate::access::Error::CredentialsMissing)),
        }
    }
}

/// Network address of the client.
fn peer<T>(request: &Request<T>) -> String {
    request.remote_addr().map(|address| address.to_string()).unwrap_or_default()
}

/// Decodes a request.
fn decode<M: prost::Message + Default>(body: Bytes) -> Result<M, Error> {
    M::decode(body).map_err(Error::Malformed)
}

fn respond(result: Result<EncodedResponse, Error>) -> Result<Response<EncodedResponse>, Status> {
    result.map(Response::new).map_err(Status::from)
}

/// Responses of a streaming call.
type Responses = Pin<Box<dyn Stream<Item = Result<EncodedResponse, Status>> + Send>>;

#[tonic::async_trait]
impl AuditService for Service {
    type EmitStreamStream = Responses;
    type SubscribeStream = Responses;

    async fn emit(&self, request: Request<Bytes>) -> Result<Response<EncodedResponse>, Status> {
        respond(self.emit_one(request).await)
    }

    async fn emit_batch(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<EncodedResponse>, Status> {
        respond(self.emit_many(request).await)
    }

    async fn emit_stream(
        &self,
        request: Request<Streaming<Bytes>>,
    ) -> Result<Response<Self::EmitStreamStream>, Status> {
        self.answer_stream(request).map(Response::new).map_err(Status::from)
    }

    async fn subscribe(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let responses = self.open_stream(request).await?;
        let responses = responses.map_ok(|framed| EncodedResponse::new(framed.message()));
        Ok(Response::new(Box::pin(responses)))
    }

    async fn search(&self, request: Request<Bytes>) -> Result<Response<EncodedResponse>, Status> {
        respond(self.search_page(request).await)
    }

    async fn get_record(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<EncodedResponse>, Status> {
        respond(self.one_record(request).await)
    }

    async fn count_records(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<EncodedResponse>, Status> {
        respond(self.counts(request).await)
    }

    async fn check_filter(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<EncodedResponse>, Status> {
        respond(self.check(request).await)
    }

    async fn top_values(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<EncodedResponse>, Status> {
        respond(self.top_values_of(request).await)
    }

    async fn get_caller(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<EncodedResponse>, Status> {
        respond(self.who_calls(request))
    }

    async fn list_event_types(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<EncodedResponse>, Status> {
        respond(self.event_types(request))
    }

    async fn get_status(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<EncodedResponse>, Status> {
        respond(self.current_status(request))
    }

    async fn get_checkpoint(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<EncodedResponse>, Status> {
        respond(self.checkpoint(request).await)
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<EncodedResponse>, Status> {
        respond(self.inclusion(request).await)
    }

    async fn get_consistency_proof(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<EncodedResponse>, Status> {
        respond(self.consistency(request).await)
    }
}
