//! The keys of the log on disk.

use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{ByteSize, Period};
use super::{Error, Settings};
use crate::log::disk::{Config, Retention, SyncPolicy};

/// The shortest `sync=interval=TIME`.
const SYNC_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// The longest `sync=interval=TIME`.
const SYNC_INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Smallest `retain.bytes`: some segments of the default size.
const RETAIN_BYTES_MIN: usize = 64 * 1024 * 1024;
/// Shortest `retain.age`.
const RETAIN_AGE_MIN: Duration = Duration::from_secs(1);

/// How long records are stored on disk. Retention removes whole segment files, oldest first, but
/// never the newest one.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retain {
    /// Maximum size of the log on disk; at least 64MiB. Without it and without retain.age, all
    /// records are stored.
    pub bytes: Option<ByteSize>,
    /// How long records are stored after they were accepted; at least 1s.
    pub age: Option<Period>,
}

impl FromStr for SyncPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "always" => Ok(Self::Always),
            None if text == "none" => Ok(Self::None),
            Some(("interval", interval)) => {
                let Period(interval) = interval.parse()?;
                Ok(Self::Interval(interval))
            }
            _ => Err(format!("{text:?} is not always, interval=TIME or none")),
        }
    }
}

impl Settings {
    /// The configuration of the log on disk.
    pub fn disk(&self) -> Config {
        Config {
            ring: self.ring.bounds(),
            sync: self.sync.0,
            retain: Retention {
                bytes: self.retain.bytes.map(|ByteSize(bytes)| bytes as u64),
                age: self.retain.age.map(|Period(age)| age),
            },
            strict: self.strict,
        }
    }

    pub(super) fn check_disk(&self) -> Result<(), Error> {
        let disk = self.disk();
        if let SyncPolicy::Interval(interval) = disk.sync
            && !(SYNC_INTERVAL_MIN..=SYNC_INTERVAL_MAX).contains(&interval)
        {
            let what = "the interval must be from 1ms to 60s";
            return Err(Error::value("sync", what));
        }
        if self.retain.bytes.is_some_and(|ByteSize(bytes)| bytes < RETAIN_BYTES_MIN) {
            return Err(Error::value("retain.bytes", "must be at least 64MiB"));
        }
        if disk.retain.age.is_some_and(|age| age < RETAIN_AGE_MIN) {
            return Err(Error::value("retain.age", "must be at least 1s"));
        }
        if self.signing_key.is_some() && !self.has_tree() {
            let what =
                "needs the Merkle tree: set merkle or data_dir too, and do not set merkle to false";
            return Err(Error::value("signing_key", what));
        }
        let memory = Config { ring: disk.ring, ..Config::default() };
        if self.data_dir.is_none() && disk != memory {
            let key = match disk {
                Config { strict: true, .. } => "strict",
                Config { sync, .. } if sync != memory.sync => "sync",
                _ => "retain",
            };
            return Err(Error::value(key, "needs a log on disk: set data_dir too"));
        }
        Ok(())
    }
}
