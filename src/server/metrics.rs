//! The metrics of the gateway, as text for Prometheus and for readers of OpenMetrics.
//!
//! A scrape reads the counters of the components; there is no second copy. Labels have
//! few values, and clients cannot choose them.

mod deliveries;
mod form;
mod log_metrics;
mod page;
mod process;
mod reader_metrics;
mod shared_metrics;
mod web_metrics;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tonic::Code;

use crate::audit::Auditor;
use crate::delivery::Deliveries;
use crate::hub::Hub;
use crate::proof::prover::Prover;
use crate::server::admission::Admission;
use crate::server::free_space::LastSpace;
use crate::server::listener;
use crate::server::reload::Reloader;
use crate::server::stats::CallStats;
use crate::server::web::WebSources;
use crate::service::quota::{MemoryKind, Quotas};
use page::{Label, MetricsPage};

pub use form::Form;

/// The components whose counters are read.
pub struct MetricSources {
    /// Calls.
    pub stats: Arc<CallStats>,
    /// The counters of connections.
    pub connections: Arc<listener::ConnectionCounters>,
    /// Certificates and reloads.
    pub reloader: Arc<Reloader>,
    /// Open connections.
    pub admission: Arc<Admission>,
    /// Quotas.
    pub quotas: Arc<Quotas>,
    /// Events.
    pub hub: Arc<Hub>,
    /// The Merkle tree over the log, if the gateway keeps one.
    pub prover: Option<Arc<Prover>>,
    /// Records of the gateway's own.
    pub auditor: Auditor,
    /// The free space for a log on disk.
    pub space: Option<Arc<LastSpace>>,
    /// Whether the signing key is in the data directory.
    pub key_beside_log: bool,
    /// The listener of the page, if there is one.
    pub web: Option<WebSources>,
    /// Deliveries to other systems.
    pub deliveries: Arc<Deliveries>,
}

impl fmt::Debug for MetricSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

/// The metrics page, in one of its formats.
///
/// # Errors
/// If a name or label is not valid in OpenMetrics.
pub fn text(sources: &Arc<MetricSources>, form: Form) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Arc::clone(sources)));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(form.of_open_metrics(text))
}

impl Collector for MetricSources {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = MetricsPage(encoder);
        self.info(&mut page)?;
        self.calls(&mut page)?;
        self.connections(&mut page)?;
        self.web(&mut page)?;
        self.quotas(&mut page)?;
        self.events(&mut page)?;
        self.log(&mut page)?;
        self.shared(&mut page)?;
        self.proof(&mut page)?;
        self.readers(&mut page)?;
        self.deliveries(&mut page)?;
        process::encode(&mut page)
    }
}

