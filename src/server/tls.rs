//! Performs TLS handshakes with reloadable certificates.

use std::io::{self, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::access::ClientCas;
use crate::config::{self, ClientCertificates};
use crate::secret_file;
use crate::server::corked_socket::CorkedSocket;
use crate::server::expiry::Expiry;

/// The ALPN name of HTTP/2.
const HTTP2: &[u8] = b"h2";
/// The ALPN name of HTTP/1.1.
const HTTP1: &[u8] = b"http/1.1";

/// How long a refused client may take to read the reason.
const LINGER_TIME_MAX: Duration = Duration::from_secs(1);
/// How many bytes of a refused client are read meanwhile.
const LINGER_BYTES_MAX: u64 = 64 * 1024;

/// The kind of clients of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// Clients of gRPC.
    Grpc,
    /// Browsers. A browser asks its user for a certificate if the gateway requests one, so it
    /// requests one only if clients must have one.
    Browsers,
}

/// Accepts TLS handshakes with the current certificates.
#[derive(Debug)]
pub struct TlsSetup {
    loaded: ArcSwapOption<LoadedTls>,
    handshake_timeout: Duration,
}

/// The certificates and keys that were read from files.
#[derive(Debug)]
pub struct LoadedTls {
    config: Arc<ServerConfig>,
    for_browsers: Arc<ServerConfig>,
    /// The host names of the certificate, in lower case.
    names: Arc<[String]>,
    /// When the certificates end.
    expiries: Vec<Expiry>,
}

/// An accepted connection, with or without TLS.
pub enum AcceptedStream {
    /// A connection without TLS.
    Plain(CorkedSocket),
    /// A connection with TLS.
    Encrypted(Box<TlsStream<CorkedSocket>>, Session),
}

/// The result of a handshake.
pub struct Session {
    /// The client certificate, followed by its intermediate certificates.
    pub certificates: Option<Arc<[CertificateDer<'static>]>>,
    /// Whether client and gateway agreed on HTTP/2.
    pub is_http2: bool,
}

impl TlsSetup {
    /// Loads the certificates if TLS is configured.
    ///
    /// # Errors
    /// If certificate, key or CAs cannot be read or do not match.
    pub fn new(tls: &config::Tls) -> Result<Self, config::Error> {
        let loaded = ArcSwapOption::from(load(tls)?);
        Ok(Self { loaded, handshake_timeout: tls.handshake_timeout.0 })
    }

    /// Replaces the configuration for new connections.
    pub fn replace(&self, loaded: Option<Arc<LoadedTls>>) {
        self.loaded.store(loaded);
    }

    /// Whether connections are encrypted.
    pub fn is_on(&self) -> bool {
        self.loaded.load().is_some()
    }

    /// The host names of the certificate, in lower case.
    pub fn names(&self) -> Arc<[String]> {
        self.loaded.load().as_ref().map(|loaded| Arc::clone(&loaded.names)).unwrap_or_default()
    }

    /// When the certificates end.
    pub fn expiries(&self) -> Vec<Expiry> {
        self.loaded.load().as_ref().map(|loaded| loaded.expiries.clone()).unwrap_or_default()
    }

    /// Performs the handshake of a connection, if connections are encrypted.
    ///
    /// # Errors
    /// If the client does not speak TLS, has no common protocol or cipher, has a certificate that
    /// is not accepted, or takes too long.
    pub async fn accept(
        &self,
        stream: CorkedSocket,
        client: ClientKind,
    ) -> io::Result<AcceptedStream> {
        let Some(loaded) = self.loaded.load_full() else {
            return Ok(AcceptedStream::Plain(stream));
        };
        let config = match client {
            ClientKind::Grpc => &loaded.config,
            ClientKind::Browsers => &loaded.for_browsers,
        };
        let handshake = TlsAcceptor::from(Arc::clone(config)).accept(stream).into_fallible();
        let stream = match tokio::time::timeout(self.handshake_timeout, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err((error, stream))) => {
                let _ = tokio::time::timeout(LINGER_TIME_MAX, linger(stream)).await;
                return Err(error);
            }
            Err(_) => return Err(io::Error::from(io::ErrorKind::TimedOut)),
        };
        let (_, session) = stream.get_ref();
        let certificates = session.peer_certificates().map(Arc::from);
        let is_http2 = session.alpn_protocol() == Some(HTTP2);
        let session = Session { certificates, is_http2 };
        Ok(AcceptedStream::Encrypted(Box::new(stream), session))
    }
}

/// Reads the data that a refused client has sent. A socket that is closed with unread data is
/// reset, and its client may not see the alert with the reason.
async fn linger(mut stream: CorkedSocket) -> io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(LINGER_BYTES_MAX), &mut tokio::io::sink()).await?;
    Ok(())
}

