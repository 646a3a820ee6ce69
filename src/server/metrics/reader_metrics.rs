//! Metrics of readers, and of the gateway's own events about them.

use std::fmt;

use super::page::MetricsPage;
use super::{MetricSources, read};
use crate::record::GATEWAY_PRINCIPAL;

impl MetricSources {
    pub(super) fn readers(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        let counters = self.hub.counters();
        let last = self.hub.extent().last;
        let mut subscribers = self.hub.subscribers();
        // Deliveries have their own gauges.
        subscribers.retain(|one| one.principal != GATEWAY_PRINCIPAL);
        let lag = |sequence: u64| last.0.saturating_sub(sequence);
        let lags: Vec<u64> = subscribers.iter().map(|one| lag(one.sequence().0)).collect();
        page.gauge("auditgate_subscribers", "Open subscriptions", lags.len() as f64)?;
        page.gauge(
            "auditgate_audit_open_reads",
            "Distinct reads whose repeats are counted for auditgate.read",
            self.auditor.open_reads() as f64,
        )?;
        page.gauge(
            "auditgate_audit_held_bytes",
            "Bytes that these counts take in memory, at most",
            self.auditor.held_bytes() as f64,
        )?;
        let backlog = self.auditor.backlog();
        page.gauge(
            "auditgate_audit_waiting",
            "The gateway's own events that wait until the log accepts events",
            backlog.waiting as f64,
        )?;
        page.counter(
            "auditgate_audit_dropped",
            "The gateway's own events that did not fit into the queue, and are only counted",
            backlog.dropped,
        )?;
        page.gauge(
            "auditgate_subscriber_lag_records_max",
            "Lag of the slowest subscriber, in records",
            lags.iter().copied().max().unwrap_or(0) as f64,
        )?;
        page.gauge(
            "auditgate_subscriber_lag_records",
            "Sum of the lag of all subscribers, in records",
            lags.iter().sum::<u64>() as f64,
        )?;
        page.counter(
            "auditgate_records_delivered",
            "Records sent to subscribers",
            read(&counters.delivered),
        )?;
        page.counters(
            "auditgate_gaps",
            "Gaps sent to subscribers, by reason",
            counters.gaps.counts().map(|(reason, count)| ([("reason", reason.name())], count)),
        )?;
        self.waits(page)
    }

    /// Readers that wait for records of other gateways.
    fn waits(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        if !self.hub.is_shared() {
            return Ok(());
        }
        let report = self.hub.position_report();
        page.gauge(
            "auditgate_position_waiting",
            "Readers that wait for a record that another gateway accepted",
            report.waiting as f64,
        )?;
        let ends =
            [("reached", report.reached), ("beyond", report.beyond), ("given_up", report.given_up)];
        page.counters(
            "auditgate_position_waits",
            "Waits for a record that another gateway accepted, by outcome",
            ends.into_iter().map(|(end, count)| ([("end", end)], count)),
        )?;
        page.counter(
            "auditgate_tail_queries",
            "Queries for the newest record of the shared log",
            report.tail_queries,
        )
    }
}
