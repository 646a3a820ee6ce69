//! Forecasts when the disk of a log will be full.

use crate::proto::pb;

/// The forecast for a rate of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskForecast {
    /// Unknown: no events arrive, or none is stored yet.
    Unknown,
    /// Retention keeps the log smaller than the disk.
    Enough,
    /// The disk is full after this many seconds.
    FullIn(u64),
}

/// Estimate of the disk space of a record beside its event, in bytes: its frame and its part of the
/// index.
const RECORD_BYTES: f64 = 150.0;
/// The shortest uptime for which the mean rate is used, in seconds.
const MEAN_SECONDS_MIN: i64 = 60;

/// The forecast for the rate of the last seconds. `None` if there is no disk, or its free space is
/// unknown.
pub fn at_present(status: &pb::GetStatusResponse) -> Option<DiskForecast> {
    of(status, status.rates.unwrap_or_default().accepted_per_second)
}

/// The forecast for the mean rate since the start.
pub fn in_the_mean(status: &pb::GetStatusResponse) -> Option<DiskForecast> {
    let seconds = status.uptime.map_or(0, |uptime| uptime.seconds);
    if seconds < MEAN_SECONDS_MIN {
        return of(status, 0.0);
    }
    of(status, status.counters.unwrap_or_default().accepted as f64 / seconds as f64)
}

/// The forecast for `rate` records a second.
fn of(status: &pb::GetStatusResponse, rate: f64) -> Option<DiskForecast> {
    let disk = status.disk.as_ref().filter(|disk| disk.size_bytes > 0)?;
    let to_come = disk.byte_limit.saturating_sub(disk.byte_size);
    if disk.byte_limit > 0 && to_come < disk.free_bytes {
        return Some(DiskForecast::Enough);
    }
    let counters = status.counters.unwrap_or_default();
    let mean = |bytes: u64, records: u64| (records > 0).then(|| bytes as f64 / records as f64);
    let stored = mean(disk.byte_size, status.record_count);
    // A small log is mostly space that is allocated ahead.
    let accepted = mean(counters.accepted_bytes, counters.accepted.min(counters.accepted_bytes));
    let accepted = accepted.map(|bytes| bytes + RECORD_BYTES);
    let bytes = match (stored, accepted) {
        (Some(stored), Some(accepted)) => stored.min(accepted),
        (stored, accepted) => stored.or(accepted).unwrap_or(0.0),
    };
    if bytes * rate <= 0.0 {
        return Some(DiskForecast::Unknown);
    }
    Some(DiskForecast::FullIn((disk.free_bytes as f64 / (bytes * rate)) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_lasts_for_as_long_as_there_is_room() {
        let forecast = |byte_limit, free_bytes, rate| {
            let disk = pb::DiskStatus {
                byte_size: 3_000_000,
                byte_limit,
                free_bytes,
                size_bytes: 1 << 40,
                ..Default::default()
            };
            let rates = pb::Rates { accepted_per_second: rate, ..Default::default() };
            let status = pb::GetStatusResponse {
                record_count: 10_000,
                rates: Some(rates),
                disk: Some(disk),
                ..Default::default()
            };
            at_present(&status)
        };
        assert_eq!(forecast(0, 3_000_000, 100.0), Some(DiskForecast::FullIn(100)));
        assert_eq!(forecast(0, 3_000_000, 0.0), Some(DiskForecast::Unknown));
        assert_eq!(forecast(4_000_000, 3_000_000, 100.0), Some(DiskForecast::Enough));
        assert_eq!(forecast(9_000_000, 3_000_000, 100.0), Some(DiskForecast::FullIn(100)));
        assert_eq!(at_present(&pb::GetStatusResponse::default()), None);
    }

    #[test]
    fn what_is_allocated_ahead_is_no_record() {
        let counters =
            pb::Counters { accepted: 400, accepted_bytes: 400 * 250, ..Default::default() };
        let disk = pb::DiskStatus {
            byte_size: 10 << 20,
            free_bytes: 400_000,
            size_bytes: 1 << 40,
            ..Default::default()
        };
        let mut status = pb::GetStatusResponse {
            record_count: 400,
            rates: Some(pb::Rates { accepted_per_second: 10.0, ..Default::default() }),
            counters: Some(counters),
            disk: Some(disk),
            ..Default::default()
        };
        assert_eq!(at_present(&status), Some(DiskForecast::FullIn(100)));
        assert_eq!(in_the_mean(&status), Some(DiskForecast::Unknown));
        status.uptime = Some(prost_types::Duration { seconds: 400, nanos: 0 });
        assert_eq!(in_the_mean(&status), Some(DiskForecast::FullIn(1_000)));
    }
}
