//! `[[delivery]]`: records that go to other systems.

mod destination;
mod filter;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::period;
use super::{ByteSize, Error, Period, Settings};
use crate::delivery::format::FormatName;
use crate::delivery::{BatchLimits, DeliveryConfig, DeliveryStart, HoldLimits};
use crate::time::Time;

pub use destination::{BatchBody, DeliveryDestination, DestinationKind, OtlpProtocol};
pub use filter::DeliveryFilter;

/// The most deliveries.
const DELIVERIES_MAX: usize = 64;
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Directory of the files of deliveries within the data directory.
const DIRECTORY: &str = "deliveries";
const DAY: u64 = 24 * 60 * 60;

/// Records that go to another system: see docs/deliveries.md. The gateway reloads deliveries
/// without a restart, and each continues at its cursor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// Name of the delivery: 1 to 64 lowercase letters, digits, `-` or `_`. Its cursor and
    /// dead-letter files have this name, so another destination needs another name.
    pub name: String,
    /// How records are encoded: see docs/MAPPINGS.md. By default `json`, or `otlp` if that is the
    /// kind of the destination.
    #[serde(default)]
    pub format: Option<FormatName>,
    /// Where a delivery without a cursor begins: `earliest`, `latest`, or a time such as
    /// 2026-01-31T00:00:00Z. By default, it begins with the oldest record that is stored.
    #[serde(default = "earliest")]
    pub start: String,
    /// Maximum number of records in a batch; from 1 to 10000.
    #[serde(default = "batch_records")]
    pub batch_records: usize,
    /// Maximum size of a batch; from 1KiB to 16MiB. A larger record is a batch of its own.
    #[serde(default = "batch_bytes")]
    pub batch_bytes: ByteSize,
    /// How long a record waits for others while another batch is in flight; from 1ms to 1m. When no
    /// batch is in flight, a record does not wait.
    #[serde(default = "batch_time")]
    pub batch_time: Period,
    /// Number of batches that may be in flight at once; from 1 to 64. With 1, records arrive in the
    /// order of the log; with more, only the records of a batch do.
    #[serde(default = "in_flight")]
    pub in_flight: usize,
    /// Whether retention waits for this delivery, within `hold_bytes` and `hold_age`. It needs a log
    /// on disk. Without it, records that retention removes first are reported to the destination
    /// as a gap.
    #[serde(default)]
    pub hold: bool,
    /// Retention waits only while the log takes at most this space on disk.
    #[serde(default)]
    pub hold_bytes: Option<ByteSize>,
    /// Retention waits only for records that were accepted at most this long ago; at least 1m.
    #[serde(default)]
    pub hold_age: Option<Period>,
    /// Name of the gateway that runs the delivery (`shared.name`); required for a shared log. One
    /// gateway runs the delivery, and the others report its name.
    #[serde(default)]
    pub run_on: Option<String>,
    /// Which records go out. Without it, all do.
    #[serde(default)]
    pub filter: DeliveryFilter,
    /// Where the records go.
    pub destination: DeliveryDestination,
}

fn earliest() -> String {
    "earliest".to_owned()
}

fn batch_records() -> usize {
    2_000
}

fn batch_bytes() -> ByteSize {
    ByteSize(2 * 1024 * 1024)
}

fn batch_time() -> Period {
    Period(Duration::from_secs(1))
}

fn in_flight() -> usize {
    1
}

impl Settings {
    /// The configuration of the deliveries.
    ///
    /// # Errors
    /// The first key that is out of bounds or contradicts others.
    pub fn deliveries(&self) -> Result<Vec<DeliveryConfig>, Error> {
        if self.delivery.len() > DELIVERIES_MAX {
            let what = format!("has {} entries, limit {DELIVERIES_MAX}", self.delivery.len());
            return Err(Error::value("delivery", what));
        }
        if !self.delivery.is_empty() && self.delivery_directory().is_none() {
            let what =
                "needs a directory for cursors and dead letters: set delivery_dir or data_dir";
            return Err(Error::value("delivery", what));
        }
        let mut names = HashSet::new();
        let configs = self.delivery.iter().enumerate().map(|(position, delivery)| {
            let key = |name: &str| format!("delivery[{position}].{name}");
            if !names.insert(delivery.name.as_str()) {
                let what = format!("{:?} is the name of an earlier delivery", delivery.name);
                return Err(Error::value(key("name"), what));
            }
            if delivery.hold && self.data_dir.is_none() {
                let what = "needs a log on disk: set data_dir too";
                return Err(Error::value(key("hold"), what));
            }
            Ok(DeliveryConfig {
                elsewhere: self
                    .elsewhere(delivery)
                    .map_err(|what| Error::value(key("run_on"), what))?,
                ..delivery.config(&key)?
            })
        });
        configs.collect()
    }

