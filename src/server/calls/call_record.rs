//! Records the end of one call in metrics and log lines.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::CallRules;
use super::context::CallContext;
use crate::proto::pb::DisconnectKind;
use crate::server::connection::{CutReason, RunningCall};
use crate::server::listener::ConnectionCounters;
use crate::server::log_limiter::LogLimiter;
use crate::server::metrics::code_name;
use crate::server::stats::{CallStats, MethodStats};
use crate::service::NAME;
use crate::service::quota::{MemoryCharge, QuotaSlot};

/// The header and trailer with the gRPC code.
pub const CODE: HeaderName = HeaderName::from_static("grpc-status");

/// The reason of a stream that its client ended, or whose connection was lost.
const CLIENT_LEFT: &str = "client_left";

/// The resources that a call holds until its response was sent.
#[derive(Debug, Default)]
pub struct CallResources {
    /// Counts the call on its connection.
    pub call: Option<RunningCall>,
    /// Counts the stream of its principal.
    pub slot: Option<QuotaSlot>,
    /// The memory of the call, on the account of its client.
    pub memory: Option<MemoryCharge>,
}

/// One running call. If it is dropped before it ends, the call was cancelled.
pub struct CallRecord {
    method: Arc<MethodStats>,
    stats: Arc<CallStats>,
    begun: Instant,
    finished: bool,
    /// Its identifiers.
    pub context: CallContext,
    /// The principal, if known.
    pub principal: Option<Arc<str>>,
    /// Whether the gateway reset it because its client did not read.
    pub was_reset: bool,
    disconnects: Arc<ConnectionCounters>,
    log_limiter: Arc<LogLimiter>,
    /// The resources that it holds until the response was sent.
    pub holds: CallResources,
}

impl CallRecord {
    /// The record of a call that begins.
    pub fn begin(
        rules: &CallRules,
        method: Arc<MethodStats>,
        context: CallContext,
        call: Option<RunningCall>,
    ) -> Self {
        method.start();
        let begun = call.as_ref().map(|call| call.connection().recent());
        let holds = CallResources { call, ..CallResources::default() };
        Self {
            method,
            stats: Arc::clone(&rules.stats),
            begun: begun.unwrap_or_else(Instant::now),
            finished: false,
            context,
            principal: None,
            was_reset: false,
            disconnects: Arc::clone(&rules.connections),
            log_limiter: Arc::clone(&rules.log_limiter),
            holds,
        }
    }

    /// Notes that the call ended with a status.
    pub fn finish(&mut self, status: &Status) {
        let info = status.get_details_error_info();
        let reason = info.as_ref().map_or("", |info| &info.reason);
        if !reason.is_empty() {
            self.stats.refused().increment_named(reason);
        }
        self.finish_with(status.code(), reason);
    }

    /// Notes that the call ended with these trailers.
    pub fn trailers(&mut self, trailers: &HeaderMap) {
        // Most calls succeed, and need no more work.
        let Some(code) = trailers.get(CODE) else { return };
        if code == "0" {
            self.finish_with(Code::Ok, "");
        } else if let Some(status) = Status::from_header_map(trailers) {
            self.finish(&status);
        }
    }

    fn finish_with(&mut self, code: Code, reason: &str) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let took = self.begun.elapsed();
        self.method.finish(code, took);
        if self.method.server_streams && code != Code::Ok {
            self.note_disconnect(reason);
        }
        // A client can cause any number of refusals; failures of the gateway concern the
        // operator.
        let failed = matches!(code, Code::Internal | Code::Unknown | Code::DataLoss);
        if failed && let Some(suppressed) = self.log_limiter.allow() {
            let known = self.known();
            tracing::error!(
                request_id = known.request_id,
                trace_id = known.trace_id,
                peer = known.peer,
                principal = known.principal,
                method = self.method.name,
                code = code_name(code),
                reason,
                suppressed,
                "call failed"
            );
        } else if tracing::enabled!(tracing::Level::DEBUG) {
            let known = self.known();
            tracing::debug!(
                request_id = known.request_id,
                trace_id = known.trace_id,
                peer = known.peer,
                principal = known.principal,
                method = self.method.name,
                code = code_name(code),
                reason,
                micros = took.as_micros() as u64,
                "call"
            );
        }
    }

    /// Notes the end of a stream, unless its connection was cut, which is noted there.
    fn note_disconnect(&self, reason: &str) {
        let kind = match (self.method.service == NAME, self.method.client_streams) {
            (false, _) => return,
            (true, false) => DisconnectKind::Subscription,
            (true, true) => DisconnectKind::EmitStream,
        };
        let connection = self.holds.call.as_ref().map(RunningCall::connection);
        if connection.is_some_and(|connection| connection.cut_reason().is_some()) {
            return;
        }
        let reason = match (self.was_reset, reason) {
            (true, _) => CutReason::NotReading.name(),
            (false, "") => CLIENT_LEFT,
            (false, reason) => reason,
        };
        let peer = connection.map(|connection| connection.remote);
        self.disconnects.disconnects.note(kind, self.principal.clone(), peer, reason);
    }

    fn known(&mut self) -> CallLogFields {
        let request_id = self.context.request_id().to_str().unwrap_or_default().to_owned();
        let connection = self.holds.call.as_ref().map(RunningCall::connection);
        CallLogFields {
            request_id,
            trace_id: self.context.trace_id.clone(),
            peer: connection.map(|connection| connection.remote.to_string()),
            principal: self.principal.as_deref().map(str::to_owned),
        }
    }
}

/// The fields of a log line about a call.
struct CallLogFields {
    request_id: String,
    trace_id: Option<String>,
    peer: Option<String>,
    principal: Option<String>,
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        self.finish_with(Code::Cancelled, "");
    }
}
