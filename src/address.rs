//! Parses an address with a port, and reads the name of this machine.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};

/// The host name that is not looked up in DNS.
const LOCALHOST: &str = "localhost";

/// The host name of this machine; empty if it has none.
#[cfg(feature = "server")]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Parses `127.0.0.1:50051`, `[::1]:50051` or `NAME:50051`. `localhost` is 127.0.0.1; other names
/// are resolved, and the first address is used.
///
/// # Errors
/// A sentence that says what is wrong with the text.
pub fn parse(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let expected = "an address and a port, such as 127.0.0.1:50051 or localhost:50051";
    let named = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let is_name = |host: &str| {
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        // A host of digits and dots is a mistyped address, not a name to resolve.
        host.bytes().all(is_of_name) && host.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    let Some((host, port)) = named.filter(|(host, _): &(&str, u16)| is_name(host)) else {
        return Err(format!("{text:?} is not {expected}"));
    };
    if host.eq_ignore_ascii_case(LOCALHOST) {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    let found = (host, port).to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| format!("{text:?} is not {expected}: the name {host} has no address here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_a_name() {
        let parsed = |text: &str| parse(text).map(|address| address.to_string());
        assert_eq!(parsed("127.0.0.1:0").as_deref(), Ok("127.0.0.1:0"));
        assert_eq!(parsed("[::1]:7").as_deref(), Ok("[::1]:7"));
        assert_eq!(parsed("localhost:50051").as_deref(), Ok("127.0.0.1:50051"));
        assert_eq!(parsed("LocalHost:1").as_deref(), Ok("127.0.0.1:1"));
        for wrong in [
            "",
            "localhost",
            ":1",
            "localhost:",
            "localhost:x",
            "localhost:70000",
            "127.0.0.1",
            "127.0.0:1",
            "300.0.0.1:1",
            "::1:7",
            "a b:1",
            "http://localhost:1",
            "localhost:1/",
        ] {
            let said = parse(wrong).unwrap_err();
            assert!(said.contains("such as 127.0.0.1:50051 or localhost:50051"), "{wrong}: {said}");
        }
        let said = parse("no-such-host.invalid:1").unwrap_err();
        assert!(said.contains("no-such-host.invalid has no address"), "{said}");
    }
}