    /// The gateway that runs a delivery, unless this one does.
    fn elsewhere(&self, delivery: &Delivery) -> Result<Option<String>, String> {
        let own = self.gateway_name();
        match (&delivery.run_on, self.shared.is_on()) {
            (None, false) => Ok(None),
            (Some(_), false) => {
                Err("set, but this gateway shares no log: set shared.servers or leave it out"
                    .into())
            }
            (None, true) => Err(format!(
                "missing: each gateway of the shared log would send the records; name the one that does, such as {own:?}"
            )),
            (Some(name), true) => Ok(Some(name.clone()).filter(|name| *name != own)),
        }
    }

    /// The directory of the cursors and dead letters.
    pub fn delivery_directory(&self) -> Option<PathBuf> {
        let in_data = || self.data_dir.as_ref().map(|data| data.join(DIRECTORY));
        self.delivery_dir.clone().or_else(in_data)
    }
}

impl Delivery {
    fn config(&self, key: &dyn Fn(&str) -> String) -> Result<DeliveryConfig, Error> {
        let refused = |name: &str, what: String| Err(Error::value(key(name), what));
        if !is_name(&self.name) {
            let what = "must be 1 to 64 lowercase letters, digits, - or _, and begin with a letter or digit";
            return refused("name", format!("{:?} {what}", self.name));
        }
        let counts =
            [("batch_records", self.batch_records, 10_000), ("in_flight", self.in_flight, 64)];
        for (name, value, most) in counts {
            if !(1..=most).contains(&value) {
                return refused(name, format!("{value}, which must be from 1 to {most}"));
            }
        }
        if !(1024..=16 * 1024 * 1024).contains(&self.batch_bytes.0) {
            let what = format!("{}, which must be from 1KiB to 16MiB", self.batch_bytes);
            return refused("batch_bytes", what);
        }
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(60));
        if !(least..=most).contains(&self.batch_time.0) {
            return refused(
                "batch_time",
                format!("{}, which must be from 1ms to 1m", self.batch_time),
            );
        }
        let format = self.format.unwrap_or_else(|| self.destination.default_format());
        let destination =
            self.destination.config(format, &|name| key(&format!("destination.{name}")))?;
        if !destination.takes(format.item_kind()) {
            let kind = self.destination.kind.name();
            let what = format!(
                "{} is not a format that kind = \"{kind}\" takes: {}",
                format.name(),
                self.destination.formats()
            );
            return refused("format", what);
        }
        let hold = match (self.hold, self.hold_bytes, self.hold_age) {
            (false, None, None) => None,
            (false, Some(_), _) => return refused("hold_bytes", "needs hold = true".to_owned()),
            (false, _, Some(_)) => return refused("hold_age", "needs hold = true".to_owned()),
            (true, None, None) => {
                let what = "needs a limit, or a dead destination fills the disk: set hold_bytes or hold_age";
                return refused("hold", what.to_owned());
            }
            (true, bytes, age) => {
                if let Some(age) = age {
                    period(&key("hold_age"), age, 60..=3_650 * DAY)?;
                }
                Some(HoldLimits {
                    bytes: bytes.map(|ByteSize(bytes)| bytes as u64),
                    age: age.map(|Period(age)| age),
                })
            }
        };
        Ok(DeliveryConfig {
            name: self.name.clone(),
            format,
            filter: self.filter.filter(&|name| key(&format!("filter.{name}")))?,
            start: start(&self.start).map_err(|what| Error::value(key("start"), what))?,
            batch: BatchLimits {
                records: self.batch_records,
                bytes: self.batch_bytes.0,
                time: self.batch_time.0,
            },
            in_flight: self.in_flight,
            hold,
            destination,
            elsewhere: None,
        })
    }
}

/// Whether a name can be a file name.
fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with(['-', '_'])
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

fn start(text: &str) -> Result<DeliveryStart, String> {
    match text {
        "earliest" => Ok(DeliveryStart::Earliest),
        "latest" => Ok(DeliveryStart::Latest),
        time => {
            let parsed: Option<prost_types::Timestamp> = time.parse().ok();
            let time = parsed.and_then(|timestamp| Time::try_from(&timestamp).ok());
            time.map(DeliveryStart::Since).ok_or_else(|| {
                format!("{text:?} is not earliest, latest or a time such as 2026-01-31T00:00:00Z")
            })
        }
    }
}

#[cfg(test)]
mod tests;
