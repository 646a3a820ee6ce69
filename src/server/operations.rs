//! Reports the server's part of the status.

use std::sync::atomic::Ordering;

use prost_types::Timestamp;

use crate::proto::pb;
use crate::server::disconnects::Disconnect;
use crate::server::expiry::Expiry;
use crate::server::metrics::MetricSources;
use crate::server::reload::LastReload;
use crate::service::{Operations, OperationsReport};

impl OperationsReport for MetricSources {
    fn report(&self) -> Operations {
        let mut expiries = self.reloader.tls().expiries();
        expiries.sort_by_key(|expiry| expiry.at);
        let ended = self.connections.disconnects.newest();
        Operations {
            refused_calls: self.stats.refused().named().collect(),
            connections: self.connection_status(),
            disconnects: ended.into_iter().map(disconnect).collect(),
            last_reload: self.reloader.outcomes().last().map(reload),
            certificates: expiries.into_iter().map(certificate).collect(),
            space: self.space.as_ref().and_then(|last| last.get()).map(|own| (own.free, own.total)),
            key_beside_log: self.key_beside_log,
        }
    }
}

impl MetricSources {
    fn connection_status(&self) -> pb::ConnectionStatus {
        let counters = &self.connections;
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        pb::ConnectionStatus {
            open: self.admission.count() as u64,
            limit: self.admission.limits().connections as u64,
            accepted: read(&counters.accepted),
            refused: read(&counters.refused_full)
                + read(&counters.refused_peer)
                + read(&counters.failed),
            tls_failed: read(&counters.refused_tls),
            cut: counters.cut.total(),
            streams_reset: read(&counters.streams_reset),
        }
    }
}

fn disconnect(ended: Disconnect) -> pb::Disconnect {
    pb::Disconnect {
        time: Some(ended.time.timestamp()),
        kind: ended.kind.into(),
        principal: ended.principal.as_ref().to_owned(),
        peer: ended.peer.map(|peer| peer.to_string()).unwrap_or_default(),
        reason: ended.reason,
    }
}

fn reload(last: LastReload) -> pb::ReloadStatus {
    pb::ReloadStatus {
        time: Some(last.time.timestamp()),
        applied: last.error.is_none(),
        error: last.error.unwrap_or_default(),
    }
}

fn certificate(expiry: Expiry) -> pb::CertificateStatus {
    pb::CertificateStatus {
        key: expiry.key.to_owned(),
        file: expiry.file.display().to_string(),
        expire_time: Some(Timestamp { seconds: expiry.at, nanos: 0 }),
    }
}
