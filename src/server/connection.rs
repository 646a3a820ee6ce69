//! Serves one connection, and tracks its state.

mod clock;
pub mod flow;
mod guard;
mod http1_watch;
mod http2_frames;
mod http2_watch;
mod lazy_timer;
mod small_frames;
mod tasks;
mod transport;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

use crate::access::ConnectionIdentity;
use crate::config::Limits;
use crate::counters::countable;
use crate::server::corked_socket::SocketFlusher;
use crate::service::peer::Peer;
use crate::service::quota::{ClientKey, Quota, Quotas};
use clock::ConnectionClock;
use flow::{Flows, Stalled};
use guard::GuardedIo;
use small_frames::{CountedBody, UnreadFrames};
use tasks::Tasks;
use transport::{http1_builder, http2_builder};

pub use transport::{
    BROWSER_BOUNDS, EMITTER_BOUNDS, HEADER_BYTES_MAX, Http2Bounds, HttpVersion, Transport,
};

/// Memory of a connection, in bytes: buffers of h2 and of headers.
const MEMORY_BYTES: usize = 20 * 1024;
/// Additional memory of an encrypted connection, in bytes.
const TLS_MEMORY_BYTES: usize = 48 * 1024;

/// Time limit for a client to close a connection that the gateway has ended, so that the last bytes
/// of its streams can arrive.
const LINGER_TIME_MAX: Duration = Duration::from_secs(1);
/// How often a connection is checked.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Time limits of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionTimeouts {
    /// How long the preface, a frame or the headers of a call may take from
    /// their beginning.
    pub unfinished: Duration,
    /// How long a client may read nothing while data waits for it.
    pub write_stall: Duration,
    /// How long a connection may have no call.
    pub idle: Duration,
    /// The interval of keepalive pings to a silent client.
    pub keepalive_interval: Duration,
    /// Time limit for the answer to a ping.
    pub keepalive_timeout: Duration,
}

impl Default for ConnectionTimeouts {
    fn default() -> Self {
        Self::from(&Limits::default())
    }
}

impl From<&Limits> for ConnectionTimeouts {
    fn from(limits: &Limits) -> Self {
        Self {
            unfinished: limits.unfinished_timeout.0,
            write_stall: limits.stall_timeout.0,
            idle: limits.idle_timeout.0,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
        }
    }
}

/// Why the gateway closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutReason {
    /// The client never began to speak HTTP.
    Silent,
    /// The client did not finish a frame or the headers of a call.
    Unfinished,
    /// The client did not read data that was sent to it.
    NotReading,
    /// The client sent too many frames that carry nothing.
    IdleFrames,
}

impl CutReason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Silent, Self::Unfinished, Self::NotReading, Self::IdleFrames];

    /// A name for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Unfinished => "unfinished",
            Self::NotReading => "not_reading",
            Self::IdleFrames => "idle_frames",
        }
    }

    /// A sentence about what the peer did.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Silent => "the peer did not begin to speak HTTP in time",
            Self::Unfinished => "the peer did not finish a frame or the headers of a call in time",
            Self::NotReading => "the peer did not read what was sent to it",
            Self::IdleFrames => "the peer sent too many frames that carry nothing",
        }
    }
}

countable!(CutReason);

/// The state of an open connection.
#[derive(Debug)]
pub struct Connection {
    /// The client's address.
    pub remote: SocketAddr,
    /// The certificate and remembered callers of its client.
    pub channel: ConnectionIdentity,
    /// The protocol, and whether it is encrypted.
    pub transport: Transport,
    established: AtomicBool,
    /// The number of requests that have begun, with complete headers.
    requests: AtomicU64,
    calls: AtomicUsize,
    /// Since when it has no call.
    idle_since: Mutex<Instant>,
    cut: Mutex<Option<CutReason>>,
    quota: OnceLock<Arc<Quota>>,
    clock: Arc<ConnectionClock>,
    flows: Arc<Flows>,
    peer: Arc<Peer>,
    /// How often its task was polled.
    turns: AtomicU64,
    /// The number of small frames that its calls have not read.
    unread_frames: UnreadFrames,
}

/// Counts as one running call of a connection until it is dropped.
#[derive(Debug)]
pub struct RunningCall(Arc<Connection>);

impl Connection {
    /// A connection that was just accepted.
    pub fn new(remote: SocketAddr, channel: ConnectionIdentity, transport: Transport) -> Arc<Self> {
        let clock = ConnectionClock::start();
        Arc::new(Self {
            remote,
            channel,
            transport,
            established: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            calls: AtomicUsize::new(0),
            idle_since: Mutex::new(Instant::now()),
            cut: Mutex::new(None),
            quota: OnceLock::new(),
            flows: Flows::new(Arc::clone(&clock)),
            clock,
            peer: Peer::at(remote),
            turns: AtomicU64::new(0),
            unread_frames: UnreadFrames::default(),
        })
    }

    /// Counts a call.
    pub fn begin(self: &Arc<Self>) -> RunningCall {
        self.calls.fetch_add(1, Ordering::Relaxed);
        RunningCall(Arc::clone(self))
    }

    /// Memory of a connection, in bytes.
    pub fn memory(encrypted: bool) -> usize {
        MEMORY_BYTES + if encrypted { TLS_MEMORY_BYTES } else { 0 }
    }

