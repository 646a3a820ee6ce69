//! Credentials of a client, and the CAs that it trusts.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tonic::codegen::http::Uri;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// The interval after which a token file is read again, since expiring tokens are replaced.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(10);

/// How a client authenticates, and which gateways it trusts. By default it does not
/// authenticate, and trusts the CAs of the system.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    pub(super) bearer: Bearer,
    pub(super) tls: TlsFiles,
    /// The token may be sent unencrypted to another machine.
    pub(super) plaintext: bool,
}

/// PEM texts.
#[derive(Clone, Default)]
pub(super) struct TlsFiles {
    pub(super) ca: Option<String>,
    pub(super) identity: Option<(String, String)>,
}

/// Never prints the key.
impl std::fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca)
            .field("identity", &self.identity.as_ref().map(|(cert, _)| cert))
            .finish()
    }
}

impl TlsFiles {
    pub(super) fn is_set(&self) -> bool {
        self.ca.is_some() || self.identity.is_some()
    }

    /// Checks that the given certificates and keys are complete.
    #[cfg(feature = "tls")]
    pub(super) fn check(&self) -> Result<(), String> {
        use rustls::pki_types::pem::PemObject as _;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let holds_certificate = |pem: &str| {
            matches!(CertificateDer::pem_slice_iter(pem.as_bytes()).next(), Some(Ok(_)))
        };
        if self.ca.as_ref().is_some_and(|pem| !holds_certificate(pem)) {
            return Err("the CA file (--cacert) has no PEM certificate".to_owned());
        }
        if let Some((cert, key)) = &self.identity {
            if !holds_certificate(cert) {
                return Err("the client certificate (--cert) is not a PEM certificate".to_owned());
            }
            if PrivateKeyDer::from_pem_slice(key.as_bytes()).is_err() {
                return Err("the key of the certificate (--key) is not a PEM key".to_owned());
            }
        }
        Ok(())
    }
}

impl Credentials {
    /// Credentials with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends this token with each call.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        Self { bearer: Bearer(Some(Arc::new(TokenSource::new(None, token)))), ..self }
    }

    /// Sends the token in this file with each call; changes of the file are noticed.
    ///
    /// # Errors
    /// If the file cannot be read, or holds no token.
    pub fn token_file(self, file: &Path) -> std::io::Result<Self> {
        let token = TokenSource::new(Some(file.to_owned()), &std::fs::read_to_string(file)?);
        if token.value().is_none() {
            let what = "it holds no token: one line of visible characters";
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, what));
        }
        Ok(Self { bearer: Bearer(Some(Arc::new(token))), ..self })
    }

    /// Allows sending the token unencrypted, over `http://`, to another machine, for example if
    /// a proxy or a private network encrypts. Without this, a client with a token refuses such
    /// connections, since anyone on the network path could read and use the token.
    #[must_use]
    pub fn allow_plaintext(self) -> Self {
        Self { plaintext: true, ..self }
    }

    /// Whether the token would be sent unencrypted to another machine at `uri` without
    /// permission.
    pub(super) fn would_expose_token(&self, uri: &Uri) -> bool {
        self.bearer.0.is_some() && !self.plaintext && !is_loopback(uri)
    }

    /// Trusts these CAs, in PEM, and no others.
    #[must_use]
    pub fn ca(mut self, pem: impl Into<String>) -> Self {
        self.tls.ca = Some(pem.into());
        self
    }

    /// Uses this client certificate, in PEM, if the gateway asks for one.
    #[must_use]
    pub fn identity(mut self, cert_pem: impl Into<String>, key_pem: impl Into<String>) -> Self {
        self.tls.identity = Some((cert_pem.into(), key_pem.into()));
        self
    }
}

