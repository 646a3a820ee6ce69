//! The admin listener: metrics and health probes over plain HTTP. It serves no events.

mod connection_slots;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::log::State;
use crate::network::Network;
use crate::server::log_limiter::LogLimiter;
use crate::server::metrics::{self, Form, MetricSources};
use connection_slots::{ConnectionSlot, ConnectionSlots};

/// The time limit for receiving a request.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
/// The time limit of a connection: long enough to read a response.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(20);
/// The pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The maximum length of a request, in bytes.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// The admin listener.
pub struct AdminListener {
    socket: TcpListener,
    sources: Arc<MetricSources>,
}

impl AdminListener {
    /// Listens.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn bind(address: SocketAddr, sources: Arc<MetricSources>) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, sources })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// If the system call fails.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until it is dropped, also while the gateway stops.
    pub async fn serve(self) {
        let slots = Arc::new(ConnectionSlots::default());
        let log_limiter = LogLimiter::default();
        let mut open = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                Some(_) = open.join_next() => continue,
            };
            let Ok((stream, remote)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let sources = Arc::clone(&self.sources);
            let (slot, cut) = slots.take(Network::of(remote.ip()));
            open.spawn(async move {
                let served = serve_connection(stream, sources, &slot);
                tokio::select! {
                    _ = tokio::time::timeout(CONNECTION_TIME_MAX, served) => {}
                    () = slot.cut() => {}
                }
            });
            if let Some(cut) = cut
                && let Some(suppressed) = log_limiter.allow()
            {
                tracing::warn!(
                    peer = %cut, suppressed,
                    "the admin listener has too many connections: it closed the oldest of this client"
                );
            }
        }
    }
}

/// Answers one request, and closes the connection.
async fn serve_connection(stream: TcpStream, sources: Arc<MetricSources>, slot: &ConnectionSlot) {
    // If it fails, the peer has gone.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        slot.note_request();
        let answer = answer(request.method(), request.uri().path(), request.headers(), &sources);
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(REQUEST_TIME_MAX)
        .max_buf_size(REQUEST_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let _ = served.await;
}

fn answer(
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    sources: &Arc<MetricSources>,
) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    let known = matches!(path, "/metrics" | "/livez" | "/readyz");
    if known && !matches!(*method, Method::GET | Method::HEAD) {
        let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET only\n".into());
        refused.headers_mut().insert(ALLOW, "GET, HEAD".parse().expect("a valid header"));
        return refused;
    }
    match path {
        "/metrics" => {
            let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
            let form = Form::accepted(accepted);
            match metrics::text(sources, form) {
                Ok(text) => response(StatusCode::OK, form.content_type(), text),
                Err(_) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "no metrics\n".into()),
            }
        }
        // This response shows that the process is alive.
        "/livez" => response(StatusCode::OK, TEXT, "alive\n".into()),
        "/readyz" if sources.hub.stopping().is_cancelled() => {
            response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "stopping\n".into())
        }
        "/readyz" if matches!(sources.hub.state(), State::Failed(_)) => {
            response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the log has failed\n".into())
        }
        "/readyz" if matches!(sources.hub.state(), State::Away(_)) => {
            response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the log is away\n".into())
        }
        "/readyz" => response(StatusCode::OK, TEXT, "ready\n".into()),
        _ => {
            response(StatusCode::NOT_FOUND, TEXT, "there are /metrics, /livez and /readyz\n".into())
        }
    }
}

fn response(status: StatusCode, media: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, media.parse().expect("a valid header"));
    response
}
