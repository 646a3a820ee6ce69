//! TLS: certificates, read again when they change, and handshakes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::access::ClientCas;
use crate::config::{self, ClientCertificates};

/// The protocol that clients have to agree on.
const ALPN: &[u8] = b"h2";

/// Turns connections into encrypted ones.
#[derive(Debug)]
pub struct Acceptor {
    config: ArcSwapOption<ServerConfig>,
    handshake_timeout: Duration,
}

/// A connection that was taken.
pub enum Accepted {
    /// As it came.
    Plain(TcpStream),
    /// Encrypted; with the certificate that the client showed, followed by those
    /// between it and its CA.
    Encrypted(Box<TlsStream<TcpStream>>, Option<Arc<[CertificateDer<'static>]>>),
}

impl Acceptor {
    /// Encrypts if the configuration says so.
    ///
    /// # Errors
    /// If certificate, key or CAs cannot be read, or do not go together.
    pub fn new(tls: &config::Tls) -> Result<Self, config::Error> {
        let config = ArcSwapOption::from(server_config(tls)?);
        Ok(Self { config, handshake_timeout: tls.handshake_timeout.0 })
    }

    /// Goes on with another configuration, for connections that come from now on.
    pub fn replace(&self, config: Option<Arc<ServerConfig>>) {
        self.config.store(config);
    }

    /// Whether connections are encrypted.
    pub fn is_on(&self) -> bool {
        self.config.load().is_some()
    }

    /// The handshake of a connection, where connections are encrypted.
    ///
    /// # Errors
    /// If the client does not speak TLS, agrees on nothing, shows a certificate that
    /// is not taken, or takes too long.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Accepted> {
        let Some(config) = self.config.load_full() else { return Ok(Accepted::Plain(stream)) };
        let handshake = TlsAcceptor::from(config).accept(stream);
        let stream = tokio::time::timeout(self.handshake_timeout, handshake)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let (_, session) = stream.get_ref();
        let certificates = session.peer_certificates().map(Arc::from);
        Ok(Accepted::Encrypted(Box::new(stream), certificates))
    }
}

/// The configuration of rustls; `None` if there is to be no TLS.
///
/// # Errors
/// If certificate, key or CAs cannot be read, or do not go together.
pub fn server_config(tls: &config::Tls) -> Result<Option<Arc<ServerConfig>>, config::Error> {
    let (Some(cert), Some(key)) = (&tls.cert, &tls.key) else { return Ok(None) };
    let chain = read_chain("tls.cert", cert)?;
    let key_of_chain = PrivateKeyDer::from_pem_file(key).map_err(refused("tls.key", key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(refused("tls.cert", cert))?;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let roots = Arc::clone(ClientCas::read("tls.client_ca", file)?.roots());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = match tls.client_certificates {
                ClientCertificates::Optional => verifier.allow_unauthenticated(),
                ClientCertificates::Required => verifier,
            };
            let verifier = verifier.build().map_err(refused("tls.client_ca", file))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config =
        builder.with_single_cert(chain, key_of_chain).map_err(refused("tls.cert", cert))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Some(Arc::new(config)))
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
