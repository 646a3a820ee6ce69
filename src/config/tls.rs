//! `[tls]`: encryption, and certificates of clients.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Error, Period};

/// Encryption and client certificates. The gateway reloads the files when they change, without a
/// restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// File with the certificate of the gateway and its intermediate certificates, in PEM.
    /// Enables TLS.
    #[schemars(extend("value_name" = "FILE"))]
    pub cert: Option<PathBuf>,
    /// File with the private key of the certificate, in PEM; only its owner may have access.
    #[schemars(extend("value_name" = "FILE"))]
    pub key: Option<PathBuf>,
    /// File with the CAs of client certificates, in PEM. Enables authentication by client
    /// certificate.
    #[schemars(extend("value_name" = "FILE"))]
    pub client_ca: Option<PathBuf>,
    /// Whether a client may connect without a certificate and authenticate with a token.
    pub client_certificates: ClientCertificates,
    /// Time limit of a TLS handshake; from 1s to 60s.
    pub handshake_timeout: Period,
}

/// Whether clients must have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// Clients may have a certificate, or a token instead.
    Optional,
    /// Clients must have a certificate.
    Required,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            cert: None,
            key: None,
            client_ca: None,
            client_certificates: ClientCertificates::Optional,
            handshake_timeout: Period(Duration::from_secs(10)),
        }
    }
}

impl Tls {
    /// Whether connections are encrypted.
    pub fn is_on(&self) -> bool {
        self.cert.is_some()
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        const SECONDS: std::ops::RangeInclusive<u64> = 1..=60;
        match (&self.cert, &self.key) {
            (Some(_), None) => return Err(Error::value("tls.key", "missing, but tls.cert is set")),
            (None, Some(_)) => return Err(Error::value("tls.cert", "missing, but tls.key is set")),
            _ => {}
        }
        if self.client_ca.is_some() && !self.is_on() {
            return Err(Error::value("tls.client_ca", "set, but tls.cert is not"));
        }
        if self.client_ca.is_none() && self.client_certificates == ClientCertificates::Required {
            return Err(Error::value("tls.client_ca", "missing, but certificates are required"));
        }
        let timeout = self.handshake_timeout;
        if !SECONDS.contains(&timeout.0.as_secs()) {
            let what = format!("{timeout}, which must be from 1s to 60s");
            return Err(Error::value("tls.handshake_timeout", what));
        }
        Ok(())
    }
}
