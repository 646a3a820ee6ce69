//! Explains a failed connection in a sentence.

use std::error::Error;

/// The likely cause: from [`tls_error`], or else the root cause.
pub(super) fn describe(error: &(dyn Error + 'static)) -> String {
    tls_error(error).unwrap_or_else(|| root(error))
}

/// The root cause of an error.
pub(super) fn root(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The likely cause of a failed TLS handshake.
pub(super) fn tls_error(error: &(dyn Error + 'static)) -> Option<String> {
    /// The errors of both sides if they have no common protocol.
    const NO_HTTP2: [&str; 2] =
        ["received fatal alert: NoApplicationProtocol", "HTTP/2 was not negotiated."];
    chain(error).find_map(tls::explain).or_else(|| {
        if NO_HTTP2.contains(&root(error).as_str()) {
            return Some(
                "the server does not speak HTTP/2, as gRPC does: check host and port".to_owned(),
            );
        }
        Some(match refused_by(error)?.as_str() {
            "CertificateRequired" => {
                "the gateway requires a client certificate: pass --cert and --key".to_owned()
            }
            alert => format!("the gateway rejects the client certificate: {alert}"),
        })
    })
}

/// The TLS alert with which the server rejects the client certificate or requires one; a retry
/// would not help. h2 keeps only its text.
pub(super) fn refused_by(error: &(dyn Error + 'static)) -> Option<String> {
    const ALERT: &str = "received fatal alert: ";
    let alert = root(error).strip_prefix(ALERT)?.to_owned();
    let refuses = alert.contains("Certificate")
        || ["UnknownCA", "AccessDenied", "DecryptError"].contains(&alert.as_str());
    refuses.then_some(alert)
}

/// An error and its sources.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

#[cfg(feature = "tls")]
mod tls {
    use std::error::Error;
    use std::io;
    use std::time::Duration;

    use rustls::CertificateError;
    use rustls::pki_types::UnixTime;

    /// The TLS error that this error is or wraps.
    fn of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        error.downcast_ref().or_else(|| wrapped?.downcast_ref())
    }

    pub(super) fn explain(error: &(dyn Error + 'static)) -> Option<String> {
        Some(match of(error)? {
            rustls::Error::InvalidMessage(_) => {
                "the server does not use TLS: if that is intended, use http:// without certificates"
                    .to_owned()
            }
            rustls::Error::InvalidCertificate(error) => certificate(error),
            rustls::Error::InconsistentKeys(_) => {
                "the key (--key) does not match the certificate (--cert)".to_owned()
            }
            _ => return None,
        })
    }

    fn certificate(error: &CertificateError) -> String {
        use CertificateError as E;
        match error {
            // The CA has the same name as a trusted one, but another key.
            E::UnknownIssuer | E::BadSignature => {
                "no trusted CA issued its certificate: pass its CA with --cacert".to_owned()
            }
            E::ExpiredContext { not_after, .. } => {
                format!("its certificate has expired, on {}", at(*not_after))
            }
            E::NotValidYetContext { not_before, .. } => {
                format!("its certificate is not valid before {}: check the clocks", at(*not_before))
            }
            other => format!("its certificate is rejected: {other}"),
        }
    }

    fn at(time: UnixTime) -> String {
        let since = Duration::from_secs(time.as_secs());
        prost_types::Timestamp::from(std::time::UNIX_EPOCH + since).to_string()
    }
}

#[cfg(not(feature = "tls"))]
mod tls {
    use std::error::Error;

    pub(super) fn explain(_: &(dyn Error + 'static)) -> Option<String> {
        None
    }
}
