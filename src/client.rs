//! A client of the gateway, with the retries, ids and cursors that the protocol expects.
//!
//! [`Client`] makes unary calls. An [`Emitter`] sends events on a stream, and sends them again
//! under the same ids after a lost connection. A [`Subscriber`] follows the log across lost
//! connections. [`Results`] fetches the pages of a search. [`Client::rpc`] is the generated client,
//! for everything else.
//!
//! A client of several gateways with one shared log, given as `http://a:50051,http://b:50051`, uses
//! one of them, and changes to the next one if it fails: see [`Client::connect`].
//!
//! Without the server this module is small: `default-features = false`, and `tls` for TLS.
//!
//! # Examples
//!
//! ```no_run
//! use auditgate::client::{Client, Item, Start};
//! use auditgate::proto::pb;
//!
//! # async fn run() -> Result<(), auditgate::client::Error> {
//! let client = Client::connect("http://127.0.0.1:50051").await?;
//! let receipt = client
//!     .emit(pb::Event {
//!         user: Some(pb::User { name: Some("alice".into()), ..Default::default() }),
//!         payload: Some(pb::event::Payload::UserLogin(pb::UserLogin::default())),
//!         ..Default::default()
//!     })
//!     .await?;
//! println!("record {}", receipt.sequence);
//!
//! let failures = pb::Filter {
//!     results: vec![pb::Result::Failure.into()],
//!     ..Default::default()
//! };
//! let mut subscriber = client.subscribe(failures, Start::Latest);
//! loop {
//!     if let Item::Record(record) = subscriber.next().await? {
//!         println!("{} {}", record.sequence, record.r#type);
//!     }
//! }
//! # }
//! ```

mod connect;
mod connect_error;
mod credentials;
mod deliveries;
mod emitter;
mod endpoint;
mod error;
mod probe;
mod retry;
mod search;
mod servers;
mod subscriber;

use std::sync::Arc;
use std::time::Duration;

use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::proto::pb;
use crate::proto::pb::audit_service_client::AuditServiceClient;

use servers::Servers;

pub use credentials::{Bearer, Credentials};
pub use emitter::{Emitter, Options, Pending};
pub use error::{Error, ExpressionPlace, Refusal, Violation};
pub use retry::RETRY_TIME_MAX;

pub use crate::backoff::{WAIT_MAX, WAIT_MIN};
pub use search::Results;
pub use servers::{SERVERS_MAX, ServerNotice};
pub use subscriber::{Item, SILENCE_TIME_MAX, Start, Subscriber};

/// The default URL of a gateway.
pub const URL: &str = "http://127.0.0.1:50051";
/// Time limit for making a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Deadline of one attempt at a call.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(10);
/// The largest HTTP/2 frame that the client accepts, in bytes: more than a gateway sends at once.
/// The usual frames of 16 KiB need four times as many system calls.
const FRAME_BYTES_MAX: u32 = 256 * 1024;
/// Interval of keepalive pings to a silent gateway.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// Time limit for the answer to a ping.
const KEEPALIVE_TIME_MAX: Duration = Duration::from_secs(10);
/// The largest response, in bytes. Pages and messages of streams are far smaller, except those with
/// one large record.
const RESPONSE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The user agent of this client.
const USER_AGENT: &str = concat!("auditgate-client/", env!("CARGO_PKG_VERSION"));

/// The transport of calls: a connection, and the token that is sent with each call.
pub type Transport = InterceptedService<Channel, Bearer>;

/// A connection to a gateway, or to one of several that have one log. Clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    servers: Arc<Servers>,
}

impl Client {
    /// Emits one event and waits for the receipt. An event without an id gets a UUIDv7, and an
    /// event without a time gets the present. Retries use the same id, so that the gateway stores
    /// the event once. For many events, see [`Client::emitter`].
    ///
    /// If the future is dropped, the event may or may not be stored. An event with an id can be
    /// emitted again.
    ///
    /// # Errors
    /// [`Error::Refused`] or [`Error::GaveUp`].
    pub async fn emit(&self, mut event: pb::Event) -> Result<pb::Receipt, Error> {
        emitter::complete(&mut event);
        let request = pb::EmitRequest { event: Some(event), validate_only: false };
        let response =
            self.call(&request, |mut rpc, request| async move { rpc.emit(request).await }).await?;
        response.receipt.ok_or_else(|| Refusal::protocol("response carries no receipt").into())
    }

    /// Emits events in this order, all or none of them.
    ///
    /// # Errors
    /// [`Error::Refused`], which names the invalid events: [`Violation::event_position`]; or
    /// [`Error::GaveUp`]. Without ids, a batch that is resent after that may be stored twice.
    pub async fn emit_batch(
        &self,
        request: &pb::EmitBatchRequest,
    ) -> Result<Vec<pb::Receipt>, Error> {
        let response = self
            .call(request, |mut rpc, request| async move { rpc.emit_batch(request).await })
            .await?;
        if response.receipts.len() != request.events.len() {
            return Err(Refusal::protocol("response has not a receipt for each event").into());
        }
        Ok(response.receipts)
    }

