//! Refuses requests that are not gRPC.
//!
//! A page in a browser can send requests to any address that the browser reaches, and with them the
//! certificate of the person in front of it. It cannot set the content type of gRPC unless the
//! server allows that in its answer to an OPTIONS request, which the gateway never does. So
//! requests with another method or content type are refused before they are processed.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use tonic::body::Body;
use tower::Service;

/// The content types of gRPC with protobuf, by the gRPC specification.
const CONTENT_TYPES: [&str; 2] = ["application/grpc", "application/grpc+proto"];

/// The header of gRPC with the error message.
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Forwards gRPC requests, and refuses others.
#[derive(Debug, Clone)]
pub struct GrpcOnly<S> {
    inner: S,
}

impl<S> GrpcOnly<S> {
    /// Forwards gRPC requests to `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Request<Body>> for GrpcOnly<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match refusal(request.method(), request.headers()) {
            None => Either::Left(self.inner.call(request)),
            Some(refused) => Either::Right(ready(Ok(refused))),
        }
    }
}

/// The response to a request that is not a gRPC request. It has no body, so it needs no
/// flow-control window, and never waits for a client.
fn refusal(method: &Method, headers: &HeaderMap) -> Option<Response<Body>> {
    if method != Method::POST {
        let mut refused = answer(StatusCode::METHOD_NOT_ALLOWED, "gRPC calls are POST requests");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(refused);
    }
    let is_grpc = only(headers, CONTENT_TYPE)
        .is_some_and(|one| CONTENT_TYPES.iter().any(|known| one == known));
    (!is_grpc).then(|| {
        answer(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "this port speaks gRPC: the content type must be application/grpc or \
             application/grpc+proto",
        )
    })
}

/// The value of a header that occurs exactly once.
pub fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

fn answer(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer.headers_mut().insert(MESSAGE, HeaderValue::from_static(text));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: Method, types: &[&str]) -> Option<StatusCode> {
        let mut headers = HeaderMap::new();
        for one in types {
            headers.append(CONTENT_TYPE, one.parse().unwrap());
        }
        let refused = refusal(&method, &headers)?;
        assert!(http_body::Body::is_end_stream(refused.body()), "nothing waits to be taken");
        Some(refused.status())
    }

    #[test]
    fn only_what_a_browser_cannot_send_unasked_is_taken() {
        assert_eq!(status(Method::POST, &["application/grpc"]), None);
        assert_eq!(status(Method::POST, &["application/grpc+proto"]), None);
        for types in [
            &[][..],
            &["text/plain"],
            &["application/x-www-form-urlencoded"],
            &["application/grpc;a=b"],
            &["application/grpc; charset=utf-8"],
            &["Application/gRPC"],
            &["application/grpc+json"],
            &["application/grpc-web"],
            &["application/grpc-web+proto"],
            &["application/grpc", "text/plain"],
            &["text/plain, application/grpc"],
            &["application/grpc", "application/grpc"],
        ] {
            let refused = status(Method::POST, types);
            assert_eq!(refused, Some(StatusCode::UNSUPPORTED_MEDIA_TYPE), "{types:?}");
        }
        for method in [Method::GET, Method::PUT, Method::OPTIONS, Method::HEAD, Method::CONNECT] {
            let refused = status(method.clone(), &["application/grpc"]);
            assert_eq!(refused, Some(StatusCode::METHOD_NOT_ALLOWED), "{method}");
        }
    }
}
