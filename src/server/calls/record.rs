//! What becomes of one call.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::server::connection::Call;
use crate::server::stats::{Method, Stats};
use crate::service::quota::{Read, Slot};

/// Header and trailer of the code.
const CODE: &str = "grpc-status";

/// What a call holds until its response has gone.
#[derive(Debug, Default)]
pub struct Holds {
    /// Its connection has a call.
    pub _call: Option<Call>,
    /// One of the streams of its principal.
    pub slot: Option<Slot>,
    /// One of the reads.
    pub read: Option<Read>,
}

/// One call, until it has ended. A call that is dropped before was cancelled.
pub struct Record {
    method: Arc<Method>,
    stats: Arc<Stats>,
    begun: Instant,
    finished: bool,
    /// Held until the response has gone.
    pub holds: Holds,
}

impl Record {
    /// A call that begins.
    pub fn begin(stats: Arc<Stats>, method: Arc<Method>, call: Option<Call>) -> Self {
        method.start();
        let holds = Holds { _call: call, ..Holds::default() };
        Self { method, stats, begun: Instant::now(), finished: false, holds }
    }

    /// The call ended with a status.
    pub fn finish(&mut self, status: &Status) {
        if let Some(info) = status.get_details_error_info() {
            self.stats.refuse(&info.reason);
        }
        self.finish_with(status.code());
    }

    /// The call ended as these trailers say.
    pub fn trailers(&mut self, trailers: &HeaderMap) {
        // Most calls end well: no need to look at more.
        let Some(code) = trailers.get(CODE) else { return };
        if code == "0" {
            self.finish_with(Code::Ok);
        } else if let Some(status) = Status::from_header_map(trailers) {
            self.finish(&status);
        }
    }

    fn finish_with(&mut self, code: Code) {
        if !std::mem::replace(&mut self.finished, true) {
            self.method.finish(code, self.begun.elapsed());
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.finish_with(Code::Cancelled);
    }
}
