//! The server: starts the listener and the services, and stops them.

mod admin;
pub mod admission;
mod authenticate;
mod calls;
mod clock;
pub mod connection;
mod corked_socket;
mod disconnects;
mod expiry;
mod free_space;
mod gateway_config;
mod grpc_only;
mod health;
mod heap;
mod lasting_warning;
pub mod listener;
mod log_limiter;
mod metrics;
mod operations;
mod reflection;
mod reload;
mod routes;
mod running_tasks;
pub mod stats;
mod tls;
mod web;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::OptionFuture;
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthReporter;
use tower::Layer as _;

use crate::audit::{Auditor, ConfigChange};
use crate::config::{self, Settings};
use crate::content::ActivePolicy;
use crate::delivery::Deliveries;
use crate::hub::{Hub, LAST_READ_TIME_MAX};
use crate::log::{Log, MemoryLog, Store};
use crate::proof::TreeKey;
use crate::proof::prover::{OpenedTree, Prover};
use crate::proof::tile_store::{DiskTileStore, MemoryTileStore};
use crate::service::quota::Quotas;
use crate::service::{GrpcService, Service};
use admin::AdminListener;
use admission::Admission;
use calls::{CallLayer, CallRules};
use free_space::LastSpace;
use grpc_only::GrpcOnly;
use listener::Listener;
use metrics::MetricSources;
use reload::Reloader;
use routes::Routes;
use running_tasks::RunningTasks;
use stats::CallStats;
use tls::ClientKind;
use web::WebListener;

pub use crate::config::DRAIN_TIMEOUT;
pub use gateway_config::Config;
pub use reload::{changed_keys, check, check_delivery, restart_keys};

/// A running gateway.
pub struct Gateway {
    reloader: Arc<Reloader>,
    auditor: Auditor,
    connections: Arc<listener::ConnectionCounters>,
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    web_address: Option<SocketAddr>,
    admin_task: Option<AbortHandle>,
    stopping: CancellationToken,
    drain_timeout: Duration,
    task: JoinHandle<()>,
    health: HealthReporter,
    running: RunningTasks,
    hub: Arc<Hub>,
    prover: Option<Arc<Prover>>,
    deliveries: Arc<Deliveries>,
    /// Time limit for draining the deliveries.
    last_read: Duration,
}

impl Gateway {
    /// Starts a gateway. On return, it listens and accepts calls.
    ///
    /// # Errors
    /// If the address cannot be bound.
    ///
    /// # Panics
    /// Outside of a tokio runtime; if a bound of the ring is below its minimum.
    pub async fn start(config: Config) -> io::Result<Self> {
        let log = Arc::new(MemoryLog::new(config.ring));
        Self::start_on(config, log).await
    }

