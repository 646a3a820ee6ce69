//! The method GetStatus.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use prost::Message as _;
use tonic::Request;

use crate::config::Right;
use crate::hub::{HubCounters, SubscriberState};
use crate::log::{Extent, HoldReport, ReplicationReport, State, StorageReport};
use crate::proof::prover::{CheckpointFailure, Prover};
use crate::proto::codec::EncodedResponse;
use crate::proto::pb;
use crate::record::Sequence;
use crate::service::emit::quota;
use crate::service::quota::{AccountReport, Holding, MemoryKind, Quotas};
use crate::service::{Error, Service, decode};
use crate::time::Time;

impl Service {
    pub(super) async fn current_status(
        &self,
        request: Request<Bytes>,
    ) -> Result<EncodedResponse, Error> {
        let caller = self.caller(&request)?;
        let quota = quota(&request);
        let pb::GetStatusRequest {} = decode(request.into_inner())?;
        let identity = self.hub.identity();
        let extent = self.hub.extent();
        let rates = self.hub.rates();
        let started = self.hub.started();
        let mut subscribers = self.hub.subscribers();
        let sees_all = caller.grants().has(Right::Subscribers);
        if !sees_all {
            subscribers.retain(|found| found.principal == caller.principal());
        }
        let (accounts, account_count) = match &self.quotas {
            Some(quotas) if sees_all => quotas.largest(ACCOUNTS_MAX),
            _ => (quota.iter().map(|quota| quota.report()).collect(), 1),
        };
        let operations = self.operations.as_ref().map(|own| own.report()).unwrap_or_default();
        let operations = if sees_all { operations } else { operations.seen_by(caller.principal()) };
        let emits = &self.hub.counters().refused;
        let refusals = refusals(&operations.refused_calls, emits.named());
        // A filter shows what another client looks for, so it needs a right.
        let shows_filters = caller.grants().read().is_all();
        let subscriber_count = subscribers.len() as u64;
        let shown = shown(&subscribers, extent.last, |found| {
            shows_filters || found.principal == caller.principal()
        });
        Ok(EncodedResponse::message(&pb::GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            start_time: Some(started.timestamp()),
            log_id: identity.id.to_string(),
            log_kind: identity.kind.to_owned(),
            first_sequence: extent.first.0,
            last_sequence: extent.last.0,
            record_count: extent.records(),
            byte_size: extent.bytes as u64,
            subscribers: shown,
            subscriber_count,
            uptime: Some(since(started)),
            record_limit: extent.records_max as u64,
            byte_limit: extent.bytes_max as u64,
            counters: Some(counters(self.hub.counters(), extent.evicted())),
            rates: Some(pb::Rates {
                accepted_per_second: rates.accepted,
                delivered_per_second: rates.delivered,
            }),
            disk: self.hub.storage().map(|report| {
                disk(report, self.hub.state(), &extent, operations.space.unwrap_or_default())
            }),
            proof: self.prover.as_ref().map(|prover| proof(prover, operations.key_beside_log)),
            memory_record_count: extent.in_memory,
            retention_holds: self.hub.holds().into_iter().map(hold).collect(),
            holding: self.quotas.as_ref().map(|quotas| holding(quotas.holding())),
            accept_time_ahead: extent.accept_time_ahead(),
            account_count: account_count as u64,
            deliveries: if caller.grants().has(Right::Deliveries) {
                self.delivery_messages()
            } else {
                Vec::new()
            },
            accounts: accounts.into_iter().map(account).collect(),
            account_limits: self.quotas.as_ref().map(|quotas| account_limits(quotas)),
            refusals,
            gaps: gaps(self.hub.counters()),
            connections: self.operations.is_some().then_some(operations.connections),
            disconnects: operations.disconnects,
            last_reload: operations.last_reload,
            certificates: operations.certificates,
            shared: self.hub.replication().map(shared),
        }))
    }
}

/// The most accounts that are shown.
const ACCOUNTS_MAX: usize = 100;
/// The most ranges of damaged records that are shown.
const DAMAGED_RANGES_MAX: usize = 1_000;

