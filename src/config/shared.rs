//! `[shared]`: the stream of a log that several gateways share.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Error, Period, Settings};
use crate::address;
use crate::log::shared::stream::jetstream::{
    NatsServers, NatsUser, Subjects, check_address, check_monitor, check_name,
};
use crate::printable::is_hidden;
use crate::text;

/// The longest name of a gateway, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The log that several gateways share, in a replicated stream of NATS JetStream: see
/// docs/CLUSTER.md. The data directory holds this gateway's copy of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SharedSettings {
    /// NATS servers that store the log: nats://HOST:4222, or tls://HOST:4222 with TLS. The gateway
    /// connects to one of them, and to another one if that fails. Without servers, the log is not
    /// shared. `auditgate cluster init` makes the stream.
    #[schemars(extend("value_name" = "URLS", "name" = "shared"))]
    pub servers: Vec<String>,
    /// Name of the log, so that several logs can share the servers: letters, digits, - and _. The
    /// stream is named `AUDIT_` and this name.
    #[schemars(extend("value_name" = "NAME"))]
    pub stream: String,
    /// Name of this gateway among those that share the log, for status and for `run_on` of a
    /// delivery: 1 to 64 visible characters. By default, the host name and the port that the
    /// gateway listens on.
    #[schemars(extend("value_name" = "NAME"))]
    pub name: Option<String>,
    /// File with the cluster key, as `auditgate cluster init` writes it; only its owner may have
    /// access. All gateways of the log have the same key: it authenticates their messages. The
    /// first key of the file authenticates what this gateway publishes; further keys are
    /// accepted, too.
    #[schemars(extend("value_name" = "FILE", "name" = "cluster_key"))]
    pub cluster_key: Option<PathBuf>,
    /// File with the public key of the log, for a gateway without the signing key; `auditgate
    /// cluster init` writes it to signing.key.pub. Other gateways sign checkpoints; this one
    /// verifies them, compares them with its own copy, and serves them. Further lines name
    /// former keys of the log, under which an operator accepted a loss.
    #[schemars(extend("value_name" = "FILE"))]
    pub verifier_key: Option<PathBuf>,
    /// File with the CAs of the servers, in PEM. Without it, the CAs of the system are trusted.
    #[schemars(extend("value_name" = "FILE"))]
    pub ca: Option<PathBuf>,
    /// File with the certificate that the gateway shows to the servers, in PEM.
    #[schemars(extend("value_name" = "FILE"))]
    pub cert: Option<PathBuf>,
    /// File with the private key of that certificate, in PEM.
    #[schemars(extend("value_name" = "FILE"))]
    pub key: Option<PathBuf>,
    /// File with the credentials of the NATS user, as `nsc` writes it (.creds); only its owner may
    /// have access.
    #[schemars(extend("value_name" = "FILE"))]
    pub credentials: Option<PathBuf>,
    /// Name of the NATS user, with a password.
    #[schemars(extend("value_name" = "USER"))]
    pub user: Option<String>,
    /// File with the password of the user; only its owner may have access.
    #[schemars(extend("value_name" = "FILE"))]
    pub password_file: Option<PathBuf>,
    /// Name of the gateway's inbox, where the servers send their answers: letters, digits, - and _.
    /// The NATS user must be able to subscribe to `_INBOX.auditgate.NAME.>`, and should be the only
    /// one. By default, the name of the user with its other characters as _, or `gateway` where
    /// the gateway does not know a name.
    #[schemars(extend("value_name" = "NAME"))]
    pub inbox: Option<String>,
    /// URLs of the monitoring ports of the servers: http://HOST:8222. The gateway checks there
    /// whether the servers sync before they acknowledge, and warns if one does not.
    #[schemars(extend("value_name" = "URLS"))]
    pub monitor: Vec<String>,
    /// How long the gateway tries to reach the servers when it starts; from 1s to 1h.
    pub connect_timeout: Period,
}

impl Default for SharedSettings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            stream: "main".to_owned(),
            name: None,
            cluster_key: None,
            verifier_key: None,
            ca: None,
            cert: None,
            key: None,
            credentials: None,
            user: None,
            password_file: None,
            inbox: None,
            monitor: Vec::new(),
            connect_timeout: Period(Duration::from_secs(60)),
        }
    }
}

impl SharedSettings {
    /// Whether the log is shared.
    pub fn is_on(&self) -> bool {
        !self.servers.is_empty()
    }