    /// Starts a gateway on a log; the ring of the configuration is ignored.
    ///
    /// # Errors
    /// If the address cannot be bound.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start_on(config: Config, log: Arc<dyn Log>) -> io::Result<Self> {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let files = files.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
        let admission = Admission::new(config.admission.within(files));
        let quotas = Arc::new(Quotas::new(config.quotas));
        let encrypted = config.tls.is_on();
        let authenticates = config.access.has_bearers() || config.tls.client_ca.is_some();
        let audits = config.access.self_audit.unwrap_or(authenticates);
        let policy = ActivePolicy::new(config.content);
        let reloader =
            Arc::new(Reloader::load(config.tls, config.access, policy.clone()).map_err(invalid)?);
        let (access, tls) = (Arc::clone(reloader.access()), Arc::clone(reloader.tls()));
        let (admission_of, quotas_of) = (Arc::clone(&admission), Arc::clone(&quotas));
        let acceptor = Arc::clone(&tls);
        let bound = Listener::bind(
            config.listen,
            ClientKind::Grpc,
            config.connections,
            admission_of,
            quotas_of,
            acceptor,
        );
        let listener = bound.await.map_err(|error| cannot_listen(config.listen, &error))?;
        let address = listener.address()?;
        let shared = web::WebContext {
            timeouts: config.connections,
            quotas: Arc::clone(&quotas),
            access: Arc::clone(&access),
            tls: Arc::clone(&tls),
            grpc: address,
        };
        let web = WebListener::bind(&config.web, config.listen, files, shared).await?;
        let web_address = web.as_ref().map(WebListener::address).transpose()?;
        let connections = listener.counters();
        let stopping = CancellationToken::new();
        let state = log.state();
        let key = config.signing_key.map(TreeKey::from);
        let prover = match key.or(config.verifier_key.map(TreeKey::from)) {
            Some(key) => Some(prover(Arc::clone(&log) as _, key, config.tiles.as_deref())?),
            None => None,
        };
        let last_read = LAST_READ_TIME_MAX.min(config.drain_timeout / 2);
        let hub = Hub::ending(log, stopping.clone(), last_read);
        let auditor = if audits {
            Auditor::start(&hub, policy.clone(), stopping.clone())
        } else {
            Auditor::off()
        };
        auditor.started(&address.to_string(), encrypted).await;
        for config in &config.deliveries {
            check_delivery(config).map_err(invalid)?;
        }
        let (deliveries, changed_keys) =
            Deliveries::start(&hub, config.delivery_dir.as_deref(), config.deliveries)
                .map_err(io::Error::other)?;
        if !changed_keys.is_empty() {
            auditor.changed(ConfigChange { changed_keys, ..ConfigChange::default() }).await;
        }
        let reporter = HealthReporter::new();
        let watchable = health::Watchable::new(reporter.clone(), stopping.clone());
        let health_service = HealthServer::new(watchable);
        health::set(&reporter, ServingStatus::Serving).await;
        tokio::spawn(health::follow(state, reporter.clone(), stopping.clone()));
        tokio::spawn(clock::watch(Arc::clone(&hub), stopping.clone()));
        tokio::spawn(heap::watch(Arc::clone(&quotas), stopping.clone()));
        let stats = Arc::new(CallStats::begin());
        let running = RunningTasks { stats: Arc::clone(&stats), admission: Arc::clone(&admission) };
        let space = config.tiles.as_deref().map(LastSpace::of);
        let sources = Arc::new(MetricSources {
            stats: Arc::clone(&stats),
            connections: Arc::clone(&connections),
            reloader: Arc::clone(&reloader),
            admission,
            quotas: Arc::clone(&quotas),
            hub: Arc::clone(&hub),
            prover: prover.clone(),
            auditor: auditor.clone(),
            space: space.clone(),
            key_beside_log: config.key_beside_log,
            web: web.as_ref().map(WebListener::sources),
            deliveries: Arc::clone(&deliveries),
        });
        let service = Service::new(Arc::clone(&hub), Arc::clone(&access), config.limits)
            .with_audit(auditor.clone())
            .with_proofs(prover.clone())
            .with_policy(policy)
            .with_deliveries(Arc::clone(&deliveries))
            .with_accounts(Arc::clone(&quotas))
            .with_operations(Arc::clone(&sources) as _);
        let service = GrpcService::new(service);
        let reads = Routes::new(service.clone());
        let routes = Routes::new(service)
            .with(health_service)
            .with(reflection::builder().build_v1().map_err(io::Error::other)?)
            .with(reflection::builder().build_v1alpha().map_err(io::Error::other)?);
        if let Some(space) = space {
            tokio::spawn(free_space::watch(space, stopping.clone()));
        }
        let admin = match config.admin {
            Some(listen) => Some(
                AdminListener::bind(listen, sources)
                    .await
                    .map_err(|error| cannot_listen(listen, &error))?,
            ),
            None => None,
        };
        let admin_address = admin.as_ref().map(AdminListener::address).transpose()?;
        let admin_task = admin.map(|admin| tokio::spawn(admin.serve()).abort_handle());
        let limits = config.limits;
        let rules = Arc::new(CallRules {
            access,
            auditor: auditor.clone(),
            limits,
            quotas,
            stats,
            connections: Arc::clone(&connections),
            log_limiter: Arc::default(),
        });
        let layer = CallLayer::new(rules);
        let routes = GrpcOnly::new(layer.layer(routes));
        let serving = listener.serve(routes, stopping.clone());
        let serving_web =
            web.map(|web| web.serve(layer.layer(web::ReadOnly::new(reads)), stopping.clone()));
        let serving_web = OptionFuture::from(serving_web);
        let task = tokio::spawn(async move {
            tokio::join!(serving, serving_web);
        });
        let drain_timeout = config.drain_timeout;
        tokio::spawn(Arc::clone(&reloader).watch(auditor.clone(), stopping.clone()));
        Ok(Self {
            reloader,
            auditor,
            connections,
            address,
            admin_address,
            web_address,
            admin_task,
            stopping,
            drain_timeout,
            task,
            health: reporter,
            running,
            hub,
            prover,
            deliveries,
            last_read,
        })
    }

    /// Replaces keys, certificates, roles and redaction rules by those of the settings `after`, and
    /// reads their files again. Connections stay open. A stream ends only if its principal may no
    /// longer read its records. Changed files are also noticed without this call.
    ///
    /// # Errors
    /// If a file cannot be read or has invalid content; then nothing changes.
    pub async fn reload(&self, before: &Settings, after: &Settings) -> Result<(), config::Error> {
        let deliveries = after.deliveries()?;
        deliveries.iter().try_for_each(check_delivery)?;
        self.reloader.follow(before, after, &self.auditor).await?;
        let replaced = self.deliveries.replace(deliveries).await;
        let changed_keys = replaced.map_err(|error| config::Error::value("delivery", error))?;
        if !changed_keys.is_empty() {
            self.auditor.changed(ConfigChange { changed_keys, ..ConfigChange::default() }).await;
        }
        Ok(())
    }

    /// Counts a reload whose configuration could not be read, so that metrics and status show it.
    pub fn count_unreadable_reload(&self, error: &str) {
        self.reloader.outcomes().count(Some(error));
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the admin listener, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// The address of the page, if there is one.
    pub fn web_address(&self) -> Option<SocketAddr> {
        self.web_address
    }

    /// The counters of connections.
    pub fn connections(&self) -> &listener::ConnectionCounters {
        &self.connections
    }

    /// The Merkle tree over the log, if the gateway keeps one.
    pub fn prover(&self) -> Option<&Arc<Prover>> {
        self.prover.as_ref()
    }

    /// The deliveries to other systems.
    pub fn deliveries(&self) -> &Arc<Deliveries> {
        &self.deliveries
    }

    /// The hub, for use within the process.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Stops the gateway: the health becomes NOT_SERVING, streams end with a cursor, and
    /// running calls finish. Calls that still run after [`Config::drain_timeout`] are aborted.
    pub async fn stop(mut self) {
        health::set(&self.health, ServingStatus::NotServing).await;
        // Before streams end, so that their clients see the new health.
        self.auditor.stopped().await;
        self.stopping.cancel();
        // The health streams end when their service is dropped.
        for name in health::NAMES {
            self.health.clear_service_status(name).await;
        }
        if tokio::time::timeout(self.drain_timeout, &mut self.task).await.is_err() {
            self.running.warn();
            self.task.abort();
        }
        // After the last call that may read or append.
        self.auditor.drain().await;
        self.deliveries.stop(self.last_read).await;
        if let Some(prover) = &self.prover {
            prover.stop().await;
        }
    }
}

/// A dropped gateway accepts no more calls.
impl Drop for Gateway {
    fn drop(&mut self) {
        self.stopping.cancel();
        if let Some(prover) = &self.prover {
            prover.detach();
        }
        if let Some(admin) = &self.admin_task {
            admin.abort();
        }
    }
}

/// Opens the Merkle tree of `log`, with its tiles in a directory or in memory.
fn prover(log: Arc<dyn Store>, key: TreeKey, tiles: Option<&Path>) -> io::Result<Arc<Prover>> {
    match tiles {
        Some(folder) => {
            let (store, opened) =
                DiskTileStore::open(folder, key.clone()).map_err(io::Error::other)?;
            Prover::start(log, key, Box::new(store), opened)
        }
        None => {
            Prover::start(log, key, Box::new(MemoryTileStore::default()), OpenedTree::default())
        }
    }
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> io::Error {
    let is_taken = error.kind() == io::ErrorKind::AddrInUse;
    let advice = "; another program uses the port: stop it, or choose another port";
    let advice = if is_taken { advice } else { "" };
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}{advice}"))
}

fn invalid(error: config::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
