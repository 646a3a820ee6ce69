//! Opens the log of the configuration, and describes it to the operator.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::LogOutput;
use super::served_log::{ServedLog, retained};
use super::shared;
use crate::config::Settings;
use crate::log::MemoryLog;
use crate::log::disk::{DiskLog, SyncPolicy};

/// Opens the log, and prints notices about it.
pub(super) async fn open(settings: &Settings, logs: &LogOutput) -> io::Result<ServedLog> {
    let Some(folder) = &settings.data_dir else {
        let (records, mib) = (settings.ring.records, settings.ring.bytes.0 / (1024 * 1024));
        let kept = format!(
            "log in memory: the newest {records} records within {mib} MiB; lost when the gateway stops"
        );
        return Ok(ServedLog {
            log: Arc::new(MemoryLog::new(settings.ring.bounds())),
            kept,
            shared: None,
        });
    };
    if settings.shared.is_on() {
        return shared::open(settings, folder, logs).await.map_err(io::Error::other);
    }
    let (directory, config) = (folder.clone(), settings.disk());
    let opened = tokio::task::spawn_blocking(move || DiskLog::open(&directory, config)).await;
    let (log, notices) = opened.map_err(io::Error::other)?.map_err(io::Error::other)?;
    notices.iter().for_each(|notice| logs.notice(notice));
    Ok(ServedLog { log: Arc::new(log), kept: kept_on_disk(settings, folder), shared: None })
}

/// Describes what a log on disk keeps, and what a receipt means.
fn kept_on_disk(settings: &Settings, folder: &Path) -> String {
    let receipt = match settings.sync.0 {
        SyncPolicy::Always => "durability: fsync before acknowledgement".to_owned(),
        SyncPolicy::Interval(_) => format!(
            "durability: fsync {}; a machine crash can lose what was accepted since the last fsync",
            settings.sync
        ),
        SyncPolicy::None => {
            "durability: no fsync; a machine crash can lose what was accepted since \
                       the last segment was full"
                .to_owned()
        }
    };
    let retain = retained(settings.retain.bytes, settings.retain.age);
    format!("log on disk: {}, {retain}; {receipt}", folder.display())
}
