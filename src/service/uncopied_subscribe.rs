//! Serves Subscribe without the encoder of tonic, which copies each message into a
//! buffer. Here the shared bytes of a message go to the transport without a copy.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use parking_lot::Mutex;
use tokio_stream::Stream;
use tonic::Status;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tower::service_fn;

use crate::proto::codec::{EncodedResponse, FramedMessage, RawCodec};
use crate::proto::retyped::audit_service_server::AuditServiceServer;
use crate::service::{NAME, Service};

const SUBSCRIBE: &str = "/auditgate.v1.AuditService/Subscribe";

/// Serves the calls of the service.
#[derive(Clone)]
pub struct UncopiedSubscribe {
    service: Service,
    /// All calls but Subscribe.
    others: AuditServiceServer<Service>,
}

impl UncopiedSubscribe {
    /// Serves `service`.
    pub fn new(service: Service) -> Self {
        let others = AuditServiceServer::new(service.clone())
            .max_decoding_message_size(service.limits.request_bytes)
            .max_encoding_message_size(usize::MAX);
        Self { service, others }
    }
}

impl NamedService for UncopiedSubscribe {
    const NAME: &'static str = NAME;
}

impl tower::Service<Request<Body>> for UncopiedSubscribe {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        tower::Service::<Request<Body>>::poll_ready(&mut self.others, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() != SUBSCRIBE {
            return self.others.call(request);
        }
        let service = self.service.clone();
        Box::pin(async move { Ok(subscribe(service, request).await) })
    }
}

async fn subscribe(service: Service, request: Request<Body>) -> Response<Body> {
    // tonic decodes the request and makes the head of the response, or the whole
    // of a refusal; the stream does not pass through it.
    let opened = Arc::new(Mutex::new(None));
    let (slot, limits) = (Arc::clone(&opened), service.limits);
    let open = service_fn(move |request: tonic::Request<Bytes>| {
        let (service, slot) = (service.clone(), Arc::clone(&slot));
        async move {
            let stream = service.open_stream(request).await?;
            *slot.lock() = Some(stream);
            Ok(tonic::Response::new(stream::empty::<Result<EncodedResponse, Status>>()))
        }
    });
    let mut grpc = Grpc::new(RawCodec).max_decoding_message_size(limits.request_bytes);
    let response = grpc.server_streaming(open, request).await;
    let stream = opened.lock().take();
    match stream {
        Some(stream) => response.map(|_| Body::new(FrameBody { stream: Box::pin(stream) })),
        None => response,
    }
}

/// The body of a stream of responses. Its last item is the status with which it
/// ends.
struct FrameBody<S> {
    stream: Pin<Box<S>>,
}

impl<S: Stream<Item = Result<FramedMessage, Status>>> http_body::Body for FrameBody<S> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let next = ready!(self.get_mut().stream.as_mut().poll_next(context));
        Poll::Ready(next.map(|item| {
            Ok(match item {
                Ok(framed) => Frame::data(framed.into_frame()),
                Err(status) => {
                    let mut trailers = HeaderMap::new();
                    status.add_header(&mut trailers)?;
                    Frame::trailers(trailers)
                }
            })
        }))
    }
}
