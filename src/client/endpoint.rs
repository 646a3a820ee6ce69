//! The endpoint of a gateway: its URL and the settings of the connection.

use tonic::codegen::http::Uri;
use tonic::transport::Endpoint;

use super::credentials::Credentials;
use super::{
    CONNECT_TIME_MAX, Error, FRAME_BYTES_MAX, KEEPALIVE_INTERVAL, KEEPALIVE_TIME_MAX, USER_AGENT,
    connect_error,
};

/// The endpoint of the gateway at `url`, with the settings of this client.
pub(super) fn endpoint(url: &str, credentials: &Credentials) -> Result<Endpoint, Error> {
    let refused = |reason: String| Error::Url { url: url.to_owned(), reason };
    let scheme = if credentials.tls.is_set() { "https" } else { "http" };
    let whole = if url.contains("://") { url.to_owned() } else { format!("{scheme}://{url}") };
    if let Some((scheme, _)) = whole.split_once("://")
        && !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str())
    {
        return Err(refused(format!(
            "a gateway is reached by http:// or https://, not {scheme}://"
        )));
    }
    let is_encrypted = whole.starts_with("https://");
    if credentials.tls.is_set() && !is_encrypted {
        return Err(refused("certificates are for https".to_owned()));
    }
    let endpoint = Endpoint::from_shared(whole)
        .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
        .map_err(|error| refused(connect_error::root(&error)))?;
    if let Some(port) = wrong_port(endpoint.uri()) {
        return Err(refused(format!("{port:?} is not a port: it is a number up to 65535")));
    }
    if !is_encrypted && credentials.would_expose_token(endpoint.uri()) {
        return Err(Error::TokenExposed { url: url.to_owned() });
    }
    let endpoint = if is_encrypted { encrypted(endpoint, credentials)? } else { endpoint };
    Ok(endpoint
        .connect_timeout(CONNECT_TIME_MAX)
        .tcp_nodelay(true)
        .max_frame_size(FRAME_BYTES_MAX)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIME_MAX)
        .keep_alive_while_idle(true))
}

#[cfg(feature = "tls")]
fn encrypted(endpoint: Endpoint, credentials: &Credentials) -> Result<Endpoint, Error> {
    use tonic::transport::{Certificate, ClientTlsConfig, Identity};
    credentials.tls.check().map_err(Error::Credentials)?;
    let tls = ClientTlsConfig::new();
    let tls = match &credentials.tls.ca {
        Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
        None => tls.with_enabled_roots(),
    };
    let tls = match &credentials.tls.identity {
        Some((cert, key)) => tls.identity(Identity::from_pem(cert, key)),
        None => tls,
    };
    let refused = |error| {
        Error::Credentials(format!("cannot begin TLS: {}", connect_error::describe(&error)))
    };
    endpoint.tls_config(tls).map_err(refused)
}

#[cfg(not(feature = "tls"))]
fn encrypted(endpoint: Endpoint, _: &Credentials) -> Result<Endpoint, Error> {
    let reason = "this program was built without TLS: turn the feature `tls` of auditgate on";
    Err(Error::Url { url: endpoint.uri().to_string(), reason: reason.to_owned() })
}

/// The invalid text at the place of the port, if any.
fn wrong_port(uri: &Uri) -> Option<String> {
    let authority = uri.authority()?.as_str();
    // An IPv6 address has colons within brackets.
    let (_, port) = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'))?;
    port.parse::<u16>().is_err().then(|| port.to_owned())
}

/// The port that was used for a URL without one, to add to an error.
pub(super) fn missing_port(uri: &Uri) -> &'static str {
    match (uri.port(), uri.scheme_str()) {
        (Some(_), _) => "",
        (None, Some("https")) => " (port 443, since the URL names none; gateways often use 50051)",
        (None, _) => " (port 80, since the URL names none; gateways often use 50051)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_url_of_a_gateway_is_refused() {
        let refused = |url: &str| match endpoint(url, &Credentials::new()) {
            Ok(endpoint) => panic!("{url}: {:?}", endpoint.uri()),
            Err(error) => error.to_string(),
        };
        assert!(refused("ftp://localhost:1").contains("by http:// or https://, not ftp://"));
        for port in ["99999", "x", "-1"] {
            let said = refused(&format!("localhost:{port}"));
            assert!(said.contains("is not"), "{said}");
        }
        for url in
            ["http://localhost:50051", "localhost:50051", "http://[::1]:5", "[::1]", "http://a"]
        {
            assert!(endpoint(url, &Credentials::new()).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_missing_port_is_told() {
        let told = |url: &str| missing_port(&url.parse().expect("a URI"));
        assert_eq!(told("http://localhost:50051"), "");
        assert!(told("http://localhost").starts_with(" (port 80,"));
        assert!(told("https://[::1]").starts_with(" (port 443,"));
    }
}