    /// An emitter for many events.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn emitter(&self, options: Options) -> Emitter {
        Emitter::start(self.clone(), options)
    }

    /// Follows the records that match `filter`. Connects with the first
    /// [`Subscriber::next`].
    pub fn subscribe(&self, filter: pb::Filter, start: Start) -> Subscriber {
        Subscriber::new(self.clone(), filter, start)
    }

    /// Searches, and fetches pages as results are read. Starts at `page_token`, if set; a
    /// `page_size` of 0 requests the largest pages.
    pub fn search(&self, request: pb::SearchRequest) -> Results {
        Results::new(self.clone(), request)
    }

    /// The record with this event id or at this sequence.
    ///
    /// # Errors
    /// [`Error::Refused`] with the code `NotFound` if there is no such record;
    /// [`Error::GaveUp`].
    pub async fn get_record(&self, key: pb::get_record_request::Key) -> Result<pb::Record, Error> {
        let request = pb::GetRecordRequest { key: Some(key) };
        let response = self
            .call(&request, |mut rpc, request| async move { rpc.get_record(request).await })
            .await?;
        response.record.ok_or_else(|| Refusal::protocol("response carries no record").into())
    }

    /// The most frequent values of some fields.
    ///
    /// # Errors
    /// [`Error::Refused`] or [`Error::GaveUp`].
    pub async fn top_values(
        &self,
        request: &pb::TopValuesRequest,
    ) -> Result<pb::TopValuesResponse, Error> {
        self.call(request, |mut rpc, request| async move { rpc.top_values(request).await }).await
    }

    /// Describes the caller: its name, grants and expiry.
    ///
    /// # Errors
    /// [`Error::Refused`] or [`Error::GaveUp`].
    pub async fn get_caller(&self) -> Result<pb::GetCallerResponse, Error> {
        let request = pb::GetCallerRequest {};
        self.call(&request, |mut rpc, request| async move { rpc.get_caller(request).await }).await
    }

    /// Counts records by type, category, severity or result, and time bucket.
    ///
    /// # Errors
    /// [`Error::Refused`] or [`Error::GaveUp`].
    pub async fn count_records(
        &self,
        request: &pb::CountRecordsRequest,
    ) -> Result<pb::CountRecordsResponse, Error> {
        self.call(request, |mut rpc, request| async move { rpc.count_records(request).await }).await
    }

    /// The event types that the gateway knows.
    ///
    /// # Errors
    /// [`Error::Refused`] or [`Error::GaveUp`].
    pub async fn list_event_types(&self) -> Result<Vec<pb::EventType>, Error> {
        let request = pb::ListEventTypesRequest {};
        let response = self
            .call(&request, |mut rpc, request| async move { rpc.list_event_types(request).await })
            .await?;
        Ok(response.event_types)
    }

    /// The state of the log, counters, rates and open subscriptions.
    ///
    /// # Errors
    /// [`Error::Refused`] or [`Error::GaveUp`].
    pub async fn get_status(&self) -> Result<pb::GetStatusResponse, Error> {
        let request = pb::GetStatusRequest {};
        self.call(&request, |mut rpc, request| async move { rpc.get_status(request).await }).await
    }

    /// A signed checkpoint of all records that are durable.
    ///
    /// # Errors
    /// [`Error::Refused`], also if the gateway keeps no Merkle tree; or [`Error::GaveUp`].
    pub async fn get_checkpoint(&self) -> Result<pb::GetCheckpointResponse, Error> {
        let request = pb::GetCheckpointRequest {};
        self.call(&request, |mut rpc, request| async move { rpc.get_checkpoint(request).await })
            .await
    }

    /// Proves that the log has the record with this event id or sequence, in the tree of `size`
    /// records, or of the newest checkpoint if `size` is 0.
    ///
    /// # Errors
    /// [`Error::Refused`] with the code `NotFound` if there is no such record;
    /// [`Error::GaveUp`].
    pub async fn get_inclusion_proof(
        &self,
        key: pb::get_inclusion_proof_request::Key,
        size: u64,
    ) -> Result<pb::GetInclusionProofResponse, Error> {
        let request = pb::GetInclusionProofRequest { key: Some(key), size };
        self.call(
            &request,
            |mut rpc, request| async move { rpc.get_inclusion_proof(request).await },
        )
        .await
    }

    /// Proves that the log still begins with the `old_size` records of an earlier checkpoint.
    ///
    /// # Errors
    /// [`Error::Refused`], also if the log has fewer records; or [`Error::GaveUp`].
    pub async fn get_consistency_proof(
        &self,
        old_size: u64,
    ) -> Result<pb::GetConsistencyProofResponse, Error> {
        let request = pb::GetConsistencyProofRequest { old_size };
        self.call(
            &request,
            |mut rpc, request| async move { rpc.get_consistency_proof(request).await },
        )
        .await
    }

    /// Makes a call with a deadline, and retries it while that may help.
    async fn call<Q: Clone, R, F>(
        &self,
        request: &Q,
        call: impl Fn(AuditServiceClient<Transport>, Request<Q>) -> F,
    ) -> Result<R, Error>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let attempt = |transport| {
            let mut request = Request::new(request.clone());
            request.set_timeout(CALL_TIME_MAX);
            call(rpc(transport), request)
        };
        Ok(retry::retrying(&self.servers, attempt).await?.into_inner())
    }
}

fn rpc(transport: Transport) -> AuditServiceClient<Transport> {
    AuditServiceClient::new(transport).max_decoding_message_size(RESPONSE_BYTES_MAX)
}