impl MetricSources {
    fn info(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        let identity = self.hub.identity();
        let log_id = identity.id.to_string();
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("log_id", log_id.as_str()),
            ("log_kind", identity.kind),
        ];
        let mut metric =
            page.0.encode_descriptor("auditgate", "The gateway", None, MetricType::Info)?;
        metric.encode_info(&labels)?;
        let stopping = f64::from(u8::from(self.hub.stopping().is_cancelled()));
        let reloads = self.reloader.outcomes();
        page.counters(
            "auditgate_reloads",
            "Reloads of configuration, keys and certificates, by result",
            reloads.totals().into_iter().map(|(result, count)| ([("result", result)], count)),
        )?;
        page.gauge(
            "auditgate_last_reload_successful",
            "1 if the last reload was applied, or there was none; 0 if it was refused",
            f64::from(u8::from(reloads.last_was_applied())),
        )?;
        let (seconds, nanos) = self.hub.started().parts();
        page.gauge(
            "process_start_time_seconds",
            "Start of the gateway, in seconds since 1970",
            seconds as f64 + f64::from(nanos) / 1e9,
        )?;
        page.gauge("auditgate_stopping", "1 while the gateway stops", stopping)
    }

    fn calls(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        let methods = self.stats.methods();
        let labels = |method: &'_ crate::server::stats::MethodStats| {
            (method.shape(), method.service.clone(), method.name.clone())
        };
        let named: Vec<_> = methods.iter().map(|method| (labels(method), method)).collect();
        page.counters(
            "grpc_server_started",
            "Calls started",
            named.iter().map(|((shape, service, name), method)| {
                (of_method(shape, service, name), method.started())
            }),
        )?;
        page.counters(
            "grpc_server_handled",
            "Calls finished, by code",
            named.iter().flat_map(|((shape, service, name), method)| {
                method.handled().map(|(code, count)| {
                    let [a, b, c] = of_method(shape, service, name);
                    ([a, b, c, ("grpc_code", code_name(code))], count)
                })
            }),
        )?;
        page.histograms(
            "grpc_server_handling_seconds",
            "Duration of calls, streams included",
            named.iter().map(|((shape, service, name), method)| {
                (of_method(shape, service, name), method.times())
            }),
        )?;
        page.counters(
            "auditgate_refusals",
            "Calls refused, by ErrorInfo reason",
            self.stats.refused().named().map(|(reason, count)| ([("reason", reason)], count)),
        )
    }

    fn connections(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        let counters = &self.connections;
        page.connections("auditgate_connections", "Connections", &self.admission, counters)?;
        let refused = [
            ("full", &counters.refused_full),
            ("address", &counters.refused_peer),
            ("system", &counters.failed),
        ];
        page.counters(
            "auditgate_connections_refused",
            "Connections refused, by exhausted limit",
            refused.into_iter().map(|(reason, count)| ([("reason", reason)], read(count))),
        )?;
        page.counter(
            "auditgate_streams_reset",
            "Calls that were reset because their client did not read",
            read(&counters.streams_reset),
        )?;
        page.counter(
            "auditgate_tls_handshakes_refused",
            "TLS handshakes that failed or timed out",
            read(&counters.refused_tls),
        )?;
        page.gauges(
            "auditgate_certificate_expiry_timestamp_seconds",
            "Earliest certificate expiry of a file, in seconds since 1970",
            self.reloader
                .tls()
                .expiries()
                .iter()
                .map(|expiry| ([("key", expiry.key)], expiry.at as f64)),
        )
    }

    fn quotas(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        let limited = self.quotas.limited();
        page.counters(
            "auditgate_rate_limited",
            "Calls refused and streams paused by a rate limit",
            limited.counts().map(|(rate, count)| ([("rate", rate.name())], count)),
        )?;
        let holding = self.quotas.holding();
        page.gauge(
            "auditgate_receiving_bytes",
            "Bytes of incomplete requests",
            holding.of(MemoryKind::Receiving) as f64,
        )?;
        page.gauge(
            "auditgate_waiting_bytes",
            "Bytes of requests in work and of unread answers",
            holding.room as f64,
        )?;
        let kinds = MemoryKind::ALL.into_iter().map(|kind| (kind.name(), holding.of(kind)));
        page.gauges(
            "auditgate_account_bytes",
            "Bytes on the accounts of clients, by what holds them",
            kinds
                .chain([("room", holding.room)])
                .map(|(kind, bytes)| ([("kind", kind)], bytes as f64)),
        )?;
        let (largest, count) = self.quotas.largest(1);
        let largest = largest.first().map_or(0, |own| own.holding.total());
        page.gauge(
            "auditgate_account_bytes_max",
            "Bytes on the account of the client that holds most",
            largest as f64,
        )?;
        page.gauge("auditgate_accounts", "Clients that hold memory", count as f64)?;
        let limits = self.quotas.limits();
        page.gauge(
            "auditgate_account_bytes_limit",
            "Limit of bytes of requests and answers of one client: limits.waiting_bytes",
            limits.waiting_bytes as f64,
        )?;
        page.gauge(
            "auditgate_waiting_bytes_limit",
            "Limit of auditgate_waiting_bytes: limits.waiting_bytes_in_all",
            limits.waiting_bytes_in_all as f64,
        )
    }

    fn events(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        let counters = self.hub.counters();
        page.counters(
            "auditgate_events_accepted",
            "Events accepted, by type",
            counters.by_type.occurred().map(|(id, count)| ([("type", id.get().name)], count)),
        )?;
        page.counter(
            "auditgate_event_bytes_accepted",
            "Bytes of accepted events",
            read(&counters.accepted_bytes),
        )?;
        page.counter(
            "auditgate_events_duplicate",
            "Duplicate events received",
            read(&counters.duplicates),
        )?;
        page.counters(
            "auditgate_emits_refused",
            "Refused Emit calls, stream events and streams, by reason",
            counters.refused.named().map(|(reason, count)| ([("reason", reason)], count)),
        )
    }
}

fn of_method<'a>(shape: &'a str, service: &'a str, name: &'a str) -> [Label<'a>; 3] {
    [("grpc_type", shape), ("grpc_service", service), ("grpc_method", name)]
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// The name of a code, as in other gRPC metrics.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
