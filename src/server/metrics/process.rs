//! Metrics of the process, on Linux only.

use std::fmt;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::MetricsPage;

/// Writes the metrics of the process.
pub(super) fn encode(page: &mut MetricsPage<'_>) -> fmt::Result {
    if let Some(bytes) = resident_bytes() {
        page.gauge("process_resident_memory_bytes", "Resident memory", bytes as f64)?;
    }
    if let Some(files) = open_files() {
        page.gauge("process_open_fds", "Open file descriptors", files as f64)?;
    }
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        page.gauge("process_max_fds", "Limit of open file descriptors", limit as f64)?;
    }
    let used = clock_gettime(ClockId::ProcessCPUTime);
    page.seconds(
        "process_cpu",
        "Processor time of the process, in user and kernel mode",
        used.tv_sec as f64 + used.tv_nsec as f64 / 1e9,
    )
}

/// See proc_pid_status(5): `VmRSS: 123 kB`, with tabs.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn open_files() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_of_the_process() {
        assert!(super::resident_bytes().is_some_and(|bytes| bytes > 1_000_000));
        assert!(super::open_files().is_some_and(|files| files >= 3));
    }
}
