//! The page for browsers: a separate listener that serves the files of the page, and calls that
//! read over gRPC-Web.
//!
//! Calls pass through the same layer as on the gRPC port, with the same rights, limits and
//! accounts. Requests that pages of other sites may cause are refused first: see `checks`.

mod body;
mod checks;
mod counters;
mod files;
mod headers;
mod hosts;
mod read_only;
mod refusal;
mod session;

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer as _, Service};

use crate::access::AccessControl;
use crate::config::{self, WebOrigin};
use crate::server::admission::{Admission, ConnectionLimits};
use crate::server::connection::{Connection, ConnectionTimeouts};
use crate::server::listener::Listener;
use crate::server::tls::{ClientKind, TlsSetup};
use crate::service::quota::Quotas;
use body::FileBody;
use checks::Admitted;
use counters::WebCounters;
use hosts::Known;
use refusal::WebRefusal;

pub use counters::WebSources;
pub use read_only::ReadOnly;

/// How long the connection of a browser may be without a call; opening a new one is quick.
const IDLE_TIME_MAX: Duration = Duration::from_secs(60);
/// The divisor of the process's limit of open files: that part is for browsers.
const FILES_PART: usize = 4;
/// The `cache-control` of responses that must not be cached.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The state that the page shares with the gRPC port.
pub struct WebContext {
    /// The time limits of connections.
    pub timeouts: ConnectionTimeouts,
    /// The quotas of principals and addresses.
    pub quotas: Arc<Quotas>,
    /// Authentication and authorization.
    pub access: Arc<AccessControl>,
    /// The certificates.
    pub tls: Arc<TlsSetup>,
    /// The address of the gRPC port.
    pub grpc: SocketAddr,
}

/// The listener of the page.
pub struct WebListener {
    listener: Listener,
    rules: Arc<WebRules>,
    admission: Arc<Admission>,
}

/// The rules for every request.
struct WebRules {
    origins: Vec<WebOrigin>,
    tls: Arc<TlsSetup>,
    access: Arc<AccessControl>,
    quotas: Arc<Quotas>,
    counters: Arc<WebCounters>,
    grpc: SocketAddr,
}

impl WebListener {
    /// Binds the page of a gateway that listens at `gateway`, in a process that may open `files`
    /// files; `None` if the page is off, or its default port is taken.
    ///
    /// # Errors
    /// If the configured address cannot be bound.
    pub async fn bind(
        web: &config::Web,
        gateway: SocketAddr,
        files: usize,
        shared: WebContext,
    ) -> io::Result<Option<Self>> {
        let Some((address, asked)) = web.address(gateway) else { return Ok(None) };
        let origins = web.origins();
        let origins =
            origins.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let limits = ConnectionLimits {
            connections: web.connections,
            connections_per_peer: web.connections_per_address,
        };
        let admission = Admission::new(limits.within(files / FILES_PART));
        let WebContext { timeouts, quotas, access, tls, grpc } = shared;
        let timeouts = ConnectionTimeouts { idle: timeouts.idle.min(IDLE_TIME_MAX), ..timeouts };
        let bound = Listener::bind(
            address,
            ClientKind::Browsers,
            timeouts,
            Arc::clone(&admission),
            Arc::clone(&quotas),
            Arc::clone(&tls),
        );
        let listener = match bound.await {
            Ok(listener) => listener,
            Err(error) if asked => {
                let sentence = format!("web.listen: cannot listen on {address}: {error}");
                return Err(io::Error::new(error.kind(), sentence));
            }
            Err(error) => {
                tracing::warn!(
                    "there is no page for browsers: cannot listen on {address}: {error}; set web.listen to \
                     another address, or to off"
                );
                return Ok(None);
            }
        };
        let counters = Arc::default();
        let rules = WebRules { origins, tls, access, quotas, counters, grpc };
        Ok(Some(Self { listener, rules: Arc::new(rules), admission }))
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// If the system call fails.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.address()
    }

