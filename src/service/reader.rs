//! Callers that read, and the records about their reads.

use std::sync::Arc;

use tokio::time::timeout;
use tonic::Request;

use crate::access::{Caller, Method};
use crate::audit::{Auditor, HeldMemory, ReadCall, ReadTarget};
use crate::event::EVENT_BYTES_MAX;
use crate::filter::{Filter, TypeSet};
use crate::hub::{LogPosition, POSITION_WAIT_MAX, Reach};
use crate::log::{self, ScanQuery};
use crate::proto::pb;
use crate::service::quota::{MemoryKind, Quota, ReadMemory, WorkRoom};
use crate::service::{Error, Service, peer};

/// A caller that reads.
pub struct Reader {
    /// Its principal and grants.
    pub caller: Arc<Caller>,
    /// Its network address.
    pub peer: String,
    /// Its quota; `None` if the call did not come through a listener.
    quota: Option<Arc<Quota>>,
    room: WorkRoom,
}

impl Reader {
    /// The types that it may read.
    pub fn types(&self) -> &Arc<TypeSet> {
        self.caller.grants().read()
    }

    /// Its quota; `None` if the call did not come through a listener.
    pub fn quota(&self) -> Option<&Quota> {
        self.quota.as_deref()
    }

    /// Charges the count of equal reads to the account of the caller.
    pub fn hold_count(&self, bytes: usize) -> Option<HeldMemory> {
        let account = self.quota.as_ref()?.account();
        Some(Box::new(account.charge(MemoryKind::Reads, bytes)))
    }

    /// The memory of a read with this filter.
    pub fn memory(&self, filter: &Filter) -> ReadMemory {
        ReadMemory::new(self.room.clone(), filter.held_bytes())
    }
}

impl Service {
    /// The reader of a request.
    pub(super) fn reader<T>(&self, request: &Request<T>) -> Result<Reader, Error> {
        let quota = request.extensions().get::<Arc<Quota>>().map(Arc::clone);
        let room = request.extensions().get::<WorkRoom>().cloned().unwrap_or_default();
        Ok(Reader { caller: self.caller(request)?, peer: peer::address(request), quota, room })
    }

    /// Finds out whether the log has a position that the caller sent. Waits for its record, if the
    /// log has it and this gateway does not yet.
    pub(super) async fn reach(
        &self,
        reader: &Reader,
        position: LogPosition,
    ) -> Result<Reach, log::Error> {
        self.waiting(reader, position, self.hub.reach(position)).await
    }

    /// Runs work that may wait for the record at a position. Such a wait takes one of the read
    /// places of the caller, and the time to get the place counts as waiting, too.
    pub(super) async fn waiting<T, E: From<log::Error>>(
        &self,
        reader: &Reader,
        position: LogPosition,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        if !self.hub.must_wait_for(position) {
            return work.await;
        }
        let placed = async {
            let _place = match &reader.quota {
                Some(quota) => Some(quota.read().await),
                None => None,
            };
            work.await
        };
        let late = |_| {
            let why = "the reads of this caller, or those of all, are in use".to_owned();
            Err(log::Error::Behind { sequence: position.sequence, why }.into())
        };
        // Slightly longer than the wait itself, whose error says more.
        let time_max = POSITION_WAIT_MAX + POSITION_WAIT_MAX / 10;
        timeout(time_max, placed).await.unwrap_or_else(late)
    }

    /// Records that a query was read by a call of this method, if its records are not all the
    /// gateway's own. Called after the read, so that its record is not among the results, and
    /// before the answer.
    pub(super) async fn record_query(
        &self,
        reader: &Reader,
        method: Method,
        query: &ScanQuery,
        asked: &pb::Filter,
        times: (Option<prost_types::Timestamp>, Option<prost_types::Timestamp>),
    ) -> Result<(), Error> {
        if Auditor::is_own(&query.filter) {
            return Ok(());
        }
        self.record_read(reader, method, ReadTarget::Filter(asked), times).await
    }

    /// Records a read by a call of this method, and charges the caller for the record.
    pub(super) async fn record_read(
        &self,
        reader: &Reader,
        method: Method,
        target: ReadTarget<'_>,
        times: (Option<prost_types::Timestamp>, Option<prost_types::Timestamp>),
    ) -> Result<(), Error> {
        let (start_time, end_time) = times;
        let (principal, peer) = (reader.caller.principal(), reader.peer.as_str());
        let rpc = method.path();
        let hold = &|bytes| reader.hold_count(bytes);
        let read = ReadCall { principal, peer, rpc, target, start_time, end_time, hold };
        let charge = self.auditor.read(read).await.map_err(|wait| Error::ReadsTooFast { wait })?;
        if let Some(quota) = reader.quota.as_ref().filter(|_| charge.0 > 0) {
            debug_assert!(charge.0 <= 2 * EVENT_BYTES_MAX);
            quota.events(1);
            quota.bytes(charge.0);
        }
        Ok(())
    }
}
