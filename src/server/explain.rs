//! Gives the refusals that tonic makes by itself the same care as our own.
//!
//! tonic refuses messages that are too large, badly compressed or for methods
//! that do not exist before a handler sees them, with a bare status. Ours always
//! carry details, so a refusal without any is tonic's.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::service::{Error, Limits, NAME};

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
                Some(bare) => explain(bare, &path, limits).map_or(response, Status::into_http),
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

/// What to say instead; `None` where the status is not tonic's.
fn explain(bare: Status, path: &str, limits: Limits) -> Option<Status> {
    let of_ours = path.strip_prefix('/').is_some_and(|path| path.starts_with(NAME));
    let message = bare.message().trim_end_matches('.');
    let error = match bare.code() {
        Code::Unimplemented if message.contains("compressed") => {
            Error::Compression(message.to_owned())
        }
        Code::Unimplemented => Error::MethodUnknown(path.chars().take(PATH_CHARS_MAX).collect()),
        _ if !of_ours => return None,
        // Of a message whose length is known beforehand, and of one that turns
        // out to be too large while it is decompressed.
        Code::OutOfRange => {
            Error::RequestTooLarge { bytes: first_number(message), limit: limits.request_bytes }
        }
        Code::ResourceExhausted => {
            Error::RequestTooLarge { bytes: None, limit: limits.request_bytes }
        }
        Code::Internal => Error::Framing(message.to_owned()),
        _ => return None,
    };
    let mut status = Status::from(error);
    // A client that is told may choose another compression.
    if let Some(accepted) = bare.metadata().get(ACCEPT_ENCODING) {
        status.metadata_mut().insert(ACCEPT_ENCODING, accepted.clone());
    }
    Some(status)
}

/// How much of an unknown path a refusal repeats, in characters.
const PATH_CHARS_MAX: usize = 256;

fn first_number(text: &str) -> Option<usize> {
    let start = text.find(|letter: char| letter.is_ascii_digit())?;
    let digits = text.get(start..)?;
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}
