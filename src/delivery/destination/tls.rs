//! Configures TLS to destinations.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::delivery::destination::OpenError;
use crate::secret_file;

/// The CAs that the gateway trusts, and its client certificate.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct DestinationTls {
    /// File with the CAs of the destination, in PEM; those of the system if `None`.
    pub ca: Option<PathBuf>,
    /// Files with the certificate of the gateway and its key, in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl DestinationTls {
    /// Reads the files.
    ///
    /// # Errors
    /// If a file cannot be used, or the system has no CAs.
    pub fn load(&self) -> Result<ClientConfig, OpenError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| OpenError::new("ca_file", error))?;
        let builder = match &self.ca {
            None => builder.with_native_roots().map_err(|error| {
                OpenError::new("ca_file", format!("the system has no CAs: {error}"))
            })?,
            Some(file) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates("ca_file", file)? {
                    roots.add(certificate).map_err(|error| refused("ca_file", file, error))?;
                }
                builder.with_root_certificates(roots)
            }
        };
        let Some((cert, key)) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let opened = secret_file::open(key).map_err(|error| refused("key_file", key, error))?;
        let key_of = PrivateKeyDer::from_pem_reader(&mut BufReader::new(opened))
            .map_err(|error| refused("key_file", key, error))?;
        builder
            .with_client_auth_cert(certificates("cert_file", cert)?, key_of)
            .map_err(|error| refused("cert_file", cert, error))
    }
}

fn certificates(key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let found = CertificateDer::pem_file_iter(file).map_err(|error| refused(key, file, error))?;
    let found: Vec<_> =
        found.collect::<Result<_, _>>().map_err(|error| refused(key, file, error))?;
    if found.is_empty() {
        return Err(refused(key, file, "no certificate in PEM"));
    }
    Ok(found)
}

fn refused(key: &'static str, file: &Path, what: impl ToString) -> OpenError {
    OpenError::new(key, format!("{}: {}", file.display(), what.to_string()))
}
