//! Client certificates.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{ConnectionIdentity, Error, san};
use crate::config::{self, CertificateNames, SanKind};

/// The CAs that issue client certificates.
#[derive(Debug, Clone)]
pub struct ClientCas {
    roots: Arc<RootCertStore>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl ClientCas {
    /// Reads the CAs from a file; errors name the configuration key `key`.
    ///
    /// # Errors
    /// If the file cannot be read or holds no CA.
    pub fn read(key: &str, file: &Path) -> Result<Self, config::Error> {
        let refused =
            |what: String| config::Error::value(key, format!("{}: {what}", file.display()));
        let mut roots = RootCertStore::empty();
        let pem =
            CertificateDer::pem_file_iter(file).map_err(|error| refused(error.to_string()))?;
        for certificate in pem {
            let certificate = certificate.map_err(|error| refused(error.to_string()))?;
            roots.add(certificate).map_err(|error| refused(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(refused("no certificate in PEM".to_owned()));
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider);
        let verifier = verifier.build().map_err(|error| refused(error.to_string()))?;
        Ok(Self { roots, verifier })
    }

    /// The CAs.
    pub fn roots(&self) -> &Arc<RootCertStore> {
        &self.roots
    }

    /// The principal of a certificate chain, and its expiry. The handshake verified the chain,
    /// but maybe against other CAs or long ago.
    pub(super) fn verify(
        &self,
        chain: &[CertificateDer<'static>],
        names: &CertificateNames,
    ) -> Result<(Arc<str>, Option<SystemTime>), Error> {
        let (own, between) = chain.split_first().ok_or(Error::CredentialsMissing)?;
        self.verifier.verify_client_cert(own, between, UnixTime::now()).map_err(|error| {
            match &error {
                rustls::Error::InvalidCertificate(
                    rustls::CertificateError::Expired
                    | rustls::CertificateError::ExpiredContext { .. },
                ) => Error::Expired("client certificate"),
                _ => Error::Certificate(error.to_string()),
            }
        })?;
        let (_, certificate) = X509Certificate::from_der(own)
            .map_err(|_| Error::Certificate("it cannot be read".to_owned()))?;
        let name = principal(&certificate, names)?;
        let until = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or_default();
        let until = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(until));
        Ok((name.as_str().into(), until))
    }
}

fn principal(certificate: &X509Certificate<'_>, names: &CertificateNames) -> Result<String, Error> {
    let refused = |what: &str| Error::Certificate(what.to_owned());
    let extension = certificate
        .subject_alternative_name()
        .map_err(|_| refused("its names cannot be read"))?
        .ok_or_else(|| refused("it has no subject alternative name"))?;
    let of_kind = |kind: SanKind| {
        extension.value.general_names.iter().find_map(|name| match (kind, name) {
            (SanKind::Uri, GeneralName::URI(name))
            | (SanKind::Email, GeneralName::RFC822Name(name))
            | (SanKind::Dns, GeneralName::DNSName(name)) => Some((kind, *name)),
            _ => None,
        })
    };
    let (kind, name) = names
        .san
        .iter()
        .copied()
        .find_map(of_kind)
        .ok_or_else(|| refused("it has no name of an accepted kind"))?;
    if !san::is_of_kind(kind, name) {
        return Err(refused(san::expected(kind)));
    }
    let principal = format!("{}{name}", names.prefix);
    match config::check_principal_name(&principal) {
        Ok(()) => Ok(principal),
        Err(_) => Err(refused("its name is not acceptable")),
    }
}

impl ConnectionIdentity {
    /// The principal that authenticated last on the connection, if any.
    pub fn principal(&self) -> Option<Arc<str>> {
        self.remembered.lock().last().map(|caller| caller.name())
    }
}
