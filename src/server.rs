//! The server: a listener, the services on it, and how it ends.

mod explain;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::config::Settings;
use crate::hub::Hub;
use crate::log::{Bounds, Log, MemoryLog};
use crate::proto;
use crate::proto::retyped::audit_service_server::AuditServiceServer;
use crate::service::{self, Limits, Service};
use explain::ExplainLayer;

/// How long the gateway waits for calls to end when it stops.
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// The most concurrent streams of one connection.
const STREAMS_PER_CONNECTION_MAX: u32 = 4_096;
/// How many bytes a client may send on one stream ahead of the gateway.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// How many bytes a client may send on one connection ahead of the gateway. h2
/// gives up on a connection whose small frames, unread, cost more than half of
/// this: many streams of small events need it large.
const CONNECTION_WINDOW_BYTES: u32 = 64 * 1024 * 1024;
/// How often a silent client is asked whether it is there.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long it has to answer.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How a gateway is set up.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How much the ring keeps.
    pub ring: Bounds,
    /// What is accepted.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self::from(&Settings::default())
    }
}

impl From<&Settings> for Config {
    fn from(settings: &Settings) -> Self {
        Self { listen: settings.listen, ring: settings.ring.bounds(), limits: Limits::default() }
    }
}

/// A gateway that runs.
pub struct Gateway {
    address: SocketAddr,
    stopping: CancellationToken,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
    health: HealthReporter,
    hub: Arc<Hub>,
}

impl Gateway {
    /// Starts a gateway. When this returns, it listens and takes calls.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    ///
    /// # Panics
    /// Outside of a tokio runtime; if a bound of the ring is below its minimum.
    pub async fn start(config: Config) -> io::Result<Self> {
        Self::start_on(config, Arc::new(MemoryLog::new(config.ring))).await
    }

    /// Starts a gateway on a log; the ring of the configuration is not looked
    /// at.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start_on(config: Config, log: Arc<dyn Log>) -> io::Result<Self> {
        let incoming = TcpIncoming::bind(config.listen)?.with_nodelay(Some(true));
        let address = incoming.local_addr()?;
        let stopping = CancellationToken::new();
        let hub = Hub::new(log, stopping.clone());
        let (health, health_service) = tonic_health::server::health_reporter();
        set_health(&health, ServingStatus::Serving).await;
        let service = AuditServiceServer::new(Service::new(Arc::clone(&hub), config.limits))
            .max_decoding_message_size(config.limits.request_bytes)
            .max_encoding_message_size(usize::MAX)
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .send_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Zstd);
        let router = tonic::transport::Server::builder()
            .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .layer(ExplainLayer::new(config.limits))
            .add_service(service)
            .add_service(health_service)
            .add_service(reflection().build_v1().map_err(io::Error::other)?)
            .add_service(reflection().build_v1alpha().map_err(io::Error::other)?);
        let stopped = stopping.clone().cancelled_owned();
        let task = tokio::spawn(router.serve_with_incoming_shutdown(incoming, stopped));
        Ok(Self { address, stopping, task, health, hub })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The hub, for use within the process.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Stops: health turns NOT_SERVING, streams end with a cursor, calls that
    /// run are finished. What still runs after [`DRAIN_TIME_MAX`] is left to end
    /// with the process.
    pub async fn stop(mut self) {
        set_health(&self.health, ServingStatus::NotServing).await;
        self.stopping.cancel();
        // Streams that watch the health end only where there is no more to watch.
        for name in HEALTH_NAMES {
            self.health.clear_service_status(name).await;
        }
        if tokio::time::timeout(DRAIN_TIME_MAX, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

/// A gateway that is dropped takes no more calls.
impl Drop for Gateway {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

/// What the health is told of: the gateway and its service.
const HEALTH_NAMES: [&str; 2] = ["", service::NAME];

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for name in HEALTH_NAMES {
        health.set_service_status(name, status).await;
    }
}

/// Reflection over the protocol and what its errors and health are made of, so
/// that clients print them without a proto file.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}
