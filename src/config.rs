//! The configuration: a TOML file, overridden by environment variables and flags.
//!
//! [`Settings`] is plain data. Each field is a key of the file. Outside of lists, it is also an
//! environment variable and a flag of `serve`. The first sentence of a field's comment is the help
//! of the flag, and the whole comment appears in docs/configuration.md. To add a key, add a field
//! with its default here, and its bounds in [`Settings::check`].

mod access;
mod delivery;
mod digests;
mod disk;
mod display;
mod error;
mod keys;
mod limits;
mod load;
mod nobody;
mod operation;
mod redact;
mod shared;
mod tls;
mod units;
mod value_check;
mod web;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::log::{BYTES_MIN, Bounds, RING_BYTES, RING_RECORDS};

pub use access::{
    Access, Algorithm, Audience, CertificateNames, Jwt, PRINCIPAL_BYTES_MAX, Right, Role, SanKind,
    StaticToken, check_principal_name,
};
pub use delivery::{
    BatchBody, Delivery, DeliveryDestination, DeliveryFilter, DestinationKind, OtlpProtocol,
};
pub use disk::Retain;
pub use display::{display, reference};
pub use error::Error;
pub use keys::{ConfigKey, KeyKind, all as keys};
pub use limits::Limits;
pub use load::{LoadedSettings, Origin, Overrides};
pub use operation::{Admin, LogFormat, LogLevel, Logging};
pub use redact::{Oversize, Redact, RedactAction, RedactRule, Treatment};
pub use shared::SharedSettings;
pub use tls::{ClientCertificates, Tls};
pub use units::{ByteSize, Period, SyncSetting};
pub use web::{Web, WebListen, WebOrigin};

/// The default address: loopback only.
pub const LISTEN: &str = "127.0.0.1:50051";
/// The default time limit for running calls when the gateway stops.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The id table tells records apart by 32 bits of their sequence.
const RING_RECORDS_MAX: usize = u32::MAX as usize;

/// The configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Address to listen on, or NAME:PORT such as localhost:50051; port 0 chooses a free port. On
    /// other addresses than loopback, the gateway requires TLS and authentication.
    #[schemars(extend("value_name" = "ADDR"))]
    pub listen: SocketAddr,
    /// Listen on other addresses than loopback without TLS or without authentication. Everyone
    /// who can reach the port may then read, write, or both.
    pub insecure: bool,
    /// Write the port to this file when the gateway listens.
    #[schemars(extend("value_name" = "FILE"))]
    pub port_file: Option<PathBuf>,
    /// Store the log on disk in this folder, which is created if it does not exist. Without it,
    /// the log is in memory and lost when the gateway stops. Only one gateway at a time can use a
    /// folder. A folder that its group or others may write is refused.
    #[schemars(extend("value_name" = "DIR"))]
    pub data_dir: Option<PathBuf>,
    /// When records are synced to stable storage: `always`, `interval=TIME` or `none`. With
    /// `always`, the gateway syncs a record before it sends the receipt, and no crash loses it.
    /// With `interval=100ms`, a crash of the machine can lose the records of the last 100 ms; a
    /// crash of the gateway alone loses nothing. With `none`, the operating system decides, and a
    /// crash of the machine can lose the records accepted since the last segment was full.
    #[schemars(extend("value_name" = "MODE"))]
    pub sync: SyncSetting,
    /// Refuse to start if records are known to be damaged on disk. The gateway knows the damaged
    /// records of the newest file, which it reads at the start, and those that readers found;
    /// `auditgate verify` checks all records. Without it, the gateway serves the other records,
    /// and readers get a gap for the damaged ones.
    pub strict: bool,
    /// How long records are stored on disk.
    pub retain: Retain,
    /// Keep a Merkle tree over the log, which proves what the log has: see docs/PROOF.md. By
    /// default, a log on disk has a tree and a log in memory has none. In memory, the tree takes
    /// 33 bytes a record, for the records of the ring or for 2,000,000 records, whichever is
    /// more.
    pub merkle: Option<bool>,
    /// File with the key that signs checkpoints, as `auditgate keygen` writes it; only its owner
    /// may have access. Without it, a log on disk creates a key beside the data, so anyone who
    /// can change the data can also sign; the key of a log in memory is lost when the gateway
    /// stops. The gateways of a shared log have one key, or those without it keep no tree.
    #[schemars(extend("value_name" = "FILE"))]
    pub signing_key: Option<PathBuf>,
    /// Time limit for running calls when the gateway stops; from 1s to 1h. Calls that still run
    /// then are aborted.
    pub drain_timeout: Period,
    /// Directory of the cursors and dead letters of deliveries, which is created if it does not exist.
    /// By default `deliveries` in the data directory. Only one gateway at a time can use a
    /// directory.
    #[schemars(extend("value_name" = "DIR"))]
    pub delivery_dir: Option<PathBuf>,
    /// How to treat an event that is larger than 1 MiB.
    pub oversize: Oversize,
    /// Maximum difference between the time of an event and the time of the gateway; beyond it,
    /// the record has the difference in `clock_skew`. Without it, no record has `clock_skew`.
    pub max_skew: Option<Period>,
    /// Bounds of the records in memory: of a log on disk, the newest ones.
    pub ring: Ring,
    /// The log that several gateways share, in a replicated stream of NATS JetStream: see
    /// docs/CLUSTER.md. The data directory holds this gateway's copy of it.
    pub shared: SharedSettings,
    /// Records that go to other systems: see docs/deliveries.md.
    pub delivery: Vec<Delivery>,
    /// Redaction of events before they are stored: see docs/content.md.
    pub redact: Redact,
    /// Encryption and client certificates.
    pub tls: Tls,
    /// Authentication and authorization. Without tokens, JWT issuers and a client CA there is no
    /// authentication, and every client may do everything.
    pub access: Access,
    /// Bounds of what clients may use. The limits of one client apply to its principal, or to its
    /// network address if authentication is off.
    pub limits: Limits,
    /// The admin listener: `/metrics`, `/livez` and `/readyz` over plain HTTP. It serves no
    /// events.
    pub admin: Admin,
    /// The page for browsers: search, live view and proofs over HTTP. It only reads, and has a port of its
    /// own.
    pub web: Web,
    /// Log lines on standard error. They never contain the content of an event.
    pub log: Logging,
}

