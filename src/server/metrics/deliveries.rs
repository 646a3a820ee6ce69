//! Metrics of deliveries, labelled with their configured names.

use std::fmt;

use super::MetricSources;
use super::page::MetricsPage;
use crate::delivery::{DeliveryPhase, DeliveryReport};

/// A counter of a delivery.
type Total = fn(&DeliveryReport) -> u64;
/// A gauge of a delivery.
type Level = fn(&DeliveryReport) -> f64;

const TOTALS: [(&str, &str, Total); 8] = [
    ("auditgate_delivery_records", "Records and gaps that the destination accepted", |one| {
        one.delivered
    }),
    ("auditgate_delivery_bytes", "Bytes of records that the destination accepted", |one| one.bytes),
    ("auditgate_delivery_batches", "Batches that the destination accepted", |one| one.batches),
    ("auditgate_delivery_retries", "Attempts that were followed by another one", |one| one.retries),
    ("auditgate_delivery_rejected", "Records that became dead letters", |one| one.rejected),
    ("auditgate_delivery_repeated", "Records that the destination reported as duplicates", |one| {
        one.repeated
    }),
    ("auditgate_delivery_gaps", "Gaps that were reported to the destination", |one| one.gaps),
    ("auditgate_delivery_missed", "Records in these gaps", |one| one.missed),
];

const LEVELS: [(&str, &str, Level); 7] = [
    (
        "auditgate_delivery_lag_records",
        "Records of the log after the newest delivered one",
        |one| one.lag_records as f64,
    ),
    ("auditgate_delivery_lag_seconds", "Age of the oldest record that is to be delivered", |one| {
        one.lag.as_secs_f64()
    }),
    ("auditgate_delivery_dead_letters", "Dead letters that are kept", |one| {
        one.dead_letters as f64
    }),
    ("auditgate_delivery_dead_letter_bytes", "Bytes of the dead letters", |one| {
        one.dead_letter_bytes as f64
    }),
    ("auditgate_delivery_in_flight", "Batches in flight", |one| one.in_flight as f64),
    ("auditgate_delivery_held_bytes", "Bytes that its batches hold in memory, about", |one| {
        one.held_bytes as f64
    }),
    (
        "auditgate_delivery_last_success_timestamp_seconds",
        "Time of the last batch that the destination accepted, in seconds since 1970; 0 if none",
        |one| one.last_success.map_or(0.0, |time| time.0 as f64 / 1e9),
    ),
];

impl MetricSources {
    pub(super) fn deliveries(&self, page: &mut MetricsPage<'_>) -> fmt::Result {
        let mut all = self.deliveries.list();
        // Only the gateway that runs a delivery counts it.
        all.retain(|one| one.phase != DeliveryPhase::Elsewhere);
        if all.is_empty() {
            return Ok(());
        }
        for (name, help, total) in TOTALS {
            let rows = all.iter().map(|one| ([("delivery", one.name.as_str())], total(one)));
            page.counters(name, help, rows)?;
        }
        for (name, help, level) in LEVELS {
            let rows = all.iter().map(|one| ([("delivery", one.name.as_str())], level(one)));
            page.gauges(name, help, rows)?;
        }
        page.gauges(
            "auditgate_delivery_state",
            "1 for the current phase of the delivery",
            all.iter().flat_map(|one| {
                DeliveryPhase::OWN.into_iter().map(|phase| {
                    let labels = [("delivery", one.name.as_str()), ("state", phase.name())];
                    (labels, f64::from(u8::from(one.phase == phase)))
                })
            }),
        )?;
        page.histograms(
            "auditgate_delivery_latency_seconds",
            "From the acceptance of a batch's oldest record to its acknowledgement",
            all.iter().map(|one| ([("delivery", one.name.as_str())], one.latency.clone())),
        )
    }
}
