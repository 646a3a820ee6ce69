//! The listener for operators: metrics and probes by plain HTTP, and no events.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::log::State;
use crate::server::metrics::{self, MetricSources};

/// The most connections at once: a few scrapers and probes.
const CONNECTIONS_MAX: usize = 64;
/// How long a request may take to come, and a connection to have none.
const HEADER_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a connection may last: long enough for a scrape, too short to hold a
/// place with.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(60);
/// How long no connection is taken after one could not be.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The most bytes of a request.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// The listener.
pub struct AdminListener {
    socket: TcpListener,
    sources: Arc<MetricSources>,
}

impl AdminListener {
    /// Listens.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn bind(address: SocketAddr, sources: Arc<MetricSources>) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, sources })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Answers until it is dropped: also while the gateway stops.
    pub async fn serve(self) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let permit = Arc::clone(&room).acquire_owned().await;
            let permit = permit.expect("the semaphore is never closed");
            let Ok((stream, _)) = self.socket.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let sources = Arc::clone(&self.sources);
            tokio::spawn(async move {
                let _permit = permit;
                let served = serve_connection(stream, sources);
                let _ = tokio::time::timeout(CONNECTION_TIME_MAX, served).await;
            });
        }
    }
}

async fn serve_connection(stream: TcpStream, sources: Arc<MetricSources>) {
    // If it fails, the peer has gone.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let answer = answer(request.method(), request.uri().path(), &sources);
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .max_buf_size(REQUEST_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let _ = served.await;
}

fn answer(method: &Method, path: &str, sources: &Arc<MetricSources>) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    let known = matches!(path, "/metrics" | "/livez" | "/readyz");
    if known && !matches!(*method, Method::GET | Method::HEAD) {
        let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET only\n".into());
        refused.headers_mut().insert(ALLOW, "GET, HEAD".parse().expect("a valid header"));
        return refused;
    }
    match path {
        "/metrics" => match metrics::text(sources) {
            Ok(text) => response(StatusCode::OK, metrics::CONTENT_TYPE, text),
            Err(_) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "no metrics\n".into()),
        },
        // Whoever gets this is answered by a process that is alive.
        "/livez" => response(StatusCode::OK, TEXT, "alive\n".into()),
        "/readyz" if sources.hub.stopping().is_cancelled() => {
            response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "stopping\n".into())
        }
        "/readyz" if matches!(sources.state(), State::Failed(_)) => {
            response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the log has failed\n".into())
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
