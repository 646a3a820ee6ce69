//! Runs the suite for every kind of log.

use super::*;
use crate::log::disk::{self, DiskLog};
use crate::log::shared::shared_log::tests as gateways;
use crate::log::shared::stream::jetstream::test_server::{self, TestServer};
use crate::log::shared::stream::simulated::{Faults, SimulatedStream};
use crate::log::{BoxFuture, RetentionHold};

conformance!(memory, async |bounds| Arc::new(crate::log::MemoryLog::new(bounds)) as Arc<dyn Log>);
eviction!(memory_evicts, async |bounds| Arc::new(crate::log::MemoryLog::new(bounds))
    as Arc<dyn Log>);
conformance!(on_disk, open_disk);
own_clock!(memory_clock, async |bounds| Arc::new(crate::log::MemoryLog::new(bounds))
    as Arc<dyn Log>);
own_clock!(disk_clock, open_disk);
conformance!(shared_simulated, async |ring| open_shared(ring, Faults::default()).await);
conformance!(shared_on_a_bad_stream, async |ring| open_shared(ring, Faults::UNNOTICED).await);

conformance!(shared_on_nats, open_on_nats, if is_nats_installed);

fn is_nats_installed() -> bool {
    test_server::program_or_skip().is_some()
}

/// A gateway's handle of a log on a NATS server, which ends with it.
async fn open_on_nats(ring: Bounds) -> Arc<dyn Log> {
    let program = test_server::program().expect("it is installed");
    let server = TestServer::start(program, "max_payload: 8MB\njetstream { STORE }");
    let stream = server.stream("conformance").await;
    let folder = tempfile::tempdir().expect("a directory");
    make_private(&folder);
    let log = gateways::open(&folder, ring, Arc::new(stream)).await;
    log.hold(Arc::new(Owner((folder, server))));
    log
}

/// A gateway's handle of a log on a simulated stream, with its copy in a directory that
/// goes with it.
async fn open_shared(ring: Bounds, faults: Faults) -> Arc<dyn Log> {
    let folder = tempfile::tempdir().expect("a directory");
    make_private(&folder);
    let stream = SimulatedStream::new(1, faults, gateways::settings());
    let log = gateways::open(&folder, ring, stream).await;
    log.hold(Arc::new(Owner(folder)));
    log
}

/// A log in a directory that goes with it.
async fn open_disk(ring: Bounds) -> Arc<dyn Log> {
    let folder = tempfile::tempdir().expect("a directory");
    make_private(&folder);
    let config = disk::Config { ring, ..disk::Config::default() };
    let (log, notices) = DiskLog::open(folder.path(), config).expect("a new log");
    assert_eq!(notices, []);
    // The log drops what it was handed, and so the directory, when it is dropped.
    log.hold(Arc::new(Owner(folder)));
    Arc::new(log)
}

/// A retention hold that only owns the storage of a log, such as a temporary directory.
struct Owner<T>(#[allow(dead_code, reason = "it is there to be dropped")] T);

impl<T: Send + Sync> RetentionHold for Owner<T> {
    fn name(&self) -> &str {
        "owner"
    }

    fn position(&self) -> Sequence {
        Sequence(u64::MAX)
    }

    fn records_max(&self) -> Option<u64> {
        None
    }

    fn is_over(&self) -> bool {
        false
    }

    fn release(&self, _first: Sequence) -> bool {
        true
    }

    fn released(&self, _first: Sequence) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