/// Reads certificates, key and CAs; `None` if TLS is not configured.
///
/// # Errors
/// If certificate, key or CAs cannot be read or do not match, or the certificate has ended.
pub fn load(tls: &config::Tls) -> Result<Option<Arc<LoadedTls>>, config::Error> {
    let (Some(cert), Some(key)) = (&tls.cert, &tls.key) else { return Ok(None) };
    let chain = read_chain("tls.cert", cert)?;
    let mut expiries: Vec<_> = first_expiry("tls.cert", cert, &chain).into_iter().collect();
    if let Some(expiry) = expiries.iter().find(|expiry| expiry.is_past(SystemTime::now())) {
        return Err(refused("tls.cert", cert)(format!(
            "the certificate ended on {}: replace it by a new one; one of `auditgate init` is renewed by `auditgate certs renew`",
            expiry.date(),
        )));
    }
    let names = names(chain.first());
    let key_of_chain = read_key(key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(refused("tls.cert", cert))?;
    let is_required = tls.client_certificates == ClientCertificates::Required;
    let verifier = match &tls.client_ca {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(file) => {
            let certificates = read_chain("tls.client_ca", file)?;
            expiries.extend(first_expiry("tls.client_ca", file, &certificates));
            let roots = Arc::clone(ClientCas::read("tls.client_ca", file)?.roots());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = match is_required {
                false => verifier.allow_unauthenticated(),
                true => verifier,
            };
            verifier.build().map_err(refused("tls.client_ca", file))?
        }
    };
    let of_browsers = match is_required {
        true => Arc::clone(&verifier),
        false => WebPkiClientVerifier::no_client_auth(),
    };
    // Each has its own sessions, so that none is resumed under other certificate rules.
    let build = |verifier, protocols: &[&[u8]]| {
        let certified = builder
            .clone()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key_of_chain.clone_key());
        let mut config = certified.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => config::Error::value(
                "tls.key",
                format!("{} does not match {}", key.display(), cert.display()),
            ),
            other => refused("tls.cert", cert)(other),
        })?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok::<_, config::Error>(Arc::new(config))
    };
    let config = build(verifier, &[HTTP2])?;
    let for_browsers = build(of_browsers, &[HTTP2, HTTP1])?;
    Ok(Some(Arc::new(LoadedTls { config, for_browsers, names, expiries })))
}

/// The host names of a certificate; none if it cannot be parsed.
fn names(der: Option<&CertificateDer<'_>>) -> Arc<[String]> {
    let read = der.and_then(|der| X509Certificate::from_der(der).ok());
    let found = read.as_ref().and_then(|(_, read)| read.subject_alternative_name().ok().flatten());
    let names = found.iter().flat_map(|names| &names.value.general_names);
    let hosts = names.filter_map(|name| match name {
        GeneralName::DNSName(host) => Some(host.to_ascii_lowercase()),
        _ => None,
    });
    hosts.collect()
}

/// The earliest end of these certificates of a file that can be parsed.
fn first_expiry(
    key: &'static str,
    file: &Path,
    certificates: &[CertificateDer<'_>],
) -> Option<Expiry> {
    let read = certificates.iter().filter_map(|der| X509Certificate::from_der(der).ok());
    let at = read.map(|(_, certificate)| certificate.validity().not_after.timestamp()).min()?;
    Some(Expiry { key, file: file.to_owned(), at })
}

/// Reads the private key, and refuses a file that other users may access.
fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, config::Error> {
    let refused = |what: String| refused("tls.key", file)(what);
    let opened = secret_file::open(file).map_err(|error| refused(error.to_string()))?;
    let mut pem = BufReader::new(opened);
    let key = PrivateKeyDer::from_pem_reader(&mut pem).map_err(|error| match error {
        pem::Error::NoItemsFound => refused("no private key in PEM".to_owned()),
        other => refused(other.to_string()),
    })?;
    Ok(key)
}

fn read_chain(name: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, config::Error> {
    let pem = CertificateDer::pem_file_iter(file).map_err(refused(name, file))?;
    let chain: Vec<_> = pem.collect::<Result<_, _>>().map_err(refused(name, file))?;
    if chain.is_empty() {
        return Err(refused(name, file)("no certificate in PEM"));
    }
    Ok(chain)
}

fn refused<E: ToString>(key: &str, file: &Path) -> impl Fn(E) -> config::Error {
    let (key, file) = (key.to_owned(), file.display().to_string());
    move |error| config::Error::value(key.clone(), format!("{file}: {}", error.to_string()))
}
