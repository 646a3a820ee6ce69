//! Serves the calls over gRPC without tonic's codec, which keeps a buffer of twice the largest
//! request for each stream, and copies each message. Here the bytes of requests, responses and
//! shared messages are passed on without a copy, and each holds its share of its client's room
//! until it is freed.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use tokio_stream::Stream;
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;

use crate::access::{Method, MethodLoad};
use crate::proto::codec::EncodedResponse;
use crate::service::quota::{MemoryKind, Quota, WorkRoom, fair, hold};
use crate::service::requests::Requests;
use crate::service::tonic_errors::method_unknown;
use crate::service::{NAME, Service};

/// Header and trailer of the code.
const CODE: &str = "grpc-status";

/// Serves the calls of the service.
#[derive(Clone)]
pub struct GrpcService {
    /// Each call clones it, and so does the router.
    service: Arc<Service>,
}

impl GrpcService {
    /// Serves `service`.
    pub fn new(service: Service) -> Self {
        Self { service: Arc::new(service) }
    }
}

impl NamedService for GrpcService {
    const NAME: &'static str = NAME;
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl tower::Service<Request<Body>> for GrpcService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answering {
        let service = Arc::clone(&self.service);
        let path = request.uri().path();
        let Some(method) = Method::by_path(path) else {
            let path = path.to_owned();
            return answering(async move { Err(method_unknown(&path).into()) });
        };
        macro_rules! unary {
            ($answer:ident $(after $prepare:ident)?) => {
                answering(async move {
                    let mut call = GrpcCall::begin(request);
                    let request = call.only().await?;
                    let heavy = call.quota.clone().filter(|_| method.load() == MethodLoad::Heavy);
                    // The room for the call is acquired already, so that a call with a place waits
                    // only for the log.
                    let place = match &heavy {
                        Some(quota) => Some(quota.read().await),
                        None => None,
                    };
                    // This part may wait for records of other gateways, so it has no turn.
                    $(let request = service.$prepare(request).await.map_err(Status::from)?;)?
                    let turn = match &heavy {
                        Some(quota) => Some(quota.reading().await),
                        None => None,
                    };
                    let response = service.$answer(request).await.map_err(Status::from)?;
                    drop(turn);
                    Ok(call.answer(response, place))
                })
            };
        }
        match method {
            Method::Emit => unary!(emit_one),
            Method::EmitBatch => unary!(emit_many),
            Method::EmitStream => answering(async move {
                let call = GrpcCall::begin(request);
                let work = call.work.clone();
                let request = call.request.map(Requests::new);
                let responses = service.answer_stream(request, work).map_err(Status::from)?;
                let frames = responses.map(|one| Ok(Bytes::from(one?.into_frame())));
                Ok(respond(Body::new(FrameBody::new(frames))))
            }),
            Method::Subscribe => answering(async move {
                let mut call = GrpcCall::begin(request);
                let request = call.only().await?;
                let account = call.quota.as_ref().map(|quota| quota.account());
                let bytes = request.get_ref().len();
                let held = account.map(|account| account.try_charge(MemoryKind::Filters, bytes));
                let held = held.transpose().map_err(Status::from)?;
                let responses = service.open_stream(request, held).await.map_err(Status::from)?;
                let frames = responses.map(|one| Ok(one?.into_frame()));
                Ok(respond(Body::new(FrameBody::new(frames))))
            }),
            Method::Search => unary!(search_page after prepare_search),
            Method::CountRecords => unary!(counts),
            Method::TopValues => unary!(top_values_of),
            Method::GetCaller => unary!(who_calls),
            Method::CheckFilter => unary!(check),
            Method::GetRecord => unary!(one_record),
            Method::ListEventTypes => unary!(event_types),
            Method::GetStatus => unary!(current_status),
            Method::GetCheckpoint => unary!(checkpoint),
            Method::GetInclusionProof => unary!(inclusion),
            Method::GetConsistencyProof => unary!(consistency),
            Method::ListDeliveries => unary!(all_deliveries),
            Method::ControlDelivery => unary!(controlled_delivery),
        }
    }
}

fn answering(
    answer: impl Future<Output = Result<Response<Body>, Status>> + Send + 'static,
) -> Answering {
    Box::pin(async move { Ok(answer.await.unwrap_or_else(Status::into_http)) })
}

/// A call that has begun.
struct GrpcCall {
    request: tonic::Request<Body>,
    work: WorkRoom,
    /// The quota of the client, if the call came through a listener.
    quota: Option<Arc<Quota>>,
}

impl GrpcCall {
    fn begin(request: Request<Body>) -> Self {
        let (mut parts, body) = request.into_parts();
        let work = parts.extensions.get_or_insert_default::<WorkRoom>().clone();
        let quota = parts.extensions.get::<Arc<Quota>>().cloned();
        let metadata = MetadataMap::from_headers(parts.headers);
        let request = tonic::Request::from_parts(metadata, parts.extensions, body);
        Self { request, work, quota }
    }

    /// The only request of the call.
    async fn only(&mut self) -> Result<tonic::Request<Bytes>, Status> {
        let body = std::mem::take(self.request.get_mut());
        let message = Requests::new(body).only().await?;
        let extensions = std::mem::take(self.request.extensions_mut());
        let metadata = std::mem::take(self.request.metadata_mut());
        Ok(tonic::Request::from_parts(metadata, extensions, message))
    }

    /// The answer, which holds its share of the room, and the place, until the client has read it.
    fn answer(self, response: EncodedResponse, place: Option<fair::Share>) -> Response<Body> {
        let frame = response.into_frame();
        let frame = match self.work.take() {
            Some(mut share) => {
                share.resize(frame.capacity());
                hold(frame, share)
            }
            None => frame.into(),
        };
        respond(Body::new(Answer { frame: Some(frame), trailers: Some(success()), _place: place }))
    }
}

fn respond(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let content_type = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn success() -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static(CODE), HeaderValue::from_static("0"))])
}

/// The body of a unary response.
struct Answer {
    frame: Option<Bytes>,
    trailers: Option<HeaderMap>,
    _place: Option<fair::Share>,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let frame = this.frame.take().map(Frame::data);
        Poll::Ready(frame.or_else(|| this.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none()
    }
}

/// The body of a stream of responses in their frames. A status ends it.
struct FrameBody<S> {
    stream: Option<Pin<Box<S>>>,
}

impl<S> FrameBody<S> {
    fn new(stream: S) -> Self {
        Self { stream: Some(Box::pin(stream)) }
    }
}

impl<S: Stream<Item = Result<Bytes, Status>>> http_body::Body for FrameBody<S> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Some(stream) = &mut this.stream else { return Poll::Ready(None) };
        let trailers = match ready!(stream.as_mut().poll_next(context)) {
            Some(Ok(frame)) => return Poll::Ready(Some(Ok(Frame::data(frame)))),
            Some(Err(status)) => {
                let mut trailers = HeaderMap::new();
                status.add_header(&mut trailers)?;
                trailers
            }
            None => success(),
        };
        this.stream = None;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_none()
    }
}
