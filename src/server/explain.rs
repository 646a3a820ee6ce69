//! Gives the refusals that tonic makes by itself the same care as our own.
//!
//! They are made before a handler sees the call: see `service::bare`.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::service::{Error, Limits, bare};

/// Header of the encoded `google.rpc.Status`.
const DETAILS: &str = "grpc-status-details-bin";
/// Header of the compressions that are accepted.
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// Makes [`Explain`].
#[derive(Debug, Clone, Copy)]
pub struct ExplainLayer {
    limits: Limits,
}

/// Adds details to bare refusals.
#[derive(Debug, Clone)]
pub struct Explain<S> {
    inner: S,
    limits: Limits,
}

impl ExplainLayer {
    /// The layer for a service with these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }
}

impl<S> Layer<S> for ExplainLayer {
    type Service = Explain<S>;

    fn layer(&self, inner: S) -> Explain<S> {
        Explain { inner, limits: self.limits }
    }
}

impl<S> Service<Request<Body>> for Explain<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let limits = self.limits;
        let path = request.uri().path().to_owned();
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await?;
            Ok(match bare_refusal(response.headers()) {
                Some(status) => match bare::explain(&status, &path, limits) {
                    Some(error) => refusal(error, &status).into_http(),
                    None => response,
                },
                None => response,
            })
        })
    }
}

/// The status of a refusal without details.
fn bare_refusal(headers: &HeaderMap) -> Option<Status> {
    if headers.contains_key(DETAILS) {
        return None;
    }
    Status::from_header_map(headers).filter(|status| status.code() != Code::Ok)
}

fn refusal(error: Error, bare: &Status) -> Status {
    let mut refusal = Status::from(error);
    // A client that is told may choose another compression.
    if let Some(accepted) = bare.metadata().get(ACCEPT_ENCODING) {
        refusal.metadata_mut().insert(ACCEPT_ENCODING, accepted.clone());
    }
    refusal
}
