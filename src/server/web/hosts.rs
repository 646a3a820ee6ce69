//! Checks the host of a request, and its origin.
//!
//! An attacker can point its own host name to the address of the gateway (DNS rebinding), so that
//! the browser treats requests to the gateway as same-origin. These requests name the attacker's
//! host, which is refused here.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::HeaderValue;
use http::header::{HOST, ORIGIN};
use http::request::Parts;

use super::refusal::WebRefusal;
use crate::config::WebOrigin;

/// The host name that is never resolved by DNS.
const LOCALHOST: &str = "localhost";

/// The hosts that the gateway knows as its own.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The entries of `web.hosts`.
    pub origins: &'a [WebOrigin],
    /// The names of the certificate, in lower case; the first label of each may be `*`.
    pub names: &'a [String],
    /// Whether the connection is encrypted.
    pub encrypted: bool,
}

impl Known<'_> {
    /// Checks the host of a request, and its origin if it names one.
    ///
    /// # Errors
    /// If the host is malformed or not one of the gateway's, or the origin is not the page's own.
    pub fn check(&self, request: &Parts) -> Result<(), WebRefusal> {
        let host = host(request)?;
        let mut own = self.own_origins(host)?;
        let mut origins = request.headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => Ok(()),
            (Some(only), None) if own.any(|own| is_origin(only, &own)) => Ok(()),
            _ => Err(WebRefusal::Origin),
        }
    }

    /// The origins of the page at `host`.
    fn own_origins(&self, host: &str) -> Result<impl Iterator<Item = WebOrigin>, WebRefusal> {
        let as_is = |encrypted| WebOrigin::of(encrypted, host);
        let direct = as_is(self.encrypted).ok_or(WebRefusal::HostMalformed)?;
        let configured =
            self.origins.iter().filter(|entry| as_is(entry.encrypted).as_ref() == Some(entry));
        let configured: Vec<WebOrigin> = configured.cloned().collect();
        let is_own = is_address(&direct.host)
            || direct.host == LOCALHOST
            || self.names.iter().any(|name| is_named(name, &direct.host));
        if !is_own && configured.is_empty() {
            return Err(WebRefusal::Host);
        }
        Ok(configured.into_iter().chain(is_own.then_some(direct)))
    }
}

/// The host and port of a request: in the target for HTTP/2 and absolute targets, else in a header.
/// If both are present, they must be equal.
fn host(request: &Parts) -> Result<&str, WebRefusal> {
    let mut headers = request.headers.get_all(HOST).iter();
    let header = match (headers.next(), headers.next()) {
        (None, _) => None,
        (Some(only), None) => Some(only.to_str().map_err(|_| WebRefusal::HostMalformed)?),
        (Some(_), Some(_)) => return Err(WebRefusal::HostMalformed),
    };
    let target = request.uri.authority().map(http::uri::Authority::as_str);
    match (target, header) {
        (Some(target), Some(header)) if target != header => Err(WebRefusal::HostMalformed),
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) => Err(WebRefusal::HostMalformed),
    }
}

/// Whether a header names this origin. `null` names none.
fn is_origin(header: &HeaderValue, own: &WebOrigin) -> bool {
    header.to_str().is_ok_and(|text| text.parse::<WebOrigin>().as_ref() == Ok(own))
}

/// Whether a host is an IP address, which DNS cannot rebind.
fn is_address(host: &str) -> bool {
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match in_brackets {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok(),
    }
}

