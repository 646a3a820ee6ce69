//! Accepts connections, and serves each in its own task.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::Service;

use crate::access::ConnectionIdentity;
use crate::counters::Counters;
use crate::network::Network;
use crate::proto::pb::DisconnectKind;
use crate::server::admission::{Admission, ConnectionRefused};
use crate::server::connection::{
    self, BROWSER_BOUNDS, Connection, CutReason, EMITTER_BOUNDS, HttpVersion, Transport,
};
use crate::server::corked_socket::cork;
use crate::server::disconnects::DisconnectLog;
use crate::server::log_limiter::LogLimiter;
use crate::server::tls::{AcceptedStream, ClientKind, Session, TlsSetup};
use crate::service::quota::{ClientKey, MemoryKind, Quotas};

/// The pause after a failed accept: at the limit of open files, an immediate retry only uses
/// processor time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Counts connections by outcome since the start.
#[derive(Debug, Default)]
pub struct ConnectionCounters {
    /// Accepted connections.
    pub accepted: AtomicU64,
    /// Connections refused at the total limit.
    pub refused_full: AtomicU64,
    /// Connections refused at the limit for an address.
    pub refused_peer: AtomicU64,
    /// Accepted connections whose TLS handshake failed or timed out.
    pub refused_tls: AtomicU64,
    /// Connections that could not be accepted, for lack of files or memory.
    pub failed: AtomicU64,
    /// Streams that were reset because their client did not read.
    pub streams_reset: AtomicU64,
    /// The newest disconnects.
    pub disconnects: DisconnectLog,
    /// The connections that the gateway closed, by reason.
    pub cut: Counters<CutReason>,
}

/// A listening socket with the limits of its connections.
pub struct Listener {
    socket: TcpListener,
    client: ClientKind,
    limits: connection::ConnectionTimeouts,
    admission: Arc<Admission>,
    quotas: Arc<Quotas>,
    tls: Arc<TlsSetup>,
    counters: Arc<ConnectionCounters>,
    log_limiter: Arc<LogLimiter>,
}

impl Listener {
    /// Listens.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn bind(
        address: SocketAddr,
        client: ClientKind,
        limits: connection::ConnectionTimeouts,
        admission: Arc<Admission>,
        quotas: Arc<Quotas>,
        tls: Arc<TlsSetup>,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        Ok(Self {
            socket,
            client,
            limits,
            admission,
            quotas,
            tls,
            counters: Arc::default(),
            log_limiter: Arc::default(),
        })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// If the system call fails.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The counters of its connections.
    pub fn counters(&self) -> Arc<ConnectionCounters> {
        Arc::clone(&self.counters)
    }

    /// Accepts connections until `stopping` is cancelled; returns when all have ended. Dropping
    /// the future closes them.
    pub async fn serve<S>(self, service: S, stopping: CancellationToken)
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<tonic::codegen::StdError> + Send,
    {
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                Some(_) = open.join_next() => {}
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, remote)) => {
                        if let Some(work) = self.take(stream, remote, service.clone(), &stopping) {
                            open.spawn(work);
                        }
                    }
                    Err(error) if concerns_one(&error) => {}
                    Err(error) => {
                        self.counters.failed.fetch_add(1, Ordering::Relaxed);
                        if let Some(suppressed) = self.log_limiter.allow() {
                            tracing::warn!(%error, suppressed, "cannot accept connections");
                        }
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        // From here on, no client can connect.
        drop(self.socket);
        while open.join_next().await.is_some() {}
    }

    /// The future that serves a connection; `None` if the connection was refused and closed.
    fn take<S>(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
        service: S,
        stopping: &CancellationToken,
    ) -> Option<impl Future<Output = ()> + Send + use<S>>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<tonic::codegen::StdError> + Send,
    {
        let permit = match self.admission.admit(remote.ip()) {
            Ok(permit) => permit,
            Err(refused) => {
                let count = match refused {
                    ConnectionRefused::Full { .. } => &self.counters.refused_full,
                    ConnectionRefused::PeerFull { .. } => &self.counters.refused_peer,
                };
                count.fetch_add(1, Ordering::Relaxed);
                if let Some(suppressed) = self.log_limiter.allow() {
                    let client = Network::of(remote.ip());
                    tracing::warn!(peer = %remote, %client, suppressed, "connection refused: {refused}");
                }
                return None;
            }
        };
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        // Small responses must not be delayed. If this fails, the peer has gone.
        stream.set_nodelay(true).ok()?;
        let (stream, flusher) = cork(stream);
        let (limits, stopping) = (self.limits, stopping.clone());
        let log_limiter = Arc::clone(&self.log_limiter);
        let counters = Arc::clone(&self.counters);
        let quota = self.quotas.of(&ClientKey::at(remote.ip()));
        let (tls, client) = (Arc::clone(&self.tls), self.client);
        Some(async move {
            let _permit = permit;
            // An unfinished handshake has buffers, too.
            let memory = Connection::memory(tls.is_on());
            let _memory = quota.account().charge(MemoryKind::Connections, memory);
            let accepted = tokio::select! {
                accepted = tls.accept(stream, client) => accepted,
                () = stopping.cancelled() => return,
            };
            let (stream, session) = match accepted {
                Err(error) => {
                    counters.refused_tls.fetch_add(1, Ordering::Relaxed);
                    if let Some(suppressed) = log_limiter.allow() {
                        tracing::info!(peer = %remote, suppressed, "TLS handshake failed: {error}");
                    }
                    return;
                }
                Ok(AcceptedStream::Plain(stream)) => (Either::Left(stream), None),
                Ok(AcceptedStream::Encrypted(stream, session)) => {
                    (Either::Right(stream), Some(session))
                }
            };
            let transport = transport(client, session.as_ref());
            let certificates = session.and_then(|session| session.certificates);
            let identity = ConnectionIdentity::new(certificates);
            let connection = Connection::new(remote, identity, transport);
            let (task, resets) = (Arc::clone(&connection), &counters.streams_reset);
            connection::serve(stream, flusher, task, service, limits, resets, stopping).await;
            let Some(why) = connection.cut_reason() else { return };
            counters.cut.increment(why);
            // Browsers open connections ahead of their requests, and do not always use them.
            let is_usual = client == ClientKind::Browsers && why == CutReason::Silent;
            if !is_usual {
                let (kind, principal) =
                    (DisconnectKind::Connection, connection.channel.principal());
                counters.disconnects.note(kind, principal, Some(remote), why.name());
            }
            if !is_usual && let Some(suppressed) = log_limiter.allow() {
                let reason = why.name();
                tracing::info!(peer = %remote, reason, suppressed, "connection closed: {}", why.sentence());
            }
        })
    }
}

/// The transport of a connection of such a client, without TLS or after this handshake.
fn transport(client: ClientKind, session: Option<&Session>) -> Transport {
    let version = match client {
        ClientKind::Grpc => HttpVersion::Http2(EMITTER_BOUNDS),
        ClientKind::Browsers if session.is_some_and(|session| session.is_http2) => {
            HttpVersion::Http2(BROWSER_BOUNDS)
        }
        // Browsers speak HTTP/2 only over TLS.
        ClientKind::Browsers => HttpVersion::Http1,
    };
    Transport { encrypted: session.is_some(), version }
}

/// Whether an accept error concerns only one connection, so that the next accept may succeed.
fn concerns_one(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}