    /// The counters of the page.
    pub fn sources(&self) -> WebSources {
        WebSources {
            connections: self.listener.counters(),
            admission: Arc::clone(&self.admission),
            requests: Arc::clone(&self.rules.counters),
        }
    }

    /// Serves files, and calls by `calls`, until `stopping` is cancelled; returns when all connections have
    /// ended. Dropping the future closes them.
    pub async fn serve<S>(self, calls: S, stopping: CancellationToken)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
    {
        let service = WebService { calls: GrpcWebLayer::new().layer(calls), rules: self.rules };
        self.listener.serve(service, stopping).await;
    }
}

/// Answers requests to the page.
#[derive(Clone)]
struct WebService<S> {
    calls: GrpcWebService<S>,
    rules: Arc<WebRules>,
}

impl<S> Service<Request<Body>> for WebService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.calls, cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let mut response = match self.rules.admit(&parts) {
            Ok(Admitted::Call) => {
                self.rules.counters.calls.fetch_add(1, Ordering::Relaxed);
                // Otherwise the client could choose another form of answers.
                parts.headers.remove(ACCEPT);
                let answering = self.calls.call(Request::from_parts(parts, body));
                return Box::pin(answering.map(|answered| {
                    answered.map(|mut response| {
                        let own = response.headers_mut();
                        own.insert(CACHE_CONTROL, NO_STORE);
                        headers::unbuffered(own);
                        headers::secure(own);
                        response
                    })
                }));
            }
            Ok(Admitted::File) => self.rules.file(parts),
            Err(refused) => self.rules.refuse(refused, parts),
        };
        headers::secure(response.headers_mut());
        Box::pin(ready(Ok(response)))
    }
}

impl WebRules {
    fn admit(&self, request: &Parts) -> Result<Admitted, WebRefusal> {
        let connection = request.extensions.get::<Arc<Connection>>();
        let names = self.tls.names();
        let known = Known {
            origins: &self.origins,
            names: &names,
            encrypted: connection.is_some_and(|one| one.transport.encrypted),
        };
        checks::admit(request, known)
    }

    /// The answer to a request for a file.
    fn file(&self, mut request: Parts) -> Response<Body> {
        let connection = request.extensions.get::<Arc<Connection>>();
        if connection.is_some_and(|one| one.quota(&self.quotas).call().is_err()) {
            return self.refuse(WebRefusal::Rate, request);
        }
        let shows_certificate = connection.is_some_and(|one| one.channel.has_certificate());
        let found = match request.uri.path() {
            session::PATH => {
                Some(session::answer(self.access.credentials(), shows_certificate, self.grpc))
            }
            path => files::answer(path, &request.headers),
        };
        let Some(response) = found else { return self.refuse(WebRefusal::NotFound, request) };
        self.counters.files.fetch_add(1, Ordering::Relaxed);
        send(response, &mut request)
    }

    fn refuse(&self, why: WebRefusal, mut request: Parts) -> Response<Body> {
        self.counters.refused.increment(why);
        let mut response = Response::new(Bytes::from_static(why.sentence().as_bytes()));
        *response.status_mut() = why.status();
        let own = response.headers_mut();
        own.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        own.insert(CACHE_CONTROL, NO_STORE);
        if why == WebRefusal::Method {
            own.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
        }
        send(response, &mut request)
    }
}

/// A response that is tracked until the client has read it; without its content for HEAD.
fn send(response: Response<Bytes>, request: &mut Parts) -> Response<Body> {
    let (mut head, bytes) = response.into_parts();
    if !head.status.is_redirection() {
        head.headers.insert(CONTENT_LENGTH, bytes.len().into());
    }
    if request.method == Method::HEAD || bytes.is_empty() {
        return Response::from_parts(head, Body::empty());
    }
    Response::from_parts(head, Body::new(FileBody::new(bytes, &mut request.extensions)))
}
