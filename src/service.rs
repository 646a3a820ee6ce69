//! The service `auditgate.v1.AuditService`, one method a file. Each method decodes the
//! request, calls the hub and encodes the response.

mod check_filter;
mod control_delivery;
mod cost;
mod count_records;
mod emit;
mod emit_stream;
mod error;
mod get_caller;
mod get_record;
mod get_status;
mod grpc_service;
mod list_deliveries;
mod list_event_types;
mod operations;
pub mod peer;
mod prove;
pub mod quota;
mod reader;
mod request_query;
mod requests;
mod search;
pub mod status;
mod subscribe;
pub mod tonic_errors;
mod top_values;
#[cfg(test)]
mod unreadable;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio_stream::Stream;
use tonic::{Request, Status};

use crate::access::{AccessControl, Caller};
use crate::audit::Auditor;
use crate::content::{ActivePolicy, EventIntake};
use crate::delivery::Deliveries;
use crate::event::EVENT_BYTES_MAX;
use crate::hub::Hub;
use crate::proof::prover::Prover;
use crate::proto;
use crate::proto::codec::EncodedResponse;

use quota::Quotas;

pub use cost::Cost;
pub use emit::BATCH_EVENTS_MAX;
pub use error::Error;
pub use grpc_service::GrpcService;
pub use operations::{Operations, OperationsReport};
pub use search::{PAGE_SIZE, PAGE_SIZE_MAX};

/// Full name of the service.
pub const NAME: &str = proto::SERVICE;
/// Default of [`ServiceLimits::request_bytes`].
pub const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// HTTP/2 flow-control window of a stream: the bytes that a client may send ahead of the gateway.
pub const STREAM_WINDOW_BYTES: usize = 256 * 1024;
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
    quotas: Option<Arc<Quotas>>,
    deliveries: Option<Arc<Deliveries>>,
    operations: Option<Arc<dyn OperationsReport>>,
}

impl Service {
    /// The service on `hub`, without proofs and without a content policy. If `access` is not
    /// open, a layer before the service must put the [`Caller`] into the extensions of each
    /// request.
    pub fn new(hub: Arc<Hub>, access: Arc<AccessControl>, limits: ServiceLimits) -> Self {
        Self {
            hub,
            access,
            auditor: Auditor::off(),
            limits,
            policy: ActivePolicy::default(),
            prover: None,
            quotas: None,
            operations: None,
            deliveries: None,
        }
    }

    /// Adds an auditor that records reads.
    pub fn with_audit(self, auditor: Auditor) -> Self {
        Self { auditor, ..self }
    }

    /// Adds proofs by `prover`, whose log is the hub's.
    pub fn with_proofs(self, prover: Option<Arc<Prover>>) -> Self {
        Self { prover, ..self }
    }

    /// Adds the quotas, whose accounts the status shows.
    pub fn with_accounts(self, quotas: Arc<Quotas>) -> Self {
        Self { quotas: Some(quotas), ..self }
    }

    /// Adds the deliveries of the hub, to show and control them.
    pub fn with_deliveries(self, deliveries: Arc<Deliveries>) -> Self {
        Self { deliveries: Some(deliveries), ..self }
    }

    /// Adds a report of the server around the service, which the status shows.
    pub fn with_operations(self, operations: Arc<dyn OperationsReport>) -> Self {
        Self { operations: Some(operations), ..self }
    }

    /// Adds a policy for the content of events.
    pub fn with_policy(self, policy: ActivePolicy) -> Self {
        Self { policy, ..self }
    }

    /// The current intake of events.
    fn intake(&self) -> EventIntake {
        EventIntake { event_bytes: self.limits.event_bytes, policy: self.policy.now() }
    }

    /// The caller of a request.
    fn caller<T>(&self, request: &Request<T>) -> Result<Arc<Caller>, Error> {
        match request.extensions().get::<Arc<Caller>>() {
            Some(caller) => Ok(Arc::clone(caller)),
            None if self.access.is_open() => Ok(Caller::anybody()),
            None => Err(Error::Access(crate::access::Error::CredentialsMissing)),
        }
    }
}

/// Decodes a request.
fn decode<M: prost::Message + Default>(body: Bytes) -> Result<M, Error> {
    M::decode(body).map_err(Error::Malformed)
}

/// Responses of a streaming call.
type Responses = Pin<Box<dyn Stream<Item = Result<EncodedResponse, Status>> + Send>>;
