//! The peers over the network: what one gets from tonic, prost and tokio alone.
//! They are routed by hand, because the library generates no typed server.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use auditgate::proto::pb;
use auditgate::time::Time;
use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture, stream};
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

use crate::stage::{EMIT, EMIT_BATCH, EMIT_STREAM, Plain, SUBSCRIBE};

/// As long as an id of one of our logs.
const LOG_ID: &str = "00000000-0000-7000-8000-000000000000";

type HttpRequest = http::Request<Body>;
type HttpResponse = http::Response<Body>;

/// A gRPC server, made of a function.
#[derive(Clone)]
pub struct Routes(Arc<dyn Fn(HttpRequest) -> BoxFuture<'static, HttpResponse> + Send + Sync>);

/// Decodes events with prost and answers; keeps nothing.
#[derive(Clone, Default)]
pub struct Sink {
    accepted: Arc<AtomicU64>,
}

/// Decodes batches with prost and hands each event, as a message, to all
/// subscribers.
#[derive(Clone)]
pub struct Broadcaster {
    last: Arc<Mutex<u64>>,
    records: broadcast::Sender<pb::SubscribeResponse>,
}

/// Streams the same bytes again and again.
#[derive(Clone)]
pub struct Repeater {
    /// The message.
    pub message: Bytes,
    /// How often each subscriber gets it.
    pub times: usize,
    /// Nobody gets anything before this is cancelled.
    pub start: CancellationToken,
}

impl Sink {
    /// How many events were decoded.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// The server.
    pub fn routes(&self) -> Routes {
        let sink = self.clone();
        Routes::new(move |request| {
            let sink = sink.clone();
            async move {
                match request.uri().path() {
                    EMIT => {
                        let handler = service_fn(|request: Request<pb::EmitRequest>| {
                            std::future::ready(sink.emit(request.into_inner()).map(Response::new))
                        });
                        Grpc::new(ProstCodec::default()).unary(handler, request).await
                    }
                    EMIT_BATCH => {
                        let handler = service_fn(|request: Request<pb::EmitBatchRequest>| {
                            let response = sink.emit_batch(request.get_ref());
                            std::future::ready(Ok(Response::new(response)))
                        });
                        Grpc::new(ProstCodec::default()).unary(handler, request).await
                    }
                    EMIT_STREAM => {
                        let handler = service_fn(|request: Request<Streaming<_>>| {
                            let sink = sink.clone();
                            async move { sink.emit_stream(request.into_inner()).await }
                        });
                        Grpc::new(ProstCodec::default()).client_streaming(handler, request).await
                    }
                    path => Status::unimplemented(path).into_http(),
                }
            }
        })
    }

    /// Answers with as much as an emitter gets from us.
    fn emit(&self, request: pb::EmitRequest) -> Result<pb::EmitResponse, Status> {
        let event = request.event.ok_or_else(|| Status::invalid_argument("no event"))?;
        let receipt = pb::Receipt {
            id: event.id.unwrap_or_default(),
            sequence: self.accepted.fetch_add(1, Ordering::Relaxed) + 1,
            accept_time: Some(Time::now().timestamp()),
            duplicate: false,
            amendments: Vec::new(),
        };
        Ok(pb::EmitResponse { receipt: Some(receipt), log_id: LOG_ID.to_owned() })
    }

    /// Answers once, when the stream ends.
    async fn emit_stream(
        &self,
        mut requests: Streaming<pb::EmitStreamRequest>,
    ) -> Result<Response<pb::EmitStreamResponse>, Status> {
        let mut response = pb::EmitStreamResponse::default();
        while let Some(request) = requests.message().await? {
            response.answered += request.events.len() as u64;
        }
        self.accepted.fetch_add(response.answered, Ordering::Relaxed);
        Ok(Response::new(response))
    }

    fn emit_batch(&self, request: &pb::EmitBatchRequest) -> pb::EmitBatchResponse {
        self.accepted.fetch_add(request.events.len() as u64, Ordering::Relaxed);
        pb::EmitBatchResponse::default()
    }
}

impl Broadcaster {
    /// `capacity` records wait for a subscriber before it loses any.
    pub fn new(capacity: usize) -> Self {
        Self { last: Arc::default(), records: broadcast::Sender::new(capacity) }
    }

    /// The server.
    pub fn routes(&self) -> Routes {
        let broadcaster = self.clone();
        Routes::new(move |request| {
            let broadcaster = broadcaster.clone();
            async move {
                match request.uri().path() {
                    EMIT_BATCH => {
                        let handler = service_fn(|request: Request<pb::EmitBatchRequest>| {
                            broadcaster.emit_batch(request.into_inner());
                            std::future::ready(Ok(Response::new(pb::EmitBatchResponse::default())))
                        });
                        Grpc::new(ProstCodec::default()).unary(handler, request).await
                    }
                    SUBSCRIBE => {
                        let handler = service_fn(|_: Request<pb::SubscribeRequest>| {
                            let records = BroadcastStream::new(broadcaster.records.subscribe());
                            let records = records.map(|record| {
                                record.map_err(|error| Status::data_loss(error.to_string()))
                            });
                            std::future::ready(Ok(Response::new(records)))
                        });
                        Grpc::new(ProstCodec::default()).server_streaming(handler, request).await
                    }
                    path => Status::unimplemented(path).into_http(),
                }
            }
        })
    }

    fn emit_batch(&self, request: pb::EmitBatchRequest) {
        // Held while sending: the order of the records is that of their numbers.
        let mut last = self.last.lock();
        for event in request.events {
            *last += 1;
            let record = pb::Record {
                sequence: *last,
                accept_time: Some(Time::now().timestamp()),
                r#type: "session.command".to_owned(),
                severity: pb::Severity::Info.into(),
                event: Some(event),
                ..Default::default()
            };
            let response = pb::SubscribeResponse { records: vec![record], ..Default::default() };
            // Without subscribers there is nobody to send to.
            _ = self.records.send(response);
        }
    }
}

impl Repeater {
    /// The server.
    pub fn routes(&self) -> Routes {
        let repeater = self.clone();
        Routes::new(move |request| {
            let Repeater { message, times, start } = repeater.clone();
            async move {
                let handler = service_fn(|_: Request<Bytes>| {
                    let messages = stream::iter(std::iter::repeat_n(Ok(message.clone()), times));
                    let started = start.clone().cancelled_owned();
                    let messages = stream::once(started).flat_map(move |()| messages.clone());
                    std::future::ready(Ok(Response::new(messages)))
                });
                Grpc::new(Plain).server_streaming(handler, request).await
            }
        })
    }
}

impl Routes {
    fn new<F>(route: impl Fn(HttpRequest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = HttpResponse> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(route(request))))
    }
}

impl NamedService for Routes {
    const NAME: &'static str = auditgate::service::NAME;
}

impl Service<HttpRequest> for Routes {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest) -> Self::Future {
        let response = (self.0)(request);
        Box::pin(async { Ok(response.await) })
    }
}
