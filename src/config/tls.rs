//! `[tls]`: encryption, and certificates of clients.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Error, Period};

/// Encryption, and certificates of clients. The files are read again when they
/// change, without a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// File with the gateway's certificate and those between it and its CA, in PEM.
    /// Turns TLS on.
    #[schemars(extend("value_name" = "FILE"))]
    pub cert: Option<PathBuf>,
    /// File with the private key of the certificate, in PEM.
    #[schemars(extend("value_name" = "FILE"))]
    pub key: Option<PathBuf>,
    /// File with the CAs, in PEM, whose certificates clients may show. Turns
    /// authentication by certificate on.
    #[schemars(extend("value_name" = "FILE"))]
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate may connect, and authenticate in
    /// another way.
    pub client_certificates: ClientCertificates,
    /// How long the handshake of a connection may take; from 1s to 60s.
    pub handshake_timeout: Period,
}

/// Whether clients have to show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// They may, and may also show a token instead.
    Optional,
    /// They must.
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