    /// The quota of the peer's address, while its principal is unknown.
    pub fn quota(&self, quotas: &Quotas) -> Arc<Quota> {
        let quota = self.quota.get_or_init(|| quotas.of(&ClientKey::at(self.remote.ip())));
        Arc::clone(quota)
    }

    /// The responses that wait on it.
    pub fn flows(&self) -> &Arc<Flows> {
        &self.flows
    }

    /// When its task was last polled: see `ConnectionClock::recent`.
    pub fn recent(&self) -> Instant {
        self.clock.recent()
    }

    /// The number of its current poll. Data that was read in earlier polls has been processed.
    fn turn(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Why it was cut off, if it was.
    pub fn cut_reason(&self) -> Option<CutReason> {
        *self.cut.lock()
    }

    /// Notes that a request has begun.
    fn note_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.establish();
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn has_calls(&self) -> bool {
        self.calls.load(Ordering::Relaxed) > 0
    }

    fn is_established(&self) -> bool {
        self.established.load(Ordering::Relaxed)
    }

    fn establish(&self) {
        self.established.store(true, Ordering::Relaxed);
    }

    fn cut(&self, why: CutReason) {
        self.cut.lock().get_or_insert(why);
    }

    /// When it will have been without a call for this long; later if it has a call now.
    fn idle_at(&self, idle: Duration) -> Instant {
        if self.has_calls() {
            return Instant::now() + idle;
        }
        *self.idle_since.lock() + idle
    }
}

impl RunningCall {
    /// The connection that it came on.
    pub fn connection(&self) -> &Connection {
        &self.0
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        if self.0.calls.fetch_sub(1, Ordering::Relaxed) == 1 {
            *self.0.idle_since.lock() = Instant::now();
        }
    }
}

/// Serves a connection until the client ends it, breaks a rule or is idle for too long, or until
/// `stopping` is cancelled and the calls that run have ended. A connection without a preface by
/// then is dropped at once. `flusher` belongs to the socket below `io`. `resets` counts the streams
/// that are reset because the client does not read.
pub async fn serve<IO, S>(
    io: IO,
    flusher: SocketFlusher,
    connection: Arc<Connection>,
    service: S,
    limits: ConnectionTimeouts,
    resets: &AtomicU64,
    stopping: CancellationToken,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<tonic::codegen::StdError> + Send,
{
    let of_call = Arc::clone(&connection);
    let tasks = Tasks::default();
    let of_calls = tasks.clone();
    let service = service.map_request(move |request: Request<Incoming>| {
        of_call.note_request();
        let body_of = Arc::clone(&of_call);
        let mut request = request.map(|body| Body::new(CountedBody::new(body, body_of)));
        request.extensions_mut().insert(Arc::clone(&of_call.peer));
        request.extensions_mut().insert(Arc::clone(&of_call));
        if let HttpVersion::Http2(_) = of_call.transport.version {
            request.extensions_mut().insert(of_calls.begin());
        }
        request
    });
    let version = connection.transport.version;
    let io = TokioIo::new(GuardedIo::new(io, Arc::clone(&connection), limits));
    let service = TowerToHyperService::new(service);
    match version {
        HttpVersion::Http1 => {
            let served = http1_builder().serve_connection(io, service);
            watch(served, flusher, &connection, limits, resets, stopping).await;
        }
        HttpVersion::Http2(bounds) => {
            let served = http2_builder(limits, bounds, tasks, &connection.clock)
                .serve_connection(io, service);
            watch(served, flusher, &connection, limits, resets, stopping).await;
        }
    }
}

/// Polls a connection until it ends or must be closed.
async fn watch(
    served: impl GracefulConnection,
    flusher: SocketFlusher,
    connection: &Connection,
    limits: ConnectionTimeouts,
    resets: &AtomicU64,
    stopping: CancellationToken,
) {
    let mut served = pin!(served);
    loop {
        tokio::select! {
            // Only the reason of a cut matters, not how the connection ended.
            _ = drive(served.as_mut(), connection, &flusher) => return,
            () = stopping.cancelled() => break,
            () = tokio::time::sleep(WATCH_INTERVAL) => {
                if connection.idle_at(limits.idle) <= Instant::now() {
                    break;
                }
                match connection.flows.stalled(limits.write_stall) {
                    Stalled::Nothing => {}
                    Stalled::Streams(streams) => {
                        resets.fetch_add(streams.len() as u64, Ordering::Relaxed);
                        streams.iter().for_each(|stream| stream.reset());
                    }
                    Stalled::All => {
                        connection.cut(CutReason::NotReading);
                        return;
                    }
                }
            }
        }
    }
    if connection.is_established() {
        served.as_mut().graceful_shutdown();
        let _ = drive(served, connection, &flusher).await;
        flusher.linger(LINGER_TIME_MAX).await;
    }
}

/// Polls a connection, and flushes its socket after each poll.
async fn drive<F: Future>(
    mut served: Pin<&mut F>,
    connection: &Connection,
    flusher: &SocketFlusher,
) -> F::Output {
    poll_fn(|cx| {
        connection.turns.fetch_add(1, Ordering::Relaxed);
        connection.clock.now();
        let polled = served.as_mut().poll(cx);
        // If the socket is broken, the next read returns the error.
        let _ = flusher.flush();
        polled
    })
    .await
}
