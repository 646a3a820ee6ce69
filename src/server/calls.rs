//! The tower layer around every call: it authenticates, counts and times the call, applies
//! the quota of its principal and its deadline, and adds details to a refusal.

mod call_record;
mod compress;
mod context;
mod deadline;
mod decompress;
mod encoding;
mod inbound;
mod outbound;

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{HeaderMap, HeaderValue, Request, Response};
use tonic::body::Body;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tower::{Layer, Service};

use crate::access::{AccessControl, Caller, Denied, MethodRule, method_rule};
use crate::audit::{Auditor, Denial};
use crate::server::authenticate;
use crate::server::connection::Connection;
use crate::server::connection::flow::Reset;
use crate::server::listener::ConnectionCounters;
use crate::server::log_limiter::LogLimiter;
use crate::server::stats::{CallStats, MethodStats, UNKNOWN};
use crate::service::quota::{ClientKey, MemoryKind, Quota, Quotas, WorkRoom};
use crate::service::{Cost, Error, ServiceLimits, tonic_errors};
use call_record::{CODE, CallRecord};
use compress::CompressedBody;
use context::CallContext;
use encoding::MessageEncoding;
use inbound::RequestBody;
use outbound::{CallDeadline, ResponseBody};

/// Header of the encoded `google.rpc.Status`.
const DETAILS: &str = "grpc-status-details-bin";

/// Memory of a call, in bytes. Its headers are freed as soon as it has begun.
const CALL_BYTES: usize = 8 * 1024;
/// Memory of a call of another service, in bytes: tonic keeps a buffer for requests, and one for
/// answers.
const FOREIGN_CALL_BYTES: usize = CALL_BYTES + 3 * FOREIGN_REQUEST_BYTES_MAX;
/// The most bytes of a request of another service: health and reflection take short names.
const FOREIGN_REQUEST_BYTES_MAX: usize = 8 * 1024;
/// Memory of a refused call until the client has read the refusal, in bytes.
const REFUSED_CALL_BYTES: usize = 4 * 1024;

/// The state that all calls share.
pub struct CallRules {
    /// Authentication and authorization.
    pub access: Arc<AccessControl>,
    /// Records refused calls.
    pub auditor: Auditor,
    /// The limits of requests.
    pub limits: ServiceLimits,
    /// The quotas of principals.
    pub quotas: Arc<Quotas>,
    /// The counters of calls.
    pub stats: Arc<CallStats>,
    /// The log of streams that ended with an error.
    pub connections: Arc<ConnectionCounters>,
    /// Limits the log lines about calls.
    pub log_limiter: Arc<LogLimiter>,
}

/// The tower layer that makes [`CallService`].
#[derive(Clone)]
pub struct CallLayer {
    rules: Arc<CallRules>,
}

/// Applies the rules to each call.
#[derive(Clone)]
pub struct CallService<S> {
    inner: S,
    rules: Arc<CallRules>,
}

impl CallLayer {
    /// The layer that applies these rules.
    pub fn new(rules: Arc<CallRules>) -> Self {
        Self { rules }
    }
}

impl<S> Layer<S> for CallLayer {
    type Service = CallService<S>;

    fn layer(&self, inner: S) -> CallService<S> {
        CallService { inner, rules: Arc::clone(&self.rules) }
    }
}