/// Whether a name of a certificate matches a host; `*` matches one label.
fn is_named(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => {
            host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent)
        }
        None => name == host,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn known<'a>(origins: &'a [WebOrigin], names: &'a [String], encrypted: bool) -> Known<'a> {
        Known { origins, names, encrypted }
    }

    fn parts(target: &str, headers: &[(http::HeaderName, &str)]) -> Parts {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn origins(texts: &[&str]) -> Vec<WebOrigin> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Of a gateway with a certificate and a proxy.
    fn checked(encrypted: bool, host: &str, origin: Option<&str>) -> Result<(), WebRefusal> {
        let origins = origins(&["https://audit.example.com", "http://intranet:8080"]);
        let names = ["gateway.example.org".to_owned(), "*.pods.example.org".to_owned()];
        let mut headers = vec![(HOST, host)];
        headers.extend(origin.map(|origin| (ORIGIN, origin)));
        known(&origins, &names, encrypted).check(&parts("/", &headers))
    }

    #[test]
    fn only_hosts_that_are_the_gateways_are_answered() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:51051",
            "192.0.2.7:1",
            "[::1]:51051",
            "[2001:db8::1]",
            "localhost",
            "LocalHost:8080",
            "gateway.example.org:51051",
            "Gateway.Example.ORG",
            "a.pods.example.org",
            "audit.example.com",
            "audit.example.com:443",
            "intranet:8080",
        ] {
            assert_eq!(checked(true, host, None), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.",
            "localhost.evil.example",
            "evil.localhost",
            "127.0.0.1.evil.example",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "gateway.example.org.evil.example",
            "a.b.pods.example.org",
            "pods.example.org",
            ".pods.example.org",
            "*.pods.example.org",
            "audit.example.com:80",
            "intranet",
            "intranet:80",
        ] {
            let refused = checked(true, host, None).unwrap_err();
            let expected =
                if host.contains('*') { WebRefusal::HostMalformed } else { WebRefusal::Host };
            assert_eq!(refused, expected, "{host}");
        }
        for host in [
            "",
            ":80",
            "a b",
            "user@localhost",
            "localhost:x",
            "localhost:99999",
            "[::1",
            "::1",
            "localhost, evil",
        ] {
            assert_eq!(checked(true, host, None), Err(WebRefusal::HostMalformed), "{host}");
        }
    }

    #[test]
    fn an_origin_is_the_pages_own_or_refused() {
        for (encrypted, host, origin) in [
            (false, "127.0.0.1:51051", "http://127.0.0.1:51051"),
            (false, "localhost", "http://localhost"),
            (false, "localhost", "http://localhost:80"),
            (true, "gateway.example.org:51051", "https://gateway.example.org:51051"),
            (true, "[::1]:443", "https://[::1]"),
            (false, "audit.example.com", "https://audit.example.com"),
            (true, "intranet:8080", "http://intranet:8080"),
        ] {
            assert_eq!(checked(encrypted, host, Some(origin)), Ok(()), "{host} {origin}");
        }
        for (encrypted, host, origin) in [
            (false, "127.0.0.1:51051", "null"),
            (false, "127.0.0.1:51051", ""),
            (false, "127.0.0.1:51051", "https://127.0.0.1:51051"),
            (false, "127.0.0.1:51051", "http://127.0.0.1:8000"),
            (false, "127.0.0.1:51051", "http://127.0.0.1"),
            (false, "127.0.0.1:51051", "http://localhost:51051"),
            (false, "127.0.0.1:51051", "http://evil.example"),
            (false, "127.0.0.1:51051", "http://127.0.0.1:51051, http://evil.example"),
            (true, "gateway.example.org:51051", "http://gateway.example.org:51051"),
            (false, "audit.example.com", "http://audit.example.com"),
            (false, "localhost", "http://localhost/"),
            (false, "localhost", "chrome-extension://abcdef"),
        ] {
            let refused = checked(encrypted, host, Some(origin));
            assert_eq!(refused, Err(WebRefusal::Origin), "{host} {origin}");
        }
    }

    #[test]
    fn one_host_and_one_origin_are_named() {
        let none = known(&[], &[], false);
        let check = |target: &str, headers: &[_]| none.check(&parts(target, headers));
        let own = (HOST, "localhost:1");
        assert_eq!(check("/", &[]), Err(WebRefusal::HostMalformed));
        assert_eq!(check("/", &[own.clone(), own.clone()]), Err(WebRefusal::HostMalformed));
        assert_eq!(check("http://localhost:1/", &[]), Ok(()));
        assert_eq!(check("http://localhost:1/", std::slice::from_ref(&own)), Ok(()));
        assert_eq!(
            check("http://evil.example/", std::slice::from_ref(&own)),
            Err(WebRefusal::HostMalformed)
        );
        assert_eq!(check("http://evil.example/", &[]), Err(WebRefusal::Host));
        let origin = (ORIGIN, "http://localhost:1");
        assert_eq!(check("/", &[own.clone(), origin.clone()]), Ok(()));
        assert_eq!(check("/", &[own, origin.clone(), origin]), Err(WebRefusal::Origin));
    }
}