/// Whether the address is on this machine.
fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Adds the token to each call.
#[derive(Debug, Clone, Default)]
pub struct Bearer(Option<Arc<TokenSource>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = self.0.as_ref().and_then(|token| token.value()) {
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

/// A token, maybe from a file.
struct TokenSource {
    file: Option<PathBuf>,
    /// The header, and when it was read.
    header: Mutex<(Option<MetadataValue<Ascii>>, Instant)>,
}

/// Never prints the token.
impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("file", &self.file).finish_non_exhaustive()
    }
}

impl TokenSource {
    fn new(file: Option<PathBuf>, token: &str) -> Self {
        Self { file, header: Mutex::new((header(token), Instant::now())) }
    }

    /// The header; reads the file again after the interval. If the file cannot be read, the
    /// previous token is kept.
    fn value(&self) -> Option<MetadataValue<Ascii>> {
        let mut known = self.header.lock();
        if let Some(file) = &self.file
            && known.1.elapsed() >= TOKEN_AGE_MAX
        {
            let read = std::fs::read_to_string(file).ok().and_then(|token| header(&token));
            *known = (read.or_else(|| known.0.clone()), Instant::now());
        }
        known.0.clone()
    }
}

fn header(token: &str) -> Option<MetadataValue<Ascii>> {
    let token = token.trim();
    let is_one = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let mut value: MetadataValue<Ascii> =
        is_one.then(|| format!("Bearer {token}").parse().ok()).flatten()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(credentials: &Credentials) -> Option<String> {
        let request = credentials.bearer.clone().call(Request::new(())).expect("never refused");
        let value = request.metadata().get("authorization")?;
        Some(value.to_str().expect("text").to_owned())
    }

    #[test]
    fn a_token_goes_with_each_call() {
        assert_eq!(shown(&Credentials::new()), None);
        assert_eq!(shown(&Credentials::new().token("abc\n")).as_deref(), Some("Bearer abc"));
    }

    #[test]
    fn a_token_leaves_the_machine_encrypted_or_by_permission() {
        let token = Credentials::new().token("abc");
        let exposed = |credentials: &Credentials, uri: &str| {
            credentials.would_expose_token(&uri.parse().expect("a URI"))
        };
        for uri in [
            "http://127.0.0.1:1",
            "http://127.9.9.9",
            "http://[::1]:1",
            "http://localhost:1",
            "http://LOCALHOST",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert!(!exposed(&token, uri), "{uri}");
        }
        for uri in [
            "http://audit.example.org:1",
            "http://10.0.0.1",
            "http://0.0.0.0:1",
            "http://[::]:1",
            "http://localhost.example.org",
            "http://localhost@example.org",
            "http://127.1",
            "http://127.0.0.1.example.org",
            "http://2130706433",
            "http://[::ffff:10.0.0.1]",
        ] {
            assert!(exposed(&token, uri), "{uri}");
            assert!(!exposed(&token.clone().allow_plaintext(), uri), "{uri}");
            assert!(!exposed(&Credentials::new(), uri), "{uri}");
        }
    }

    #[test]
    fn a_file_without_a_token_is_refused() {
        let folder = std::env::temp_dir().join(format!("auditgate-token-{}", std::process::id()));
        for bad in ["", "\n", "two words", "two\nlines"] {
            std::fs::write(&folder, bad).expect("written");
            let refused = Credentials::new().token_file(&folder).expect_err("no token");
            assert_eq!(refused.kind(), std::io::ErrorKind::InvalidData, "{bad:?}: {refused}");
        }
        std::fs::write(&folder, "abc\n").expect("written");
        let good = Credentials::new().token_file(&folder).expect("a token");
        assert_eq!(shown(&good).as_deref(), Some("Bearer abc"));
        std::fs::remove_file(&folder).expect("removed");
        let refused = Credentials::new().token_file(&folder).expect_err("no file");
        assert_eq!(refused.kind(), std::io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        let credentials = Credentials::new().token("abc").identity("cert", "the key");
        let shown = format!("{credentials:?}");
        assert!(!shown.contains("abc") && !shown.contains("the key"), "{shown}");
    }
}