impl<S> Service<Request<Body>> for CallService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The clone may not be ready; this service is.
        let mut inner = self.inner.clone();
        std::mem::swap(&mut inner, &mut self.inner);
        let rules = Arc::clone(&self.rules);
        let method = Arc::clone(rules.stats.method(request.uri().path()));
        let connection = request.extensions().get::<Arc<Connection>>().cloned();
        let channel = connection.as_ref().map(|connection| &connection.channel);
        let admitted = authenticate::admit(&rules.access, channel, &mut request);
        let origin = CallOrigin::of(&request, &method, connection.clone(), &admitted);
        let quota = quota(&rules.quotas, connection.as_ref(), &request);
        let call = connection.as_ref().map(Connection::begin);
        let context = CallContext::of(request.headers());
        let mut record = CallRecord::begin(&rules, Arc::clone(&method), context, call);
        record.principal = origin.principal.clone().filter(|name| !name.is_empty());
        let asked = deadline::timeout(request.headers());
        let mut deadline =
            asked.map(|asked| CallDeadline { asked, sleep: Box::pin(tokio::time::sleep(asked)) });
        let is_ours = method.of_service.is_some();
        let packing = MessageEncoding::accepted(request.headers()).filter(|_| is_ours);
        let reset = request.extensions_mut().remove::<Reset>();
        let refused = match admit(&method, is_ours, &quota, &mut record) {
            Err(error) => Some(refusal(error)),
            // The quota was charged before, so guessing credentials is limited.
            Ok(()) => match admitted {
                Err(denied) => Some(refusal(Error::Access(denied.error))),
                Ok(()) => {
                    MessageEncoding::unknown(request.headers()).map(|name| unknown_encoding(&name))
                }
            },
        };
        let answering = match refused {
            // The headers are freed at once, because thousands of calls may be refused before one
            // is answered.
            Some(refused) => {
                drop(request);
                Either::Left(ready(Ok(refused)))
            }
            None => {
                let rules_in = inbound::Rules {
                    encoding: MessageEncoding::take(request.headers_mut()),
                    limit: if is_ours {
                        rules.limits.request_bytes
                    } else {
                        FOREIGN_REQUEST_BYTES_MAX
                    },
                    cost: method.of_service.map_or(Cost::NONE, Cost::of),
                    streams: method.client_streams,
                };
                // No service reads these headers, and a value of two bytes may hold the whole
                // buffer in which it arrived.
                drop(std::mem::take(request.headers_mut()));
                let work = WorkRoom::default();
                request.extensions_mut().insert(Arc::clone(&quota));
                request.extensions_mut().insert(work.clone());
                let of_body = Arc::clone(&quota);
                let request =
                    request.map(|body| Body::new(RequestBody::new(body, of_body, rules_in, work)));
                Either::Right(answer(inner, request, Arc::clone(&method)))
            }
        };
        Box::pin(async move {
            let mut response = match &mut deadline {
                None => answering.await?,
                Some(CallDeadline { asked, sleep }) => tokio::select! {
                    response = answering => response?,
                    () = sleep => refusal(Error::DeadlineExceeded { asked: *asked }),
                },
            };
            let refused = response.headers().contains_key(CODE);
            if refused || record.context.is_named() {
                let id = record.context.request_id().clone();
                response.headers_mut().insert(context::REQUEST_ID, id);
            }
            if refused {
                if origin.audit(&rules.auditor, response.headers()) {
                    // The gateway's own records are charged to the caller.
                    quota.events(1);
                }
                // A refusal, or a response without a body, has its code in the headers.
                record.trailers(response.headers());
            } else if let Some(encoding) = packing {
                let name = HeaderValue::from_static(encoding.name());
                response.headers_mut().insert(encoding::ENCODING, name);
                let quota = Arc::clone(&quota);
                response =
                    response.map(|body| Body::new(CompressedBody::new(body, encoding, quota)));
            }
            // Unary answers of the service and compressed messages are charged already.
            let charged = (method.server_streams || !is_ours) && (refused || packing.is_none());
            let charged = charged.then_some(quota);
            let flow = connection.map(|connection| connection.flows().open(reset));
            Ok(response
                .map(|body| Body::new(ResponseBody::new(body, deadline, flow, charged, record))))
        })
    }
}

/// The quota of the principal of a call; without a principal, the quota of its address.
fn quota<B>(
    quotas: &Quotas,
    connection: Option<&Arc<Connection>>,
    request: &Request<B>,
) -> Arc<Quota> {
    let caller = request.extensions().get::<Arc<Caller>>();
    if let Some(caller) = caller.filter(|caller| !caller.principal().is_empty()) {
        return quotas.of(&ClientKey::principal(caller.principal()));
    }
    match connection {
        Some(connection) => connection.quota(quotas),
        None => quotas.of(&ClientKey::principal("")),
    }
}

async fn answer<S>(
    mut inner: S,
    request: Request<Body>,
    method: Arc<MethodStats>,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let path = (method.name == UNKNOWN).then(|| shown(request.uri().path()));
    let response = inner.call(request).await?;
    let Some(bare) = bare_refusal(response.headers()) else { return Ok(response) };
    let path = path.unwrap_or_else(|| method.path());
    Ok(match tonic_errors::explain(&bare, &path) {
        Some(error) => refusal(error),
        None => response,
    })
}

