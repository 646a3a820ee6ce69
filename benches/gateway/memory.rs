//! What a kept record takes in memory beyond its encoding: two processes of this
//! program append the same records, but only one of them has a ring that keeps them all. So
//! the pages of the program itself are in both.

use std::process::Command;
use std::sync::Arc;

use auditgate::log::{BYTES_MIN, Bounds, MemoryLog};

use clap::ValueEnum;

use crate::history::History;
use crate::rounds::Row;
use crate::{Result, Scale, ensure, silent};

/// The measures of this file.
pub const NAMES: &[&str] = &["memory_per_record"];

/// The most records that the process without a history keeps: more than it appends at once.
const BASELINE_RECORDS: usize = 1_024;

/// What a child process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Child {
    /// Appends the events to a ring that keeps the newest few.
    Baseline,
    /// Keeps them.
    Loaded,
    /// Is a gateway.
    Gateway,
}

/// What a child process reports.
struct Report {
    resident_bytes: f64,
    record_bytes: f64,
}

/// Runs the measures of these names.
///
/// # Errors
/// If one fails.
pub fn run(_: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let baseline = start(Child::Baseline, scale)?;
    let loaded = start(Child::Loaded, scale)?;
    let beyond = |report: &Report| report.resident_bytes - report.record_bytes;
    let ours =
        (beyond(&loaded) - beyond(&baseline)) / (count(scale) - BASELINE_RECORDS as u64) as f64;
    Ok(vec![Row { name: "memory_per_record", unit: "bytes/record", ours, peer: None }])
}

/// Is the child process.
///
/// # Errors
/// If an event is refused.
pub fn child(child: Child, scale: Scale) -> Result<()> {
    let count = count(scale);
    let (history, expected) = match child {
        Child::Gateway => return silent::child(),
        Child::Baseline => {
            let bounds = Bounds { bytes: BYTES_MIN, records: BASELINE_RECORDS };
            let log = Arc::new(MemoryLog::new(bounds));
            (History::on(log, count)?, 1..=BASELINE_RECORDS as u64)
        }
        Child::Loaded => (History::full(count)?, count..=count),
    };
    let last = history.hub.extent().last;
    let (mut records, mut record_bytes) = (0, 0);
    for segment in history.segments()? {
        let view = segment.view(last);
        records += view.len() as u64;
        record_bytes += (0..view.len()).map(|at| view.record_bytes(at).len()).sum::<usize>();
    }
    ensure(expected.contains(&records), || format!("{records} of {count} records are kept"))?;
    println!("{} {record_bytes}", resident_bytes()?);
    Ok(())
}

fn count(scale: Scale) -> u64 {
    scale.pick(1_000_000, 30_000)
}

fn start(child: Child, scale: Scale) -> Result<Report> {
    let kind = child.to_possible_value().ok_or("both kinds have a name")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--child").arg(kind.get_name());
    if scale.quick {
        command.arg("--quick");
    }
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = || format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    ensure(output.status.success(), failed)?;
    let (resident, records) = said.trim().split_once(' ').ok_or("a child reports two numbers")?;
    Ok(Report { resident_bytes: resident.parse()?, record_bytes: records.parse()? })
}

/// Resident memory of this process, as Linux reports it.
///
/// # Errors
/// If there is none.
pub fn resident_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kib: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kib * 1024)
}
