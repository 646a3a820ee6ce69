//! What holds for every call, whatever its method: it is counted, it keeps to the
//! quota of its principal and to its deadline, and a refusal says why.

mod context;
mod deadline;
mod inbound;
mod message;
mod outbound;
mod record;
mod waiting;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::server::connection::Connection;
use crate::server::seldom::Seldom;
use crate::server::stats::{Method, Stats, UNKNOWN};
use crate::service::quota::{Quota, Quotas};
use crate::service::{Error, Limits, NAME, bare};
use context::Context as CallContext;
use inbound::Inbound;
use outbound::{Deadline, Outbound};
use record::{CODE, Record};
use waiting::Waiting;

/// Header of the encoded `google.rpc.Status`.
const DETAILS: &str = "grpc-status-details-bin";
/// Header of the compressions that are accepted.
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// Methods that read much, and answer with much.
const READS: [&str; 2] = ["Search", "CountRecords"];

/// What calls have in common.
#[derive(Debug)]
pub struct Rules {
    /// What the service accepts.
    pub limits: Limits,
    /// What principals may use.
    pub quotas: Arc<Quotas>,
    /// What became of calls.
    pub stats: Arc<Stats>,
    /// Lines about calls that are said only so often.
    pub seldom: Arc<Seldom>,
}

/// Makes [`Calls`].
#[derive(Debug, Clone)]
pub struct CallLayer {
    rules: Arc<Rules>,
}

/// Applies the rules to each call.
#[derive(Debug, Clone)]
pub struct Calls<S> {
    inner: S,
    rules: Arc<Rules>,
}

impl CallLayer {
    /// The layer that applies these rules.
    pub fn new(rules: Arc<Rules>) -> Self {
        Self { rules }
    }
}

impl<S> Layer<S> for CallLayer {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Calls<S> {
        Calls { inner, rules: Arc::clone(&self.rules) }
    }
}

impl<S> Service<Request<Body>> for Calls<S>
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
        // The clone is not known to be ready; this one is.
        let mut inner = self.inner.clone();
        std::mem::swap(&mut inner, &mut self.inner);
        let rules = Arc::clone(&self.rules);
        let method = Arc::clone(rules.stats.method(request.uri().path()));
        let connection = request.extensions().get::<Arc<Connection>>().cloned();
        let quota = quota(&rules.quotas, connection.as_ref());
        let call = connection.as_ref().map(Connection::begin);
        let (stats, seldom) = (Arc::clone(&rules.stats), Arc::clone(&rules.seldom));
        let context = CallContext::of(request.headers());
        let mut record = Record::begin(stats, seldom, Arc::clone(&method), context, call);
        let asked = deadline::timeout(request.headers());
        let mut deadline =
            asked.map(|asked| Deadline { asked, sleep: Box::pin(tokio::time::sleep(asked)) });
        request.extensions_mut().insert(Arc::clone(&quota));
        let request = request
            .map(|body| Body::new(Inbound::new(body, Arc::clone(&quota), method.client_streams)));
        Box::pin(async move {
            let mut response = {
                let answering = answer(inner, request, &rules, &method, &quota, &mut record);
                match &mut deadline {
                    None => answering.await?,
                    Some(Deadline { asked, sleep }) => tokio::select! {
                        response = answering => response?,
                        () = sleep => refusal(Error::DeadlineExceeded { asked: *asked }),
                    },
                }
            };
            let refused = response.headers().contains_key(CODE);
            if refused || record.context.is_named() {
                let id = record.context.request_id().clone();
                response.headers_mut().insert(context::REQUEST_ID, id);
            }
            // A refusal, or an answer without a body, has its code in front.
            record.trailers(response.headers());
            let waiting =
                connection.filter(|_| method.server_streams || record.holds.read.is_some());
            let waiting = waiting.map(|connection| {
                Waiting::new(rules.quotas.waiting(), connection, record.holds.read.clone())
            });
            Ok(response.map(|body| Body::new(Outbound::new(body, deadline, waiting, record))))
        })
    }
}

/// What the principal of a call may use; until there is one, its address stands for
/// it.
fn quota(quotas: &Quotas, connection: Option<&Arc<Connection>>) -> Arc<Quota> {
    match connection {
        Some(connection) => connection.quota(quotas),
        None => quotas.of(""),
    }
}

async fn answer<S>(
    mut inner: S,
    request: Request<Body>,
    rules: &Rules,
    method: &Method,
    quota: &Quota,
    record: &mut Record,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    if let Err(error) = admit(method, quota, record).await {
        return Ok(refusal(error));
    }
    let path = (method.name == UNKNOWN).then(|| request.uri().path().to_owned());
    let response = inner.call(request).await?;
    let Some(bare) = bare_refusal(response.headers()) else { return Ok(response) };
    let path = path.unwrap_or_else(|| format!("/{}/{}", method.service, method.name));
    Ok(match bare::explain(&bare, &path, rules.limits) {
        Some(error) => explained(error, &bare),
        None => response,
    })
}

/// Takes what the call needs of its principal's quota.
async fn admit(method: &Method, quota: &Quota, record: &mut Record) -> Result<(), Error> {
    quota.call()?;
    record.holds.slot = match (method.client_streams, method.server_streams) {
        (false, false) => None,
        (false, true) => Some(quota.subscriber()?),
        (true, _) => Some(quota.emit_stream()?),
    };
    if method.service == NAME && READS.contains(&method.name.as_str()) {
        record.holds.read = Some(Arc::new(quota.read().await));
    }
    Ok(())
}

fn refusal(error: Error) -> Response<Body> {
    Status::from(error).into_http()
}

/// The status of a refusal without details: tonic makes them before a handler
/// sees the call.
fn bare_refusal(headers: &HeaderMap) -> Option<Status> {
    if headers.contains_key(DETAILS) {
        return None;
    }
    Status::from_header_map(headers).filter(|status| status.code() != Code::Ok)
}

fn explained(error: Error, bare: &Status) -> Response<Body> {
    let mut status = Status::from(error);
    // A client that is told may choose another compression.
    if let Some(accepted) = bare.metadata().get(ACCEPT_ENCODING) {
        status.metadata_mut().insert(ACCEPT_ENCODING, accepted.clone());
    }
    status.into_http()
}
