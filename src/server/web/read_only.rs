//! Refuses calls of browsers that do not read: emitting, health and reflection.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use crate::access::{MethodRule, method_rule};
use crate::service::tonic_errors;

/// Forwards calls that read, and refuses others.
#[derive(Debug, Clone)]
pub struct ReadOnly<S> {
    inner: S,
}

impl<S> ReadOnly<S> {
    /// Forwards to `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Request<Body>> for ReadOnly<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if method_rule(path).is_none_or(reads) {
            return Either::Left(self.inner.call(request));
        }
        let refused = Status::from(tonic_errors::method_not_for_browsers(path));
        Either::Right(ready(Ok(refused.into_http())))
    }
}

/// Whether a method that needs this right only reads.
fn reads(rule: MethodRule) -> bool {
    match rule {
        MethodRule::Read
        | MethodRule::Status
        | MethodRule::Proof
        | MethodRule::Catalog
        | MethodRule::Caller => true,
        MethodRule::Emit | MethodRule::Deliveries | MethodRule::Health | MethodRule::Reflection => {
            false
        }
    }
}
