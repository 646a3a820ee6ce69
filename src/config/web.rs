//! `[web]`: the page that the gateway serves to browsers.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Error;
use crate::address;

/// How far the default port of the page is above that of `listen`.
const PORT_OFFSET: u16 = 1_000;
/// Default of [`Web::connections`].
const CONNECTIONS: usize = 1_000;
/// Default of [`Web::connections_per_address`]: some forty browsers behind one proxy.
const CONNECTIONS_PER_ADDRESS: usize = 250;
/// Least value of [`Web::connections`].
const CONNECTIONS_MIN: usize = 16;
/// The most entries of [`Web::hosts`].
const HOSTS_MAX: usize = 1_000;
/// The value that turns the page off.
const OFF: &str = "off";

/// The page for browsers: search, live view and proofs over HTTP. It only reads, and has a port of its
/// own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// Address of the page, or `off`; port 0 chooses a free port. By default, the page is at the address of
    /// `listen` and the port 1000 above it if that address is a loopback address, and off otherwise; if that
    /// port is taken, the gateway warns and starts without the page. If it is set, the gateway requires the
    /// port, and on other addresses than loopback TLS and authentication.
    #[schemars(extend("value_name" = "ADDR|off"))]
    pub listen: Option<WebListen>,
    /// Write the port of the page to this file when the gateway listens.
    #[schemars(extend("value_name" = "FILE"))]
    pub port_file: Option<PathBuf>,
    /// Origins at which browsers reach the page through a proxy, such as `https://audit.example.com`. IP
    /// addresses, `localhost` and the names of the certificate need no entry. The gateway refuses requests
    /// for other hosts, and never reads forwarded headers.
    pub hosts: Vec<String>,
    /// Open connections of browsers in all; at least 16.
    pub connections: usize,
    /// Open connections of browsers from one address; at least 1. A browser opens six. Behind a proxy, all
    /// browsers have the address of the proxy.
    pub connections_per_address: usize,
}

/// The address of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebListen {
    /// There is no page.
    Off,
    /// At this address.
    At(SocketAddr),
}

/// An origin as browsers write it: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebOrigin {
    /// Whether the scheme is `https` instead of `http`.
    pub encrypted: bool,
    /// The host in lower case; an IPv6 address has brackets.
    pub host: String,
    /// The port, also if it is the default of the scheme.
    pub port: u16,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            listen: None,
            port_file: None,
            hosts: Vec::new(),
            connections: CONNECTIONS,
            connections_per_address: CONNECTIONS_PER_ADDRESS,
        }
    }
}

impl Web {
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.connections < CONNECTIONS_MIN {
            let what = format!("{}, which must be at least {CONNECTIONS_MIN}", self.connections);
            return Err(Error::value("web.connections", what));
        }
        if self.connections_per_address == 0 {
            return Err(Error::value("web.connections_per_address", "0, which must be at least 1"));
        }
        if self.hosts.len() > HOSTS_MAX {
            let what = format!("{} entries, which must be at most {HOSTS_MAX}", self.hosts.len());
            return Err(Error::value("web.hosts", what));
        }
        self.origins().map(drop)
    }

    /// The entries of `hosts`.
    ///
    /// # Errors
    /// If one is not an origin.
    pub fn origins(&self) -> Result<Vec<WebOrigin>, Error> {
        let parse = |(place, text): (usize, &String)| {
            text.parse().map_err(|what: String| Error::value(format!("web.hosts[{place}]"), what))
        };
        self.hosts.iter().enumerate().map(parse).collect()
    }

    /// The address of the page of a gateway that listens at `listen`, and whether the operator
    /// configured it; `None` if the page is off.
    pub fn address(&self, listen: SocketAddr) -> Option<(SocketAddr, bool)> {
        match self.listen {
            Some(WebListen::Off) => None,
            Some(WebListen::At(address)) => Some((address, true)),
            None if !listen.ip().is_loopback() => None,
            None if listen.port() == 0 => Some((listen, false)),
            None => {
                let port = listen.port().checked_add(PORT_OFFSET)?;
                Some((SocketAddr::new(listen.ip(), port), false))
            }
        }
    }

    /// The configured address of the page, if it is not a loopback address.
    pub(super) fn exposed(&self) -> Option<SocketAddr> {
        match self.listen {
            Some(WebListen::At(address)) if !address.ip().is_loopback() => Some(address),
            _ => None,
        }
    }
}

