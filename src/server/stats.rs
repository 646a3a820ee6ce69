//! Counts calls by method and outcome, with a few atomic additions a call.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;
use prost_reflect::DescriptorPool;
use tonic::Code;

use crate::access::Method;
use crate::counters::{Countable, Counters};
use crate::histogram::{Histogram, HistogramSnapshot};
use crate::proto::{self, pb::ErrorReason};

/// The service and name for unknown methods.
pub const UNKNOWN: &str = "unknown";
/// Codes of gRPC, from 0.
const CODES: usize = 17;

/// The counters of one method.
#[derive(Debug)]
pub struct MethodStats {
    /// Full name of its service.
    pub service: String,
    /// Its name.
    pub name: String,
    /// The method, if it belongs to the service of the gateway.
    pub of_service: Option<Method>,
    /// Whether the client sends a stream.
    pub client_streams: bool,
    /// Whether the gateway sends a stream.
    pub server_streams: bool,
    started: AtomicU64,
    handled: Counters<Code>,
    times: Histogram,
}

impl Countable for Code {
    const INDEXES: usize = CODES;

    fn index(self) -> usize {
        self as usize
    }

    fn at(index: usize) -> Option<Self> {
        (index < CODES).then(|| Self::from_i32(index as i32))
    }
}

impl MethodStats {
    fn new(service: &str, name: &str, client_streams: bool, server_streams: bool) -> Self {
        Self {
            service: service.to_owned(),
            name: name.to_owned(),
            of_service: Method::by_path(&format!("/{service}/{name}")),
            client_streams,
            server_streams,
            started: AtomicU64::new(0),
            handled: Default::default(),
            times: Histogram::default(),
        }
    }

    /// The path of its calls.
    pub fn path(&self) -> String {
        format!("/{}/{}", self.service, self.name)
    }

    /// The type of its calls, as in other gRPC metrics.
    pub fn shape(&self) -> &'static str {
        match (self.client_streams, self.server_streams) {
            (false, false) => "unary",
            (true, false) => "client_stream",
            (false, true) => "server_stream",
            (true, true) => "bidi_stream",
        }
    }

    /// Counts a call that begins.
    pub fn start(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call that ended with this code after this time.
    pub fn finish(&self, code: Code, took: Duration) {
        self.handled.increment(code);
        self.times.record(took);
    }

    /// The number of started calls.
    pub fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// The number of finished calls by code.
    pub fn handled(&self) -> impl Iterator<Item = (Code, u64)> {
        self.handled.occurred()
    }

    /// The durations of finished calls.
    pub fn times(&self) -> HistogramSnapshot {
        self.times.snapshot()
    }
}

/// The counters of all methods, and of refusals by reason.
#[derive(Debug)]
pub struct CallStats {
    methods: Vec<Arc<MethodStats>>,
    by_path: HashMap<String, Arc<MethodStats>, RandomState>,
    unknown: Arc<MethodStats>,
    refused: Counters<ErrorReason>,
}

impl CallStats {
    /// Counters of all methods of the gateway, without calls.
    pub fn begin() -> Self {
        let mut methods = methods_of(proto::descriptor_pool());
        for set in [
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            // Calls of unknown methods are counted together.
            methods.extend(DescriptorPool::decode(set).iter().flat_map(methods_of));
        }
        let by_path = methods
            .iter()
            .map(|method| (format!("/{}/{}", method.service, method.name), Arc::clone(method)));
        let by_path = by_path.collect();
        let unknown = Arc::new(MethodStats::new(UNKNOWN, UNKNOWN, false, false));
        methods.push(Arc::clone(&unknown));
        Self { methods, by_path, unknown, refused: Counters::default() }
    }

    /// The method at this path.
    pub fn method(&self, path: &str) -> &Arc<MethodStats> {
        self.by_path.get(path).unwrap_or(&self.unknown)
    }

    /// All methods.
    pub fn methods(&self) -> &[Arc<MethodStats>] {
        &self.methods
    }

    /// The counters of refusals.
    pub fn refused(&self) -> &Counters<ErrorReason> {
        &self.refused
    }

    /// The number of running calls.
    pub fn running(&self) -> u64 {
        let running = self
            .methods
            .iter()
            .map(|method| method.started().saturating_sub(method.handled.total()));
        running.sum()
    }
}

fn methods_of(pool: &DescriptorPool) -> Vec<Arc<MethodStats>> {
    let methods = pool.services().flat_map(|service| {
        let methods: Vec<_> = service.methods().collect();
        methods.into_iter().map(move |method| {
            let (client, server) = (method.is_client_streaming(), method.is_server_streaming());
            Arc::new(MethodStats::new(service.full_name(), method.name(), client, server))
        })
    });
    methods.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_told_apart() {
        let stats = CallStats::begin();
        let shape = |path: &str| stats.method(path).shape();
        assert_eq!(shape("/auditgate.v1.AuditService/Emit"), "unary");
        assert_eq!(shape("/auditgate.v1.AuditService/EmitStream"), "bidi_stream");
        assert_eq!(shape("/auditgate.v1.AuditService/Subscribe"), "server_stream");
        assert_eq!(shape("/grpc.health.v1.Health/Watch"), "server_stream");
        for version in ["v1", "v1alpha"] {
            let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
            assert_eq!(shape(&path), "bidi_stream");
        }
        assert_eq!(stats.method("/auditgate.v1.AuditService/Shred").name, "unknown");
    }

    #[test]
    fn calls_are_counted_by_code_and_time() {
        let stats = CallStats::begin();
        let method = stats.method("/auditgate.v1.AuditService/Emit");
        for (code, micros) in [(Code::Ok, 100), (Code::Ok, 101), (Code::NotFound, 20_000_000)] {
            method.start();
            method.finish(code, Duration::from_micros(micros));
        }
        assert_eq!((method.started(), stats.running()), (3, 0));
        method.start();
        assert_eq!(stats.running(), 1);
        assert_eq!(method.handled().collect::<Vec<_>>(), [(Code::Ok, 2), (Code::NotFound, 1)]);
        let times = method.times();
        assert_eq!((times.count(), times.total), (3, Duration::from_micros(20_000_201)));
    }
}
