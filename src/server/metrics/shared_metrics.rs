//! Metrics of a log that several gateways share.

use std::fmt;

use super::MetricSources;
use super::page::MetricsPage;

impl MetricSources {
    pub(super) fn shared(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        let Some(report) = self.hub.replication() else { return Ok(()) };
        let connected = f64::from(u8::from(!report.server.is_empty()));
        for (name, help, value) in [
            (
                "auditgate_shared_connected",
                "1 if the gateway is connected to a server of the shared log's stream",
                connected,
            ),
            (
                "auditgate_shared_position",
                "Position of the last message of the stream that the gateway has applied",
                report.position as f64,
            ),
            (
                "auditgate_shared_stream_end",
                "Position of the newest message of the stream",
                report.end as f64,
            ),
            (
                "auditgate_shared_lag_messages",
                "Messages of the stream that the gateway has not applied",
                report.lag() as f64,
            ),
            (
                "auditgate_shared_in_flight_messages",
                "Messages of the gateway in flight to the stream",
                report.in_flight as f64,
            ),
            (
                "auditgate_shared_pending_appends",
                "Appends that wait for a message",
                report.pending as f64,
            ),
            (
                "auditgate_shared_warnings",
                "Changes that the operator should make at the servers of the stream: GetStatus lists them",
                report.warnings.len() as f64,
            ),
            (
                "auditgate_shared_setting_differences",
                "Settings in which other gateways of the log differ from this one: GetStatus names them",
                report.differences.len() as f64,
            ),
        ] {
            page.gauge(name, help, value)?;
        }
        page.counter(
            "auditgate_shared_repeats",
            "Messages of the gateway that were published again",
            report.repeats,
        )?;
        let placements = [("seen", report.seen), ("void", report.void), ("stale", report.stale)];
        page.counters(
            "auditgate_shared_looked_up_again",
            "Records of the gateway that were decided again, by placement",
            placements.into_iter().map(|(placement, count)| ([("placement", placement)], count)),
        )?;
        page.counter(
            "auditgate_shared_invalid_messages",
            "Messages that no cluster key authenticates, or that are malformed",
            report.invalid,
        )?;
        page.counter(
            "auditgate_shared_disagreements",
            "Disagreements with another gateway about the state of the log",
            report.disagreements,
        )
    }
}
