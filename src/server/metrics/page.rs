//! Writes metrics of each kind.

use std::fmt;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Unit;

use crate::histogram::{BOUNDS_MICROS, HistogramSnapshot};
use crate::server::admission::Admission;
use crate::server::listener::ConnectionCounters;

/// A name and a value.
pub type Label<'a> = (&'static str, &'a str);
type NoExemplar<'a> = Option<&'a Exemplar<[Label<'a>; 0], f64>>;

/// The page that is being written.
pub struct MetricsPage<'a>(pub DescriptorEncoder<'a>);

impl MetricsPage<'_> {
    /// The connections of one listener. The help of each metric begins with `whose`.
    pub fn connections(
        &mut self,
        prefix: &str,
        whose: &str,
        admission: &Admission,
        counters: &ConnectionCounters,
    ) -> fmt::Result {
        let (open, limit) = (admission.count() as f64, admission.limits().connections as f64);
        self.gauge(prefix, &format!("{whose} that are open"), open)?;
        self.gauge(&format!("{prefix}_limit"), &format!("{whose} that may be open"), limit)?;
        self.counter(
            &format!("{prefix}_accepted"),
            &format!("{whose} accepted"),
            counters.accepted.load(Ordering::Relaxed),
        )?;
        self.counters(
            &format!("{prefix}_cut"),
            &format!("{whose} closed by the gateway, by reason"),
            counters.cut.counts().map(|(why, count)| ([("reason", why.name())], count)),
        )
    }

    /// Counters of one name.
    pub fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = ([Label<'l>; N], u64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            metric.encode_family(&labels)?.encode_counter(&value, NoExemplar::None)?;
        }
        Ok(())
    }

    /// Gauges of one name.
    pub fn gauges<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = ([Label<'l>; N], f64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// Histograms of one name.
    pub fn histograms<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = ([Label<'l>; N], HistogramSnapshot)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, noted) in values {
            let bounds = BOUNDS_MICROS.iter().map(|micros| *micros as f64 / 1e6);
            let bounds = bounds.chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(noted.counts).collect();
            let (sum, count) = (noted.total.as_secs_f64(), noted.count());
            let mut metric = metric.encode_family(&labels)?;
            metric.encode_histogram::<[Label; 0]>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    /// One counter.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter(&value, NoExemplar::None)
    }

    /// One counter of seconds, `NAME_seconds_total`.
    pub fn seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let mut metric = self.0.encode_descriptor(name, help, unit, MetricType::Counter)?;
        metric.encode_counter(&value, NoExemplar::None)
    }

    /// One gauge.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&value)
    }
}