/// The number of refused calls and events by reason, the most frequent first.
fn refusals<'a>(
    calls: &[(&'a str, u64)],
    events: impl Iterator<Item = (&'a str, u64)>,
) -> Vec<pb::RefusalCount> {
    let mut by_reason: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    calls.iter().for_each(|(reason, count)| by_reason.entry(reason).or_default().0 += count);
    events.for_each(|(reason, count)| by_reason.entry(reason).or_default().1 += count);
    let count = |(reason, (calls, events)): (&str, _)| pb::RefusalCount {
        reason: reason.to_owned(),
        calls,
        events,
    };
    let mut counts: Vec<_> = by_reason.into_iter().map(count).collect();
    counts.sort_by_key(|own| Reverse(own.calls.max(own.events)));
    counts
}

fn gaps(counters: &HubCounters) -> Vec<pb::GapCount> {
    let count =
        |(reason, count)| pb::GapCount { reason: pb::GapReason::from(reason).into(), count };
    counters.gaps.occurred().map(count).collect()
}

fn account(own: AccountReport) -> pb::MemoryAccount {
    pb::MemoryAccount {
        client: own.client.to_string(),
        holding: Some(holding(own.holding)),
        subscriber_count: own.subscribers as u64,
        emit_stream_count: own.emit_streams as u64,
    }
}

fn account_limits(quotas: &Quotas) -> pb::AccountLimits {
    let limits = quotas.limits();
    pb::AccountLimits {
        holding: Some(holding(quotas.memory_limits())),
        subscribers: limits.subscribers as u64,
        emit_streams: limits.emit_streams as u64,
    }
}

/// `space` is the free and the total bytes of the file system.
fn disk(report: StorageReport, state: State, extent: &Extent, space: (u64, u64)) -> pb::DiskStatus {
    let (state, reason) = match state {
        State::Ready => (pb::StorageState::Ready, String::new()),
        State::Full(why) => (pb::StorageState::Full, why),
        State::Away(why) => (pb::StorageState::Away, why),
        State::Failed(why) => (pb::StorageState::Failed, why),
    };
    let damaged = report.damage.iter().take(DAMAGED_RANGES_MAX).map(|damage| pb::SequenceRange {
        first_sequence: damage.first.0,
        last_sequence: damage.last.0,
    });
    pb::DiskStatus {
        sync: report.sync,
        synced_sequence: extent.synced.0,
        byte_size: report.bytes,
        state: state.into(),
        reason,
        damaged: damaged.collect(),
        removed_until: extent.evicted_until.map(Time::timestamp),
        byte_limit: report.bytes_max.unwrap_or(0),
        free_bytes: space.0,
        size_bytes: space.1,
    }
}

fn shared(report: ReplicationReport) -> pb::SharedLogStatus {
    pb::SharedLogStatus {
        lag: report.lag(),
        stream: report.stream,
        server: report.server,
        replicas: report.replicas,
        position: report.position,
        stream_end: report.end,
        in_flight: report.in_flight as u64,
        pending: report.pending as u64,
        repeats: report.repeats,
        seen: report.seen,
        void: report.void,
        stale: report.stale,
        invalid: report.invalid,
        disagreements: report.disagreements,
        disagreement: report.disagreement.unwrap_or_default(),
        warnings: [report.warnings, report.differences].concat(),
    }
}

fn hold(report: HoldReport) -> pb::RetentionHold {
    pb::RetentionHold {
        name: report.name,
        sequence: report.position.0,
        record_limit: report.records_max.unwrap_or(0),
    }
}

fn holding(holding: Holding) -> pb::MemoryHolding {
    let of = |kind| holding.of(kind) as u64;
    pb::MemoryHolding {
        connection_bytes: of(MemoryKind::Connections),
        call_bytes: of(MemoryKind::Calls),
        receiving_bytes: of(MemoryKind::Receiving),
        filter_bytes: of(MemoryKind::Filters),
        read_bytes: of(MemoryKind::Reads),
        room_bytes: holding.room as u64,
    }
}

fn proof(prover: &Prover, key_beside_log: bool) -> pb::ProofStatus {
    let progress = prover.progress();
    let broken = progress.failure.as_ref().is_some_and(CheckpointFailure::is_denial);
    pb::ProofStatus {
        key_name: prover.verifier().name().to_owned(),
        tree_size: progress.size,
        checkpoint_size: progress.signed.map_or(0, |signed| signed.size()),
        checkpoint_time: progress.signed_at.map(Time::timestamp),
        trouble: progress.failure.map(|trouble| trouble.to_string()).unwrap_or_default(),
        broken,
        key_beside_log,
    }
}

/// The most subscribers that are shown.
const SUBSCRIBERS_MAX: usize = 1_000;
/// The most bytes of subscribers: the default limit of gRPC clients is 4 MiB.
const SUBSCRIBERS_BYTES_MAX: usize = 3 * 1024 * 1024;

/// The subscribers with the largest lag, as many as are shown.
fn shown(
    subscribers: &[Arc<SubscriberState>],
    last: Sequence,
    shows_filter: impl Fn(&SubscriberState) -> bool,
) -> Vec<pb::Subscriber> {
    let mut by_lag: Vec<_> = subscribers.iter().map(|own| (own.sequence(), own)).collect();
    // Subscribers with equal lag are in the order in which they began.
    by_lag.sort_by_key(|(sequence, _)| *sequence);
    let mut bytes = 0;
    let shown = by_lag.into_iter().take(SUBSCRIBERS_MAX).map(|(_, found)| {
        let with_filter = shows_filter(found);
        subscriber(found, last, with_filter)
    });
    shown
        .take_while(|own| {
            bytes += own.encoded_len();
            bytes <= SUBSCRIBERS_BYTES_MAX
        })
        .collect()
}

fn subscriber(subscriber: &SubscriberState, last: Sequence, with_filter: bool) -> pb::Subscriber {
    let sequence = subscriber.sequence();
    pb::Subscriber {
        peer: subscriber.peer.clone(),
        principal: subscriber.principal.clone(),
        filter: with_filter.then(|| subscriber.filter.clone()),
        filter_shortened: with_filter && subscriber.filter_shortened,
        sequence: sequence.0,
        lag: last.0.saturating_sub(sequence.0),
        delivered: subscriber.delivered(),
        expression_errors: subscriber.expression_errors(),
        start_time: Some(subscriber.started.timestamp()),
    }
}

fn counters(counters: &HubCounters, evicted: u64) -> pb::Counters {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    pb::Counters {
        accepted: read(&counters.accepted),
        duplicates: read(&counters.duplicates),
        refused: counters.refused.total(),
        evicted,
        delivered: read(&counters.delivered),
        gaps: counters.gaps.total(),
        accepted_bytes: read(&counters.accepted_bytes),
    }
}

fn since(started: Time) -> prost_types::Duration {
    let elapsed = Time(Time::now().0.saturating_sub(started.0).max(0));
    let (seconds, nanos) = elapsed.parts();
    prost_types::Duration { seconds, nanos }
}

#[cfg(test)]
mod tests;
