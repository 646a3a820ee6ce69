//! A gateway in a process of its own, which may be killed, and traced.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use auditgate::log::disk::{Config, DiskLog};
use auditgate::log::{Bounds, ReadHint, ReadResult, ScanOrder, Store as _};
use auditgate::record::Sequence;

pub use crate::support::WAIT_MAX;

/// A log directory and the file for the port.
pub struct Place {
    pub folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

pub struct Gateway {
    process: Child,
    pub address: SocketAddr,
}

impl Gateway {
    /// Starts the program with small segments; `None` if it ends before it listens.
    pub fn start(place: &Place, data: &Path, tracer: &[&str]) -> Option<Self> {
        Self::start_with(place, data, tracer, &[])
    }

    /// The same, with more flags.
    pub fn start_with(place: &Place, data: &Path, tracer: &[&str], flags: &[&str]) -> Option<Self> {
        let port_file = place.folder.path().join("port");
        let _ = std::fs::remove_file(&port_file);
        let program = env!("CARGO_BIN_EXE_auditgate");
        let mut command = match tracer {
            [] => Command::new(program),
            [tracer, arguments @ ..] => {
                let mut command = Command::new(tracer);
                command.args(arguments).arg(program);
                command
            }
        };
        for key in auditgate::config::keys() {
            command.env_remove(key.variable());
        }
        let mut process = command
            .args(["serve", "--listen", "127.0.0.1:0", "--ring-bytes", "1MiB"])
            .args(["--ring-records", "160", "--port-file"])
            .arg(&port_file)
            .arg("--data-dir")
            .arg(data)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        loop {
            if let Ok(port) = std::fs::read_to_string(&port_file) {
                let port: u16 = port.trim().parse().unwrap();
                return Some(Self { process, address: ([127, 0, 0, 1], port).into() });
            }
            if process.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(started.elapsed() < WAIT_MAX, "it neither listens nor ends");
            std::thread::yield_now();
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Ends it, at once.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // A tracer that is killed lets go of what it traces: that goes first.
        let traced = children_of(self.process.id());
        for child in &traced {
            let _ = Command::new("kill").args(["-9", child]).stderr(Stdio::null()).status();
        }
        if traced.is_empty() {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

/// The processes that a process has begun.
fn children_of(process: u32) -> Vec<String> {
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    children.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Opens the log, as the next start would, and reads it: ids in the order of their
/// sequences, which begin at 1 and have no holes.
pub async fn read(data: &Path) -> Vec<String> {
    let ring = Bounds { bytes: 1024 * 1024, records: 160 };
    let started = Instant::now();
    let (log, notices) = loop {
        // A tracer may end before the process that it traces.
        match DiskLog::open(data, Config { ring, ..Config::default() }) {
            Ok(opened) => break opened,
            Err(auditgate::log::disk::error::Error::InUse(_)) if started.elapsed() < WAIT_MAX => {
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
    };
    // The keys in sidecars have a seed, one for a process, that is kept beside the log.
    // This process opens the logs of many gateways, and makes their sidecars again.
    let is_known = |text: &str| {
        let rebuilt = text.starts_with("rebuilt ") && text.contains(": corrupt");
        rebuilt || text.starts_with("cut off ")
    };
    assert!(notices.iter().all(|notice| is_known(&notice.text)), "{notices:?}");
    let extent = log.extent();
    assert_eq!(extent.first, Sequence(1));
    let mut ids = Vec::new();
    let mut next = extent.first;
    while next <= extent.last {
        let found = log.read(next, ReadHint::all(ScanOrder::Ascending)).await.unwrap();
        let Some(ReadResult::Records(segment)) = found else { panic!("{next} cannot be read") };
        let view = segment.view(extent.last);
        for position in view.position(next)..view.len() {
            let record = view.record(position);
            assert_eq!(record.sequence.0, ids.len() as u64 + 1);
            ids.push(record.envelope().id.unwrap().to_owned());
        }
        next = view.end();
    }
    ids
}
