//! Metrics of the log and of the Merkle tree.

use std::fmt;

use super::MetricSources;
use super::page::MetricsPage;
use crate::log::State;
use crate::proof::prover::CheckpointFailure;

impl MetricSources {
    pub(super) fn log(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        let state = self.hub.state();
        let states = [
            ("ready", state == State::Ready),
            ("full", matches!(state, State::Full(_))),
            ("away", matches!(state, State::Away(_))),
            ("failed", matches!(state, State::Failed(_))),
        ];
        page.gauges(
            "auditgate_log_state",
            "1 for the current state of the log",
            of_states(states),
        )?;
        let extent = self.hub.extent();
        page.gauge(
            "auditgate_log_first_sequence",
            "Sequence of the oldest stored record",
            extent.first.0 as f64,
        )?;
        page.gauge(
            "auditgate_log_last_sequence",
            "Sequence of the newest record",
            extent.last.0 as f64,
        )?;
        page.gauge("auditgate_log_records", "Stored records", extent.records() as f64)?;
        page.gauge(
            "auditgate_ring_records",
            "Records in memory: of a log on disk, the newest ones",
            extent.in_memory as f64,
        )?;
        page.gauge(
            "auditgate_ring_records_limit",
            "Limit of records in memory",
            extent.records_max as f64,
        )?;
        page.gauge(
            "auditgate_ring_bytes",
            "Bytes of the records in memory, index included",
            extent.bytes as f64,
        )?;
        page.gauge(
            "auditgate_ring_bytes_limit",
            "Limit of bytes in memory, index included",
            extent.bytes_max as f64,
        )?;
        page.counter("auditgate_log_evicted", "Records removed from the log", extent.evicted())?;
        let ahead = extent.accept_time_ahead();
        page.gauge(
            "auditgate_accept_time_ahead_seconds",
            "How far the accept time of the newest record is ahead of the clock; 0 up to a second",
            ahead.map_or(0.0, |ahead| ahead.seconds as f64 + f64::from(ahead.nanos) / 1e9),
        )?;
        let Some(disk) = self.hub.storage() else { return Ok(()) };
        page.gauge("auditgate_log_disk_bytes", "Bytes of the log's files", disk.bytes as f64)?;
        if let Some(space) = self.space.as_ref().and_then(|last| last.get()) {
            page.gauge(
                "auditgate_disk_free_bytes",
                "Bytes that are free in the file system of the log",
                space.free as f64,
            )?;
            page.gauge(
                "auditgate_disk_size_bytes",
                "Bytes of the file system of the log",
                space.total as f64,
            )?;
        }
        if let Some(limit) = disk.bytes_max {
            page.gauge(
                "auditgate_log_disk_bytes_limit",
                "Limit of bytes of the log's files",
                limit as f64,
            )?;
        }
        let damaged = disk.damage.iter().map(|range| range.last.0 - range.first.0 + 1);
        page.gauge(
            "auditgate_log_damaged_records",
            "Records known to be damaged on disk",
            damaged.sum::<u64>() as f64,
        )?;
        page.histograms(
            "auditgate_log_sync_seconds",
            "Duration of the fsync of a commit",
            [([], disk.syncs)].into_iter(),
        )
    }

    pub(super) fn proof(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        let Some(prover) = &self.prover else { return Ok(()) };
        let progress = prover.progress();
        let failure = progress.failure.as_ref();
        let is_broken = failure.is_some_and(CheckpointFailure::is_denial);
        let is_stopped = failure.is_some_and(CheckpointFailure::is_lasting) && !is_broken;
        let states = [
            ("ready", failure.is_none()),
            ("delayed", failure.is_some() && !is_broken && !is_stopped),
            ("stopped", is_stopped),
            ("broken", is_broken),
        ];
        page.gauges(
            "auditgate_proof_state",
            "1 for the current state of the Merkle tree",
            of_states(states),
        )?;
        page.gauge(
            "auditgate_checkpoint_records",
            "Records that the newest checkpoint covers",
            progress.signed.map_or(0, |signed| signed.size()) as f64,
        )?;
        page.counter(
            "auditgate_checkpoint_strangers",
            "Checkpoints of other gateways that the key of the log does not verify",
            prover.strangers(),
        )?;
        let Some(time) = progress.signed_at else { return Ok(()) };
        page.gauge(
            "auditgate_checkpoint_timestamp_seconds",
            "When the newest checkpoint was signed, in seconds since 1970",
            time.0 as f64 / 1e9,
        )
    }
}

/// Gauges that are 1 for the current state, and 0 for the others.
fn of_states<const N: usize>(
    states: [(&'static str, bool); N],
) -> impl Iterator<Item = ([super::Label<'static>; 1], f64)> {
    states.into_iter().map(|(name, is)| ([("state", name)], f64::from(u8::from(is))))
}