/// Charges the call to the quota of its principal.
fn admit(
    method: &MethodStats,
    is_ours: bool,
    quota: &Quota,
    record: &mut CallRecord,
) -> Result<(), Error> {
    let admitted = hold(method, is_ours, quota, record);
    if admitted.is_err() {
        let refused = quota.account().charge(MemoryKind::Calls, REFUSED_CALL_BYTES);
        record.holds.memory = Some(refused);
    }
    admitted
}

fn hold(
    method: &MethodStats,
    is_ours: bool,
    quota: &Quota,
    record: &mut CallRecord,
) -> Result<(), Error> {
    quota.call()?;
    let memory = if is_ours { CALL_BYTES } else { FOREIGN_CALL_BYTES };
    record.holds.memory = Some(quota.account().try_charge(MemoryKind::Calls, memory)?);
    record.holds.slot = match (method.client_streams, method.server_streams) {
        (false, false) => None,
        (false, true) => Some(quota.subscriber()?),
        (true, _) => Some(quota.emit_stream()?),
    };
    Ok(())
}

/// The client and method of a call, for its denial record.
struct CallOrigin {
    method: Arc<MethodStats>,
    /// The path of an unknown method.
    path: Option<String>,
    principal: Option<Arc<str>>,
    connection: Option<Arc<Connection>>,
}

impl CallOrigin {
    fn of<B>(
        request: &Request<B>,
        method: &Arc<MethodStats>,
        connection: Option<Arc<Connection>>,
        admitted: &Result<(), Denied>,
    ) -> Self {
        let path = (method.name == UNKNOWN).then(|| shown(request.uri().path()));
        let principal = match admitted {
            Ok(()) => request.extensions().get::<Arc<Caller>>().map(|caller| caller.name()),
            Err(refused) => refused.principal.clone(),
        };
        Self { method: Arc::clone(method), path, principal, connection }
    }

    fn path(&self) -> String {
        self.path.clone().unwrap_or_else(|| self.method.path())
    }

    /// Records a refused call if authentication or authorization refused it. Returns
    /// whether it did.
    fn audit(&self, auditor: &Auditor, headers: &HeaderMap) -> bool {
        if !auditor.is_on() {
            return false;
        }
        let Some(status) = Status::from_header_map(headers) else { return false };
        if !matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied) {
            return false;
        }
        // Clients check the health automatically at each connection.
        if status.code() == Code::PermissionDenied
            && method_rule(&self.path()) == Some(MethodRule::Health)
        {
            return false;
        }
        let principal = self.principal.as_deref().unwrap_or_default();
        auditor.denied(principal, || Denial {
            principal: principal.to_owned(),
            peer: self.connection.as_ref().map(|one| one.remote.to_string()).unwrap_or_default(),
            rpc: self.path(),
            reason: status.get_details_error_info().map(|info| info.reason).unwrap_or_default(),
            message: status.message().to_owned(),
        });
        true
    }
}

/// The beginning of a path, for denial records and refusals.
fn shown(path: &str) -> String {
    /// In characters. The paths of the protocol are shorter.
    const PATH_CHARS_MAX: usize = 128;
    path.chars().take(PATH_CHARS_MAX).collect()
}

fn refusal(error: Error) -> Response<Body> {
    Status::from(error).into_http()
}

/// The status of a refusal without details, which tonic makes before a handler sees the call.
fn bare_refusal(headers: &HeaderMap) -> Option<Status> {
    if !headers.contains_key(CODE) || headers.contains_key(DETAILS) {
        return None;
    }
    Status::from_header_map(headers).filter(|status| status.code() != Code::Ok)
}

/// The refusal of an unknown compression, with the supported ones.
fn unknown_encoding(name: &str) -> Response<Body> {
    let mut status = Status::from(Error::Compression(shown(name)));
    let accepted = MetadataValue::from_static(encoding::ACCEPTED);
    status.metadata_mut().insert(encoding::ACCEPT_ENCODING, accepted);
    status.into_http()
}