/// Bounds of the records in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ring {
    /// Maximum memory of the ring, index included; at least 1MiB.
    pub bytes: ByteSize,
    /// Maximum number of records in the ring; from 1 to 4294967295.
    pub records: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: LISTEN.parse().expect("the default address is one"),
            insecure: false,
            port_file: None,
            data_dir: None,
            sync: SyncSetting::default(),
            strict: false,
            retain: Retain::default(),
            merkle: None,
            signing_key: None,
            drain_timeout: Period(DRAIN_TIMEOUT),
            delivery_dir: None,
            oversize: Oversize::default(),
            max_skew: None,
            ring: Ring::default(),
            shared: SharedSettings::default(),
            delivery: Vec::new(),
            redact: Redact::default(),
            tls: Tls::default(),
            access: Access::default(),
            limits: Limits::default(),
            admin: Admin::default(),
            web: Web::default(),
            log: Logging::default(),
        }
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self { bytes: ByteSize(RING_BYTES), records: RING_RECORDS }
    }
}

impl Ring {
    /// The bounds of the ring.
    pub fn bounds(&self) -> Bounds {
        Bounds { bytes: self.bytes.0, records: self.records }
    }
}

impl Settings {
    /// Validates what the types of the fields do not express.
    ///
    /// # Errors
    /// The first key that is out of bounds or contradicts others.
    pub fn check(&self) -> Result<(), Error> {
        let bytes = self.ring.bytes.0;
        if bytes < BYTES_MIN {
            let what = format!("{bytes} bytes are too few: at least {BYTES_MIN}");
            return Err(Error::value("ring.bytes", what));
        }
        let records = self.ring.records;
        if !(1..=RING_RECORDS_MAX).contains(&records) {
            let what = format!("{records} records, which must be from 1 to {RING_RECORDS_MAX}");
            return Err(Error::value("ring.records", what));
        }
        self.check_shared()?;
        self.check_disk()?;
        limits::period("drain_timeout", self.drain_timeout, 1..=60 * 60)?;
        self.limits.check()?;
        self.tls.check()?;
        self.web.check()?;
        self.access.check()?;
        if !self.authenticates() {
            self.access.check_open()?;
        }
        self.content()?;
        self.deliveries()?;
        self.check_exposure()
    }

    /// Whether authentication is configured.
    pub fn authenticates(&self) -> bool {
        self.access.has_bearers() || self.tls.client_ca.is_some()
    }

    fn check_exposure(&self) -> Result<(), Error> {
        let Some(missing) = self.missing_guard().filter(|_| !self.insecure) else { return Ok(()) };
        if !self.listen.ip().is_loopback() {
            return Err(Error::Exposed { key: "listen", listen: self.listen, missing });
        }
        match self.web.exposed() {
            Some(listen) => Err(Error::Exposed { key: "web.listen", listen, missing }),
            None => Ok(()),
        }
    }

    /// The missing protection: TLS, authentication, or both.
    pub fn missing_guard(&self) -> Option<&'static str> {
        match (self.tls.is_on(), self.authenticates()) {
            (true, true) => None,
            (true, false) => Some("authentication"),
            (false, true) => Some("TLS"),
            (false, false) => Some("TLS and authentication"),
        }
    }
}

#[cfg(test)]
mod tests;