impl FromStr for WebListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == OFF {
            return Ok(Self::Off);
        }
        let parsed = address::parse(text).map_err(|what| format!("{what}, and not {OFF}"));
        parsed.map(Self::At)
    }
}

impl fmt::Display for WebListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str(OFF),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for WebListen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for WebListen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for WebListen {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "WebListen".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl WebOrigin {
    /// Parses a host with an optional port, as in the header `host`.
    pub fn of(encrypted: bool, authority: &str) -> Option<Self> {
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address are in brackets.
            Some((host, port)) if !port.contains(']') => {
                let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
                (host, digits.then(|| port.parse().ok())??)
            }
            _ => (authority, Self::default_port(encrypted)),
        };
        let host = host.to_ascii_lowercase();
        is_host(&host).then_some(Self { encrypted, host, port })
    }

    fn default_port(encrypted: bool) -> u16 {
        if encrypted { 443 } else { 80 }
    }
}

/// Whether a text in lower case is a name of a host, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        return inner
            .strip_suffix(']')
            .is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !host.is_empty() && host.bytes().all(is_of_name)
}

impl FromStr for WebOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = match text.split_once("://") {
            Some(("https", authority)) => Some((true, authority)),
            Some(("http", authority)) => Some((false, authority)),
            _ => None,
        };
        split.and_then(|(encrypted, authority)| Self::of(encrypted, authority)).ok_or_else(|| {
            format!("{text:?} is not an origin: write scheme, host and, if it is not that of the scheme, port, such as https://audit.example.com")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web(listen: &str) -> Web {
        Web { listen: Some(listen.parse().unwrap()), ..Web::default() }
    }

    #[test]
    fn the_page_is_beside_the_gateway_unless_it_is_told_where() {
        let at = |web: &Web, listen: &str| {
            let found = web.address(listen.parse().unwrap());
            found.map(|(address, asked)| (address.to_string(), asked))
        };
        let unset = Web::default();
        let found = |text: &str, asked| Some((text.to_owned(), asked));
        assert_eq!(at(&unset, "127.0.0.1:50051"), found("127.0.0.1:51051", false));
        assert_eq!(at(&unset, "[::1]:7"), found("[::1]:1007", false));
        assert_eq!(at(&unset, "127.0.0.1:0"), found("127.0.0.1:0", false));
        assert_eq!(at(&unset, "127.0.0.1:65000"), None);
        assert_eq!(at(&unset, "0.0.0.0:50051"), None);
        assert_eq!(at(&web("off"), "127.0.0.1:50051"), None);
        assert_eq!(at(&web("localhost:80"), "0.0.0.0:50051"), found("127.0.0.1:80", true));
        assert_eq!(web("0.0.0.0:1").exposed(), "0.0.0.0:1".parse().ok());
        assert_eq!(web("127.0.0.1:1").exposed(), None);
    }

    #[test]
    fn what_is_neither_an_address_nor_off_is_refused() {
        for text in ["", "on", "OFF", "51051", ":51051", "127.0.0.1"] {
            let refused = text.parse::<WebListen>().unwrap_err();
            assert!(refused.ends_with("and not off"), "{text}: {refused}");
        }
    }

    #[test]
    fn origins_are_scheme_host_and_port() {
        let origin =
            |encrypted, host: &str, port| Ok(WebOrigin { encrypted, host: host.to_owned(), port });
        for (text, parsed) in [
            ("https://audit.example.com", origin(true, "audit.example.com", 443)),
            ("https://Audit.Example.COM:8443", origin(true, "audit.example.com", 8443)),
            ("http://audit", origin(false, "audit", 80)),
            ("http://[::1]:80", origin(false, "[::1]", 80)),
            ("https://[2001:db8::1]", origin(true, "[2001:db8::1]", 443)),
        ] {
            assert_eq!(text.parse::<WebOrigin>(), parsed, "{text}");
        }
        for text in [
            "",
            "null",
            "audit.example.com",
            "https://",
            "https:///",
            "https://audit.example.com/",
            "https://audit.example.com/page",
            "https://user@audit.example.com",
            "https://audit.example.com:",
            "https://audit.example.com:+1",
            "https://audit.example.com:65536",
            "https://[::1",
            "https://::1",
            "https://[x]",
            "https://*.example.com",
            "https://a b",
            "ftp://audit.example.com",
            "HTTPS://audit.example.com",
            "https://audit.example.com?",
        ] {
            let refused = text.parse::<WebOrigin>().unwrap_err();
            assert!(refused.contains("such as https://audit.example.com"), "{text}: {refused}");
        }
    }
}