    /// The connection settings of the servers.
    ///
    /// # Errors
    /// If keys contradict each other.
    pub fn connection(&self) -> Result<NatsServers, Error> {
        let user = match (&self.credentials, &self.user, &self.password_file) {
            (None, None, None) => NatsUser::Nobody,
            (Some(file), None, None) => NatsUser::Credentials(file.clone()),
            (None, Some(name), Some(file)) => {
                NatsUser::Password { name: name.clone(), file: file.clone() }
            }
            (Some(_), ..) => {
                let what = "set, and so are shared.user or shared.password_file: choose one";
                return Err(Error::value("shared.credentials", what));
            }
            (None, Some(_), None) => {
                return Err(Error::value("shared.password_file", "missing, but user is set"));
            }
            (None, None, Some(_)) => {
                return Err(Error::value("shared.user", "missing, but password_file is set"));
            }
        };
        let certificate = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (None, None) => None,
            (Some(_), None) => {
                return Err(Error::value("shared.key", "missing, but shared.cert is set"));
            }
            (None, Some(_)) => {
                return Err(Error::value("shared.cert", "missing, but shared.key is set"));
            }
        };
        let addresses = self.servers.clone();
        let inbox = self.inbox.clone();
        Ok(NatsServers { addresses, ca: self.ca.clone(), certificate, user, inbox })
    }

    /// The names of the stream and its subjects in NATS.
    ///
    /// # Errors
    /// If the log cannot have this name.
    pub fn subjects(&self) -> Result<Subjects, Error> {
        Subjects::of_log(&self.stream).map_err(|error| Error::value("shared.stream", error))
    }

    /// Validates the settings that reach the stream; servers are required.
    pub(super) fn check_reachable(&self) -> Result<(), Error> {
        if !self.is_on() {
            return Err(Error::value(
                "shared.servers",
                "missing: name the servers (--shared URLS)",
            ));
        }
        self.check_connection()
    }

    /// Validates the connection settings.
    pub(super) fn check_connection(&self) -> Result<(), Error> {
        for server in &self.servers {
            check_address(server).map_err(|error| Error::value("shared.servers", error))?;
        }
        for monitor in &self.monitor {
            check_monitor(monitor).map_err(|error| Error::value("shared.monitor", error))?;
        }
        if let Some(name) = &self.name
            && (!(1..=NAME_BYTES_MAX).contains(&name.len()) || name.contains(is_hidden))
        {
            let what = format!("{name:?}, which must be 1 to {NAME_BYTES_MAX} visible characters");
            return Err(Error::value("shared.name", what));
        }
        if let Some(inbox) = &self.inbox {
            check_name(inbox).map_err(|error| Error::value("shared.inbox", error))?;
        }
        self.subjects()?;
        self.connection()?;
        super::limits::period("shared.connect_timeout", self.connect_timeout, 1..=60 * 60)
    }
}

impl Settings {
    /// The name of this gateway among those that share a log.
    pub fn gateway_name(&self) -> String {
        self.shared.name.clone().unwrap_or_else(|| {
            let host = address::host_name().replace(is_hidden, "?");
            // The port distinguishes several gateways on one machine.
            format!("{}:{}", text::truncated(host, NAME_BYTES_MAX - 6), self.listen.port())
        })
    }

    /// Whether there is a Merkle tree over the log.
    pub fn has_tree(&self) -> bool {
        // The gateways of a shared log sign with one key, so none of them generates it.
        let by_default = match self.shared.is_on() {
            true => self.signing_key.is_some() || self.shared.verifier_key.is_some(),
            false => self.data_dir.is_some(),
        };
        self.merkle.unwrap_or(by_default)
    }

    pub(super) fn check_shared(&self) -> Result<(), Error> {
        let shared = &self.shared;
        shared.check_connection()?;
        if !shared.is_on() {
            return match *shared == SharedSettings::default() {
                true => Ok(()),
                false => Err(Error::value(
                    "shared.servers",
                    "missing, but other keys of [shared] are set: name the servers (--shared)",
                )),
            };
        }
        let missing = |key: &str, what: &str| Err(Error::value(key, what));
        if self.data_dir.is_none() {
            return missing(
                "data_dir",
                "missing, but shared.servers is set: a gateway keeps a copy of the shared log in a directory (--data-dir)",
            );
        }
        if shared.cluster_key.is_none() {
            return missing(
                "shared.cluster_key",
                "missing, but shared.servers is set: give the file cluster.key that `auditgate cluster init` wrote (--cluster-key)",
            );
        }
        if self.has_tree() && self.signing_key.is_none() && shared.verifier_key.is_none() {
            return missing(
                "signing_key",
                "missing, but merkle and shared.servers are set: all gateways of a shared log sign with one key; give the file signing.key that `auditgate cluster init` wrote (--signing-key), or signing.key.pub (--shared-verifier-key)",
            );
        }
        if self.retain != super::Retain::default() {
            return missing(
                "retain",
                "set, and so is shared.servers: the stream decides how long records are stored; see `auditgate cluster init --help`",
            );
        }
        Ok(())
    }
}
